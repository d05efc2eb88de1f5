-- When a decision's bars were complete, where that was later than its instant: a venue published some of them late.
ALTER TABLE signals ADD COLUMN known_at timestamptz CHECK (known_at > decided_at);

-- A venue may revise a bar after it published it. `candles` holds the newest value. What a decision saw before stays here, so that
-- the decision can be reproduced; no role may change or delete it. announced_at: the cycle whose collection brought the value (NULL: one of before this migration).
ALTER TABLE candles ADD COLUMN announced_at timestamptz;
CREATE TABLE candle_revisions (
    venue text NOT NULL,
    symbol text NOT NULL,
    open_time timestamptz NOT NULL,
    replaced_at timestamptz NOT NULL,  -- the cycle whose collection brought another value
    open numeric NOT NULL,
    high numeric NOT NULL,
    low numeric NOT NULL,
    close numeric NOT NULL,
    volume numeric NOT NULL,
    PRIMARY KEY (venue, symbol, open_time, replaced_at)
);

-- Nobody replaces a bar without a trace, nor with one that an earlier cycle brought.
CREATE FUNCTION keep_candle_revision() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.announced_at IS NULL OR NEW.announced_at <= OLD.announced_at
        OR (NEW.venue, NEW.symbol, NEW.open_time) <> (OLD.venue, OLD.symbol, OLD.open_time)
    THEN
        RAISE EXCEPTION 'candles: expected a revision by a later cycle, was %', NEW.announced_at USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO public.candle_revisions (venue, symbol, open_time, replaced_at, open, high, low, close, volume)
        VALUES (OLD.venue, OLD.symbol, OLD.open_time, NEW.announced_at, OLD.open, OLD.high, OLD.low, OLD.close, OLD.volume);
    RETURN NEW;
END
$$;
CREATE TRIGGER candles_keep_revision BEFORE UPDATE ON candles FOR EACH ROW EXECUTE FUNCTION keep_candle_revision();

GRANT INSERT (known_at) ON signals TO signalbox_generate_signals;
GRANT INSERT (announced_at), UPDATE (open, high, low, close, volume, announced_at) ON candles TO signalbox_generate_signals;
GRANT SELECT ON candle_revisions TO signalbox_reader;
