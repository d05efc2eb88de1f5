"""One dashboard per stage: whether the cycle runs, its decisions, and failures. It refers to all resources by name."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration, aws_cloudwatch
from constructs import Construct

from cdk.constructs.alarms import stage_metric
from cdk.stacks.base import SignalboxStack
from cdk.stage import StageConfig
from signalbox.contracts import PRODUCT, Function, Metric

_HALF = 12  # of 24 columns
_GRAPHS = (  # title, statistic, metrics; two in a row
    ("Candles", "Sum", (Metric.CANDLES_COLLECTED, Metric.CANDLES_REFUSED)),
    ("Venue", "Sum", (Metric.VENUE_FAILURES, Metric.FALLBACK_SYMBOLS, Metric.FALLBACK_FAILURES)),
    ("Signals", "Sum", (Metric.SIGNALS_ISSUED, Metric.SYMBOLS_REFUSED)),
    ("Cycle, p99", "p99", (Metric.CYCLE_DURATION,)),
    ("Alerts", "Sum", (Metric.ALERTS_SENT, Metric.ALERTS_UNDELIVERABLE)),
    ("Outbox: oldest event", "Maximum", (Metric.OUTBOX_OLDEST_AGE,)),
    ("Trades", "Sum", (Metric.TRADES_OPENED, Metric.TRADES_CLOSED)),
    ("Not traded", "Sum", (Metric.ORDERS_REFUSED, Metric.SIGNALS_HELD_BACK)),
    ("Accounts: stops", "Sum", (Metric.TRADING_HALTS, Metric.RULES_BREACHED)),
    ("Outbox: sent by the relay", "Sum", (Metric.OUTBOX_PUBLISHED,)),
    ("Lake", "Sum", (Metric.DAYS_COMPACTED, Metric.LAKE_FILES_QUARANTINED)),
    ("Lake: missing candles", "Sum", (Metric.CANDLES_MISSING,)),
    ("Candles changed after the fact", "Sum", (Metric.CANDLES_REVISED, Metric.CANDLES_CONFLICTING)),
    ("Minutes without a trade", "Sum", (Metric.EMPTY_MINUTES,)),
)


class DashboardStack(SignalboxStack):
    """The dashboard."""

    def __init__(self, scope: Construct, stage: StageConfig) -> None:
        super().__init__(scope, stage, "dashboard", description="dashboard")
        dashboard = aws_cloudwatch.Dashboard(self, "Dashboard", dashboard_name=f"{PRODUCT}-{stage.name}")
        graphs = [self._graph(*graph) for graph in _GRAPHS]
        for row in zip(graphs[::2], graphs[1::2], strict=True):
            dashboard.add_widgets(*row)
        dashboard.add_widgets(self._functions("Errors", "Sum"), self._functions("Duration", "p99"))

    def _graph(self, title: str, statistic: str, metrics: Sequence[Metric]) -> aws_cloudwatch.GraphWidget:
        return aws_cloudwatch.GraphWidget(
            title=title,
            width=_HALF,
            left=[stage_metric(metric, stage=self.config, statistic=statistic) for metric in metrics],
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
