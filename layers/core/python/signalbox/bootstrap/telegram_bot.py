"""Composes telegram_bot: the people, the ledger as each person may use it, and the bot of the Telegram secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import boto3
import urllib3
from botocore.config import Config
from botocore.credentials import Credentials

from signalbox.access import Role
from signalbox.adapters.aws.batches import visible_again
from signalbox.adapters.aws.chat_table import DynamoFinishedUpdates, DynamoPending, DynamoPeople
from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.remote_ledger import LedgerQuestions, RemoteLedger, SignedOrders
from signalbox.adapters.aws.secret_texts import SecretTexts, secrets_client
from signalbox.adapters.aws.signing_keys import StoredKeys, key_client
from signalbox.adapters.telegram.client import DEFAULT_URL, TelegramClient
from signalbox.alerts.settings import read_settings, settings_text
from signalbox.application.telegram_bot import TelegramBot
from signalbox.bootstrap.settings import SettingsError, TelegramBotSettings
from signalbox.bootstrap.telegram_chats import TelegramSecret, telegram_secret
from signalbox.chat.bot.bot import Bot
from signalbox.chat.bot.confirmation import Confirmations, two_people_of
from signalbox.chat.bot.people import ChatPerson, principal_of
from signalbox.chat.bot.ports import RecentPrices
from signalbox.chat.bot.words import BotWords
from signalbox.contracts import SealKey

# An update asks several questions. The last one may begin this late and wait as long as PATIENT; then the function, which may run
# 60 s (cdk/stacks/chat.py), has time left to say that the ledger does not answer. Killed, it would say nothing.
ASK_WITHIN: Final = timedelta(seconds=20)
ORDERS_SECONDS = 12.0  # of a request to the orders API
# A question may meet a cold start and a login to an idle ledger: wait as long as query_ledger may run (cdk/stacks/chat.py), once.
PATIENT = Config(connect_timeout=2, read_timeout=16, retries={"total_max_attempts": 1})


def _now() -> datetime:
    return datetime.now(UTC)


def _paint(chart: RecentPrices) -> bytes:
    """Draw prices; what draws is imported with the first chart, which most answers do not need."""
    from signalbox.adapters.charts.painter import MatplotlibPainter  # noqa: PLC0415 - as it says

    return MatplotlibPainter().paint_prices(chart)


@dataclass
class BotClients:
    """The client of the bot in the current version of the secret."""

    secrets: SecretTexts
    secret_arn: str
    url: str
    _made: dict[str, TelegramClient] = field(default_factory=dict)

    def current(self) -> TelegramClient:
        """Return the client. Raises SettingsError."""
        token = self._secret().bot_token
        if token not in self._made:
            self._made = {token: TelegramClient(token, url=self.url or DEFAULT_URL)}
        return self._made[token]

    def needs_two(self, account: str) -> bool:
        """Return whether an account needs two people. Raises SettingsError."""
        return two_people_of(self._secret().two_people)(account)

    def alerts_of(self, chat: int, words: BotWords) -> str:
        """Return which alerts a chat gets, in words. Raises SettingsError."""
        secret = self._secret()
        return settings_text(str(chat), secret.chat_ids, read_settings(secret.alerts), words)

    def _secret(self) -> TelegramSecret:
        return telegram_secret(self.secrets, self.secret_arn)


def compose(settings: TelegramBotSettings | None = None) -> TelegramBot:
    """Return the application, composed from the environment."""
    found = settings or TelegramBotSettings.read()
    session = boto3.Session()
    table = boto3.client("dynamodb", config=QUICK)
    people = DynamoPeople(table, found.chat_table)
    pending = DynamoPending(table, found.chat_table)
    questions = LedgerQuestions(boto3.client("lambda", config=PATIENT), found.query_function)

    def credentials() -> Credentials:
        held = session.get_credentials()
        if held is None:
            raise SettingsError("expected the credentials of the function's role, got none")
        return held

    key = StoredKeys(key_client(), found.signing_keys_table, SealKey.PEOPLE).current
    pool = urllib3.PoolManager(timeout=urllib3.Timeout(ORDERS_SECONDS), retries=False)

    def api(url: str) -> SignedOrders:
        return SignedOrders(
            url=url.rstrip("/"),
            region=session.region_name,
            credentials=credentials,
            key=key,
            clock=_now,
            pool=pool,
            via=found.orders_api_via.rstrip("/"),
        )

    orders, library = api(found.orders_api_url), api(found.library_api_url)

    clients = BotClients(SecretTexts(secrets_client()), found.telegram_secret_arn, found.telegram_url)

    def bot_for(person: ChatPerson) -> Bot:
        last_question = _now() + ASK_WITHIN

        def role_of(user: int) -> Role | None:  # of the person, and of whoever asked for what they approve
            found = person if user == person.user else people.person(user)
            return None if found is None else found.role

        def ledger_for(user: int) -> RemoteLedger:
            return RemoteLedger(principal_of(user), questions, orders, library, lambda: _now() > last_question)

        return Bot(
            role_of,
            ledger_for,
            Confirmations(role_of, ledger_for, pending, clients.needs_two),
            name=clients.current().username,
            zone=person.zone,
            choose_zone=lambda zone: people.choose_zone(person.user, zone),
            alerts_of=clients.alerts_of,
            paint=_paint,
            stage=found.stage,
        )

    return TelegramBot(
        bot_for=bot_for,
        people=people,
        finished=DynamoFinishedUpdates(table, found.chat_table),
        client=clients.current,
        retry_in=partial(visible_again, boto3.client("sqs", config=QUICK)),
    )
