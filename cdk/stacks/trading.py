"""Applies signals, venue reports, commands and the passing of time to accounts."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration, aws_events
from constructs import Construct

from cdk.constructs.alarms import TopicAlarm, stage_metric
from cdk.constructs.function import FunctionContext, SignalboxFunction
from cdk.constructs.http_api import SignedHttpApi
from cdk.constructs.layers import LayerName
from cdk.constructs.schedule import JobSchedule
from cdk.constructs.subscription import GRACE_SECONDS, PATIENT_RECEIVES, AccountQueue, FunctionQueue, subscribe
from cdk.stacks.base import SignalboxStack
from cdk.stacks.data import DataStack
from cdk.stacks.messaging import MessagingStack
from cdk.stacks.secrets import SecretsStack
from signalbox.contracts import EVENT_SOURCE, PRODUCT, Env, EventType, Function, Metric, StackOutput

HALT_ROUTE: Final = "POST /accounts/{account}/halt"
ROUTES: Final = (
    "POST /orders",
    "DELETE /orders/{client_order_id}",
    "PUT /orders/{client_order_id}",
    "PUT /accounts/{account}",
    "POST /accounts/{account}/confirm",
    "POST /accounts/{account}/adopt",
    "POST /accounts/{account}/deposit",
    "POST /accounts/{account}/withdraw",
    "POST /accounts/{account}/lots",
    HALT_ROUTE,
    "POST /accounts/{account}/resume",
    "POST /accounts/{account}/grant",
    "POST /accounts/{account}/revoke",
    "GET /accounts",
    "GET /accounts/{account}",
    "GET /accounts/{account}/readiness",
    "GET /accounts/{account}/access",
)
_TIMEOUT_SECONDS: Final = 30  # plus a little: how long an account stands still after a crash
MARKET_GROUP: Final = "market"  # events for every account; events for one account come from route_events, in the account's group
_ALARMS: Final = (
    (
        Metric.EXITS_FAILED,
        "a position that has to be closed is still there after a minute; it is tried until it is closed",
    ),
    (Metric.TRADING_HALTS, "trading of an account was halted; the log of the function and the alert say by whom and why"),
    (Metric.RULES_BREACHED, "an account broke a loss rule; that is final"),
    (
        Metric.EVENTS_REFUSED,
        "a message is none that its function can read or has business with, or fits no order or account; the log keeps it",
    ),
    (Metric.REPORTS_REFUSED, "a report of a venue is not the executor's word and was not believed; the log keeps it"),
    (
        Metric.ACCESS_REFUSED,
        "somebody asked for what they have no role for; the log and the table access_refusals say who and what",
    ),
    (Metric.ACCOUNTS_NOT_OPENED, "a configured account is another one in the ledger, which stays as it is"),
    (Metric.VENUE_DIFFERENCES, "ledger and venue differ and no event explains it; the account is halted"),
    (
        Metric.OTHERS_AT_VENUE,
        "somebody else's position at the venue of an account of ours began, changed or ended; it is not touched",
    ),
    (Metric.TURNS_MISSED, "an account could not take what the others took; it gets it again alone, and the log says why"),
)


class TradingStack(SignalboxStack):
    """manage_orders with its queue and its API, monitor_risk with its schedule."""

    def __init__(
        self,
        scope: Construct,
        context: FunctionContext,
        *,
        data: DataStack,
        secrets: SecretsStack,
        messaging: MessagingStack,
    ) -> None:
        super().__init__(scope, context.stage, "trading", description="accounts, orders and their risk")
        self._context, self._data, self._messaging = context, data, messaging
        self._secrets = secrets
        manage = self._function("ManageOrders", Function.MANAGE_ORDERS, megabytes=1769)  # one full vCPU
        monitor = self._function("MonitorRisk", Function.MONITOR_RISK, megabytes=512)
        manage.function.add_environment(Env.REPORT_KEY_ARN.value, secrets.report_key.secret_arn)
        manage.allow(["secretsmanager:GetSecretValue"], secrets.report_key.secret_arn)
        for metric, description in _ALARMS:
            TopicAlarm(
                self,
                metric.value,
                metric=stage_metric(metric, stage=context.stage, statistic="Sum"),
                threshold=1,
                description=description,
                topic=context.alarm_topic,
            )
        self._listen(manage)
        JobSchedule(
            self,
            "EveryMinute",
            function=monitor,
            expression="cron(* * * * ? *)",
            maximum_age=Duration.seconds(60),  # a later run would meet the next one
            retries=0,  # Lambda would wait a minute before a retry, and by then the next run has started
            group_name=messaging.schedule_group,
            enabled=context.stage.schedules_enabled,
            lost_runs=messaging.lost_runs,
        )
        TopicAlarm(
            self,
            "NotMonitored",
            metric=stage_metric(Metric.MONITOR_RUNS, stage=context.stage, statistic="Sum"),
            threshold=1,
            below=True,
            missing_is_breaching=True,
            description="no account was watched for five minutes",
            topic=context.alarm_topic,
        )
        api = SignedHttpApi(
            self,
            "Orders",
            stage=context.stage,
            name=f"{PRODUCT}-{context.stage.name}-orders",
            function=manage,
            routes=ROUTES,
            apart=(HALT_ROUTE,),  # other requests must not throttle a halt; the kill switch's queue has no throttle
        )
        self.output(StackOutput.ORDERS_API_URL, api.url)

    def _function(self, construct_id: str, name: Function, *, megabytes: int) -> SignalboxFunction:
        stage = self._context.stage
        function = SignalboxFunction(
            self,
            construct_id,
            name=name,
            context=self._context,
            layers=(LayerName.CORE,),
            bus=self._messaging.bus,
            environment={
                Env.VENUE: stage.venue,
                Env.REQUEST_KEY_ARN: self._secrets.request_key.secret_arn,
            },
            timeout_seconds=_TIMEOUT_SECONDS,
            memory_megabytes=megabytes,
            ledger=self._data.ledger,
        )
        function.allow(["secretsmanager:GetSecretValue"], self._secrets.request_key.secret_arn)
        return function

    def _listen(self, manage: SignalboxFunction) -> None:
        issued = aws_events.EventPattern(
            source=[EVENT_SOURCE], detail_type=[EventType.SIGNAL_GENERATED.value], detail={"issued": [True]}
        )
        decided = aws_events.EventPattern(source=[EVENT_SOURCE], detail_type=[EventType.CYCLE_DECIDED.value])
        trading = AccountQueue(self, "Trading", function=manage, alarm_topic=self._context.alarm_topic)
        self.queue = trading.queue
        subscribe(
            trading,
            bus=self._messaging.bus,
            undelivered=self._messaging.undelivered,
            queue=trading.queue,
            patterns=[("IssuedSignals", issued), ("DecidedCycles", decided)],
            group=MARKET_GROUP,
        )
        # not FIFO, so that nothing can delay a halt; halts need no order, because each carries its instant
        halts = FunctionQueue(
            self,
            "KillSwitch",
            function=manage,
            alarm_topic=self._context.alarm_topic,
            batch_size=1,
            maximum_receives=PATIENT_RECEIVES,
            visibility_seconds=_TIMEOUT_SECONDS + GRACE_SECONDS,
        )
        self.kill_switch = halts.queue
        manage.function.add_environment(Env.KILL_SWITCH_QUEUE_ARN.value, halts.queue.queue_arn)
        manage.function.add_environment(Env.ACCOUNTS.value, ",".join(self._context.stage.accounts))
        manage.function.add_environment(Env.OWNERS.value, ",".join(self._context.stage.owners))
        self.output(StackOutput.TRADING_QUEUE_URL, trading.queue.queue_url)
        self.output(StackOutput.TRADING_DLQ_URL, trading.dead_letters.queue.queue_url)
        self.output(StackOutput.KILL_SWITCH_QUEUE_URL, halts.queue.queue_url)
        self.output(StackOutput.KILL_SWITCH_DLQ_URL, halts.dead_letters.queue.queue_url)
