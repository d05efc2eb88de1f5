-- A decision on the bars of a fallback venue is marked with it. NULL: the bars are of the stage's own venue.
ALTER TABLE signals ADD COLUMN market text CHECK (market ~ '^[a-z0-9]{1,40}$');
GRANT INSERT (market) ON signals TO signalbox_generate_signals;
