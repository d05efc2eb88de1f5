"""Defines all alarms alike, with the operations topic as their action. Each metric of an alarm costs money (decision 0090)."""

from __future__ import annotations

from aws_cdk import Duration, aws_cloudwatch, aws_sns
from aws_cdk import aws_cloudwatch_actions as actions
from constructs import Construct

from cdk.stage import StageConfig
from signalbox.contracts import METRIC_NAMESPACE, Metric


def stage_metric(metric: Metric, *, stage: StageConfig, statistic: str, period: Duration | None = None) -> aws_cloudwatch.Metric:
    """Return a metric that functions of a stage emit. All of them share it; a log line names the function (decision 0090)."""
    return aws_cloudwatch.Metric(
        namespace=METRIC_NAMESPACE,
        metric_name=metric,
        dimensions_map={"service": stage.service},
        statistic=statistic,
        period=period or Duration.minutes(5),
    )


class TopicAlarm(Construct):
    """An alarm that notifies the operator."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        metric: aws_cloudwatch.IMetric,
        threshold: float,
        description: str,
        topic: aws_sns.ITopic,
        periods: int = 1,
        below: bool = False,
        missing_is_breaching: bool = False,
    ) -> None:
        super().__init__(scope, construct_id)
        self.alarm = aws_cloudwatch.Alarm(
            self,
            "Alarm",
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=(
                aws_cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
                if below
                else aws_cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
            ),
            treat_missing_data=(
                aws_cloudwatch.TreatMissingData.BREACHING
                if missing_is_breaching
                else aws_cloudwatch.TreatMissingData.NOT_BREACHING
            ),
            alarm_description=description,
        )
        self.alarm.add_alarm_action(actions.SnsAction(topic))
        self.alarm.add_ok_action(actions.SnsAction(topic))
