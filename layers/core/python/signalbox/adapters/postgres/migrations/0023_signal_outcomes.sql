-- The cycle also tells how a signal ended: generate_signals puts, sees and publishes one type of event more.
ALTER POLICY signalbox_generate_signals_sees ON outbox USING (event_type IN
    ('CycleDecided', 'SignalGenerated', 'SignalResolved', 'MarketDataStale', 'MarketDataRecovered', 'ModelRefused'));
ALTER POLICY signalbox_generate_signals_puts ON outbox WITH CHECK (event_type IN
    ('CycleDecided', 'SignalGenerated', 'SignalResolved', 'MarketDataStale', 'MarketDataRecovered', 'ModelRefused'));
ALTER POLICY signalbox_generate_signals_publishes ON outbox USING (published_at IS NULL AND event_type IN
    ('CycleDecided', 'SignalGenerated', 'SignalResolved', 'MarketDataStale', 'MarketDataRecovered', 'ModelRefused'))
    WITH CHECK (published_at IS NOT NULL);
