-- A database role a function, with the rights of signalbox.adapters.postgres.roles and no other; and who may do what with which
-- account. What held every right of every function, signalbox_app, has none any more.

-- On RDS nobody who is a member of rds_iam, however indirectly, logs in with a password; and since PostgreSQL 16 whoever creates
-- a role is a member of it, by a grant that only a superuser can take back. So the roles are created by one that is dropped again:
-- the schema's owner never is a member of them, and its password goes on to work. (Nobody but a superuser can alter or drop them
-- afterwards; what they may do is granted by the owner, and can be taken back.)
DO $$
DECLARE
    wanted text[] := ARRAY[
        'signalbox_generate_signals',
        'signalbox_manage_orders',
        'signalbox_monitor_risk',
        'signalbox_relay_outbox',
        'signalbox_compact_candles',
        'signalbox_publish_reports',
        'signalbox_register_model',
        'signalbox_reader'
    ];
    wanted_role text;
    maker text := format('signalbox_maker_%s', pg_backend_pid());
BEGIN
    IF (SELECT count(*) FROM pg_roles WHERE rolname = ANY(wanted)) < cardinality(wanted) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN CREATEROLE', maker);
        EXECUTE format('GRANT %I TO CURRENT_USER WITH SET TRUE, INHERIT FALSE', maker);
        EXECUTE format('SET LOCAL ROLE %I', maker);
        FOREACH wanted_role IN ARRAY wanted LOOP
            BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN', wanted_role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- roles belong to the server: another database, or a concurrent caller, made it
            END;
        END LOOP;
        RESET ROLE;
        EXECUTE format('DROP ROLE %I', maker);
    END IF;
    FOREACH wanted_role IN ARRAY wanted LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
            EXECUTE format('GRANT rds_iam TO %I', wanted_role);  -- on RDS they log in with an IAM token and never have a password
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), wanted_role);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', wanted_role);
    END LOOP;
    -- the owner made this one itself, so it is a member of it: not of rds_iam any more
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
        REVOKE rds_iam FROM signalbox_app;
    END IF;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM signalbox_app', current_database());
END
$$;

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM signalbox_app;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM signalbox_app;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM signalbox_app;
REVOKE ALL ON SCHEMA public FROM signalbox_app;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;  -- of what the owner makes later

-- The right to lock a row FOR SHARE is the right to update a column of it. Nothing is ever written here.
ALTER TABLE accounts ADD COLUMN turn boolean;

-- Who may do what with an account. Appended, never changed: of each principal the newest row counts, and no role is none.
CREATE TABLE account_access (
    account text NOT NULL REFERENCES accounts,
    principal text NOT NULL CHECK (principal <> ''),
    request_id text NOT NULL CHECK (request_id <> ''),
    role text CHECK (role IN ('viewer', 'operator', 'owner')),
    who text NOT NULL CHECK (who <> ''),
    at timestamptz NOT NULL,
    sequence bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (account, principal, request_id)
);

-- What somebody asked for without the right to it, once a minute, however often they ask. An account that does not exist has no
-- name here: it could be any text.
CREATE TABLE access_refusals (
    account text NOT NULL,
    principal text NOT NULL CHECK (principal <> ''),
    action text NOT NULL CHECK (action <> ''),
    minute timestamptz NOT NULL,
    needed text NOT NULL CHECK (needed IN ('viewer', 'operator', 'owner')),
    held text CHECK (held IN ('viewer', 'operator', 'owner')),
    PRIMARY KEY (minute, principal, account, action)
);

-- A halt in force is lifted, made milder or shorter by manage_orders alone, which asks who says so. Roles that may write an
-- account's state for other reasons may set a stricter or a longer one.
CREATE FUNCTION refuse_milder_halts() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    severity text[] := ARRAY['NONE', 'HALT', 'REDUCE_ONLY', 'FLATTEN'];
    kept json := OLD.halt::json;
    offered json := NEW.halt::json;
    kept_until timestamptz := coalesce((kept ->> 'until')::timestamptz, 'infinity');
    offered_until timestamptz := coalesce((offered ->> 'until')::timestamptz, 'infinity');
    is_milder boolean := array_position(severity, offered ->> 'level') < array_position(severity, kept ->> 'level');
