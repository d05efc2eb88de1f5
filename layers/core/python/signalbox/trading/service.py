"""Applies events and commands to every account that they concern: lock, load, apply the bars, take the step, commit.

It only coordinates the ledger and the pure steps: it decides nothing about money and publishes nothing. A repeated event or
command is recognised by its natural key and changes nothing. An account's time never runs backwards: late events are handled
at the newest instant the account has seen. An account that fails does not block the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final, assert_never

from signalbox.events import BusEvent, CycleDecided, SignalGenerated
from signalbox.market.candles import ONE_MINUTE, Symbol
from signalbox.orders.errors import OrderError
from signalbox.orders.identity import ClientOrderId, client_order_id
from signalbox.orders.messages import ExecutionReported, VenueViewReported
from signalbox.orders.order import Order
from signalbox.orders.parts import whole
from signalbox.orders.terms import Leg
from signalbox.portfolio.entries import Entry
from signalbox.portfolio.errors import PortfolioError
from signalbox.risk.errors import RiskError
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading import command_handlers, halts, venue_reports
from signalbox.trading.account import TradingAccount, TradingMode, account_named
from signalbox.trading.bars import apply_bars
from signalbox.trading.changes import NO_CHANGES, ChangeSet, RiskEvent, RiskEventKind
from signalbox.trading.command_handlers import AccountHandler
from signalbox.trading.commands import (
    AccountConfiguration,
    AdoptPosition,
    AnyCommand,
    CancelOrder,
    ChooseLots,
    ConfirmAccount,
    DepositMoney,
    HaltTrading,
    OpenAccount,
    ReplaceOrder,
    ResumeTrading,
    SubmitOrder,
    WithdrawMoney,
)
from signalbox.trading.entries import enter
from signalbox.trading.entry_plan import ENTRY_BARS
from signalbox.trading.errors import RebookNeededError, TradingError, UnpricedError
from signalbox.trading.events import AccountReviewDue, TurnMissed
from signalbox.trading.live_readiness import live_facts, not_ready
from signalbox.trading.ports import IncompleteView, TradingLedger, TradingTransaction
from signalbox.trading.readiness import (
    Readiness,
    ReadinessFacts,
    readiness,
)
from signalbox.trading.refusals import refusals
from signalbox.trading.state import AccountState
from signalbox.trading.venue_comparison import follow_up, needs_comparison, request_view

MONITOR: Final = "monitor_risk"  # as `who` of the halts that monitor_risk sets
SILENT_AFTER: Final = timedelta(minutes=15)  # without a comparison: three that were asked for have failed
NOT_READY: Final = "NOT_READY"  # code of a signal that a live account may not follow yet
_FINAL: Final = (TradingError, OrderError, PortfolioError, RiskError, ArithmeticError, ValueError)  # a retry fails too


class UnexpectedEventError(TradingError):
    """An event concerns no account: a rule of the event bus is wrong."""


@dataclass(frozen=True, slots=True)
class AccountOutcome:
    """The account state after an event or command, and what was committed (NO_CHANGES for a duplicate)."""

    state: AccountState
    changes: ChangeSet
    order: Order | None = None  # the order that the command names

    @property
    def account(self) -> TradingAccount:
        """The account's configuration."""
        return self.state.account


def instant_of(event: BusEvent) -> datetime:
    """Return when a trading event happened. Raises UnexpectedEventError for any other event."""
    match event:
        case CycleDecided():
            return event.cycle_at
        case SignalGenerated():
            return event.decided_at
        case ExecutionReported():
            return event.reported_at
        case VenueViewReported():
            return event.asked_at
        case AccountReviewDue():
            return event.comes_at
        case TurnMissed():
            return instant_of(event.missed)
        case _:
            raise UnexpectedEventError(f"expected a trading event, got {event.type}; check the rules of the event bus")


