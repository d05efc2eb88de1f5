-- What happened to one order and was saved together is one row of order_events: decision 0088. Rows of one event stay as they are,
-- and the release before goes on to write them; what it reads, it puts between the brackets of a JSON array, so it reads both.

-- The type is changed before it has a constraint, and the constraint asks what is written from now on: no row is read or written anew.
-- Every JSON object is what it asks for, so the rows that are there keep it too.
CREATE DOMAIN json_object_texts AS text;
ALTER TABLE order_events ALTER COLUMN payload TYPE json_object_texts;
ALTER DOMAIN json_object_texts ADD CONSTRAINT json_object_texts_check CHECK (
    left(VALUE, 1) = '{' AND right(VALUE, 1) = '}' AND '[' || VALUE || ']' IS JSON ARRAY
) NOT VALID;

-- `event_id` names the first event of a row and `kind` the last; it covers the instants `first_at` to `at`. NULL: there is one.
ALTER TABLE order_events ADD COLUMN first_at timestamptz;
GRANT INSERT (first_at) ON order_events TO signalbox_manage_orders, signalbox_monitor_risk;

-- Only reports and the reading of a period ask when an order or a lot was closed: ranges of pages are enough for them, and cost an
-- order two entries of indexes less. Rows are closed nearly in the order in which they came.
DROP INDEX orders_closed;
CREATE INDEX orders_closed ON orders USING brin (closed_at);
DROP INDEX disposals_closed;
CREATE INDEX disposals_closed ON disposals USING brin (closed_at);
