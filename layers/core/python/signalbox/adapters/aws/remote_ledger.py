"""The ledger as the bot reaches it: questions to query_ledger, commands to the orders API, each in the name of one person.

The bot runs outside the ledger's network and has no login there. A question is an invocation of a function that may only read. A
command is a request to the same API that `signalbox accounts` uses, signed with the function's own identity; a sealed header
names the person (trading.person_seal), whose role the ledger asks for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError
from typing_extensions import override

from signalbox.chat.bot.ports import BotLedger, BotLedgerError, BotLedgerSilentError
from signalbox.chat.bot.requests import request_of
from signalbox.library.routes import REQUEST_ID_HEADER, addressed
from signalbox.portfolio.account import EquitySnapshot
from signalbox.problems import in_words, read_problem
from signalbox.signals.signal import Signal
from signalbox.signing import KeyUnavailableError, SigningKey
from signalbox.trading.commands import AnyCommand
from signalbox.trading.documents import AccountDocument, ConfigurationDocument, OrderDocument, ReadinessDocument
from signalbox.trading.person_seal import HEADER, SealedRequest, seal_person
from signalbox.trading.questions import BARS, EQUITY, SIGNALS, TRADES, BarRow, LedgerAnswer
from signalbox.trading.state import Trade
from signalbox.wire import WireError, parse, parse_object

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from mypy_boto3_lambda import LambdaClient

MAX_ANSWER: Final = 6_291_456  # bytes, of an invocation
_UNANSWERED: Final = (429, 500, 502, 503, 504)


@dataclass(frozen=True)
class LedgerQuestions:
    """Asks query_ledger."""

    client: LambdaClient
    function: str

    def ask(self, question: Mapping[str, Any]) -> Any:
        """Return what was found. Raises BotLedgerError with the ledger's refusal, BotLedgerSilentError without an answer."""
        try:
            answer = self.client.invoke(FunctionName=self.function, Payload=json.dumps(question).encode())
            body = answer["Payload"].read(MAX_ANSWER + 1)
        except (ClientError, BotoCoreError, OSError) as error:
            raise BotLedgerSilentError from error
        if "FunctionError" in answer:  # its own log says what; a database that is down above all
            raise BotLedgerSilentError
        try:
            found = LedgerAnswer.model_validate(parse(body, max_bytes=MAX_ANSWER))
        except (WireError, ValueError) as error:
            raise BotLedgerSilentError from error
        if found.refused is not None:
            raise BotLedgerError(found.refused)
        return found.found


@dataclass(frozen=True)
class SignedOrders:
    """Sends requests to the orders API or the library API in the name of a person. via: the address to call if not `url`."""

    url: str
    region: str
    credentials: Callable[[], Credentials]
    key: Callable[[], SigningKey]
    clock: Callable[[], datetime]
    pool: urllib3.PoolManager
    via: str = ""

    def call(
        self,
        person: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Return the answer's JSON. Raises BotLedgerError, BotLedgerSilentError if the outcome is unknown."""
        content = b"" if body is None else json.dumps(body).encode()
        try:
            seal = seal_person(
                person, SealedRequest(method, path, content, headers.get(REQUEST_ID_HEADER, "")), self.key(), self.clock()
            )
        except KeyUnavailableError as error:
            raise BotLedgerError("The bot cannot read its signing key now. Nothing was sent; try again in a minute.") from error
        named = {"content-type": "application/json", **headers, HEADER: seal}
        signed = AWSRequest(method, f"{self.url}{path}", named, content)
        SigV4Auth(self.credentials().get_frozen_credentials(), "execute-api", self.region).add_auth(signed)
        sent = {**dict(signed.headers.items()), "host": urlsplit(self.url).netloc}
        try:
            answer = self.pool.request(method, f"{self.via or self.url}{path}", headers=sent, body=content)
        except urllib3.exceptions.HTTPError as error:
            raise BotLedgerSilentError from error
        is_done = 200 <= answer.status < 300
        try:
            found = parse_object(answer.data)
        except WireError as error:
            if is_done:
                raise BotLedgerSilentError from error
            found = {}
        if is_done:
            return found
        if answer.status in _UNANSWERED:
            raise BotLedgerSilentError
        problem = read_problem(found)
        if problem is None:
            raise BotLedgerError(f"The API refused the request (HTTP {answer.status}).")
        raise BotLedgerError(in_words(problem.errors) or problem.detail or problem.title)


@dataclass(frozen=True)
class RemoteLedger(BotLedger):
    """The ledger in the name of one person, for one update. is_late: whether there is no time left to wait for an answer."""

    who: str
    questions: LedgerQuestions
    orders: SignedOrders
    library_api: SignedOrders
    is_late: Callable[[], bool] = lambda: False

    @override
    def accounts(self) -> Sequence[ConfigurationDocument]:
        return cast("list[ConfigurationDocument]", self._ask("accounts"))

    @override
    def account(self, name: str) -> AccountDocument:
        return cast("AccountDocument", self._ask("account", account=name))

    @override
    def readiness(self, name: str) -> ReadinessDocument:
        return cast("ReadinessDocument", self._ask("readiness", account=name))

    @override
    def order(self, account: str, order: str) -> OrderDocument:
        return cast("OrderDocument", self._ask("order", account=account, client_order_id=order))

    @override
    def signals(self, start: datetime, end: datetime) -> Sequence[Signal]:
        return SIGNALS.validate_python(self._ask("signals", **_period(start, end)))

    @override
    def trades(self, account: str, start: datetime, end: datetime) -> Sequence[Trade]:
        return TRADES.validate_python(self._ask("trades", account=account, **_period(start, end)))

    @override
    def equity(self, account: str, start: datetime, end: datetime) -> Sequence[EquitySnapshot]:
        return EQUITY.validate_python(self._ask("equity", account=account, **_period(start, end)))

    @override
    def bars(self, symbol: str, start: datetime, end: datetime) -> Sequence[BarRow]:
        return BARS.validate_python(self._ask("bars", symbol=symbol, **_period(start, end)))

    @override
    def require(self, account: str, action: str) -> None:
        self._ask("permission", account=account, action=action)

    @override
    def command(self, command: AnyCommand) -> AccountDocument:
        request = request_of(command)
        found = self.orders.call(self.who, request.method, request.path, request.body)
        return cast("AccountDocument", found) if request.answers_account else self.account(command.account)

    @override
    def library(self, verb: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        request = addressed(verb, facts)
        if request.body is None and self.is_late():
            raise BotLedgerSilentError
        return self.library_api.call(self.who, request.method, request.path, request.body, request.headers)

    def _ask(self, kind: str, **facts: Any) -> Any:
        if self.is_late():
            raise BotLedgerSilentError
        return self.questions.ask({"kind": kind, "who": self.who, **facts})


def _period(start: datetime, end: datetime) -> dict[str, str]:
    return {"start": start.isoformat(), "end": end.isoformat()}
