-- The user of the integration-exporter: it reads which orders and products the platform knows, and for which client. No amount,
-- no shopper, no title, and none of the access tokens.
--
-- Give the three values before you run it; as it stands the file is refused by the server:
--
--   {{password}}  the password, quoted: 'a long random one'
--   {{host}}      where the exporter connects from, quoted: '10.1.2.%', or '%' for anywhere
--   {{schema}}    the platform's database: platform
--
-- Put the same password into the file that platform.dsn_file names. It can be run again. Statements of your own (orders_sql,
-- products_sql) need the columns that they name.
--
-- Six connections: two exporters (a pair for high availability) with two each, and two while they reconnect.
--
-- The statements look numbers up: sales wants an index that begins with shopify_order_id, and items one that begins with
-- shopify_product_id. A platform that handles webhooks has both for its own sake.

CREATE USER IF NOT EXISTS consignwatch_integration@{{host}} IDENTIFIED BY {{password}} WITH MAX_USER_CONNECTIONS 6;

GRANT SELECT (id, slug)
  ON {{schema}}.clients TO consignwatch_integration@{{host}};

GRANT SELECT (id, client_id)
  ON {{schema}}.events TO consignwatch_integration@{{host}};

GRANT SELECT (event_id, shopify_order_id)
  ON {{schema}}.sales TO consignwatch_integration@{{host}};

GRANT SELECT (event_id, shopify_product_id)
  ON {{schema}}.items TO consignwatch_integration@{{host}};
