-- Trading accounts. Facts are appended and never changed (order_events, fills, account_entries, equity_snapshots, day_baselines,
-- risk_events, halts); orders, positions, lots and disposals are what the facts make of an account and can be made again from
-- them; the rest of an account's state is replaced as its steps go on. Money is numeric without a scale: exact, as it was.

CREATE DOMAIN amount AS numeric CHECK (VALUE > '-Infinity' AND VALUE < 'Infinity');  -- NaN sorts above Infinity
CREATE DOMAIN amount_not_negative AS numeric CHECK (VALUE >= 0 AND VALUE < 'Infinity');
CREATE DOMAIN amount_above_zero AS numeric CHECK (VALUE > 0 AND VALUE < 'Infinity');
CREATE DOMAIN market_symbol AS text CHECK (VALUE ~ '^[A-Z0-9]{2,12}-[A-Z0-9]{2,12}$');
CREATE DOMAIN order_key AS text CHECK (VALUE ~ '^[0-9a-f]{32}$');
CREATE DOMAIN trade_side AS text CHECK (VALUE IN ('BUY', 'SELL'));
CREATE DOMAIN order_leg AS text CHECK (VALUE IN ('ENTRY', 'EXIT', 'TAKE_PROFIT', 'STOP_LOSS', 'TIMEOUT', 'FLATTEN'));
CREATE DOMAIN halt_level AS text CHECK (VALUE IN ('NONE', 'HALT', 'REDUCE_ONLY', 'FLATTEN'));

-- One row an account: whoever works on it holds this row locked. Half of each page stays free, so that its many versions
-- stay on the page.
CREATE TABLE accounts (
    account text PRIMARY KEY CHECK (account ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
    mode text NOT NULL CHECK (mode IN ('dry_run', 'paper', 'live')),
    configuration text NOT NULL CHECK (configuration IS JSON OBJECT),
    opened_at timestamptz NOT NULL,
    opened_by text NOT NULL CHECK (opened_by <> ''),
    cash amount NOT NULL,
    transfers amount NOT NULL,
    newest_entry text CHECK (newest_entry IS JSON OBJECT),
    stepped_at timestamptz,
    watched_until timestamptz,
    loss_rules text CHECK (loss_rules IS JSON OBJECT),
    halt text CHECK (halt IS JSON OBJECT),
    warned text[] NOT NULL DEFAULT '{}',
    memory text CHECK (memory IS JSON OBJECT),
    compared_at timestamptz
) WITH (fillfactor = 50);

-- What happened to orders. `sequence` is the order of arrival; `event_id` is made from the facts.
CREATE TABLE order_events (
    event_id text PRIMARY KEY CHECK (event_id <> ''),
    sequence bigint GENERATED ALWAYS AS IDENTITY,
    client_order_id order_key NOT NULL,
    account text NOT NULL REFERENCES accounts,
    kind text NOT NULL CHECK (kind IN (
        'OrderInitialized', 'OrderDenied', 'OrderReleased', 'OrderSubmitted', 'OrderUnconfirmed', 'OrderLost', 'OrderAccepted',
        'OrderRejected', 'OrderFilled', 'OrderCancelRequested', 'OrderCancelRejected', 'OrderCanceled', 'OrderExpired',
        'OrderUpdateRequested', 'OrderUpdated', 'OrderUpdateRejected'
    )),
    at timestamptz NOT NULL,
    payload text NOT NULL CHECK (payload IS JSON OBJECT)
);
CREATE INDEX order_events_order ON order_events (client_order_id);
CREATE INDEX order_events_released ON order_events (account, at) WHERE kind = 'OrderReleased';  -- the throttle's window
CREATE INDEX order_events_at ON order_events USING brin (at);  -- rows arrive nearly in this order

-- One row an order: its terms, and its newest state as its events made it.
CREATE TABLE orders (
    client_order_id order_key PRIMARY KEY,
    account text NOT NULL REFERENCES accounts,
    strategy text NOT NULL CHECK (strategy <> ''),
    symbol market_symbol NOT NULL,
    decided_at timestamptz NOT NULL,
    leg order_leg NOT NULL,
    side trade_side NOT NULL,
    type text NOT NULL CHECK (type IN ('MARKET', 'LIMIT', 'STOP')),
    time_in_force text NOT NULL CHECK (time_in_force IN ('GTC', 'IOC', 'FOK', 'GTD')),
    expires_at timestamptz,
    reduce_only boolean NOT NULL,
    send_before timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN (
        'INITIALIZED', 'DENIED', 'RELEASED', 'SUBMITTED', 'ACCEPTED', 'REJECTED', 'PARTIALLY_FILLED', 'PENDING_UPDATE',
        'PENDING_CANCEL', 'FILLED', 'CANCELED', 'EXPIRED'
    )),
    quantity amount_above_zero NOT NULL,
    limit_price amount_above_zero,
    stop_price amount_above_zero,
    filled amount_not_negative NOT NULL,
    filled_value amount_not_negative NOT NULL,
    fees amount NOT NULL,
    venue_order_id text,
    submitted_at timestamptz,
    accepted_at timestamptz,
    unconfirmed_since timestamptz,
    closed_at timestamptz,
    pending text CHECK (pending IS JSON OBJECT),
    reason text,
    CONSTRAINT orders_times CHECK (send_before > decided_at AND (expires_at IS NULL OR expires_at > decided_at)),
    CONSTRAINT orders_prices CHECK ((limit_price IS NOT NULL) = (type = 'LIMIT') AND (stop_price IS NOT NULL) = (type = 'STOP')),
    CONSTRAINT orders_expiry CHECK ((expires_at IS NOT NULL) = (time_in_force = 'GTD')),
    CONSTRAINT orders_fills CHECK ((filled > 0) = (filled_value > 0) AND (state <> 'PARTIALLY_FILLED' OR filled > 0)),
    CONSTRAINT orders_closed CHECK (
        closed_at IS NOT NULL OR state NOT IN ('DENIED', 'REJECTED', 'FILLED', 'CANCELED', 'EXPIRED')
    )
) WITH (fillfactor = 80);
CREATE INDEX orders_open ON orders (account) WHERE state NOT IN ('DENIED', 'REJECTED', 'FILLED', 'CANCELED', 'EXPIRED');
CREATE INDEX orders_decided ON orders (account, decided_at);