BEGIN
    IF pg_has_role(current_user, 'signalbox_manage_orders', 'USAGE')
        OR pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RETURN NEW;
    END IF;
    IF NEW.halt IS NULL OR offered_until < kept_until
        OR (is_milder AND (offered ->> 'since')::timestamptz < kept_until) IS NOT FALSE THEN
        RAISE EXCEPTION '%: expected a halt as strict and as long as the one in force, was %', OLD.account,
            coalesce(NEW.halt, 'none') USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER accounts_halt BEFORE UPDATE OF halt ON accounts FOR EACH ROW
    WHEN (OLD.halt IS NOT NULL AND NEW.halt IS DISTINCT FROM OLD.halt) EXECUTE FUNCTION refuse_milder_halts();
REVOKE ALL ON FUNCTION refuse_milder_halts() FROM PUBLIC;

-- An event of the outbox is what the relay tells everybody, so whoever may put one there may ask a venue to trade. Each role puts,
-- sees and publishes its own types; what is published stays as it was told.
ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
CREATE POLICY signalbox_generate_signals_sees ON outbox FOR SELECT TO signalbox_generate_signals USING (event_type IN
    ('CycleDecided', 'SignalGenerated', 'MarketDataStale', 'MarketDataRecovered', 'ModelRefused'));
CREATE POLICY signalbox_generate_signals_puts ON outbox FOR INSERT TO signalbox_generate_signals WITH CHECK (event_type IN
    ('CycleDecided', 'SignalGenerated', 'MarketDataStale', 'MarketDataRecovered', 'ModelRefused'));
CREATE POLICY signalbox_generate_signals_publishes ON outbox FOR UPDATE TO signalbox_generate_signals USING (published_at IS
    NULL AND event_type IN ('CycleDecided', 'SignalGenerated', 'MarketDataStale', 'MarketDataRecovered', 'ModelRefused')) WITH
    CHECK (published_at IS NOT NULL);
CREATE POLICY signalbox_manage_orders_sees ON outbox FOR SELECT TO signalbox_manage_orders USING (event_type IN ('TurnMissed',
    'ExecutionRequested', 'VenueViewRequested', 'OrderRefused', 'VenueRefused', 'TradeOpened', 'TradeClosed', 'ExitFailed',
    'StopPassed', 'AccountReviewDue', 'RiskWarning', 'AccountExhausted', 'TradingHalted', 'TradingResumed', 'RuleBreached',
    'TargetReached'));
CREATE POLICY signalbox_manage_orders_puts ON outbox FOR INSERT TO signalbox_manage_orders WITH CHECK (event_type IN
    ('TurnMissed', 'ExecutionRequested', 'VenueViewRequested', 'OrderRefused', 'VenueRefused', 'TradeOpened', 'TradeClosed',
    'ExitFailed', 'StopPassed', 'AccountReviewDue', 'RiskWarning', 'AccountExhausted', 'TradingHalted', 'TradingResumed',
    'RuleBreached', 'TargetReached'));
CREATE POLICY signalbox_manage_orders_publishes ON outbox FOR UPDATE TO signalbox_manage_orders USING (published_at IS NULL
    AND event_type IN ('TurnMissed', 'ExecutionRequested', 'VenueViewRequested', 'OrderRefused', 'VenueRefused',
    'TradeOpened', 'TradeClosed', 'ExitFailed', 'StopPassed', 'AccountReviewDue', 'RiskWarning', 'AccountExhausted',
    'TradingHalted', 'TradingResumed', 'RuleBreached', 'TargetReached')) WITH CHECK (published_at IS NOT NULL);
CREATE POLICY signalbox_monitor_risk_sees ON outbox FOR SELECT TO signalbox_monitor_risk USING (event_type IN
    ('ExecutionRequested', 'VenueViewRequested', 'OrderRefused', 'VenueRefused', 'TradeOpened', 'TradeClosed', 'ExitFailed',
    'StopPassed', 'AccountReviewDue', 'RiskWarning', 'AccountExhausted', 'TradingHalted', 'TradingResumed', 'RuleBreached',
    'TargetReached'));
