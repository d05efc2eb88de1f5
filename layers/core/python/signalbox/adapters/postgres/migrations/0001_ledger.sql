-- The ledger of the five-minute cycle. Constraints repeat what the domain promises, so that no bug can store a wrong row.

-- Closed one-minute bars. No DEFAULT partition: a row always has its month, and an ordered scan needs no sort.
CREATE TABLE candles (
    venue text NOT NULL CHECK (venue <> ''),
    symbol text NOT NULL CHECK (symbol ~ '^[A-Z0-9]{2,12}-[A-Z0-9]{2,12}$'),
    open_time timestamptz NOT NULL,
    open numeric NOT NULL,
    high numeric NOT NULL,
    low numeric NOT NULL,
    close numeric NOT NULL,
    volume numeric NOT NULL,
    PRIMARY KEY (venue, symbol, open_time),
    CONSTRAINT candles_whole_minute CHECK (date_bin('1 minute', open_time, '2000-01-01 00:00:00+00') = open_time),
    -- NaN sorts above Infinity, so "< Infinity" refuses both
    CONSTRAINT candles_prices CHECK (low > 0 AND low <= least(open, close) AND greatest(open, close) <= high AND high < 'Infinity'),
    CONSTRAINT candles_volume CHECK (volume >= 0 AND volume < 'Infinity')
) PARTITION BY RANGE (open_time);

-- Creates the partitions of some months (UTC) that are not there yet. It runs as the owner, because the functions' role may
-- not create tables. ATTACH, unlike CREATE ... PARTITION OF, does not stop readers and writers of the other months.
CREATE FUNCTION ensure_candle_partitions(months date[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    month date;
    partition text;
BEGIN
    FOR month IN SELECT DISTINCT date_trunc('month', m)::date FROM unnest(months) AS m ORDER BY 1 LOOP
        partition := format('candles_%s', to_char(month, 'YYYYMM'));
        CONTINUE WHEN to_regclass('public.' || partition) IS NOT NULL;
        IF month < '2009-01-01' OR month >= '2100-01-01' THEN
            RAISE EXCEPTION 'expected a month from 2009 to 2099, was %', month USING ERRCODE = 'check_violation';
        END IF;
        -- the lock that ATTACH needs anyway; taking it also refreshes what this session knows of the catalogue
        LOCK TABLE public.candles IN SHARE UPDATE EXCLUSIVE MODE;
        CONTINUE WHEN to_regclass('public.' || partition) IS NOT NULL;  -- created while we waited
        EXECUTE format('CREATE TABLE public.%I (LIKE public.candles INCLUDING ALL)', partition);
        EXECUTE format(
            'ALTER TABLE public.candles ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            partition, format('%s 00:00:00+00', month), format('%s 00:00:00+00', (month + interval '1 month')::date)
        );
    END LOOP;
END
$$;

-- A cycle is delivered in parts and decided once.
CREATE TABLE cycles (
    venue text NOT NULL CHECK (venue <> ''),
    cycle_at timestamptz NOT NULL CHECK (date_bin('1 minute', cycle_at, '2000-01-01 00:00:00+00') = cycle_at),
    decided boolean NOT NULL DEFAULT false,
    PRIMARY KEY (venue, cycle_at)
);
CREATE INDEX cycles_decided ON cycles (venue, cycle_at) WHERE decided;

-- `parts` is in the key: a collection that is run again may split the same cycle differently.
CREATE TABLE cycle_parts (
    venue text NOT NULL,
    cycle_at timestamptz NOT NULL,
    parts integer NOT NULL,
    part integer NOT NULL,
    PRIMARY KEY (venue, cycle_at, parts, part),
    FOREIGN KEY (venue, cycle_at) REFERENCES cycles,
    CONSTRAINT cycle_parts_range CHECK (part BETWEEN 1 AND parts)
);

CREATE TABLE signals (
    symbol text NOT NULL CHECK (symbol ~ '^[A-Z0-9]{2,12}-[A-Z0-9]{2,12}$'),
    decided_at timestamptz NOT NULL,
    deployment text NOT NULL CHECK (deployment <> ''),
    stage text NOT NULL CHECK (stage IN ('shadow', 'active')),
    direction text NOT NULL CHECK (direction IN ('BUY', 'SELL', 'HOLD')),
    tier text NOT NULL CHECK (tier IN ('HIGH', 'MEDIUM', 'LOW')),
    probability_up double precision NOT NULL CHECK (probability_up BETWEEN 0 AND 1),
    confidence double precision GENERATED ALWAYS AS (greatest(probability_up, 1 - probability_up)) STORED,
    price numeric NOT NULL CHECK (price > 0 AND price < 'Infinity'),
    late boolean NOT NULL,
    schema_name text NOT NULL CHECK (schema_name <> ''),
    schema_hash text NOT NULL CHECK (schema_hash <> ''),
    features double precision[] NOT NULL,
    PRIMARY KEY (symbol, decided_at, deployment),
    CONSTRAINT signals_hold_is_low CHECK ((direction = 'HOLD') = (tier = 'LOW')),
    CONSTRAINT signals_side CHECK (
        direction = 'HOLD' OR (direction = 'BUY' AND probability_up > 0.5) OR (direction = 'SELL' AND probability_up < 0.5)
    )
);
CREATE INDEX signals_decided_at ON signals (decided_at);

CREATE TABLE refusals (
    venue text NOT NULL CHECK (venue <> ''),
    cycle_at timestamptz NOT NULL,
    symbol text NOT NULL CHECK (symbol ~ '^[A-Z0-9]{2,12}-[A-Z0-9]{2,12}$'),
    reason text NOT NULL CHECK (reason <> ''),
    detail text NOT NULL,
    PRIMARY KEY (venue, cycle_at, symbol)
);

CREATE TABLE symbol_status (
    symbol text PRIMARY KEY CHECK (symbol ~ '^[A-Z0-9]{2,12}-[A-Z0-9]{2,12}$'),
    stale_since timestamptz,
    reason text,
    CONSTRAINT symbol_status_reason CHECK ((stale_since IS NULL) = (reason IS NULL))
);

-- Events on their way to the bus. `created_at` is the scheduled instant they belong to; `published_at` is bookkeeping.
CREATE TABLE outbox (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id text NOT NULL UNIQUE CHECK (event_id <> ''),
    event_type text NOT NULL CHECK (event_type <> ''),
    detail text NOT NULL CHECK (detail IS JSON OBJECT),
    created_at timestamptz NOT NULL,
    published_at timestamptz
);
CREATE INDEX outbox_unpublished ON outbox (sequence) INCLUDE (created_at) WHERE published_at IS NULL;
