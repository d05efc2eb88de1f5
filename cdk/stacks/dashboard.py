"""One page a stage: does the cycle run, what does it say, what failed. Refers to everything by name."""

from __future__ import annotations

from aws_cdk import Duration, aws_cloudwatch
from constructs import Construct

from cdk.constructs.alarms import service_metric
from cdk.stacks.base import SignalboxStack
from cdk.stage import StageConfig
from signalbox.contracts import PRODUCT, Function, Metric

_HALF = 12  # of 24 columns


class DashboardStack(SignalboxStack):
    """The dashboard."""

    def __init__(self, scope: Construct, stage: StageConfig) -> None:
        super().__init__(scope, stage, "dashboard", description="dashboard")
        dashboard = aws_cloudwatch.Dashboard(self, "Dashboard", dashboard_name=f"{PRODUCT}-{stage.name}")
        dashboard.add_widgets(
            self._graph("Candles", Function.COLLECT_CANDLES, "Sum", Metric.CANDLES_COLLECTED, Metric.CANDLES_REFUSED),
            self._graph("Venue", Function.COLLECT_CANDLES, "Sum", Metric.VENUE_FAILURES),
        )
        dashboard.add_widgets(
            self._graph("Signals", Function.GENERATE_SIGNALS, "Sum", Metric.SIGNALS_ISSUED, Metric.SYMBOLS_REFUSED),
            self._graph("Cycle, p99", Function.GENERATE_SIGNALS, "p99", Metric.CYCLE_DURATION),
        )
        dashboard.add_widgets(
            self._graph("Alerts", Function.SEND_ALERTS, "Sum", Metric.ALERTS_SENT, Metric.ALERTS_UNDELIVERABLE),
            self._graph("Outbox: oldest event", Function.RELAY_OUTBOX, "Maximum", Metric.OUTBOX_OLDEST_AGE),
        )
        dashboard.add_widgets(
            self._graph("Trades", Function.MANAGE_ORDERS, "Sum", Metric.TRADES_OPENED, Metric.TRADES_CLOSED),
            self._graph("Not traded", Function.MANAGE_ORDERS, "Sum", Metric.ORDERS_REFUSED, Metric.SIGNALS_HELD_BACK),
        )
        dashboard.add_widgets(
            self._graph("Accounts: stops", Function.MONITOR_RISK, "Sum", Metric.TRADING_HALTS, Metric.RULES_BREACHED),
            self._graph("One message of the trading queue, p99", Function.MANAGE_ORDERS, "p99", Metric.TRADING_DURATION),
        )
        dashboard.add_widgets(
            self._graph("Lake", Function.COMPACT_CANDLES, "Sum", Metric.DAYS_COMPACTED, Metric.LAKE_FILES_QUARANTINED),
            self._graph("Lake: missing candles", Function.COMPACT_CANDLES, "Sum", Metric.CANDLES_MISSING),
        )
        dashboard.add_widgets(self._functions("Errors", "Sum"), self._functions("Duration", "p99"))

    def _graph(self, title: str, function: Function, statistic: str, *metrics: Metric) -> aws_cloudwatch.GraphWidget:
        service = self.config.function_name(function)
        return aws_cloudwatch.GraphWidget(
            title=title,
            width=_HALF,
            left=[service_metric(metric, service=service, statistic=statistic) for metric in metrics],
        )

    def _functions(self, metric: str, statistic: str) -> aws_cloudwatch.GraphWidget:
        return aws_cloudwatch.GraphWidget(
            title=f"Functions: {metric.lower()}",
            width=_HALF,
            left=[
                aws_cloudwatch.Metric(
                    namespace="AWS/Lambda",
                    metric_name=metric,
                    dimensions_map={"FunctionName": self.config.function_name(function)},
                    statistic=statistic,
                    period=Duration.minutes(5),
                )
                for function in Function
            ],
        )