-- Trades at a venue. A trade id is the venue's, of one symbol.
CREATE TABLE fills (
    account text NOT NULL REFERENCES accounts,
    symbol market_symbol NOT NULL,
    trade_id text NOT NULL CHECK (trade_id <> ''),
    client_order_id order_key,
    at timestamptz NOT NULL,
    side trade_side NOT NULL,
    quantity amount_above_zero NOT NULL,
    price amount_above_zero NOT NULL,
    fee amount NOT NULL,  -- paid when above zero
    PRIMARY KEY (account, symbol, trade_id)
);
CREATE INDEX fills_at ON fills (account, at);

-- Money that moved without a trade; received when above zero.
CREATE TABLE account_entries (
    account text NOT NULL REFERENCES accounts,
    kind text NOT NULL CHECK (kind IN ('Funding', 'Transfer')),
    key text NOT NULL CHECK (key <> ''),
    at timestamptz NOT NULL,
    symbol market_symbol,
    amount amount NOT NULL,
    PRIMARY KEY (account, kind, key),
    CONSTRAINT account_entries_symbol CHECK ((symbol IS NOT NULL) = (kind = 'Funding'))
);
CREATE INDEX account_entries_at ON account_entries (account, at);

CREATE TABLE positions (
    account text NOT NULL REFERENCES accounts,
    symbol market_symbol NOT NULL,
    quantity amount NOT NULL,
    cost amount NOT NULL,
    realised amount NOT NULL,
    fees amount NOT NULL,
    funding amount NOT NULL,
    volume amount_not_negative NOT NULL,
    PRIMARY KEY (account, symbol),
    CONSTRAINT positions_flat CHECK (quantity <> 0 OR cost = 0)
) WITH (fillfactor = 50);

-- What is left of opening fills. The text of a lot's id sorts by code point, as the books sort it.
CREATE TABLE lots (
    account text NOT NULL REFERENCES accounts,
    lot_id text COLLATE "C" NOT NULL,
    symbol market_symbol NOT NULL,
    opened_at timestamptz NOT NULL,
    quantity amount NOT NULL CHECK (quantity <> 0),
    price amount_above_zero NOT NULL,
    fee amount NOT NULL,
    PRIMARY KEY (account, lot_id)
);

CREATE TABLE disposals (
    account text NOT NULL REFERENCES accounts,
    fill_id text NOT NULL,
    place integer NOT NULL CHECK (place >= 0),  -- among the lots of this fill, in order of closing
    lot_id text NOT NULL,
    symbol market_symbol NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz NOT NULL,
    quantity amount NOT NULL CHECK (quantity <> 0),
    open_price amount_above_zero NOT NULL,
    close_price amount_above_zero NOT NULL,
    open_fee amount NOT NULL,
    close_fee amount NOT NULL,
    method text NOT NULL CHECK (method IN ('FIFO', 'LIFO', 'HIFO')),
    PRIMARY KEY (account, fill_id, lot_id),
    CONSTRAINT disposals_times CHECK (closed_at >= opened_at)
);
CREATE INDEX disposals_closed ON disposals (account, closed_at);

