-- The user of the business-exporter: it reads the columns that the query pack names, and nothing else. Email addresses, names of
-- people, titles, shopper codes and tokens are not among them.
--
-- Give the three values before you run it; as it stands the file is refused by the server:
--
--   {{password}}  the password, quoted: 'a long random one'
--   {{host}}      where the exporter connects from, quoted: '10.1.2.%', or '%' for anywhere
--   {{schema}}    the platform's database: platform
--
-- Put the same password into the file that dsn_file names. Run it again after a change of the query pack: what is there already
-- stays. A pack of your own needs the columns that it names.
--
-- Five connections: two exporters (a pair for high availability) with two each, and `business-exporter queries --explain`.

CREATE USER IF NOT EXISTS consignwatch_business@{{host}} IDENTIFIED BY {{password}} WITH MAX_USER_CONNECTIONS 5;

GRANT SELECT (id, slug, name, plan, active)
  ON {{schema}}.clients TO consignwatch_business@{{host}};

GRANT SELECT (id, client_id, slug, name, status, start_at, end_at, return_window_end, currency, completed_at)
  ON {{schema}}.events TO consignwatch_business@{{host}};

GRANT SELECT (id, slug)
  ON {{schema}}.categories TO consignwatch_business@{{host}};

GRANT SELECT (client_id, active, created_at, sync_status, last_sync_attempt)
  ON {{schema}}.consignors TO consignwatch_business@{{host}};

GRANT SELECT (id, event_id, type, fee_paid, is_paid)
  ON {{schema}}.event_consignors TO consignwatch_business@{{host}};

GRANT SELECT (id, event_id, category_id, price_cents, status, transfer_count, sold_price_cents, image_bytes, listed_at, synced_at, updated_at)
  ON {{schema}}.items TO consignwatch_business@{{host}};

GRANT SELECT (event_id, item_id, shopify_order_id, amount_cents, currency, channel, sold_at, is_returned, returned_at)
  ON {{schema}}.sales TO consignwatch_business@{{host}};

GRANT SELECT (id, event_id, capacity, remaining)
  ON {{schema}}.dropoff_slots TO consignwatch_business@{{host}};

GRANT SELECT (slot_id, event_consignor_id, status)
  ON {{schema}}.dropoff_bookings TO consignwatch_business@{{host}};

GRANT SELECT (id, event_id, shift_type, capacity, remaining)
  ON {{schema}}.volunteer_shifts TO consignwatch_business@{{host}};

GRANT SELECT (shift_id, status)
  ON {{schema}}.volunteer_bookings TO consignwatch_business@{{host}};

GRANT SELECT (client_id, event_id, role, last_seen_at, ended_at)
  ON {{schema}}.sessions TO consignwatch_business@{{host}};

GRANT SELECT (event_id, event_consignor_id, amount_cents, status)
  ON {{schema}}.settlements TO consignwatch_business@{{host}};

GRANT SELECT (client_id, kind, outcome, finished_at)
  ON {{schema}}.sync_runs TO consignwatch_business@{{host}};

GRANT SELECT (target, outcome, bytes, started_at, finished_at)
  ON {{schema}}.backups TO consignwatch_business@{{host}};

GRANT SELECT (client_id, priority, status, opened_at, first_response_at, solved_at)
  ON {{schema}}.support_tickets TO consignwatch_business@{{host}};

-- Only with `mysql: {replica: true}`, for the lag of a replica. Choose the line of your server:
-- GRANT SLAVE MONITOR ON *.* TO consignwatch_business@{{host}};      -- MariaDB
-- GRANT REPLICATION CLIENT ON *.* TO consignwatch_business@{{host}}; -- MySQL
