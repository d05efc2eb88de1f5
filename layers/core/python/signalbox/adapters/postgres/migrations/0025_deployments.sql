-- Which version is deployed, when and by whom; the life of a version; and what versions lacked: semantic numbers, texts, tags.
-- Facts are added and never changed. Of a deployment only the state changes, and every change is an event beside it.

ALTER TABLE versions
    ADD COLUMN semantic text CHECK (semantic ~ '^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})$'),
    ADD COLUMN description text CHECK (description <> '' AND length(description) <= 2000);
-- before semantic numbers existed: 0.NUMBER.0
UPDATE versions SET semantic = '0.' || number || '.0' WHERE sha256 IS NOT NULL;
ALTER TABLE versions
    ADD CONSTRAINT versions_semantic CHECK (semantic IS NULL OR sha256 IS NOT NULL),
    ADD CONSTRAINT versions_one_semantic UNIQUE (kind, name, semantic);
CREATE INDEX versions_created ON versions (kind, created_at);
CREATE INDEX versions_sha256 ON versions (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX versions_text ON versions USING gin (to_tsvector('simple',
    name || ' ' || replace(name, '-', ' ') || ' ' || coalesce(description, '') || ' ' || coalesce(reason, '')));
CREATE INDEX evaluations_at ON evaluations (evaluated_at);

CREATE TABLE version_tags (
    kind text NOT NULL,
    name text NOT NULL,
    number integer NOT NULL,
    tag text NOT NULL CHECK (tag ~ '^[a-z0-9][a-z0-9.-]{0,39}$'),
    PRIMARY KEY (kind, name, number, tag),
    FOREIGN KEY (kind, name, number) REFERENCES versions
);
CREATE INDEX version_tags_tag ON version_tags (tag, kind, name, number);

CREATE TABLE version_decisions (
    kind text NOT NULL,
    name text NOT NULL,
    number integer NOT NULL,
    step integer NOT NULL CHECK (step > 0),
    state text NOT NULL CHECK (state IN ('draft', 'candidate', 'approved', 'rejected', 'retired')),
    who text NOT NULL CHECK (who <> ''),
    at timestamptz NOT NULL,
    why text NOT NULL CHECK (why <> ''),
    overridden boolean NOT NULL DEFAULT false,
    request_id text NOT NULL CHECK (request_id <> ''),
    PRIMARY KEY (kind, name, number, step),
    FOREIGN KEY (kind, name, number) REFERENCES versions,
    CONSTRAINT version_decisions_override CHECK (NOT overridden OR state = 'approved')
);
CREATE UNIQUE INDEX version_decisions_request ON version_decisions (request_id, kind, name, number);
CREATE INDEX version_decisions_at ON version_decisions (at);
CREATE INDEX version_decisions_final ON version_decisions (kind, name, number) WHERE state IN ('rejected', 'retired');
-- what could be deployed before was a candidate, as far as G0 says
INSERT INTO version_decisions (kind, name, number, step, state, who, at, why, request_id)
SELECT v.kind, v.name, v.number, 1, CASE WHEN e.gates ->> 'G0' = 'pass' THEN 'candidate' ELSE 'draft' END, 'migration',
    v.created_at, 'recorded before versions had a lifecycle', 'migration-0025'
FROM versions AS v LEFT JOIN evaluations AS e ON (e.kind, e.name, e.number, e.source) = (v.kind, v.name, v.number, 'training')
WHERE v.state = 'candidate';

CREATE TABLE deployments (
    deployment text PRIMARY KEY CHECK (deployment ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'),
    kind text NOT NULL CHECK (kind = 'model'),
    name text NOT NULL,
    number integer NOT NULL,
    symbol_group text NOT NULL CHECK (symbol_group ~ '^[a-z0-9][a-z0-9-]{0,31}$'),
    ordinal integer NOT NULL CHECK (ordinal > 0),
    stage text NOT NULL CHECK (stage IN ('shadow', 'active')),
    state text NOT NULL
        CHECK (state IN ('pending', 'validating', 'warming', 'healthy', 'failed', 'superseded', 'rolled_back')),
    requested_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    who text NOT NULL CHECK (who <> ''),
    why text NOT NULL CHECK (why <> ''),
    overridden boolean NOT NULL,
    evaluated_rate double precision CHECK (evaluated_rate > 0 AND evaluated_rate <= 1),
    replaces text REFERENCES deployments,
    restores text REFERENCES deployments,
    missed integer NOT NULL DEFAULT 0 CHECK (missed BETWEEN 0 AND 2),
    reason text CHECK (reason <> ''),
    request_id text NOT NULL CHECK (request_id <> ''),
    FOREIGN KEY (kind, name, number) REFERENCES versions,
    CONSTRAINT deployments_ordinal UNIQUE (symbol_group, ordinal),
    CONSTRAINT deployments_request UNIQUE (request_id),
    CONSTRAINT deployments_reason CHECK (state <> 'failed' OR reason IS NOT NULL),
    CONSTRAINT deployments_override CHECK (NOT overridden OR stage = 'active')
);
-- one active deployment serves a slot, and one deployment is on its way to it; of shadows there may be any number
CREATE UNIQUE INDEX deployments_one_active ON deployments (symbol_group) WHERE stage = 'active' AND state = 'healthy';
CREATE UNIQUE INDEX deployments_one_incoming ON deployments (symbol_group)
    WHERE state IN ('pending', 'validating', 'warming');
CREATE INDEX deployments_healthy ON deployments (symbol_group, ordinal) WHERE state = 'healthy';
CREATE INDEX deployments_superseded ON deployments (symbol_group, ordinal) WHERE state = 'superseded';
CREATE INDEX deployments_version ON deployments (kind, name, number);

CREATE TABLE deployment_events (
    deployment text NOT NULL REFERENCES deployments,
    step integer NOT NULL CHECK (step > 0),
    state text NOT NULL
        CHECK (state IN ('pending', 'validating', 'warming', 'healthy', 'failed', 'superseded', 'rolled_back')),
    at timestamptz NOT NULL,
    who text NOT NULL CHECK (who <> ''),
    why text NOT NULL CHECK (why <> ''),
    missed_cycle timestamptz,  -- a cycle that was decided without it, while it was on its way
    PRIMARY KEY (deployment, step)
);
CREATE UNIQUE INDEX deployment_events_missed ON deployment_events (deployment, missed_cycle) WHERE missed_cycle IS NOT NULL;
CREATE INDEX deployment_events_at ON deployment_events (at);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % never change: add another one', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
REVOKE ALL ON FUNCTION refuse_change() FROM PUBLIC;
CREATE TRIGGER versions_never_change BEFORE UPDATE OR DELETE ON versions FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER evaluations_never_change BEFORE UPDATE OR DELETE ON evaluations FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER version_decisions_never_change BEFORE UPDATE OR DELETE ON version_decisions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER deployment_events_never_change BEFORE UPDATE OR DELETE ON deployment_events
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- an override stays visible on every signal that it makes
ALTER TABLE signals ADD COLUMN overridden boolean NOT NULL DEFAULT false;

-- The operator's door to the library. The role is made as in 0016.
DO $$
DECLARE
    maker text := format('signalbox_maker_%s', pg_backend_pid());
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'signalbox_library_api') THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN CREATEROLE', maker);
        EXECUTE format('GRANT %I TO CURRENT_USER WITH SET TRUE, INHERIT FALSE', maker);
        EXECUTE format('SET LOCAL ROLE %I', maker);
        BEGIN
            CREATE ROLE signalbox_library_api LOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- roles belong to the server: another database, or a concurrent caller, made it
        END;
        RESET ROLE;
        EXECUTE format('DROP ROLE %I', maker);
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
        GRANT rds_iam TO signalbox_library_api;  -- on RDS it logs in with an IAM token and never has a password
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO signalbox_library_api', current_database());
END
$$;
GRANT USAGE ON SCHEMA public TO signalbox_library_api;
CREATE POLICY signalbox_library_api_sees ON outbox FOR SELECT TO signalbox_library_api USING (event_type IN ('ModelRegistered'));
CREATE POLICY signalbox_library_api_puts ON outbox FOR INSERT TO signalbox_library_api
    WITH CHECK (event_type IN ('ModelRegistered'));
CREATE POLICY signalbox_library_api_publishes ON outbox FOR UPDATE TO signalbox_library_api
    USING (published_at IS NULL AND event_type IN ('ModelRegistered')) WITH CHECK (published_at IS NOT NULL);

GRANT SELECT, INSERT (deployment, step, state, at, who, why, missed_cycle) ON deployment_events TO
    signalbox_generate_signals;
GRANT SELECT, INSERT (deployment, kind, name, number, symbol_group, ordinal, stage, state, requested_at, changed_at, who,
    why, overridden, evaluated_rate, replaces, restores, request_id), UPDATE (state, changed_at, missed, reason) ON
    deployments TO signalbox_generate_signals;
GRANT SELECT ON version_decisions TO signalbox_generate_signals;
GRANT SELECT ON versions TO signalbox_generate_signals;
GRANT SELECT, INSERT (kind, name, number, step, state, who, at, why, request_id, overridden) ON version_decisions TO
    signalbox_register_model;
GRANT INSERT (account, principal, action, minute, needed, held) ON access_refusals TO signalbox_library_api;
GRANT SELECT ON account_access TO signalbox_library_api;
GRANT SELECT ON accounts TO signalbox_library_api;
GRANT SELECT, INSERT (kind, name, number, needs_kind, needs_name, needs_number) ON dependencies TO signalbox_library_api;
GRANT SELECT, INSERT (deployment, step, state, at, who, why, missed_cycle) ON deployment_events TO signalbox_library_api;
GRANT SELECT, INSERT (deployment, kind, name, number, symbol_group, ordinal, stage, state, requested_at, changed_at, who,
    why, overridden, evaluated_rate, replaces, restores, request_id), UPDATE (state, changed_at, missed, reason) ON
    deployments TO signalbox_library_api;
GRANT INSERT (kind, name, created_at) ON entities TO signalbox_library_api;
GRANT SELECT, INSERT (kind, name, number, source, evaluated_at, qualifies, headline, gates, report, period_start, period_end)
    ON evaluations TO signalbox_library_api;
GRANT SELECT, INSERT (event_id, event_type, detail, created_at), UPDATE (published_at) ON outbox TO signalbox_library_api;
GRANT SELECT, INSERT (kind, name, number, step, state, who, at, why, request_id, overridden) ON version_decisions TO
    signalbox_library_api;
GRANT SELECT, INSERT (kind, name, number, tag) ON version_tags TO signalbox_library_api;
GRANT SELECT, INSERT (kind, name, number, origin, state, created_at, reason, bundle_key, sha256, manifest, semantic,
    description) ON versions TO signalbox_library_api;
GRANT SELECT ON deployment_events TO signalbox_dump_database;
GRANT SELECT ON deployments TO signalbox_dump_database;
GRANT SELECT ON version_decisions TO signalbox_dump_database;
GRANT SELECT ON version_tags TO signalbox_dump_database;
GRANT INSERT (semantic, description) ON versions TO signalbox_register_model;
GRANT INSERT (overridden) ON signals TO signalbox_generate_signals;