def _each(accounts: Iterable[TradingAccount], handle: Callable[[TradingAccount], AccountOutcome]) -> tuple[AccountOutcome, ...]:
    """Call a handler for every account, then raise the first error, if any.

    Errors that a retry may solve (the ledger, a missing price) take precedence, so that nobody mistakes them for permanent ones.
    """
    found: list[AccountOutcome] = []
    wrong: list[Exception] = []
    for account in accounts:
        try:
            found.append(handle(account))
        except Exception as error:  # noqa: BLE001 - raised below
            error.add_note(f"of account {account.account}")
            wrong.append(error)
    if wrong:
        raise next((error for error in wrong if isinstance(error, UnpricedError) or not isinstance(error, _FINAL)), wrong[0])
    return tuple(found)


@dataclass(frozen=True, slots=True)
class ReadinessReport:
    """An account and every reason why it may not trade live."""

    state: AccountState
    facts: ReadinessFacts
    readiness: Readiness
    at: datetime


@dataclass(frozen=True, slots=True)
class TradingService:
    """Applies events and commands to the accounts of a stage.

    market: the venue whose candles price accounts that are opened by name.
    """

    ledger: TradingLedger
    market: str

    def open(self, name: str, at: datetime, who: str, configuration: AccountConfiguration | None = None) -> bool:
        """Open an account; without a configuration, the paper account that its name describes. False if it exists already.

        The capital is booked one minute before `at`, so that it precedes fills at the open of the bar that begins at `at`.
        Raises AccountError, pydantic.ValidationError.
        """
        if configuration is None:
            account = account_named(name, market=self.market)
        else:
            account = configuration.account(name, market=self.market)
        return self.ledger.open_account(account, at - ONE_MINUTE, who)

    def concerned(self, event: SignalGenerated | CycleDecided) -> tuple[TradingAccount, ...]:
        """Return the accounts that a market event concerns, sorted by name."""
        accounts = self.accounts()
        return accounts if isinstance(event, SignalGenerated) else tuple(one for one in accounts if one.market == event.venue)

    def on_market(self, account: TradingAccount, event: SignalGenerated | CycleDecided) -> AccountOutcome:
        """Handle a market event for one account. Raises AccountError."""
        if isinstance(event, SignalGenerated):
            return self._entered(account, event)
        return self._handle(account.account, instant_of(event))

    def on_event(self, event: BusEvent, sent_at: datetime | None = None) -> tuple[AccountOutcome, ...]:
        """Apply an event to each account that it concerns, in a transaction per account.

        Raises AccountError, UnexpectedEventError.

        sent_at: when the queue received it, or None. A view in parts is dated by its last part.
        """
        at = instant_of(event)
        match event:
            case CycleDecided() | SignalGenerated():
                return _each(self.concerned(event), lambda account: self.on_market(account, event))
            case TurnMissed():
                concerned = [one for one in self.concerned(event.missed) if one.account == event.account]
                return _each(concerned, lambda account: self.on_market(account, event.missed))
            case ExecutionReported():
                return (self._handle(event.account, at, _reported(event), (ClientOrderId(event.client_order_id),)),)
            case AccountReviewDue():
                return (self._handle(event.account, at, _reviewed),)
            case VenueViewReported():
                whole = event if event.parts == 1 else self._assembled(event)
                if whole is None:
                    return ()
                view = whole if sent_at is None else whole.dated_by(sent_at)
                # of trades too: their orders may have closed, and then nothing else would bring them into the account state
                ids = [one.client_order_id for one in view.orders] + [one.client_order_id for one in view.trades]
                named = tuple(dict.fromkeys(ClientOrderId(one) for one in ids if one is not None))
                return (self._handle(event.account, view.asked_at, _compared(view, whole.asked_at), named),)
            case _:
                raise UnexpectedEventError(f"expected an event of trading, got {event.type}")

    def on_minute(self, at: datetime) -> tuple[AccountOutcome, ...]:
        """Monitor every account at a scheduled instant, and halt those without recent prices or comparisons."""
        return _each(self.accounts(), lambda account: self.monitor_account(account.account, at))

    def monitor_account(self, account: str, at: datetime) -> AccountOutcome:
        """Monitor one account at a scheduled instant. Raises AccountError."""
        return self._handle(account, at, _monitored)

    def on_command(self, command: AnyCommand, who: str) -> AccountOutcome:  # noqa: C901, PLR0911 - one command a line
        """Carry out a command. Raises CommandError, AccountError, pydantic.ValidationError (invalid order terms)."""
        at = command.requested_at
        match command:
            case OpenAccount():
                self.open(command.account, at, who, command.configuration)
                return self._handle(command.account, at)
            case ConfirmAccount():
                return self._handle(command.account, at, command_handlers.confirm_account(command, who))
            case ChooseLots():
                return self._handle(command.account, at, command_handlers.choose_lots(command, who))
            case SubmitOrder():
                key = command.terms().client_order_id
                return self._handle(command.account, at, command_handlers.submit_order(command, who), (key,), key)
            case CancelOrder():
                key = ClientOrderId(command.client_order_id)
                return self._handle(command.account, at, command_handlers.cancel_order(command, who), (key,), key)
            case ReplaceOrder():
                key = ClientOrderId(command.client_order_id)
                return self._handle(command.account, at, command_handlers.replace_order(command, who), (key,), key)
            case HaltTrading():
                return self._handle(command.account, at, command_handlers.halt_trading(command, who))
            case ResumeTrading():
                return self._handle(command.account, at, command_handlers.resume_trading(command, who))
            case AdoptPosition():
                return self._handle(command.account, at, command_handlers.adopt_position(command, who))
            case DepositMoney() | WithdrawMoney():
                return self._handle(command.account, at, command_handlers.move_money(command, who))
            case _:
                assert_never(command)

    def query(self, account: str, at: datetime) -> AccountState:
        """Return the current state of an account. Raises AccountError."""
        with self.ledger.transaction(account) as tx:
            return tx.load(at)

    def accounts(self) -> tuple[TradingAccount, ...]:
        """Return every account that can be read, sorted by name."""
        return tuple(self.ledger.accounts())

    def configured(self) -> tuple[Sequence[TradingAccount], Mapping[str, str]]:
        """Return every readable account sorted by name, and by name the fault of each row that cannot be read."""
        return self.ledger.configured()

    def readiness_report(self, account: str, at: datetime) -> ReadinessReport:
        """Return whether an account may trade live at `at`, by the newest bars. Raises AccountError."""
        with self.ledger.transaction(account) as tx:
            state = tx.load(at)
            facts = live_facts(tx, state, at)
            return ReadinessReport(state, facts, readiness(facts, at), at)

    def _handle(
        self,
        account: str,
        at: datetime,
        step: AccountHandler | None = None,
        orders: tuple[ClientOrderId, ...] = (),
        key: ClientOrderId | None = None,
    ) -> AccountOutcome:
        with self.ledger.transaction(account) as tx:
            before = tx.load(at, orders)
            now = at if before.at is None else max(at, before.at)
            candles = tx.candles(before.watched_until, now)
            watched, changes = _rebooking(tx, lambda entries: apply_bars(before, candles, now, entries=entries))
            state = _with_named(watched, before, orders)
            if step is not None:
                state, more = step(tx, state, now)
                changes += more
            if not changes.is_nothing or state != before:
                tx.save(before, state, changes)
        return AccountOutcome(state, changes, None if key is None else state.orders.get(key))

    def _assembled(self, part: VenueViewReported) -> VenueViewReported | None:
        """Store a part of a view, and return the view once complete, else None. Raises ViewPartsError for conflicting parts."""
        with self.ledger.transaction(part.account) as tx:
            kept = tx.keep_view_part(part)
        return whole(kept) if len(kept) == part.parts else None

    def _entered(self, account: TradingAccount, signal: SignalGenerated) -> AccountOutcome:
        key = client_order_id(
            account=account.account,
            strategy=account.strategy,
            symbol=signal.symbol,
            decided_at=signal.decided_at,
            leg=Leg.ENTRY,
        )

        def follow(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
            decided_by = (signal.deployment, signal.stage)
            if key not in state.orders and (reasons := not_ready(tx, state, at, symbol=signal.symbol, decided_by=decided_by)):
                return state, ChangeSet(risk=(_signal_skipped(signal, at, reasons),))
            symbol = Symbol(signal.symbol)
            deciders = tx.deciders(symbol, signal.decided_at)
            return enter(state, signal, tx.bars(symbol, at, ENTRY_BARS), at, deciders=deciders)

        return self._handle(account.account, signal.decided_at, follow, (key,), key)


def _with_named(state: AccountState, before: AccountState, named: tuple[ClientOrderId, ...]) -> AccountState:
    """Return the account state with the named orders put back, however long ago they closed: `apply_bars` drops old ones."""
    gone = {key: before.orders[key] for key in named if key in before.orders and key not in state.orders}
    return replaced(state, orders=MappingProxyType({**state.orders, **gone})) if gone else state


def _signal_skipped(signal: SignalGenerated, at: datetime, reasons: str) -> RiskEvent:
    return RiskEvent(RiskEventKind.SIGNAL_HELD_BACK, signal.event_id, at, NOT_READY, symbol=Symbol(signal.symbol), detail=reasons)


def _rebooking(
    tx: TradingTransaction, step: Callable[[tuple[Entry, ...]], tuple[AccountState, ChangeSet]]
) -> tuple[AccountState, ChangeSet]:
    """Take a step. If a fill turns out older than booked entries, take it again with the account's whole history."""
    try:
        return step(())
    except RebookNeededError:
        return step(tuple(tx.entries()))


def _reported(event: ExecutionReported) -> AccountHandler:
    def report(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        after, changes = _rebooking(tx, lambda entries: venue_reports.report(state, event, entries))
        return _followed(after, changes + refusals(after, changes.order_events), at)

    return report


def _followed(
    state: AccountState, changes: ChangeSet, at: datetime, came: datetime | None = None
) -> tuple[AccountState, ChangeSet]:
    """Ask the venue for a view within seconds if something is unanswered after the step."""
    after, asked = follow_up(state, at, came=came)
    return after, changes + asked


def _compared(view: VenueViewReported, parts_asked_at: datetime) -> AccountHandler:
    """Return the comparison with a view. parts_asked_at: when its parts say it was requested, under which they are kept."""

    def compare(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        after, changes = _rebooking(tx, lambda entries: venue_reports.compare(state, view, entries))
        older = [one for one in tx.incomplete_views() if one.asked_at <= parts_asked_at and one.came < one.parts]
        tx.drop_view_parts(parts_asked_at)
        changes += refusals(after, changes.order_events)
        changes += ChangeSet(risk=tuple(_incomplete(one, at) for one in older))
        return _followed(after, changes, at, view.asked_at)

    return compare


def _incomplete(of: IncompleteView, at: datetime) -> RiskEvent:
    return RiskEvent(
        RiskEventKind.VIEW_INCOMPLETE,
        f"{of.asked_at.isoformat()}:{of.view}",
        at,
        "PART_MISSING",
        limit=Decimal(of.parts),
        value=Decimal(of.came),
        detail=f"{of.came} of {of.parts} parts of the view of {of.asked_at.isoformat()} arrived: it was not compared",
    )


def _monitored(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
    """Ask a live account's venue for a view, and halt the account if the venue does not answer (old data: `apply_bars`)."""
    changes = NO_CHANGES
    if _is_unknown(state, at):
        why = f"not compared with {state.account.venue} for {SILENT_AFTER // timedelta(minutes=1)} minutes"
        if incomplete := tx.incomplete_views():
            why += f"; {incomplete[-1].came} of {incomplete[-1].parts} parts of its newest view arrived"
        state, changes = halts.halt(state, HaltLevel.HALT, MONITOR, why, at)
    state, asked = _asking(tx, state, at)
    return state, changes + asked


def _asking(_tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
    """Ask a live account's venue for a view if a comparison is due."""
    return request_view(state, at) if needs_comparison(state, at) else (state, NO_CHANGES)


def _reviewed(_tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
    """Ask the venue for a view if a comparison is due or something is unanswered."""
    if needs_comparison(state, at):
        return request_view(state, at)
    return _followed(state, NO_CHANGES, at)


def _is_unknown(state: AccountState, at: datetime) -> bool:
    """Whether a live account with a position or order was last compared with its venue too long ago."""
    if state.account.mode is not TradingMode.LIVE or state.is_idle:
        return False
    return state.compared_at is not None and at - state.compared_at > SILENT_AFTER
