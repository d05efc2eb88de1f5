-- Deployments and daily and weekly summaries of accounts are alerts: three roles put, see and publish one type of event more.
ALTER POLICY signalbox_generate_signals_sees ON outbox USING (event_type IN ('CycleDecided', 'SignalGenerated', 'SignalResolved',
    'MarketDataStale', 'MarketDataRecovered', 'ModelRefused', 'DeploymentChanged'));
ALTER POLICY signalbox_generate_signals_puts ON outbox WITH CHECK (event_type IN ('CycleDecided', 'SignalGenerated',
    'SignalResolved', 'MarketDataStale', 'MarketDataRecovered', 'ModelRefused', 'DeploymentChanged'));
ALTER POLICY signalbox_generate_signals_publishes ON outbox USING (published_at IS NULL AND event_type IN ('CycleDecided',
    'SignalGenerated', 'SignalResolved', 'MarketDataStale', 'MarketDataRecovered', 'ModelRefused', 'DeploymentChanged'))
    WITH CHECK (published_at IS NOT NULL);
ALTER POLICY signalbox_library_api_sees ON outbox USING (event_type IN ('ModelRegistered', 'DeploymentChanged'));
ALTER POLICY signalbox_library_api_puts ON outbox WITH CHECK (event_type IN ('ModelRegistered', 'DeploymentChanged'));
ALTER POLICY signalbox_library_api_publishes ON outbox
    USING (published_at IS NULL AND event_type IN ('ModelRegistered', 'DeploymentChanged')) WITH CHECK (published_at IS NOT NULL);
CREATE POLICY signalbox_publish_reports_sees ON outbox FOR SELECT TO signalbox_publish_reports
    USING (event_type IN ('AccountSummarised'));
CREATE POLICY signalbox_publish_reports_puts ON outbox FOR INSERT TO signalbox_publish_reports
    WITH CHECK (event_type IN ('AccountSummarised'));
CREATE POLICY signalbox_publish_reports_publishes ON outbox FOR UPDATE TO signalbox_publish_reports
    USING (published_at IS NULL AND event_type IN ('AccountSummarised')) WITH CHECK (published_at IS NOT NULL);
GRANT SELECT, INSERT (event_id, event_type, detail, created_at), UPDATE (published_at) ON outbox TO signalbox_publish_reports;
