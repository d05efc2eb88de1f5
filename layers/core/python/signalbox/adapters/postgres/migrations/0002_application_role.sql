-- The functions' role: it reads and appends, changes the three facts that change, and deletes, creates or alters nothing.

DO $$
BEGIN
    CREATE ROLE signalbox_app LOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- roles belong to the server, not to the database: another database, or a concurrent caller, made it
END
$$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
        GRANT rds_iam TO signalbox_app;  -- on RDS it logs in with an IAM token; it never has a password
    END IF;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO signalbox_app', current_database());
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO signalbox_app;

REVOKE ALL ON FUNCTION ensure_candle_partitions(date[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_candle_partitions(date[]) TO signalbox_app;

GRANT SELECT ON schema_migrations TO signalbox_app;
GRANT SELECT, INSERT ON candles, cycles, cycle_parts, signals, refusals, symbol_status, outbox TO signalbox_app;
GRANT UPDATE (decided) ON cycles TO signalbox_app;
GRANT UPDATE (stale_since, reason) ON symbol_status TO signalbox_app;
GRANT UPDATE (published_at) ON outbox TO signalbox_app;
