-- The library: what was made, from what, and how it was judged. Rows are facts: they are added, never changed.

CREATE TABLE entities (
    kind text NOT NULL CHECK (kind IN ('model', 'strategy', 'feature_set', 'dataset')),
    name text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9.-]{0,63}$'),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (kind, name)
);

-- `origin` is what a version came from: a training job's name, the hash of a data set or of a feature schema. It has one version.
CREATE TABLE versions (
    kind text NOT NULL,
    name text NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    origin text NOT NULL CHECK (origin <> ''),
    state text NOT NULL CHECK (state IN ('candidate', 'refused', 'failed', 'recorded')),
    created_at timestamptz NOT NULL,
    reason text,
    bundle_key text,
    sha256 text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    manifest text CHECK (manifest IS JSON OBJECT),
    PRIMARY KEY (kind, name, number),
    FOREIGN KEY (kind, name) REFERENCES entities,
    UNIQUE (kind, name, origin),
    CONSTRAINT versions_reason CHECK ((reason IS NOT NULL AND reason <> '') = (state IN ('refused', 'failed'))),
    CONSTRAINT versions_recorded CHECK ((state = 'recorded') = (kind IN ('feature_set', 'dataset'))),
    -- what may be deployed is complete; what may not has nothing that could be deployed
    CONSTRAINT versions_bundle CHECK (
        (state = 'candidate' AND num_nulls(bundle_key, sha256, manifest) = 0)
        OR (state <> 'candidate' AND num_nonnulls(bundle_key, sha256, manifest) = 0)
    )
);

-- Judgements of a version: the one its training brought along, and any later one. `qualifies` repeats the promotion rule.
CREATE TABLE evaluations (
    kind text NOT NULL,
    name text NOT NULL,
    number integer NOT NULL,
    source text NOT NULL CHECK (source <> ''),
    evaluated_at timestamptz NOT NULL,
    qualifies boolean NOT NULL,
    headline text NOT NULL,
    gates jsonb NOT NULL CHECK (jsonb_typeof(gates) = 'object'),
    report text NOT NULL CHECK (report IS JSON OBJECT),
    PRIMARY KEY (kind, name, number, source),
    FOREIGN KEY (kind, name, number) REFERENCES versions,
    CONSTRAINT evaluations_qualify CHECK (
        NOT qualifies
        OR (gates ->> 'G0' = 'pass' AND gates ->> 'G1' = 'pass' AND gates ->> 'G2' = 'pass' AND gates ->> 'G3' = 'pass') IS TRUE
    )
);

-- Lineage: which version was made from which.
CREATE TABLE dependencies (
    kind text NOT NULL,
    name text NOT NULL,
    number integer NOT NULL,
    needs_kind text NOT NULL,
    needs_name text NOT NULL,
    needs_number integer NOT NULL,
    PRIMARY KEY (kind, name, number, needs_kind, needs_name, needs_number),
    FOREIGN KEY (kind, name, number) REFERENCES versions,
    FOREIGN KEY (needs_kind, needs_name, needs_number) REFERENCES versions,
    CONSTRAINT dependencies_of_another CHECK ((kind, name, number) <> (needs_kind, needs_name, needs_number))
);
CREATE INDEX dependencies_needs ON dependencies (needs_kind, needs_name, needs_number);

GRANT SELECT, INSERT ON entities, versions, evaluations, dependencies TO signalbox_app;
