-- The indexes that the business-exporter's query pack reads instead of the tables: with them the cost of a round follows the
-- sale events that are live, not the history. docs/business-exporter.md says what they occupy.
--
--   mariadb platform < deploy/mysql/indexes.sql
--
-- On MariaDB the file can be run again. MySQL has no IF NOT EXISTS here (it reads it as a comment): run again, it answers 1061
-- (duplicate key name) for each index that is there; `mysql --force` goes on.
-- Each index is built while the platform goes on writing. Where a server cannot do that, it says so and builds nothing.
--
-- Also expected, because a platform has them for its own sake: an index on sales that begins with item_id, and on
-- dropoff_slots and volunteer_shifts one that begins with event_id.

-- items, sold_without_sale, stored_bytes, expected_listings: all of a sale event's items, in the order in which they are counted.
CREATE INDEX /*M! IF NOT EXISTS */ items_exporter ON items
  (event_id, status, category_id, price_cents, sold_price_cents, transfer_count, image_bytes, synced_at, updated_at, listed_at)
  ALGORITHM=INPLACE LOCK=NONE;

-- orders, expected_orders, sales, sold_twice.
CREATE INDEX /*M! IF NOT EXISTS */ sales_exporter ON sales
  (event_id, item_id, is_returned, amount_cents, currency, channel, shopify_order_id, returned_at, sold_at)
  ALGORITHM=INPLACE LOCK=NONE;

-- active_shoppers: the open sessions of a sale event that were seen of late.
CREATE INDEX /*M! IF NOT EXISTS */ sessions_exporter_event ON sessions (event_id, role, ended_at, last_seen_at)
  ALGORITHM=INPLACE LOCK=NONE;

-- active_users: the open sessions that were seen of late.
CREATE INDEX /*M! IF NOT EXISTS */ sessions_exporter_seen ON sessions (ended_at, last_seen_at, client_id, role)
  ALGORITHM=INPLACE LOCK=NONE;

-- consignors: the registrations of a sale event.
CREATE INDEX /*M! IF NOT EXISTS */ event_consignors_exporter ON event_consignors (event_id, type, fee_paid, is_paid)
  ALGORITHM=INPLACE LOCK=NONE;

-- email_syncs: active consignors by client and status.
CREATE INDEX /*M! IF NOT EXISTS */ consignors_exporter ON consignors (active, client_id, sync_status, last_sync_attempt, created_at)
  ALGORITHM=INPLACE LOCK=NONE;

-- dropoff_bookings, double_dropoffs, promised_spots.
CREATE INDEX /*M! IF NOT EXISTS */ dropoff_bookings_exporter ON dropoff_bookings (slot_id, status, event_consignor_id)
  ALGORITHM=INPLACE LOCK=NONE;

-- volunteer_bookings, promised_spots.
CREATE INDEX /*M! IF NOT EXISTS */ volunteer_bookings_exporter ON volunteer_bookings (shift_id, status)
  ALGORITHM=INPLACE LOCK=NONE;

-- settlements, consignors.
CREATE INDEX /*M! IF NOT EXISTS */ settlements_exporter ON settlements (event_id, status, amount_cents, event_consignor_id)
  ALGORITHM=INPLACE LOCK=NONE;

-- syncs: one look-up for each client and kind, however many runs there were.
CREATE INDEX /*M! IF NOT EXISTS */ sync_runs_exporter ON sync_runs (client_id, kind, outcome, finished_at)
  ALGORITHM=INPLACE LOCK=NONE;

-- open_tickets.
CREATE INDEX /*M! IF NOT EXISTS */ support_tickets_exporter ON support_tickets (status, client_id, priority, opened_at)
  ALGORITHM=INPLACE LOCK=NONE;

-- solved_tickets: the last days of what is solved.
CREATE INDEX /*M! IF NOT EXISTS */ support_tickets_exporter_solved ON support_tickets (status, solved_at, client_id, priority)
  ALGORITHM=INPLACE LOCK=NONE;

-- first_responses: the last days of what was answered.
CREATE INDEX /*M! IF NOT EXISTS */ support_tickets_exporter_response ON support_tickets (first_response_at, client_id, priority, opened_at)
  ALGORITHM=INPLACE LOCK=NONE;
