-- What filling an order cost, one row a closed order, and the record of published reports. Both can be made again from the
-- facts: publish_reports measures again while a late fill or candle may change a figure, and replaces the row.

CREATE TABLE execution_quality (
    client_order_id order_key PRIMARY KEY,
    account text NOT NULL REFERENCES accounts,
    venue text NOT NULL CHECK (venue <> ''),
    symbol market_symbol NOT NULL,
    side trade_side NOT NULL,
    leg order_leg NOT NULL,
    state text NOT NULL CHECK (state IN ('DENIED', 'REJECTED', 'FILLED', 'CANCELED', 'EXPIRED')),
    decided_at timestamptz NOT NULL,
    submitted_at timestamptz NOT NULL,
    closed_at timestamptz NOT NULL,
    decision_price amount_above_zero NOT NULL,
    arrival_mid amount_above_zero NOT NULL,
    end_mid amount_above_zero,
    market_vwap amount_above_zero,  -- from the typical price of each minute: an approximation
    orders integer NOT NULL CHECK (orders = 1),
    filled_orders integer NOT NULL CHECK (filled_orders BETWEEN 0 AND 1),
    trades integer NOT NULL CHECK (trades >= 0),
    trades_without_marks integer NOT NULL CHECK (trades_without_marks BETWEEN 0 AND trades),
    ordered amount_above_zero NOT NULL,
    filled amount_not_negative NOT NULL,
    value amount_not_negative NOT NULL,
    fees amount NOT NULL,
    -- a cost, positive when it cost us, and what it is measured against; both in quote currency
    arrival_slippage_cost amount NOT NULL,
    arrival_slippage_base amount_not_negative NOT NULL,
    effective_spread_cost amount NOT NULL,
    effective_spread_base amount_not_negative NOT NULL,
    realised_spread_cost amount NOT NULL,
    realised_spread_base amount_not_negative NOT NULL,
    price_impact_cost amount NOT NULL,
    price_impact_base amount_not_negative NOT NULL,
    implementation_shortfall_cost amount NOT NULL,
    implementation_shortfall_base amount_not_negative NOT NULL,
    vwap_slippage_cost amount NOT NULL,
    vwap_slippage_base amount_not_negative NOT NULL,
    timed_orders integer NOT NULL CHECK (timed_orders BETWEEN 0 AND 1),
    first_fill_time interval NOT NULL CHECK (first_fill_time >= '0'),
    timed_full_orders integer NOT NULL CHECK (timed_full_orders BETWEEN 0 AND 1),
    full_fill_time interval NOT NULL CHECK (full_fill_time >= '0')
);
CREATE INDEX execution_quality_closed ON execution_quality (account, closed_at);
CREATE INDEX orders_closed ON orders (account, closed_at) WHERE closed_at IS NOT NULL;

CREATE TABLE published_reports (
    path text PRIMARY KEY CHECK (path <> ''),
    account text NOT NULL REFERENCES accounts,
    period text NOT NULL CHECK (period ~ '^\d{4}(-\d{2}){0,2}$'),
    kind text NOT NULL CHECK (kind <> ''),
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size integer NOT NULL CHECK (size > 0),  -- bytes
    published_at timestamptz NOT NULL  -- the scheduled instant at which it first held these bytes
);

GRANT SELECT, INSERT, UPDATE ON execution_quality, published_reports TO signalbox_app;
