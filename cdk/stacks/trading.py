"""Applies signals, venue reports, commands and deadlines to accounts."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration
from constructs import Construct

from cdk.constructs.alarms import TopicAlarm
from cdk.constructs.function import WHOLE_VCPU, SignalboxFunction
from cdk.constructs.http_api import SignedHttpApi
from cdk.constructs.layers import LayerName
from cdk.constructs.subscription import AccountQueue, FunctionQueue, QueueDelivery, events_of, subscribe
from cdk.stacks.function_stack import FunctionStack, Platform
from signalbox.contracts import PRODUCT, Env, EventType, Function, Metric, SealKey, StackOutput

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
        "a position that has to be closed is still open after a minute; exits are retried until it is closed",
    ),
    (Metric.TRADING_HALTS, "trading of an account was halted; the alert and the log of the function say by whom and why"),
    (Metric.RULES_BREACHED, "an account broke a loss rule; that is final"),
    (
        Metric.EVENTS_REFUSED,
        "a message cannot be read, is of the wrong kind, or fits no order or account; the log has it",
    ),
    (Metric.REPORTS_REFUSED, "a venue report was too old or not signed by execute_orders; it was not booked, and the log has it"),
    (
        Metric.ACCESS_REFUSED,
        "someone sent a command without having the role for it; the log and the table access_refusals say who and what",
    ),
    (Metric.ACCOUNTS_NOT_OPENED, "a configured account differs from the ledger; the configuration in the ledger stays in use"),
    (Metric.VENUE_DIFFERENCES, "ledger and venue differ and no event explains it; the account is halted"),
    (
        Metric.OTHERS_AT_VENUE,
        "someone else's position at the venue of one of our accounts began, changed or ended; it is not touched",
    ),
    (
        Metric.TURNS_MISSED,
        "an account could not process an event that other accounts processed; it is retried alone, and the log says why",
    ),
)


class TradingStack(FunctionStack):
    """manage_orders with its queue and its API, and monitor_risk with its schedule."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        super().__init__(scope, platform, "trading", description="accounts, orders and their risk")
        manage = self._function("ManageOrders", Function.MANAGE_ORDERS)
        monitor = self._function("MonitorRisk", Function.MONITOR_RISK)
        manage.allow_items(["dynamodb:GetItem"], platform.secrets.keys, list(SealKey))
        monitor.allow_items(["dynamodb:GetItem"], platform.secrets.keys, [SealKey.REQUESTS])  # it gets no reports and no commands
        for metric, description in _ALARMS:
            self.alarm_at(metric, description)
        self._listen(manage)
        self.run_on_schedule(
            "EveryMinute",
            monitor,
            "cron(* * * * ? *)",
            maximum_age=Duration.seconds(60),  # a later run would meet the next one
            retries=0,  # Lambda waits a minute before it tries again, and then the next run is there
        )
        TopicAlarm(
            self,
            "NotMonitored",
            metric=monitor.function.metric_invocations(period=Duration.minutes(5), statistic="Sum"),  # failed ones alarm too
            threshold=1,
            below=True,
            missing_is_breaching=True,
            description="no account was monitored for five minutes: monitor_risk is not invoked",
            topic=platform.context.alarm_topic,
        )
        self.api = SignedHttpApi(
            self,
            "Orders",
            stage=self.config,
            name=f"{PRODUCT}-{self.config.name}-orders",
            function=manage,
            routes=ROUTES,
            apart=(HALT_ROUTE,),  # other requests must not throttle a halt; the kill switch's queue has no throttle
        )
        self.output(StackOutput.ORDERS_API_URL, self.api.url)

    def _function(self, construct_id: str, name: Function) -> SignalboxFunction:
        platform = self.platform
        return SignalboxFunction(
            self,
            construct_id,
            name=name,
            context=platform.context,
            layers=(LayerName.CORE,),
            outgoing=platform.data.outgoing,
            environment={
                Env.VENUE: self.config.venues[0],
                Env.SIGNING_KEYS_TABLE: platform.secrets.keys.table_name,
            },
            timeout_seconds=_TIMEOUT_SECONDS,
            memory_megabytes=WHOLE_VCPU,
            ledger=platform.data.ledger,
        )

    def _listen(self, manage: SignalboxFunction) -> None:
        messaging, topic = self.platform.messaging, self.platform.context.alarm_topic
        trading = AccountQueue(self, "Trading", function=manage, alarm_topic=topic)
        self.queue = trading.queue
        subscribe(
            trading,
            bus=messaging.bus,
            undelivered=messaging.undelivered,
            queue=trading.queue,
            patterns={
                "IssuedSignals": events_of(EventType.SIGNAL_GENERATED, detail={"issued": [True]}),
                "DecidedCycles": events_of(EventType.CYCLE_DECIDED),
            },
            group=MARKET_GROUP,
        )
        # not FIFO: nothing can stand in front of a halt, and a halt needs no order, for it carries its instant
        halts = FunctionQueue(self, "KillSwitch", function=manage, alarm_topic=topic, delivery=QueueDelivery.patient(manage))
        self.kill_switch = halts.queue
        manage.function.add_environment(Env.KILL_SWITCH_QUEUE_ARN.value, halts.queue.queue_arn)
        manage.function.add_environment(Env.ACCOUNTS.value, ",".join(self.config.accounts))
        manage.function.add_environment(Env.OWNERS.value, ",".join(self.config.owners))
        self.output(StackOutput.TRADING_QUEUE_URL, trading.queue.queue_url)
        self.output(StackOutput.TRADING_DLQ_URL, trading.dead_letters.queue.queue_url)
        self.output(StackOutput.KILL_SWITCH_QUEUE_URL, halts.queue.queue_url)
        self.output(StackOutput.KILL_SWITCH_DLQ_URL, halts.dead_letters.queue.queue_url)
