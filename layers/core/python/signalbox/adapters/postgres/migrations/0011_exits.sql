-- Leaving a position is a goal that is pursued until it is reached: how far that has come is kept with the trade, and with the
-- account for positions that belong to no open trade.

ALTER TABLE trades ADD COLUMN progress text NOT NULL DEFAULT '{}' CHECK (progress IS JSON OBJECT);
ALTER TABLE accounts ADD COLUMN closings text NOT NULL DEFAULT '[]' CHECK (closings IS JSON ARRAY);
ALTER TABLE accounts ADD COLUMN review_at timestamptz;  -- when it is looked at again because something is due
ALTER TABLE orders ADD COLUMN attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0);
ALTER TABLE orders ADD COLUMN detail text NOT NULL DEFAULT '';  -- why it ended, in the venue's own words

GRANT UPDATE (progress) ON trades TO signalbox_app;
GRANT UPDATE (closings, review_at) ON accounts TO signalbox_app;
GRANT UPDATE (detail) ON orders TO signalbox_app;
