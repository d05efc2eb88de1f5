-- Scores over HTTP: a role that reads what serves, and candles. It is made as in 0016.
DO $$
DECLARE
    maker text := format('signalbox_maker_%s', pg_backend_pid());
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'signalbox_score_signals') THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN CREATEROLE', maker);
        EXECUTE format('GRANT %I TO CURRENT_USER WITH SET TRUE, INHERIT FALSE', maker);
        EXECUTE format('SET LOCAL ROLE %I', maker);
        BEGIN
            CREATE ROLE signalbox_score_signals LOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- roles belong to the server: another database, or a concurrent caller, made it
        END;
        RESET ROLE;
        EXECUTE format('DROP ROLE %I', maker);
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
        GRANT rds_iam TO signalbox_score_signals;  -- on RDS it logs in with an IAM token and never has a password
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO signalbox_score_signals', current_database());
END
$$;
GRANT USAGE ON SCHEMA public TO signalbox_score_signals;

GRANT SELECT ON candles TO signalbox_score_signals;
GRANT SELECT ON deployments TO signalbox_score_signals;
GRANT SELECT ON versions TO signalbox_score_signals;
