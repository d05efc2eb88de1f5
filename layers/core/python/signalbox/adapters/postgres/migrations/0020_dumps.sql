-- Who dumps the ledger reads all of it, and writes nothing. The role is made as in 0016: the schema's owner is no member of it.
DO $$
DECLARE
    maker text := format('signalbox_maker_%s', pg_backend_pid());
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'signalbox_dump_database') THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN CREATEROLE', maker);
        EXECUTE format('GRANT %I TO CURRENT_USER WITH SET TRUE, INHERIT FALSE', maker);
        EXECUTE format('SET LOCAL ROLE %I', maker);
        BEGIN
            CREATE ROLE signalbox_dump_database LOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- roles belong to the server: another database, or a concurrent caller, made it
        END;
        RESET ROLE;
        EXECUTE format('DROP ROLE %I', maker);
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
        GRANT rds_iam TO signalbox_dump_database;  -- on RDS it logs in with an IAM token and never has a password
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO signalbox_dump_database', current_database());
END
$$;
GRANT USAGE ON SCHEMA public TO signalbox_dump_database;

-- Row-level security would leave events out of a dump without a word.
CREATE POLICY signalbox_dump_database_sees ON outbox FOR SELECT TO signalbox_dump_database USING (true);

GRANT SELECT ON access_refusals TO signalbox_dump_database;
GRANT SELECT ON account_access TO signalbox_dump_database;
GRANT SELECT ON account_entries TO signalbox_dump_database;
GRANT SELECT ON accounts TO signalbox_dump_database;
GRANT SELECT ON candle_revisions TO signalbox_dump_database;
GRANT SELECT ON candles TO signalbox_dump_database;
GRANT SELECT ON confirmations TO signalbox_dump_database;
GRANT SELECT ON cycle_parts TO signalbox_dump_database;
GRANT SELECT ON cycles TO signalbox_dump_database;
GRANT SELECT ON day_baselines TO signalbox_dump_database;
GRANT SELECT ON dependencies TO signalbox_dump_database;
GRANT SELECT ON deployed_models TO signalbox_dump_database;
GRANT SELECT ON disposals TO signalbox_dump_database;
GRANT SELECT ON entities TO signalbox_dump_database;
GRANT SELECT ON equity_snapshots TO signalbox_dump_database;
GRANT SELECT ON evaluations TO signalbox_dump_database;
GRANT SELECT ON execution_quality TO signalbox_dump_database;
GRANT SELECT ON fills TO signalbox_dump_database;
GRANT SELECT ON halts TO signalbox_dump_database;
GRANT SELECT ON locks TO signalbox_dump_database;
GRANT SELECT ON lots TO signalbox_dump_database;
GRANT SELECT ON order_events TO signalbox_dump_database;
GRANT SELECT ON orders TO signalbox_dump_database;
GRANT SELECT ON outbox TO signalbox_dump_database;
GRANT SELECT ON positions TO signalbox_dump_database;
GRANT SELECT ON published_reports TO signalbox_dump_database;
GRANT SELECT ON refusals TO signalbox_dump_database;
GRANT SELECT ON report_marks TO signalbox_dump_database;
GRANT SELECT ON risk_events TO signalbox_dump_database;
GRANT SELECT ON schema_migrations TO signalbox_dump_database;
GRANT SELECT ON signals TO signalbox_dump_database;
GRANT SELECT ON standing_orders TO signalbox_dump_database;
GRANT SELECT ON symbol_status TO signalbox_dump_database;
GRANT SELECT ON trades TO signalbox_dump_database;
GRANT SELECT ON venue_view_parts TO signalbox_dump_database;
GRANT SELECT ON versions TO signalbox_dump_database;
GRANT SELECT ON SEQUENCE account_access_sequence_seq TO signalbox_dump_database;
GRANT SELECT ON SEQUENCE bookings TO signalbox_dump_database;
GRANT SELECT ON SEQUENCE halts_sequence_seq TO signalbox_dump_database;
GRANT SELECT ON SEQUENCE order_events_sequence_seq TO signalbox_dump_database;
GRANT SELECT ON SEQUENCE outbox_sequence_seq TO signalbox_dump_database;
GRANT SELECT ON SEQUENCE risk_events_sequence_seq TO signalbox_dump_database;
