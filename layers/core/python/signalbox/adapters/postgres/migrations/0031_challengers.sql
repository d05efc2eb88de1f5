-- Several models decide a cycle: one serves, and challengers decide beside it as shadows. What was deployed before serves or served.
ALTER TABLE deployments
    ADD COLUMN challenger boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT deployments_challenger CHECK (NOT challenger OR stage = 'shadow');
DROP INDEX deployments_one_incoming;
CREATE UNIQUE INDEX deployments_one_incoming ON deployments (symbol_group)
    WHERE state IN ('pending', 'validating', 'warming') AND NOT challenger;
DROP INDEX deployments_healthy;
CREATE INDEX deployments_healthy ON deployments (symbol_group, ordinal) WHERE state = 'healthy' AND NOT challenger;
DROP INDEX deployments_superseded;
CREATE INDEX deployments_superseded ON deployments (symbol_group, ordinal) WHERE state = 'superseded' AND NOT challenger;
CREATE INDEX deployments_restores ON deployments (restores) WHERE restores IS NOT NULL;
CREATE INDEX deployments_challengers ON deployments (symbol_group, ordinal)
    WHERE challenger AND state IN ('pending', 'validating', 'warming', 'healthy');
-- a version decides beside what serves once
CREATE UNIQUE INDEX deployments_one_challenger ON deployments (symbol_group, kind, name, number)
    WHERE challenger AND state IN ('pending', 'validating', 'warming', 'healthy');
GRANT INSERT (challenger) ON deployments TO signalbox_generate_signals, signalbox_library_api;

-- nobody follows a challenger's signal who does not name it
ALTER TABLE signals ADD COLUMN challenger boolean NOT NULL DEFAULT false;
ALTER TABLE signals ADD CONSTRAINT signals_challenger CHECK (NOT challenger OR stage = 'shadow');
GRANT INSERT (challenger) ON signals TO signalbox_generate_signals;

-- the live record of a deployment: its signals and the bars that end their horizons
GRANT SELECT ON signals, candles TO signalbox_library_api;
