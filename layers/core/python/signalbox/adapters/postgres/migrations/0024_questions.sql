-- Who answers questions reads what accounts and signals are made of, and writes nothing. The role is made as in 0016.
DO $$
DECLARE
    maker text := format('signalbox_maker_%s', pg_backend_pid());
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'signalbox_query_ledger') THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN CREATEROLE', maker);
        EXECUTE format('GRANT %I TO CURRENT_USER WITH SET TRUE, INHERIT FALSE', maker);
        EXECUTE format('SET LOCAL ROLE %I', maker);
        BEGIN
            CREATE ROLE signalbox_query_ledger LOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- roles belong to the server: another database, or a concurrent caller, made it
        END;
        RESET ROLE;
        EXECUTE format('DROP ROLE %I', maker);
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
        GRANT rds_iam TO signalbox_query_ledger;  -- on RDS it logs in with an IAM token and never has a password
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO signalbox_query_ledger', current_database());
END
$$;
GRANT USAGE ON SCHEMA public TO signalbox_query_ledger;

GRANT SELECT ON account_access TO signalbox_query_ledger;
GRANT SELECT ON accounts TO signalbox_query_ledger;
GRANT SELECT ON candles TO signalbox_query_ledger;
GRANT SELECT ON confirmations TO signalbox_query_ledger;
GRANT SELECT ON deployed_models TO signalbox_query_ledger;
GRANT SELECT ON equity_snapshots TO signalbox_query_ledger;
GRANT SELECT ON fills TO signalbox_query_ledger;
GRANT SELECT ON locks TO signalbox_query_ledger;
GRANT SELECT ON lots TO signalbox_query_ledger;
GRANT SELECT ON order_events TO signalbox_query_ledger;
GRANT SELECT ON orders TO signalbox_query_ledger;
GRANT SELECT ON positions TO signalbox_query_ledger;
GRANT SELECT ON risk_events TO signalbox_query_ledger;
GRANT SELECT ON signals TO signalbox_query_ledger;
GRANT SELECT ON standing_orders TO signalbox_query_ledger;
GRANT SELECT ON trades TO signalbox_query_ledger;
