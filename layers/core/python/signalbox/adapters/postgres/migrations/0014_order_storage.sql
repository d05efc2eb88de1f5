-- What a row of an order costs to write, continued. The same rows are let in and kept out as before.

-- A constraint of a table is read from the catalogue and prepared again by every statement that writes the table, and is looked at
-- for every column, changed or not. A constraint of a domain is prepared once a session, and asked of what is written.
CREATE DOMAIN text_not_empty AS text CHECK (VALUE <> '');
CREATE DOMAIN json_object_text AS text CHECK (VALUE IS JSON OBJECT);
CREATE DOMAIN json_array_text AS text CHECK (VALUE IS JSON ARRAY);
CREATE DOMAIN count_from_zero AS integer CHECK (VALUE >= 0);
CREATE DOMAIN amount_not_zero AS numeric CHECK (VALUE <> 0 AND VALUE > '-Infinity' AND VALUE < 'Infinity');
CREATE DOMAIN account_name AS text CHECK (VALUE ~ '^[a-z0-9][a-z0-9-]{0,39}$');
CREATE DOMAIN account_mode AS text CHECK (VALUE IN ('dry_run', 'paper', 'live'));
CREATE DOMAIN lot_method AS text CHECK (VALUE IN ('FIFO', 'LIFO', 'HIFO'));
CREATE DOMAIN order_type AS text CHECK (VALUE IN ('MARKET', 'LIMIT', 'STOP'));
CREATE DOMAIN time_in_force AS text CHECK (VALUE IN ('GTC', 'IOC', 'FOK', 'GTD'));
CREATE DOMAIN order_state AS text CHECK (VALUE IN (
    'INITIALIZED', 'DENIED', 'RELEASED', 'SUBMITTED', 'ACCEPTED', 'REJECTED', 'PARTIALLY_FILLED', 'PENDING_UPDATE',
    'PENDING_CANCEL', 'FILLED', 'CANCELED', 'EXPIRED'
));
CREATE DOMAIN order_event_kind AS text CHECK (VALUE IN (
    'OrderInitialized', 'OrderDenied', 'OrderReleased', 'OrderSubmitted', 'OrderUnconfirmed', 'OrderLost', 'OrderAccepted',
    'OrderRejected', 'OrderFilled', 'OrderCancelRequested', 'OrderCancelRejected', 'OrderCanceled', 'OrderExpired',
    'OrderUpdateRequested', 'OrderUpdated', 'OrderUpdateRejected'
));

ALTER TABLE accounts
    DROP CONSTRAINT accounts_account_check,
    DROP CONSTRAINT accounts_mode_check,
    DROP CONSTRAINT accounts_configuration_check,
    DROP CONSTRAINT accounts_opened_by_check,
    DROP CONSTRAINT accounts_newest_entry_check,
    DROP CONSTRAINT accounts_loss_rules_check,
    DROP CONSTRAINT accounts_halt_check,
    DROP CONSTRAINT accounts_memory_check,
    DROP CONSTRAINT accounts_closings_check,
    DROP CONSTRAINT accounts_at_venue_check,
    ALTER COLUMN account TYPE account_name,
    ALTER COLUMN mode TYPE account_mode,
    ALTER COLUMN configuration TYPE json_object_text,
    ALTER COLUMN opened_by TYPE text_not_empty,
    ALTER COLUMN newest_entry TYPE json_object_text,
    ALTER COLUMN loss_rules TYPE json_object_text,
    ALTER COLUMN halt TYPE json_object_text,
    ALTER COLUMN memory TYPE json_object_text,
    ALTER COLUMN closings TYPE json_array_text,
    ALTER COLUMN at_venue TYPE json_object_text;
ALTER TABLE order_events
    DROP CONSTRAINT order_events_event_id_check,
    DROP CONSTRAINT order_events_kind_check,
    DROP CONSTRAINT order_events_payload_check,
    ALTER COLUMN event_id TYPE text_not_empty,
    ALTER COLUMN kind TYPE order_event_kind,
    ALTER COLUMN payload TYPE json_object_text;
