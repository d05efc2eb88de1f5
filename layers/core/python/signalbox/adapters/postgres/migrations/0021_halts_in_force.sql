-- A halt gives way to a milder one when it is over. That is judged by the new halt's start, which the role that writes it chooses: a
-- start in the future, or at 'infinity', ended a halt that is in force. So it must have begun by the server's clock, too.
CREATE OR REPLACE FUNCTION refuse_milder_halts() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    severity text[] := ARRAY['NONE', 'HALT', 'REDUCE_ONLY', 'FLATTEN'];
    kept json := OLD.halt::json;
    offered json := NEW.halt::json;
    kept_until timestamptz := coalesce((kept ->> 'until')::timestamptz, 'infinity');
    offered_until timestamptz := coalesce((offered ->> 'until')::timestamptz, 'infinity');
    began timestamptz := (offered ->> 'since')::timestamptz;
    is_over boolean := kept_until <= began AND began <= clock_timestamp() + interval '1 minute';  -- clocks may differ
    is_milder boolean := array_position(severity, offered ->> 'level') < array_position(severity, kept ->> 'level');
BEGIN
    IF pg_has_role(current_user, 'signalbox_manage_orders', 'USAGE')
        OR pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RETURN NEW;
    END IF;
    IF NEW.halt IS NULL OR offered_until < kept_until OR (is_milder AND is_over IS NOT TRUE) IS NOT FALSE THEN
        RAISE EXCEPTION '%: expected a halt as strict and as long as the one in force, was %', OLD.account,
            coalesce(NEW.halt, 'none') USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