CREATE POLICY signalbox_monitor_risk_puts ON outbox FOR INSERT TO signalbox_monitor_risk WITH CHECK (event_type IN
    ('ExecutionRequested', 'VenueViewRequested', 'OrderRefused', 'VenueRefused', 'TradeOpened', 'TradeClosed', 'ExitFailed',
    'StopPassed', 'AccountReviewDue', 'RiskWarning', 'AccountExhausted', 'TradingHalted', 'TradingResumed', 'RuleBreached',
    'TargetReached'));
CREATE POLICY signalbox_monitor_risk_publishes ON outbox FOR UPDATE TO signalbox_monitor_risk USING (published_at IS NULL AND
    event_type IN ('ExecutionRequested', 'VenueViewRequested', 'OrderRefused', 'VenueRefused', 'TradeOpened', 'TradeClosed',
    'ExitFailed', 'StopPassed', 'AccountReviewDue', 'RiskWarning', 'AccountExhausted', 'TradingHalted', 'TradingResumed',
    'RuleBreached', 'TargetReached')) WITH CHECK (published_at IS NOT NULL);
CREATE POLICY signalbox_relay_outbox_sees ON outbox FOR SELECT TO signalbox_relay_outbox USING (true);
CREATE POLICY signalbox_relay_outbox_publishes ON outbox FOR UPDATE TO signalbox_relay_outbox USING (published_at IS NULL AND
    true) WITH CHECK (published_at IS NOT NULL);
CREATE POLICY signalbox_register_model_sees ON outbox FOR SELECT TO signalbox_register_model USING (event_type IN
    ('ModelRegistered', 'ModelNotQualified', 'ModelEvaluated', 'TrainingFailed', 'EvaluationFailed'));
CREATE POLICY signalbox_register_model_puts ON outbox FOR INSERT TO signalbox_register_model WITH CHECK (event_type IN
    ('ModelRegistered', 'ModelNotQualified', 'ModelEvaluated', 'TrainingFailed', 'EvaluationFailed'));
CREATE POLICY signalbox_register_model_publishes ON outbox FOR UPDATE TO signalbox_register_model USING (published_at IS NULL
    AND event_type IN ('ModelRegistered', 'ModelNotQualified', 'ModelEvaluated', 'TrainingFailed', 'EvaluationFailed')) WITH
    CHECK (published_at IS NOT NULL);

-- As signalbox.adapters.postgres.roles declares them.
GRANT SELECT, INSERT (venue, symbol, open_time, open, high, low, close, volume) ON candles TO signalbox_generate_signals;
GRANT SELECT, INSERT (venue, cycle_at, parts, part) ON cycle_parts TO signalbox_generate_signals;
GRANT SELECT, INSERT (venue, cycle_at, decided), UPDATE (decided) ON cycles TO signalbox_generate_signals;
GRANT INSERT (deployment, stage, bundle, gates, first_decided_at) ON deployed_models TO signalbox_generate_signals;
GRANT SELECT, INSERT (event_id, event_type, detail, created_at), UPDATE (published_at) ON outbox TO
    signalbox_generate_signals;
GRANT INSERT (venue, cycle_at, symbol, reason, detail) ON refusals TO signalbox_generate_signals;
GRANT SELECT, INSERT (symbol, decided_at, deployment, stage, direction, tier, probability_up, price, late, schema_name,
    schema_hash, features, held_back) ON signals TO signalbox_generate_signals;
GRANT SELECT, INSERT (symbol, stale_since, reason), UPDATE (stale_since, reason) ON symbol_status TO
    signalbox_generate_signals;