ALTER TABLE orders
    DROP CONSTRAINT orders_strategy_check,
    DROP CONSTRAINT orders_type_check,
    DROP CONSTRAINT orders_time_in_force_check,
    DROP CONSTRAINT orders_state_check,
    DROP CONSTRAINT orders_pending_check,
    DROP CONSTRAINT orders_attempt_check,
    ALTER COLUMN strategy TYPE text_not_empty,
    ALTER COLUMN type TYPE order_type,
    ALTER COLUMN time_in_force TYPE time_in_force,
    ALTER COLUMN state TYPE order_state,
    ALTER COLUMN pending TYPE json_object_text,
    ALTER COLUMN attempt TYPE count_from_zero;
ALTER TABLE fills DROP CONSTRAINT fills_trade_id_check, ALTER COLUMN trade_id TYPE text_not_empty;
ALTER TABLE lots DROP CONSTRAINT lots_quantity_check, ALTER COLUMN quantity TYPE amount_not_zero;
ALTER TABLE disposals
    DROP CONSTRAINT disposals_place_check,
    DROP CONSTRAINT disposals_quantity_check,
    DROP CONSTRAINT disposals_method_check,
    ALTER COLUMN place TYPE count_from_zero,
    ALTER COLUMN quantity TYPE amount_not_zero,
    ALTER COLUMN method TYPE lot_method;
ALTER TABLE outbox
    DROP CONSTRAINT outbox_event_id_check,
    DROP CONSTRAINT outbox_event_type_check,
    DROP CONSTRAINT outbox_detail_check,
    ALTER COLUMN event_id TYPE text_not_empty,
    ALTER COLUMN event_type TYPE text_not_empty,
    ALTER COLUMN detail TYPE json_object_text;

-- The walk through the characters of a key compares each with up to sixteen; decoding looks each up once.
ALTER DOMAIN order_key DROP CONSTRAINT order_key_check;
ALTER DOMAIN order_key ADD CONSTRAINT order_key_check CHECK (octet_length(VALUE) = 32 AND encode(decode(VALUE, 'hex'), 'hex') = VALUE);
-- The symbols that are traded most are known to be well-formed.
ALTER DOMAIN market_symbol DROP CONSTRAINT market_symbol_check;
ALTER DOMAIN market_symbol ADD CONSTRAINT market_symbol_check CHECK (
    VALUE IN ('BTC-USD', 'ETH-USD', 'SOL-USD')
    OR (
        length(split_part(VALUE, '-', 1)) BETWEEN 2 AND 12
        AND length(split_part(VALUE, '-', 2)) BETWEEN 2 AND 12
        AND VALUE = split_part(VALUE, '-', 1) || '-' || split_part(VALUE, '-', 2)
        AND ltrim(VALUE, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-') = ''
    )
);

-- Whoever writes rows of an account has its row locked, and says so for the rest of the transaction: those rows need no look for the
-- account. A row of any other account is looked for, one by one. It was one look a statement, in all rows of the statement.
CREATE FUNCTION refuse_unknown_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.accounts WHERE accounts.account = NEW.account) THEN
        RAISE EXCEPTION '%: expected an account that exists, was %', TG_TABLE_NAME, NEW.account USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NEW;
END
$$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['order_events', 'orders', 'fills', 'lots', 'disposals'] LOOP
        EXECUTE format('DROP TRIGGER known_account ON %I', name);
        EXECUTE format(
            'CREATE TRIGGER known_account BEFORE INSERT ON %I FOR EACH ROW'
            ' WHEN (NEW.account IS DISTINCT FROM current_setting(''signalbox.locked_account'', true))'
            ' EXECUTE FUNCTION refuse_unknown_account()',
            name
        );
    END LOOP;
END
$$;
DROP FUNCTION refuse_unknown_accounts();
