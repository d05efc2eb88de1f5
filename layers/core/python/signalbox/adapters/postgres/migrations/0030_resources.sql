-- What the library's API keeps beside versions: descriptions and the archive of entities, what was asked for, and by whom.

-- Revision 0 of an entity has no row: the state that it is in when something of it is registered.
CREATE TABLE entity_revisions (
    kind text NOT NULL,
    name text NOT NULL,
    revision integer NOT NULL CHECK (revision > 0),
    description text CHECK (description <> '' AND length(description) <= 2000),
    archived boolean NOT NULL,
    at timestamptz NOT NULL,
    who text NOT NULL CHECK (who <> ''),
    why text NOT NULL CHECK (why <> ''),
    request_id text NOT NULL CHECK (request_id <> ''),
    PRIMARY KEY (kind, name, revision),
    FOREIGN KEY (kind, name) REFERENCES entities,
    CONSTRAINT entity_revisions_request UNIQUE (request_id)
);

-- A request id belongs to one request: its caller and content. What came of it is in the rows that it made.
CREATE TABLE library_requests (
    request_id text PRIMARY KEY CHECK (request_id <> ''),
    digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
    verb text NOT NULL CHECK (verb <> ''),
    at timestamptz NOT NULL,
    who text NOT NULL CHECK (who <> ''),
    why text NOT NULL CHECK (why <> '')
);

-- The key that signs the cursors of pages. It protects no data: whoever has a cursor may ask for the page without one.
CREATE TABLE page_keys (
    number integer PRIMARY KEY CHECK (number > 0),
    secret bytea NOT NULL CHECK (octet_length(secret) = 32)
);

-- A rollback that only withdraws adds no deployment, so its request is found at the step that it made.
ALTER TABLE deployment_events ADD COLUMN request_id text CHECK (request_id <> '');
CREATE UNIQUE INDEX deployment_events_request ON deployment_events (request_id) WHERE request_id IS NOT NULL;

CREATE TRIGGER entity_revisions_never_change BEFORE UPDATE OR DELETE ON entity_revisions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER library_requests_never_change BEFORE UPDATE OR DELETE ON library_requests
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER dependencies_never_change BEFORE UPDATE OR DELETE ON dependencies
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- No version is made from itself, by way of however many others. One writer at a time: two that each add one half of a
-- cycle would not see each other. The lock is taken after those of entities, and nothing takes one of those after it.
CREATE FUNCTION refuse_dependency_cycle() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('signalbox dependencies', 0));
    IF EXISTS (
        WITH RECURSIVE needed AS (
            SELECT NEW.needs_kind AS kind, NEW.needs_name AS name, NEW.needs_number AS number
            UNION
            SELECT d.needs_kind, d.needs_name, d.needs_number FROM needed JOIN dependencies AS d USING (kind, name, number)
        )
        SELECT FROM needed WHERE (kind, name, number) = (NEW.kind, NEW.name, NEW.number)
    ) THEN
        RAISE EXCEPTION '% %@% would be made from itself', NEW.kind, NEW.name, NEW.number
            USING ERRCODE = 'check_violation', CONSTRAINT = 'dependencies_no_cycle';
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION refuse_dependency_cycle() FROM PUBLIC;
CREATE TRIGGER dependencies_no_cycle BEFORE INSERT ON dependencies FOR EACH ROW EXECUTE FUNCTION refuse_dependency_cycle();

GRANT INSERT (request_id) ON deployment_events TO signalbox_generate_signals;
GRANT INSERT (request_id) ON deployment_events TO signalbox_library_api;
GRANT SELECT ON entities TO signalbox_library_api;
GRANT SELECT, INSERT (kind, name, revision, description, archived, at, who, why, request_id) ON entity_revisions TO
    signalbox_library_api;
GRANT SELECT, INSERT (request_id, digest, verb, at, who, why) ON library_requests TO signalbox_library_api;
GRANT SELECT, INSERT (number, secret) ON page_keys TO signalbox_library_api;
GRANT SELECT ON entity_revisions TO signalbox_dump_database;
GRANT SELECT ON library_requests TO signalbox_dump_database;
GRANT SELECT ON page_keys TO signalbox_dump_database;
