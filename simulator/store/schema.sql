-- The tables of the monitored platform, as the contract's section 2 names them.
--
-- Works as it stands on MySQL 8 and on MariaDB 10.6 and later. Only the keys that an application of this kind
-- has of its own: primary keys, unique keys, and one index per reference. What the business-exporter
-- wants on top is in deploy/mysql/indexes.sql. There are no FOREIGN KEY constraints, because a fault must be
-- able to insert a sale without an item. All times are UTC; all money is an integer in the currency's minor unit.

CREATE TABLE IF NOT EXISTS clients (
  id          BIGINT UNSIGNED NOT NULL,
  slug        VARCHAR(63)     NOT NULL,
  name        VARCHAR(190)    NOT NULL,
  domain      VARCHAR(190)    NOT NULL,
  plan        VARCHAR(32)     NOT NULL,
  active      TINYINT(1)      NOT NULL DEFAULT 1,
  created_at  DATETIME(6)     NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY clients_slug (slug)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS client_shopify_access (
  client_id         BIGINT UNSIGNED NOT NULL,
  shop_domain       VARCHAR(190)    NOT NULL,
  access_token      VARCHAR(190)    NOT NULL,
  token_expires_at  DATETIME(6)     NULL,
  active            TINYINT(1)      NOT NULL DEFAULT 1,
  PRIMARY KEY (client_id),
  UNIQUE KEY client_shopify_access_shop (shop_domain)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS events (
  id                 BIGINT UNSIGNED NOT NULL,
  client_id          BIGINT UNSIGNED NOT NULL,
  slug               VARCHAR(63)     NOT NULL,
  name               VARCHAR(190)    NOT NULL,
  status             ENUM('draft', 'setup', 'registration', 'active', 'markdown', 'closed', 'returns',
                          'reconciliation', 'complete', 'cancelled') NOT NULL DEFAULT 'draft',
  start_at           DATETIME(6)     NOT NULL,
  end_at             DATETIME(6)     NOT NULL,
  return_window_end  DATETIME(6)     NOT NULL,
  max_consignors     INT UNSIGNED    NOT NULL,
  currency           CHAR(3)         NOT NULL,
  completed_at       DATETIME(6)     NULL,
  PRIMARY KEY (id),
  UNIQUE KEY events_client_slug (client_id, slug)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS categories (
  id    BIGINT UNSIGNED NOT NULL,
  slug  VARCHAR(63)     NOT NULL,
  name  VARCHAR(190)    NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY categories_slug (slug)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS consignors (
  id                 BIGINT UNSIGNED NOT NULL,
  client_id          BIGINT UNSIGNED NOT NULL,
  email              VARCHAR(190)    NOT NULL,
  name               VARCHAR(190)    NOT NULL,
  active             TINYINT(1)      NOT NULL DEFAULT 1,
  created_at         DATETIME(6)     NOT NULL,
  sync_status        ENUM('pending', 'completed', 'failed') NOT NULL DEFAULT 'pending',
  last_sync_attempt  DATETIME(6)     NULL,
  PRIMARY KEY (id),
  UNIQUE KEY consignors_client_email (client_id, email)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS event_consignors (
  id                     BIGINT UNSIGNED NOT NULL,
  event_id               BIGINT UNSIGNED NOT NULL,
  consignor_id           BIGINT UNSIGNED NOT NULL,
  type                   ENUM('regular', 'super') NOT NULL DEFAULT 'regular',
  fee_paid               TINYINT(1)      NOT NULL DEFAULT 0,
  volunteer_shift_count  INT UNSIGNED    NOT NULL DEFAULT 0,
  total_earnings_cents   BIGINT          NOT NULL DEFAULT 0,
  is_paid                TINYINT(1)      NOT NULL DEFAULT 0,
  created_at             DATETIME(6)     NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY event_consignors_event_consignor (event_id, consignor_id),
  KEY event_consignors_consignor (consignor_id)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS items (
  id                  BIGINT UNSIGNED NOT NULL,
  event_id            BIGINT UNSIGNED NOT NULL,
  event_consignor_id  BIGINT UNSIGNED NOT NULL,
  category_id         BIGINT UNSIGNED NOT NULL,
  shopify_product_id  BIGINT UNSIGNED NULL,
  title               VARCHAR(190)    NOT NULL,
  price_cents         BIGINT          NOT NULL,
  status              ENUM('draft', 'active', 'locked', 'sold', 'returned', 'transferred') NOT NULL DEFAULT 'draft',
  markdown_eligible   TINYINT(1)      NOT NULL DEFAULT 1,
  transfer_count      INT UNSIGNED    NOT NULL DEFAULT 0,
  sold_price_cents    BIGINT          NULL,
  image_bytes         BIGINT UNSIGNED NOT NULL DEFAULT 0,
  listed_at           DATETIME(6)     NULL,
  sold_at             DATETIME(6)     NULL,
  synced_at           DATETIME(6)     NULL,
  updated_at          DATETIME(6)     NOT NULL,
  PRIMARY KEY (id),
  KEY items_event (event_id),
  KEY items_event_consignor (event_consignor_id),
  KEY items_shopify_product (shopify_product_id)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS sales (
  id                BIGINT UNSIGNED NOT NULL,
  event_id          BIGINT UNSIGNED NOT NULL,
  item_id           BIGINT UNSIGNED NOT NULL,
  shopify_order_id  BIGINT UNSIGNED NOT NULL,
  amount_cents      BIGINT          NOT NULL,
  currency          CHAR(3)         NOT NULL,
  channel           ENUM('online', 'pos') NOT NULL,
  sold_at           DATETIME(6)     NOT NULL,
  is_returned       TINYINT(1)      NOT NULL DEFAULT 0,
  returned_at       DATETIME(6)     NULL,
  shopper_code      VARCHAR(16)     NOT NULL,
  PRIMARY KEY (id),
  KEY sales_event (event_id),
  KEY sales_item (item_id),
  KEY sales_shopify_order (shopify_order_id)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS dropoff_slots (
  id         BIGINT UNSIGNED NOT NULL,
  event_id   BIGINT UNSIGNED NOT NULL,
  start_at   DATETIME(6)     NOT NULL,
  capacity   INT             NOT NULL,
  remaining  INT             NOT NULL,
  PRIMARY KEY (id),
  KEY dropoff_slots_event (event_id)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS dropoff_bookings (
  id                  BIGINT UNSIGNED NOT NULL,
  slot_id             BIGINT UNSIGNED NOT NULL,
  event_consignor_id  BIGINT UNSIGNED NOT NULL,
  status              ENUM('scheduled', 'cancelled', 'completed', 'no_show') NOT NULL DEFAULT 'scheduled',
  arrived_at          DATETIME(6)     NULL,
  completed_at        DATETIME(6)     NULL,
  PRIMARY KEY (id),
  KEY dropoff_bookings_slot (slot_id),
  KEY dropoff_bookings_event_consignor (event_consignor_id)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS volunteer_shifts (
  id          BIGINT UNSIGNED NOT NULL,
  event_id    BIGINT UNSIGNED NOT NULL,
  shift_type  ENUM('drop_off_sorting', 'item_organization', 'shopper_assistance', 'general_help') NOT NULL,
  start_at    DATETIME(6)     NOT NULL,
  end_at      DATETIME(6)     NOT NULL,
  capacity    INT             NOT NULL,
  remaining   INT             NOT NULL,
  PRIMARY KEY (id),
  KEY volunteer_shifts_event (event_id)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS volunteer_bookings (
  id                  BIGINT UNSIGNED NOT NULL,
  shift_id            BIGINT UNSIGNED NOT NULL,
  event_consignor_id  BIGINT UNSIGNED NOT NULL,
  status              ENUM('scheduled', 'cancelled', 'completed', 'no_show') NOT NULL DEFAULT 'scheduled',
  PRIMARY KEY (id),
  KEY volunteer_bookings_shift (shift_id),
  KEY volunteer_bookings_event_consignor (event_consignor_id)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS sessions (
  id            BIGINT UNSIGNED NOT NULL,
  client_id     BIGINT UNSIGNED NOT NULL,
  event_id      BIGINT UNSIGNED NULL,
  role          ENUM('shopper', 'consignor', 'volunteer', 'event_admin', 'client_admin', 'super_admin') NOT NULL,
  started_at    DATETIME(6)     NOT NULL,
  last_seen_at  DATETIME(6)     NOT NULL,
  ended_at      DATETIME(6)     NULL,
  PRIMARY KEY (id),
  KEY sessions_client (client_id),
  KEY sessions_event (event_id)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS settlements (
  id                  BIGINT UNSIGNED NOT NULL,
  event_id            BIGINT UNSIGNED NOT NULL,
  event_consignor_id  BIGINT UNSIGNED NOT NULL,
  amount_cents        BIGINT          NOT NULL,
  status              ENUM('pending', 'paid', 'cancelled') NOT NULL DEFAULT 'pending',
  created_at          DATETIME(6)     NOT NULL,
  paid_at             DATETIME(6)     NULL,
  PRIMARY KEY (id),
  KEY settlements_event (event_id),
  KEY settlements_event_consignor (event_consignor_id)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS sync_runs (
  id           BIGINT UNSIGNED NOT NULL,
  client_id    BIGINT UNSIGNED NOT NULL,
  kind         ENUM('products', 'inventory', 'orders', 'email_address') NOT NULL,
  outcome      ENUM('succeeded', 'failed') NOT NULL,
  finished_at  DATETIME(6)     NOT NULL,
  PRIMARY KEY (id),
  KEY sync_runs_client (client_id)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS backups (
  id           BIGINT UNSIGNED NOT NULL,
  target       ENUM('mysql', 'redis', 'images') NOT NULL,
  outcome      ENUM('succeeded', 'failed') NULL,
  bytes        BIGINT UNSIGNED NULL,
  started_at   DATETIME(6)     NOT NULL,
  finished_at  DATETIME(6)     NULL,
  PRIMARY KEY (id)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS support_tickets (
  id                 BIGINT UNSIGNED NOT NULL,
  client_id          BIGINT UNSIGNED NOT NULL,
  priority           ENUM('urgent', 'high', 'normal', 'low') NOT NULL,
  status             ENUM('open', 'waiting', 'solved') NOT NULL DEFAULT 'open',
  category           VARCHAR(32)     NOT NULL,
  opened_at          DATETIME(6)     NOT NULL,
  first_response_at  DATETIME(6)     NULL,
  solved_at          DATETIME(6)     NULL,
  PRIMARY KEY (id),
  KEY support_tickets_client (client_id)
) DEFAULT CHARACTER SET utf8mb4;
