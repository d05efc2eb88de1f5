"""execute_orders, composed: the venue of an account, its credentials, the log of sends, the mailbox of MetaTrader 5, the bus."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import boto3
from aws_lambda_powertools.utilities import parameters
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from signalbox.adapters.aws.batches import visible_again
from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.aws.sends import DynamoAnswers, DynamoSendLog, newest_number, next_number
from signalbox.adapters.aws.signing_keys import SecretKeys
from signalbox.adapters.venues.ccxt_orders import CcxtVenue, CoinbaseCredentials
from signalbox.adapters.venues.mt5_mailbox import (
    Direction,
    EnvelopeError,
    Mt5Venue,
    ReplayError,
    open_envelope,
    require_key,
)
from signalbox.bootstrap.settings import ExecuteOrdersSettings, SettingsError
from signalbox.events import BusEvent, parse_event
from signalbox.orders.execution import execute, hand_on, look
from signalbox.orders.messages import (
    AccountName,
    ExecutionReported,
    ExecutionRequested,
    VenueViewReported,
    VenueViewRequested,
)
from signalbox.orders.parts import in_parts
from signalbox.orders.venue_port import CREDENTIALS, NOT_SUPPORTED, ClosedVenue, Venue, VenueBusyError
from signalbox.signing import AcceptedKeys, Sealed, open_message, require_in_time, sealed

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

MAX_WAIT = 30  # seconds that a view may wait to be due: a clock that is off by more delays it no longer
SECRET_SECONDS = 300  # how long a secret is kept; a rotated one is used within this time


class CoinbaseAccount(BaseModel):
    """Credentials of a Coinbase Exchange profile."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    venue: Literal["coinbase"]
    api_key: Annotated[str, Field(min_length=1)]
    api_secret: Annotated[str, Field(min_length=1)]
    passphrase: Annotated[str, Field(min_length=1)]
    sandbox: bool = False

    def credentials(self) -> CoinbaseCredentials:
        """Return them for the adapter."""
        return CoinbaseCredentials(self.api_key, self.api_secret, self.passphrase, sandbox=self.sandbox)


class Mt5Account(BaseModel):
    """An account behind an agent; its login stays on the agent's machine."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    venue: Literal["mt5"]


class BrokenAccount(BaseModel):
    """An account whose credentials cannot be used; `wrong` names the places and never what stands there."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    venue: Literal["broken"] = "broken"
    wrong: str


LiveAccount: TypeAlias = CoinbaseAccount | Mt5Account | BrokenAccount
_ACCOUNT: Final[TypeAdapter[CoinbaseAccount | Mt5Account]] = TypeAdapter(
    Annotated[CoinbaseAccount | Mt5Account, Field(discriminator="venue")]
)


def _each_for_itself(accounts: object) -> object:
    """Return the accounts, those that are wrong as broken ones: a slip in one must not close the venues of all."""
    if not isinstance(accounts, dict):
        return accounts
    found: dict[object, LiveAccount] = {}
    for name, said in accounts.items():
        try:
            found[name] = _ACCOUNT.validate_python(said)
        except ValidationError as error:
            found[name] = BrokenAccount(wrong=_places(error))
    return found


