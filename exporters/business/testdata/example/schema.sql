-- The tables of a platform for flea markets: other names, phases as letters, times as seconds since 1970, money as decimals.

CREATE TABLE organiser (
  no         INT PRIMARY KEY,
  handle     VARCHAR(40) NOT NULL,
  title      VARCHAR(80) NOT NULL,
  tier       VARCHAR(20) NOT NULL,
  closed_on  DATE NULL
);

CREATE TABLE market (
  no            INT PRIMARY KEY,
  organiser_no  INT NOT NULL,
  handle        VARCHAR(40) NOT NULL,
  title         VARCHAR(80) NOT NULL,
  phase         CHAR(1) NOT NULL, -- P planned, O open, D discount day, S settling, X over
  opens         INT NOT NULL,
  closes        INT NOT NULL,
  over_since    INT NULL,
  iso_currency  CHAR(3) NOT NULL
);

CREATE TABLE good (
  no         INT PRIMARY KEY,
  market_no  INT NOT NULL,
  kind       VARCHAR(20) NOT NULL,
  phase      CHAR(1) NOT NULL, -- O offered, S sold, W withdrawn
  asking     DECIMAL(10, 2) NOT NULL,
  paid       DECIMAL(10, 2) NULL,
  seller     VARCHAR(80) NOT NULL,
  KEY good_exporter (market_no, phase, kind, asking, paid)
);

CREATE TABLE parking (
  market_no  INT PRIMARY KEY,
  spaces     INT NOT NULL,
  taken      INT NOT NULL
);
