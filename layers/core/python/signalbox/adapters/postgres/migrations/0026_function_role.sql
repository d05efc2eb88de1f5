-- Makes the role of a function, for the migrations after this one: `SELECT make_function_role('signalbox_NAME');`. Three before it
-- repeat the block that is here, and stay as they were applied. What the role may do is granted by its migration.

-- On RDS nobody who is a member of rds_iam, however indirectly, logs in with a password; and since PostgreSQL 16 whoever creates
-- a role is a member of it. So a maker creates it and is dropped again: the schema's owner is no member. The function is no
-- SECURITY DEFINER, which could not change its role.
CREATE FUNCTION make_function_role(wanted text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    maker text := format('signalbox_maker_%s', pg_backend_pid());
BEGIN
    IF wanted !~ '^signalbox_[a-z_]+$' THEN
        RAISE EXCEPTION 'expected the name of a function''s role (signalbox_ and lower-case letters), got %', wanted
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN CREATEROLE', maker);
        EXECUTE format('GRANT %I TO CURRENT_USER WITH SET TRUE, INHERIT FALSE', maker);
        EXECUTE format('SET LOCAL ROLE %I', maker);
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN', wanted);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- roles belong to the server: another database, or a concurrent caller, made it
        END;
        RESET ROLE;
        EXECUTE format('DROP ROLE %I', maker);
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
        EXECUTE format('GRANT rds_iam TO %I', wanted);  -- on RDS it logs in with an IAM token and never has a password
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), wanted);
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', wanted);
END
$$;
REVOKE ALL ON FUNCTION make_function_role(text) FROM PUBLIC;