class ExecutionSecret(BaseModel):
    """The secret's JSON; the operator fills it in (docs/live-trading.md)."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)
    accounts: Annotated[dict[AccountName, LiveAccount], BeforeValidator(_each_for_itself)]
    mt5_signing_key: str = ""


def _now() -> datetime:
    return datetime.now(UTC)


def _sleep(wait: timedelta) -> None:
    time.sleep(wait.total_seconds())


class ViewNotDueError(VenueBusyError):
    """A view that is asked for a moment later, and then waits for that moment in its queue."""


def _wait_until_due(request: VenueViewRequested) -> None:
    """Give a view back to its queue until it is due; in a group of its own it holds nobody up. Raises ViewNotDueError."""
    left = timedelta(0) if request.not_before is None else request.not_before - _now()
    if left > timedelta(0):
        seconds = min(ceil(left.total_seconds()), MAX_WAIT)
        raise ViewNotDueError(f"{request.account}: the view is due at {request.not_before}", seconds)


def _places(error: ValidationError) -> str:
    """Return where a secret is wrong; the input would be the secret, so it is named by its places alone."""
    return ", ".join(".".join(str(part) for part in e["loc"]) or "the whole" for e in error.errors(include_input=False))


@dataclass
class ExecuteOrders:
    """Carries out one request at a time, and passes on what an agent reports."""

    settings: ExecuteOrdersSettings
    bus: EventBridgeBus
    table: DynamoDBClient
    queue: SQSClient
    secrets: parameters.SecretsProvider
    request_keys: AcceptedKeys
    pause: Callable[[timedelta], None] = _sleep
    _venues: dict[str, tuple[CoinbaseAccount, CcxtVenue]] = field(default_factory=dict)

    def accept(self, message: str) -> Sealed:
        """Return what the ledger sealed, if its time is not over.

        Raises SealError, UnreadableEventError or WireError: final. Raises KeyUnavailableError: deliver it again.
        """
        found = open_message(message, self.request_keys)
        require_in_time(found.seal, _now())
        return found

    def carry_out(self, request: ExecutionRequested | VenueViewRequested) -> tuple[BusEvent, ...]:
        """Do it and announce what happened; an order's request that is done is answered as before, and not done again.

        Raises VenueBusyError and, for a view, any ExecutionError: deliver it again.
        """
        if isinstance(request, VenueViewRequested):
            return self._done(request)
        answers = DynamoAnswers(self.table, self.settings.idempotency_table)
        if (answer := answers.find(request.account, request.event_id)) is not None:
            again = tuple(parse_event(**json.loads(text)) for text in answer)
            self.bus.announce(again)
            return again
        announced = self._done(request)
        texts = [json.dumps({"detail_type": event.type.value, "detail": event.to_detail()}) for event in announced]
        answers.keep(request.account, request.event_id, texts, _now())
        return announced

    def _done(self, request: ExecutionRequested | VenueViewRequested) -> tuple[BusEvent, ...]:
        if isinstance(request, VenueViewRequested):
            _wait_until_due(request)
        secret = self._secret()
        account = secret.accounts.get(request.account)
        report: ExecutionReported | VenueViewReported | None
        if isinstance(account, Mt5Account) and request.venue == account.venue:
            relay = self._mailbox(secret)
            if isinstance(request, ExecutionRequested):
                report = hand_on(request, relay, _now)
            else:
                relay.hand_on(request)
                report = None
        else:
            venue = self._venue(request, account)
            log = DynamoSendLog(self.table, self.settings.idempotency_table)
            if isinstance(request, ExecutionRequested):
                report = execute(request, venue, log, _now, chains=log, pause=self.pause)
            else:
                report = look(request, venue, log, chains=log)
        announced = () if report is None else in_parts(report)
        self.bus.announce(announced)
        return announced

    def pass_on(self, envelope: str) -> tuple[BusEvent, ...]:
        """Announce what an agent reported. Raises EnvelopeError when it is not an agent's word."""
        secret = self._secret()
        try:
            opened = open_envelope(envelope, key=require_key(secret.mt5_signing_key), direction=Direction.REPORT)
        except EnvelopeError:
            secret = self._secret(fresh=True)  # the key may just have been changed; what it does not open is refused for good
            opened = open_envelope(envelope, key=require_key(secret.mt5_signing_key), direction=Direction.REPORT)
        event = opened.event()
        if not isinstance(event, (ExecutionReported, VenueViewReported)) or event.account != opened.account:
            raise EnvelopeError(f"{opened.account} {opened.sequence}: expected a report of this account, was {event.type}")
        if not isinstance(secret.accounts.get(opened.account), Mt5Account):
            raise EnvelopeError(f"{opened.account}: expected an account with venue mt5 in the execution secret")
        if not newest_number(self.table, self.settings.idempotency_table, f"mt5-report-{opened.account}", opened.sequence):
            raise ReplayError(f"{opened.account} {opened.sequence}: newer reports were handled before")
        self.bus.announce((event,))
        return (event,)

    def retry_in(self, receipt_handle: str, queue_arn: str, seconds: int) -> None:
        """Make a message visible again after `seconds`."""
        visible_again(self.queue, receipt_handle, queue_arn, seconds)

    def _venue(self, request: ExecutionRequested | VenueViewRequested, account: LiveAccount | None) -> Venue:
        if account is None:
            return ClosedVenue(CREDENTIALS, "no credentials in the execution secret; add them under accounts")
        if isinstance(account, BrokenAccount):
            return ClosedVenue(CREDENTIALS, f"the execution secret is wrong at {account.wrong}; see docs/live-trading.md")
        if account.venue != request.venue or not isinstance(account, CoinbaseAccount):
            return ClosedVenue(NOT_SUPPORTED, f"expected venue {account.venue} as in the execution secret, was {request.venue}")
        kept = self._venues.get(request.account)
        if kept is None or kept[0] != account:
            kept = (account, CcxtVenue(account.credentials(), url=self.settings.venue_url, clock=_now))
            self._venues[request.account] = kept
        return kept[1]

    def _mailbox(self, secret: ExecutionSecret) -> Mt5Venue:
        return Mt5Venue(
            self.queue,
            self.settings.mt5_commands_queue_url,
            key=require_key(secret.mt5_signing_key),
            next_sequence=lambda account: next_number(self.table, self.settings.idempotency_table, f"mt5-command-{account}"),
            clock=_now,
        )

    def _secret(self, *, fresh: bool = False) -> ExecutionSecret:
        text = self.secrets.get(self.settings.exchange_secret_arn, max_age=SECRET_SECONDS, force_fetch=fresh)
        try:
            return ExecutionSecret.model_validate_json(str(text))
        except ValidationError as error:
            raise SettingsError(
                f"{self.settings.exchange_secret_arn}: wrong at {_places(error)}; expected JSON as in docs/live-trading.md"
            ) from None


def compose(settings: ExecuteOrdersSettings | None = None) -> ExecuteOrders:
    """Return the function's application from its environment."""
    found = settings or ExecuteOrdersSettings.read()
    secrets = boto3.client("secretsmanager")
    report_key = SecretKeys(secrets, found.report_key_arn)

    def detail(event: BusEvent) -> str:
        return sealed(event.type.value, event.to_detail(), report_key.current())

    return ExecuteOrders(
        settings=found,
        bus=EventBridgeBus(boto3.client("events"), found.event_bus_name, detail),
        table=boto3.client("dynamodb"),
        queue=boto3.client("sqs"),
        secrets=parameters.SecretsProvider(boto3_client=secrets),
        request_keys=SecretKeys(secrets, found.request_key_arn),
    )