GRANT EXECUTE ON FUNCTION ensure_candle_partitions(date[]) TO signalbox_generate_signals;
GRANT INSERT (account, principal, action, minute, needed, held) ON access_refusals TO signalbox_manage_orders;
GRANT SELECT, INSERT (account, principal, request_id, role, who, at) ON account_access TO signalbox_manage_orders;
GRANT SELECT, INSERT (account, kind, key, symbol, at, amount) ON account_entries TO signalbox_manage_orders;
GRANT SELECT, INSERT (account, mode, configuration, opened_at, opened_by, cash, transfers, newest_entry), UPDATE (cash,
    transfers, newest_entry, stepped_at, watched_until, loss_rules, halt, warned, memory, compared_at, closings, review_at,
    at_venue, request_sequence) ON accounts TO signalbox_manage_orders;
GRANT SELECT ON candles TO signalbox_manage_orders;
GRANT SELECT, INSERT (account, request_id, what, who, at) ON confirmations TO signalbox_manage_orders;
GRANT INSERT (account, day, baseline, daily_limit, closing_balance, worst_equity) ON day_baselines TO signalbox_manage_orders;
GRANT SELECT ON deployed_models TO signalbox_manage_orders;
GRANT SELECT, INSERT (account, fill_id, lot_id, symbol, method, place, opened_at, closed_at, quantity, open_price,
    close_price, open_fee, close_fee), DELETE ON disposals TO signalbox_manage_orders;
GRANT INSERT (account, marks, at, cash, balance, unrealised, equity, exposure, transfers, realised, fees, funding) ON
    equity_snapshots TO signalbox_manage_orders;
GRANT SELECT, INSERT (account, symbol, trade_id, client_order_id, side, at, quantity, price, fee, booked) ON fills TO
    signalbox_manage_orders;
GRANT INSERT (account, level, who, why, since, until) ON halts TO signalbox_manage_orders;
GRANT SELECT, INSERT (account, reason, symbol, place, since, until, limit_amount, value_amount), DELETE ON locks TO
    signalbox_manage_orders;
GRANT SELECT, INSERT (account, lot_id, symbol, opened_at, quantity, price, fee), UPDATE (quantity, price, fee), DELETE ON lots
    TO signalbox_manage_orders;
GRANT SELECT, INSERT (event_id, client_order_id, account, kind, payload, at, booked) ON order_events TO
    signalbox_manage_orders;
GRANT SELECT, INSERT (client_order_id, account, strategy, symbol, leg, side, type, time_in_force, state, venue_order_id,
    pending, reason, detail, attempt, decided_at, expires_at, send_before, submitted_at, accepted_at, unconfirmed_since,
    closed_at, reduce_only, quantity, limit_price, stop_price, filled, filled_value, fees), UPDATE (state, quantity,
    limit_price, stop_price, filled, filled_value, fees, venue_order_id, submitted_at, accepted_at, unconfirmed_since,
    closed_at, pending, reason, detail) ON orders TO signalbox_manage_orders;
GRANT SELECT, INSERT (event_id, event_type, detail, created_at), UPDATE (published_at) ON outbox TO signalbox_manage_orders;
GRANT SELECT, INSERT (account, symbol, quantity, cost, realised, fees, funding, volume), UPDATE (quantity, cost, realised,
    fees, funding, volume) ON positions TO signalbox_manage_orders;
GRANT SELECT, INSERT (account, kind, key, code, symbol, limit_text, value_text, who, detail, snapshot_id, at, limit_amount,
    value_amount) ON risk_events TO signalbox_manage_orders;
GRANT SELECT ON signals TO signalbox_manage_orders;
GRANT SELECT, INSERT (account, method, effective_from, given_at) ON standing_orders TO signalbox_manage_orders;
GRANT SELECT, INSERT (account, entry, symbol, side, deployment, stage, state, exit, exit_leg, progress, decided_at, deadline,
    opened_at, closed_at, stop_loss, take_profit, realised), UPDATE (state, stop_loss, take_profit, deadline, opened_at, exit,
    exit_leg, closed_at, realised, progress) ON trades TO signalbox_manage_orders;
