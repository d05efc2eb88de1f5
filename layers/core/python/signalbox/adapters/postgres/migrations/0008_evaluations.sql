-- A model that verified and was not accepted is known by its content, so that what judges it later can be tied to it; it still has
-- no bundle, and what has none cannot be deployed. An evaluation tells of which period it is.

ALTER TABLE versions DROP CONSTRAINT versions_bundle;
ALTER TABLE versions ADD CONSTRAINT versions_bundle CHECK (
    (state = 'candidate' AND num_nulls(bundle_key, sha256, manifest) = 0)
    OR (state = 'refused' AND bundle_key IS NULL AND num_nulls(sha256, manifest) IN (0, 2))
    OR (state IN ('failed', 'recorded') AND num_nonnulls(bundle_key, sha256, manifest) = 0)
);

ALTER TABLE evaluations
    ADD COLUMN period_start timestamptz,
    ADD COLUMN period_end timestamptz,
    ADD CONSTRAINT evaluations_period CHECK (num_nulls(period_start, period_end) <> 1 AND period_start < period_end);
-- a job judges once: by its name a redelivered event is known without opening what the job left
CREATE INDEX evaluations_source ON evaluations (source);