-- Which lots a sale closes (the books' tax method), in force from an instant on.
CREATE TABLE standing_orders (
    account text NOT NULL REFERENCES accounts,
    effective_from timestamptz NOT NULL,
    method text NOT NULL CHECK (method IN ('FIFO', 'LIFO', 'HIFO')),
    given_at timestamptz NOT NULL,
    PRIMARY KEY (account, effective_from),
    CONSTRAINT standing_orders_no_past CHECK (effective_from >= given_at)
);

-- A signal's way through the market: its entry order until the position is flat again. One at a time and symbol.
CREATE TABLE trades (
    account text NOT NULL REFERENCES accounts,
    entry order_key NOT NULL,
    symbol market_symbol NOT NULL,
    side trade_side NOT NULL,
    decided_at timestamptz NOT NULL,
    deployment text NOT NULL CHECK (deployment <> ''),
    stage text NOT NULL CHECK (stage <> ''),
    state text NOT NULL CHECK (state IN ('ENTERING', 'OPEN', 'EXITING', 'CLOSED', 'ABANDONED')),
    stop_loss amount_above_zero NOT NULL,
    take_profit amount_above_zero,
    deadline timestamptz NOT NULL,
    opened_at timestamptz,
    exit order_key,
    exit_leg order_leg,
    closed_at timestamptz,
    realised amount,
    PRIMARY KEY (account, entry),
    CONSTRAINT trades_closed CHECK (state <> 'CLOSED' OR (closed_at IS NOT NULL AND realised IS NOT NULL))
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX trades_one_a_symbol ON trades (account, symbol) WHERE state NOT IN ('CLOSED', 'ABANDONED');
CREATE INDEX trades_decided ON trades (account, decided_at);

CREATE TABLE equity_snapshots (
    account text NOT NULL REFERENCES accounts,
    at timestamptz NOT NULL,
    cash amount NOT NULL,
    balance amount NOT NULL,
    unrealised amount NOT NULL,
    equity amount NOT NULL,
    exposure amount_not_negative NOT NULL,
    transfers amount NOT NULL,
    realised amount NOT NULL,
    fees amount NOT NULL,
    funding amount NOT NULL,
    marks text NOT NULL CHECK (marks IS JSON OBJECT),
    PRIMARY KEY (account, at),
    CONSTRAINT equity_snapshots_two_views CHECK (equity = balance + unrealised),
    CONSTRAINT equity_snapshots_balance CHECK (balance = transfers + realised - fees + funding)
);

-- Days of the rules' zone that ended.
CREATE TABLE day_baselines (
    account text NOT NULL REFERENCES accounts,
    day date NOT NULL,
    baseline amount NOT NULL,
    daily_limit amount NOT NULL,
    closing_balance amount NOT NULL,
    worst_equity amount NOT NULL,
    PRIMARY KEY (account, day)
);

-- The compliance record. A limit or value is a number or a text.
CREATE TABLE risk_events (
    account text NOT NULL REFERENCES accounts,
    kind text NOT NULL CHECK (kind ~ '^[A-Z_]+$'),
    key text NOT NULL CHECK (key <> ''),
    sequence bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL,
    code text NOT NULL CHECK (code <> ''),
    symbol market_symbol,
    limit_amount amount,
    limit_text text,
    value_amount amount,
    value_text text,
    who text NOT NULL CHECK (who <> ''),
    detail text NOT NULL,
    snapshot_id text,
    PRIMARY KEY (account, kind, key),
    CONSTRAINT risk_events_limit CHECK (limit_amount IS NULL OR limit_text IS NULL),
    CONSTRAINT risk_events_value CHECK (value_amount IS NULL OR value_text IS NULL)
);
CREATE INDEX risk_events_at ON risk_events (account, at);

-- Every setting of the kill switch; the newest is in force. Level NONE: somebody resumed.
CREATE TABLE halts (
    account text NOT NULL REFERENCES accounts,
    since timestamptz NOT NULL,
    level halt_level NOT NULL,
    who text NOT NULL CHECK (who <> ''),
    why text NOT NULL CHECK (why <> ''),
    until timestamptz,
    sequence bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (account, since, level)
);

-- Pauses of new entries, of one symbol or of the account.
CREATE TABLE locks (
    account text NOT NULL REFERENCES accounts,
    place integer NOT NULL CHECK (place >= 0),
    reason text NOT NULL CHECK (reason <> ''),
    symbol market_symbol,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    limit_amount amount NOT NULL,
    value_amount amount NOT NULL,
    PRIMARY KEY (account, place),
    CONSTRAINT locks_times CHECK (since < until)
);

GRANT SELECT, INSERT ON accounts, order_events, orders, fills, account_entries, positions, lots, disposals, standing_orders, trades,
    equity_snapshots, day_baselines, risk_events, halts, locks TO signalbox_app;
GRANT UPDATE (cash, transfers, newest_entry, stepped_at, watched_until, loss_rules, halt, warned, memory,
    compared_at) ON accounts TO signalbox_app;
GRANT UPDATE (state, quantity, limit_price, stop_price, filled, filled_value, fees, venue_order_id, submitted_at, accepted_at,
    unconfirmed_since, closed_at, pending, reason) ON orders TO signalbox_app;
GRANT UPDATE (quantity, cost, realised, fees, funding, volume) ON positions TO signalbox_app;
GRANT UPDATE (quantity, price, fee) ON lots TO signalbox_app;
GRANT UPDATE (state, stop_loss, take_profit, deadline, opened_at, exit, exit_leg, closed_at, realised) ON trades TO signalbox_app;
GRANT DELETE ON positions, lots, disposals, locks TO signalbox_app;
