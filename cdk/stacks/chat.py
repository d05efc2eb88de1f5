"""The bot: an HTTP API for Telegram's calls, a queue, the function that answers, and the one that reads the ledger for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aws_cdk import Aws
from constructs import Construct

from cdk.constructs.acknowledge import acknowledge
from cdk.constructs.function import WHOLE_VCPU, SignalboxFunction
from cdk.constructs.http_api import SignedHttpApi
from cdk.constructs.layers import LayerName
from cdk.constructs.subscription import FunctionQueue, QueueDelivery
from cdk.stacks.function_stack import FunctionStack, Platform
from cdk.stacks.library import LibraryStack
from cdk.stacks.trading import HALT_ROUTE, TradingStack
from signalbox.contracts import PRODUCT, Env, Function, Metric, SealKey, StackOutput
from signalbox.library.routes import LIBRARY_ROUTES

WEBHOOK_ROUTE: Final = "POST /telegram"
COMMAND_ROUTES: Final = (  # of the orders API: what the bot may ask for, in the name of a person
    "POST /orders",
    "DELETE /orders/{client_order_id}",
    "POST /accounts/{account}/confirm",
    HALT_ROUTE,
    "POST /accounts/{account}/resume",
)
LIBRARY_VERBS: Final = frozenset({"show", "compare", "history", "permission", "deploy", "promote", "rollback"})

REQUESTS_PER_SECOND: Final = 10  # a team types less; whoever found the address pays nothing and costs little (docs/telegram.md)
BURST: Final = 20
CONCURRENCY: Final = 5  # answers at a time
_QUERY_SECONDS: Final = 15  # whoever asks waits no longer; a login to an idle ledger takes two
_ALARMS: Final = (
    (
        Metric.WEBHOOK_REFUSED,
        100,
        "somebody calls the bot's address without its secret, or with a body that is no Telegram update",
    ),
    (Metric.STRANGERS_IGNORED, 50, "people who are not listed write to the bot; the log of the webhook has their numbers"),
    (Metric.ANSWERS_LOST, 1, "the bot could not answer: its token is revoked, or the chat is gone"),
)


class ChatStack(FunctionStack):
    """telegram_webhook with its API and queue, telegram_bot, and query_ledger, which may only read."""

    def __init__(self, scope: Construct, platform: Platform, *, trading: TradingStack, library: LibraryStack) -> None:
        super().__init__(scope, platform, "chat", description="the bot")
        self.query = SignalboxFunction(
            self,
            "QueryLedger",
            name=Function.QUERY_LEDGER,
            context=platform.context,
            layers=(LayerName.CORE,),
            environment={Env.VENUE: self.config.venues[0]},
            timeout_seconds=_QUERY_SECONDS,
            memory_megabytes=WHOLE_VCPU,
            ledger=platform.data.ledger,
        )
        bot = self._bot(trading, library)
        updates = FunctionQueue(
            self,
            "Updates",
            function=bot,
            alarm_topic=platform.context.alarm_topic,
            fifo=True,  # one message group per chat
            delivery=QueueDelivery(batch_size=1, maximum_receives=8, maximum_concurrency=CONCURRENCY, visibility_seconds=75),
        )
        webhook = self._webhook(updates)
        api = SignedHttpApi(
            self,
            "Webhook",
            stage=self.config,
            name=f"{PRODUCT}-{self.config.name}-telegram",
            function=webhook,
            routes=(WEBHOOK_ROUTE,),
            requests_per_second=REQUESTS_PER_SECOND,
            burst=BURST,
            is_signed=False,
        )
        acknowledge(api, "APIG4", "Telegram cannot sign; the function compares the secret that it sends in constant time.")
        for metric, threshold, description in _ALARMS:
            self.alarm_at(metric, description, threshold=threshold)
        self.output(StackOutput.WEBHOOK_URL, f"{api.url}{WEBHOOK_ROUTE.partition(' ')[2]}")
        self.output(StackOutput.UPDATES_QUEUE_URL, updates.queue.queue_url)
        self.output(StackOutput.UPDATES_DLQ_URL, updates.dead_letters.queue.queue_url)

    def _webhook(self, updates: FunctionQueue) -> SignalboxFunction:
        platform = self.platform
        secret, table = platform.secrets.webhook, platform.data.chat
        webhook = SignalboxFunction(
            self,
            "TelegramWebhook",
            name=Function.TELEGRAM_WEBHOOK,
            context=platform.context,
            layers=(LayerName.CORE,),
            environment={
                Env.WEBHOOK_SECRET_ARN: secret.secret_arn,
                Env.CHAT_TABLE: table.table_name,
                Env.UPDATES_QUEUE_URL: updates.queue.queue_url,
            },
            timeout_seconds=10,
            memory_megabytes=512,
        )
        webhook.allow(["secretsmanager:GetSecretValue"], secret.secret_arn)
        webhook.allow(["dynamodb:GetItem"], table.table_arn)
        webhook.allow(["sqs:SendMessage"], updates.queue.queue_arn)
        return webhook

    def _bot(self, trading: TradingStack, library: LibraryStack) -> SignalboxFunction:
        platform, endpoints = self.platform, self.config.endpoints
        secrets, table = platform.secrets, platform.data.chat
        bot = SignalboxFunction(
            self,
            "TelegramBot",
            name=Function.TELEGRAM_BOT,
            context=platform.context,
            layers=(LayerName.CORE, LayerName.CHAT, LayerName.CHARTS),
            environment={
                Env.TELEGRAM_SECRET_ARN: secrets.telegram.secret_arn,
                Env.TELEGRAM_URL: endpoints.telegram_url if endpoints else "",
                Env.SIGNING_KEYS_TABLE: secrets.keys.table_name,
                Env.CHAT_TABLE: table.table_name,
                Env.QUERY_FUNCTION_NAME: self.query.live.function_arn,
                Env.ORDERS_API_URL: trading.api.url,
                Env.LIBRARY_API_URL: library.api.url,
                Env.ORDERS_API_VIA: endpoints.api_url if endpoints else "",
                Env.MPLCONFIGDIR: "/tmp/matplotlib",  # noqa: S108 - the one folder that a function may write
            },
            timeout_seconds=60,  # a cold start, ASK_WITHIN and one question (bootstrap/telegram_bot.py), and the answer
            memory_megabytes=1024,
        )
        bot.allow(["secretsmanager:GetSecretValue"], secrets.telegram.secret_arn)
        bot.allow_items(["dynamodb:GetItem"], secrets.keys, [SealKey.PEOPLE])
        bot.allow(["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], table.table_arn)
        bot.allow(["lambda:InvokeFunction"], self.query.live.function_arn)
        self._may_call(bot, trading, trading.api, COMMAND_ROUTES, "A route names any account; the ledger asks for the role.")
        asked = [route.key for route in LIBRARY_ROUTES if route.verb in LIBRARY_VERBS]
        self._may_call(bot, library, library.api, asked, "A route takes any request; the library asks for the role.")
        return bot

    def _may_call(
        self, bot: SignalboxFunction, stack: FunctionStack, api: SignedHttpApi, routes: Sequence[str], reason: str
    ) -> None:
        """Let the bot call routes of another stack's API, with the reason why a part of them is open."""
        bot.allow(["execute-api:Invoke"], *(api.arn_of(route) for route in routes))
        api_id: dict[str, str] = self.resolve(stack.export_value(api.api.api_id))
        shown = {  # as cdk-nag writes what only a deployment knows
            api.api.api_id: api_id["Fn::ImportValue"],
            Aws.PARTITION: "<AWS::Partition>",
            Aws.REGION: "<AWS::Region>",
            Aws.ACCOUNT_ID: "<AWS::AccountId>",
        }
        for route in routes:
            if "{" in route:
                arn = api.arn_of(route)
                for token, text in shown.items():
                    arn = arn.replace(token, text)
                acknowledge(bot.role, f"IAM5[Resource::{arn}]", reason)
