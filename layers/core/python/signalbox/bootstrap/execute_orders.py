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
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from signalbox.adapters.aws.batches import visible_again
from signalbox.adapters.aws.bus import EventBridgeBus
from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.mailboxes import ExpectedAnswer, Mailboxes, MailboxKeyError
from signalbox.adapters.aws.secret_texts import SecretTexts
from signalbox.adapters.aws.sends import DynamoAnswers, DynamoSendLog, newest_number
from signalbox.adapters.aws.signing_keys import SecretKeys, key_client
from signalbox.adapters.venues.ccxt_orders import CcxtVenue, CoinbaseCredentials
from signalbox.adapters.venues.mt5_mailbox import VENUE, Answer, CommandRefused, CommandTaken, EnvelopeError, ReplayError
from signalbox.bootstrap.settings import ExecuteOrdersSettings, SettingsError
from signalbox.events import BusEvent, parse_event
from signalbox.orders.execution import execute, forward, query
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
from signalbox.wire import parse_object

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

MAX_WAIT = 30  # seconds that a view may wait to be due: a clock that is off by more delays it no longer


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
    """An account behind an agent. Its key has a secret of its own, so an entry here gives it nothing."""

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
    for name, content in accounts.items():
        try:
            found[name] = _ACCOUNT.validate_python(content)
        except ValidationError as error:
            found[name] = BrokenAccount(wrong=_places(error))
    return found


class ExecutionSecret(BaseModel):
    """The secret's JSON; the operator fills it in (docs/live-trading.md)."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)
    accounts: Annotated[dict[AccountName, LiveAccount], BeforeValidator(_each_for_itself)]


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
    secrets: SecretTexts
    request_keys: AcceptedKeys
    mailboxes: Mailboxes
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
            again = tuple(parse_event(**parse_object(text)) for text in answer)
            self.bus.announce(again)
            return again
        announced = self._done(request)
        texts = [json.dumps({"detail_type": event.type.value, "detail": event.to_detail()}) for event in announced]
        answers.keep(request.account, request.event_id, texts, _now())
        return announced

    def _done(self, request: ExecutionRequested | VenueViewRequested) -> tuple[BusEvent, ...]:
        if isinstance(request, VenueViewRequested):
            _wait_until_due(request)
        report = self._through_mailbox(request) if self._has_mailbox(request) else self._at_venue(request)
        announced = () if report is None else in_parts(report)
        self.bus.announce(announced)
        return announced

    def _has_mailbox(self, request: ExecutionRequested | VenueViewRequested) -> bool:
        return request.venue == VENUE and request.account in self.settings.mt5_accounts

    def _through_mailbox(self, request: ExecutionRequested | VenueViewRequested) -> ExecutionReported | None:
        """Hand a request on to the account's agent; return what is known now. Raises VenueRefusedError: a view without a key."""
        try:
            relay = self.mailboxes.relay(request.account)
        except MailboxKeyError as error:
            closed = ClosedVenue(CREDENTIALS, str(error))
            if isinstance(request, VenueViewRequested):
                closed.view(request)  # raises
                return None
            return execute(request, closed, DynamoSendLog(self.table, self.settings.idempotency_table), _now)
        if isinstance(request, ExecutionRequested):
            return forward(request, relay, _now)
        relay.forward(request)
        return None

    def _at_venue(self, request: ExecutionRequested | VenueViewRequested) -> ExecutionReported | VenueViewReported:
        venue = self._venue(request, self._secret().accounts.get(request.account))
        log = DynamoSendLog(self.table, self.settings.idempotency_table)
        if isinstance(request, ExecutionRequested):
            return execute(request, venue, log, _now, chains=log, pause=self.pause)
        return query(request, venue, log, chains=log)

    def pass_on(self, account: str, envelope: str) -> tuple[BusEvent | Answer, ...]:
        """Announce what the agent of an account reported, note what it answered. Raises EnvelopeError: it is not its word."""
        opened = self.mailboxes.open_report(account, envelope)
        content = opened.said()
        is_of_account = isinstance(content, ExecutionReported | VenueViewReported) and content.account == account
        if not isinstance(content, CommandTaken | CommandRefused) and not is_of_account:
            raise EnvelopeError(f"{account} {opened.sequence}: expected a report of this account, was {content.type}")
        if not newest_number(self.table, self.settings.idempotency_table, f"mt5-report-{account}", opened.sequence):
            raise ReplayError(f"{account} {opened.sequence}: newer reports were handled before")
        if isinstance(content, CommandTaken | CommandRefused):
            self.mailboxes.note(account, content)
        else:
            self.bus.announce((content,))
        return (content,)

    def check(self, text: str) -> ExpectedAnswer | None:
        """Stop an account whose agent did not answer a command; return that command. Raises WireError, ValidationError."""
        return self.mailboxes.check(text)

    def retry_in(self, receipt_handle: str, queue_arn: str, seconds: int) -> None:
        """Make a message visible again after `seconds`."""
        visible_again(self.queue, receipt_handle, queue_arn, seconds)

    def _venue(self, request: ExecutionRequested | VenueViewRequested, account: LiveAccount | None) -> Venue:
        if account is None:
            return ClosedVenue(CREDENTIALS, "no credentials in the execution secret; add them under accounts")
        if isinstance(account, BrokenAccount):
            return ClosedVenue(CREDENTIALS, f"the execution secret is wrong at {account.wrong}; see docs/live-trading.md")
        if isinstance(account, Mt5Account) and request.venue == VENUE:
            return ClosedVenue(CREDENTIALS, "it has no mailbox: deploy with it in mt5_accounts; see docs/live-trading.md")
        if account.venue != request.venue or not isinstance(account, CoinbaseAccount):
            return ClosedVenue(NOT_SUPPORTED, f"expected venue {account.venue} as in the execution secret, was {request.venue}")
        kept = self._venues.get(request.account)
        if kept is None or kept[0] != account:
            kept = (account, CcxtVenue(account.credentials(), url=self.settings.venue_url, clock=_now))
            self._venues[request.account] = kept
        return kept[1]

    def _secret(self) -> ExecutionSecret:
        text = self.secrets.get(self.settings.exchange_secret_arn)
        try:
            return ExecutionSecret.model_validate_json(str(text))
        except ValidationError as error:
            raise SettingsError(
                f"{self.settings.exchange_secret_arn}: wrong at {_places(error)}; expected JSON as in docs/live-trading.md"
            ) from None


def compose(settings: ExecuteOrdersSettings | None = None) -> ExecuteOrders:
    """Return the function's application from its environment."""
    found = settings or ExecuteOrdersSettings.read()
    table, queue, keys = boto3.client("dynamodb", config=QUICK), boto3.client("sqs", config=QUICK), key_client()
    secrets = SecretTexts(key_client())
    report_key = SecretKeys(keys, found.report_key_arn)

    def detail(event: BusEvent) -> str:
        return sealed(event.type.value, event.to_detail(), report_key.current())

    return ExecuteOrders(
        settings=found,
        bus=EventBridgeBus(boto3.client("events", config=QUICK), found.event_bus_name, detail),
        table=table,
        queue=queue,
        secrets=secrets,
        request_keys=SecretKeys(keys, found.request_key_arn),
        mailboxes=Mailboxes(
            queue=queue,
            table=table,
            secrets=secrets,
            clock=_now,
            stage=found.stage,
            accounts=found.mt5_accounts,
            table_name=found.idempotency_table,
            checks_url=found.mt5_checks_queue_url,
            kill_switch_url=found.kill_switch_queue_url,
        ),
    )