GRANT SELECT, INSERT (account, view, asked_at, part, parts, payload), DELETE ON venue_view_parts TO signalbox_manage_orders;
GRANT USAGE ON SEQUENCE bookings TO signalbox_manage_orders;
GRANT SELECT ON account_entries TO signalbox_monitor_risk;
GRANT SELECT, UPDATE (cash, transfers, newest_entry, stepped_at, watched_until, loss_rules, halt, warned, memory, compared_at,
    closings, review_at, at_venue, request_sequence) ON accounts TO signalbox_monitor_risk;
GRANT SELECT ON candles TO signalbox_monitor_risk;
GRANT INSERT (account, day, baseline, daily_limit, closing_balance, worst_equity) ON day_baselines TO signalbox_monitor_risk;
GRANT SELECT, INSERT (account, fill_id, lot_id, symbol, method, place, opened_at, closed_at, quantity, open_price,
    close_price, open_fee, close_fee), DELETE ON disposals TO signalbox_monitor_risk;
GRANT INSERT (account, marks, at, cash, balance, unrealised, equity, exposure, transfers, realised, fees, funding) ON
    equity_snapshots TO signalbox_monitor_risk;
GRANT SELECT, INSERT (account, symbol, trade_id, client_order_id, side, at, quantity, price, fee, booked) ON fills TO
    signalbox_monitor_risk;
GRANT INSERT (account, level, who, why, since, until) ON halts TO signalbox_monitor_risk;
GRANT SELECT, INSERT (account, reason, symbol, place, since, until, limit_amount, value_amount), DELETE ON locks TO
    signalbox_monitor_risk;
GRANT SELECT, INSERT (account, lot_id, symbol, opened_at, quantity, price, fee), UPDATE (quantity, price, fee), DELETE ON lots
    TO signalbox_monitor_risk;
GRANT SELECT, INSERT (event_id, client_order_id, account, kind, payload, at, booked) ON order_events TO
    signalbox_monitor_risk;
GRANT SELECT, INSERT (client_order_id, account, strategy, symbol, leg, side, type, time_in_force, state, venue_order_id,
    pending, reason, detail, attempt, decided_at, expires_at, send_before, submitted_at, accepted_at, unconfirmed_since,
    closed_at, reduce_only, quantity, limit_price, stop_price, filled, filled_value, fees), UPDATE (state, quantity,
    limit_price, stop_price, filled, filled_value, fees, venue_order_id, submitted_at, accepted_at, unconfirmed_since,
    closed_at, pending, reason, detail) ON orders TO signalbox_monitor_risk;
GRANT SELECT, INSERT (event_id, event_type, detail, created_at), UPDATE (published_at) ON outbox TO signalbox_monitor_risk;
GRANT SELECT, INSERT (account, symbol, quantity, cost, realised, fees, funding, volume), UPDATE (quantity, cost, realised,
    fees, funding, volume) ON positions TO signalbox_monitor_risk;
GRANT INSERT (account, kind, key, code, symbol, limit_text, value_text, who, detail, snapshot_id, at, limit_amount,
    value_amount) ON risk_events TO signalbox_monitor_risk;
GRANT SELECT ON standing_orders TO signalbox_monitor_risk;
GRANT SELECT, INSERT (account, entry, symbol, side, deployment, stage, state, exit, exit_leg, progress, decided_at, deadline,
    opened_at, closed_at, stop_loss, take_profit, realised), UPDATE (state, stop_loss, take_profit, deadline, opened_at, exit,
    exit_leg, closed_at, realised, progress) ON trades TO signalbox_monitor_risk;
