-- What a venue has of an account may be larger than one event of the bus. It comes in parts, in any order; they wait here until
-- the last one is there, and go when it, or a newer whole view, was compared. `view` is the digest of the whole.
CREATE TABLE venue_view_parts (
    account text NOT NULL REFERENCES accounts,
    view text NOT NULL CHECK (view ~ '^[0-9a-f]{32}$'),
    asked_at timestamptz NOT NULL,
    part integer NOT NULL,
    parts integer NOT NULL,
    payload text NOT NULL CHECK (payload IS JSON OBJECT),
    PRIMARY KEY (account, asked_at, view, part),
    CONSTRAINT venue_view_parts_range CHECK (part BETWEEN 1 AND parts AND parts > 1)
);

GRANT SELECT, INSERT, DELETE ON venue_view_parts TO signalbox_app;
