-- When the ledger learnt of a fact, beside when it happened: a fact booked late belongs to a period whose reports are written.
-- One sequence counts the rows of every table that reports are made from. Whoever writes facts of an account holds its row
-- locked, so the numbers of one account grow in the order of its commits.

CREATE SEQUENCE bookings;
GRANT USAGE, SELECT ON SEQUENCE bookings TO signalbox_app;

ALTER TABLE fills ADD COLUMN booked bigint NOT NULL DEFAULT nextval('bookings');
ALTER TABLE account_entries ADD COLUMN booked bigint NOT NULL DEFAULT nextval('bookings');
ALTER TABLE order_events ADD COLUMN booked bigint NOT NULL DEFAULT nextval('bookings');
ALTER TABLE equity_snapshots ADD COLUMN booked bigint NOT NULL DEFAULT nextval('bookings');
ALTER TABLE day_baselines ADD COLUMN booked bigint NOT NULL DEFAULT nextval('bookings');
ALTER TABLE risk_events ADD COLUMN booked bigint NOT NULL DEFAULT nextval('bookings');
ALTER TABLE halts ADD COLUMN booked bigint NOT NULL DEFAULT nextval('bookings');
ALTER TABLE execution_quality ADD COLUMN booked bigint NOT NULL DEFAULT nextval('bookings');  -- of the newest measurement

-- Rows arrive nearly in the order of their numbers.
CREATE INDEX fills_booked ON fills USING brin (booked);
CREATE INDEX account_entries_booked ON account_entries USING brin (booked);
CREATE INDEX order_events_booked ON order_events USING brin (booked);
CREATE INDEX equity_snapshots_booked ON equity_snapshots USING brin (booked);
CREATE INDEX risk_events_booked ON risk_events USING brin (booked);

-- What a file was made from: every fact booked up to a number was in it; and the scheduled instant it was last made at.
ALTER TABLE published_reports ADD COLUMN made_from bigint NOT NULL DEFAULT 0 CHECK (made_from >= 0);
ALTER TABLE published_reports ADD COLUMN made_at timestamptz;
UPDATE published_reports SET made_at = published_at;
ALTER TABLE published_reports ALTER COLUMN made_at SET NOT NULL;
ALTER TABLE published_reports ALTER COLUMN made_from DROP DEFAULT;

-- How far an account's bookings were looked through with nothing left to write, and at which scheduled instant.
CREATE TABLE report_marks (
    account text PRIMARY KEY REFERENCES accounts,
    booked bigint NOT NULL CHECK (booked >= 0),
    at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON report_marks TO signalbox_app;
