-- Observations of a deployment: the rules, whose hash the database checks itself, and what happened to each. Rows never change.

CREATE TABLE observations (
    observation text PRIMARY KEY,
    rules_sha256 text NOT NULL,
    rules text NOT NULL CHECK (length(rules) <= 16384),
    deployment text NOT NULL REFERENCES deployments,
    bundle_sha256 text NOT NULL CHECK (bundle_sha256 ~ '^[0-9a-f]{64}$'),
    starts_at timestamptz NOT NULL,
    CONSTRAINT observations_hash CHECK (rules_sha256 = encode(sha256(convert_to(rules, 'UTF8')), 'hex')),
    CONSTRAINT observations_id CHECK (observation = left(rules_sha256, 16))
);
CREATE INDEX observations_bundle ON observations (bundle_sha256, starts_at);
CREATE INDEX observations_deployment ON observations (deployment);

CREATE TABLE observation_events (
    observation text NOT NULL REFERENCES observations,
    step integer NOT NULL CHECK (step > 0),
    state text NOT NULL CHECK (state IN ('running', 'ended')),
    at timestamptz NOT NULL,
    who text NOT NULL CHECK (who <> ''),
    why text NOT NULL CHECK (why <> ''),
    request_id text NOT NULL CHECK (request_id <> ''),
    verdict text CHECK (verdict IN ('GO', 'NO-GO', 'EXTEND')),
    reasons text[] NOT NULL,
    PRIMARY KEY (observation, step),
    CONSTRAINT observation_events_begin CHECK ((step = 1) = (state = 'running')),
    CONSTRAINT observation_events_verdict CHECK ((verdict IS NULL) = (state = 'running'))
);
CREATE UNIQUE INDEX observation_events_end ON observation_events (observation) WHERE state = 'ended';
CREATE TRIGGER observations_never_change BEFORE UPDATE OR DELETE ON observations FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER observation_events_never_change BEFORE UPDATE OR DELETE ON observation_events
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT (observation, rules_sha256, rules, deployment, bundle_sha256, starts_at) ON observations TO
    signalbox_library_api;
GRANT SELECT, INSERT (observation, step, state, at, who, why, request_id, verdict, reasons) ON observation_events TO
    signalbox_library_api;
GRANT SELECT ON observation_events TO signalbox_dump_database;
GRANT SELECT ON observations TO signalbox_dump_database;
GRANT SELECT ON observation_events TO signalbox_reader;
GRANT SELECT ON observations TO signalbox_reader;
GRANT SELECT ON refusals TO signalbox_reader;
