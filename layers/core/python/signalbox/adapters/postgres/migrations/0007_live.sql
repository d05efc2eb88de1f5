-- What a live account is judged by before it takes new risk (trading/readiness.py). Both tables are facts: added, never changed.

-- What people said of an account, by name: that it may trade ("live"), that they read the firm's rules ("ftmo-2step 2026-11.1"),
-- or that they take it back ("paper", "withdrawn"). The newest `at` counts, not the newest arrival.
CREATE TABLE confirmations (
    account text NOT NULL REFERENCES accounts,
    request_id text NOT NULL CHECK (request_id <> ''),
    what text NOT NULL CHECK (what <> ''),
    who text NOT NULL CHECK (who <> ''),
    at timestamptz NOT NULL,
    PRIMARY KEY (account, request_id)
);

-- Which models decided cycles, and what the gates said of their bundles ("pass", "fail", "not evaluated"). A deployment that was
-- given another bundle, stage or verdict has another row.
CREATE TABLE deployed_models (
    deployment text NOT NULL CHECK (deployment <> ''),
    stage text NOT NULL CHECK (stage IN ('shadow', 'active')),
    bundle text NOT NULL CHECK (bundle <> ''),
    gates text NOT NULL CHECK (gates IS JSON OBJECT),
    first_decided_at timestamptz NOT NULL,
    PRIMARY KEY (deployment, stage, bundle, gates)
);

GRANT SELECT, INSERT ON confirmations, deployed_models TO signalbox_app;