GRANT SELECT ON venue_view_parts TO signalbox_monitor_risk;
GRANT USAGE ON SEQUENCE bookings TO signalbox_monitor_risk;
GRANT SELECT, UPDATE (published_at) ON outbox TO signalbox_relay_outbox;
GRANT SELECT ON candles TO signalbox_compact_candles;
GRANT SELECT ON account_entries TO signalbox_publish_reports;
GRANT SELECT, UPDATE (turn) ON accounts TO signalbox_publish_reports;
GRANT SELECT ON candles TO signalbox_publish_reports;
GRANT SELECT ON day_baselines TO signalbox_publish_reports;
GRANT SELECT ON disposals TO signalbox_publish_reports;
GRANT SELECT ON equity_snapshots TO signalbox_publish_reports;
GRANT SELECT, INSERT (client_order_id, account, venue, symbol, side, leg, state, decided_at, submitted_at, closed_at,
    decision_price, arrival_mid, end_mid, market_vwap, orders, filled_orders, trades, trades_without_marks, ordered, filled,
    value, fees, arrival_slippage_cost, arrival_slippage_base, effective_spread_cost, effective_spread_base,
    realised_spread_cost, realised_spread_base, price_impact_cost, price_impact_base, implementation_shortfall_cost,
    implementation_shortfall_base, vwap_slippage_cost, vwap_slippage_base, timed_orders, first_fill_time, timed_full_orders,
    full_fill_time), UPDATE (client_order_id, account, venue, symbol, side, leg, state, decided_at, submitted_at, closed_at,
    decision_price, arrival_mid, end_mid, market_vwap, orders, filled_orders, trades, trades_without_marks, ordered, filled,
    value, fees, arrival_slippage_cost, arrival_slippage_base, effective_spread_cost, effective_spread_base,
    realised_spread_cost, realised_spread_base, price_impact_cost, price_impact_base, implementation_shortfall_cost,
    implementation_shortfall_base, vwap_slippage_cost, vwap_slippage_base, timed_orders, first_fill_time, timed_full_orders,
    full_fill_time, booked) ON execution_quality TO signalbox_publish_reports;
GRANT SELECT ON fills TO signalbox_publish_reports;
GRANT SELECT ON halts TO signalbox_publish_reports;
GRANT SELECT ON order_events TO signalbox_publish_reports;
GRANT SELECT ON orders TO signalbox_publish_reports;
GRANT SELECT, INSERT (path, account, period, kind, sha256, size, published_at, made_at, made_from), UPDATE (sha256, size,
    published_at, made_at, made_from) ON published_reports TO signalbox_publish_reports;
GRANT SELECT, INSERT (account, booked, at), UPDATE (booked, at) ON report_marks TO signalbox_publish_reports;
GRANT SELECT ON risk_events TO signalbox_publish_reports;
GRANT SELECT ON standing_orders TO signalbox_publish_reports;
GRANT SELECT ON trades TO signalbox_publish_reports;
GRANT USAGE, SELECT ON SEQUENCE bookings TO signalbox_publish_reports;
GRANT INSERT (kind, name, number, needs_kind, needs_name, needs_number) ON dependencies TO signalbox_register_model;
GRANT INSERT (kind, name, created_at) ON entities TO signalbox_register_model;
GRANT SELECT, INSERT (kind, name, number, source, evaluated_at, qualifies, headline, gates, report, period_start, period_end)
    ON evaluations TO signalbox_register_model;
GRANT SELECT, INSERT (event_id, event_type, detail, created_at), UPDATE (published_at) ON outbox TO signalbox_register_model;
GRANT SELECT, INSERT (kind, name, number, origin, state, created_at, reason, bundle_key, sha256, manifest) ON versions TO
    signalbox_register_model;
GRANT SELECT ON access_refusals TO signalbox_reader;
GRANT SELECT ON account_access TO signalbox_reader;
GRANT SELECT ON account_entries TO signalbox_reader;
GRANT SELECT ON accounts TO signalbox_reader;
GRANT SELECT ON candles TO signalbox_reader;
GRANT SELECT ON day_baselines TO signalbox_reader;
GRANT SELECT ON disposals TO signalbox_reader;
GRANT SELECT ON equity_snapshots TO signalbox_reader;
GRANT SELECT ON execution_quality TO signalbox_reader;
GRANT SELECT ON fills TO signalbox_reader;
GRANT SELECT ON halts TO signalbox_reader;
GRANT SELECT ON order_events TO signalbox_reader;
GRANT SELECT ON orders TO signalbox_reader;
GRANT SELECT ON risk_events TO signalbox_reader;
GRANT SELECT ON signals TO signalbox_reader;
GRANT SELECT ON standing_orders TO signalbox_reader;
GRANT SELECT ON trades TO signalbox_reader;
