"""Brings events and commands to every account they concern: lock, load, apply the bars, take the step, commit.

Pure orchestration over the ledger's port: it decides nothing about money and publishes nothing. A repeated event or command
is recognised by its natural key and changes nothing. An account's time never runs back: late events are judged at the newest
instant the account has seen. A failing account blocks no other.
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

MONITOR: Final = "monitor_risk"  # as `who` of the halts it sets
SILENT_AFTER: Final = timedelta(minutes=15)  # without an answer of the venue: three comparisons that were asked for
NOT_READY: Final = "NOT_READY"  # code of a signal that a live account may not follow yet
_FINAL: Final = (TradingError, OrderError, PortfolioError, RiskError, ArithmeticError, ValueError)  # again the next time


class UnexpectedEventError(TradingError):
    """An event that no account handles: a rule of the bus is wrong."""


@dataclass(frozen=True, slots=True)
class AccountOutcome:
    """The account state after an event or command, and what was committed (NO_CHANGES for a duplicate)."""

    state: AccountState
    changes: ChangeSet
    order: Order | None = None  # the one a command was about

    @property
    def account(self) -> TradingAccount:
        """Whose it is."""
        return self.state.account


def instant_of(event: BusEvent) -> datetime:
    """Return when an event of trading happened. Raises UnexpectedEventError for any other."""
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
            raise UnexpectedEventError(f"expected an event of trading, was {event.type}")


def _each(accounts: Iterable[TradingAccount], handle: Callable[[TradingAccount], AccountOutcome]) -> tuple[AccountOutcome, ...]:
    """Call a handler for every account; raise the first error once all had their turn.

    Errors that may pass (the ledger, a missing price) come first, so that a retry is not taken for a permanent failure.
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
    """An account and every reason against its trading live."""

    state: AccountState
    facts: ReadinessFacts
    readiness: Readiness
    at: datetime


@dataclass(frozen=True, slots=True)
class TradingService:
    """Every account of a stage. `market`: the venue whose candles value an account that is opened by name."""

    ledger: TradingLedger
    market: str

    def open(self, name: str, at: datetime, who: str, configuration: AccountConfiguration | None = None) -> bool:
        """Open an account, without a configuration the paper account of its name; False when it is there.

        Its capital comes a minute before, so that it is there before a fill at the open of the bar that begins at `at`.
        Raises AccountError, pydantic.ValidationError.
        """
        if configuration is None:
            account = account_named(name, market=self.market)
        else:
            account = configuration.account(name, market=self.market)
        return self.ledger.open_account(account, at - ONE_MINUTE, who)

    def concerned(self, event: SignalGenerated | CycleDecided) -> tuple[TradingAccount, ...]:
        """Return the accounts that an event of the market is brought to, by name."""
        accounts = self.accounts()
        return accounts if isinstance(event, SignalGenerated) else tuple(one for one in accounts if one.market == event.venue)

    def on_market(self, account: TradingAccount, event: SignalGenerated | CycleDecided) -> AccountOutcome:
        """Bring an event of the market to one account. Raises AccountError."""
        if isinstance(event, SignalGenerated):
            return self._entered(account, event)
        return self._handle(account.account, instant_of(event))

    def on_event(self, event: BusEvent, sent_at: datetime | None = None) -> tuple[AccountOutcome, ...]:
        """Bring an event to the accounts it concerns, each in its own transaction. Raises AccountError, UnexpectedEventError.

        sent_at: when it came, if a queue tells. A view in parts is dated by its last part's, once for the whole.
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
                told = event if event.parts == 1 else self._assembled(event)
                if told is None:
                    return ()
                view = told if sent_at is None else told.dated_by(sent_at)
                # of trades too: their orders may have closed, and then nothing else would bring them into the account state
                ids = [one.client_order_id for one in view.orders] + [one.client_order_id for one in view.trades]
                named = tuple(dict.fromkeys(ClientOrderId(one) for one in ids if one is not None))
                return (self._handle(event.account, view.asked_at, _compared(view, told.asked_at), named),)
            case _:
                raise UnexpectedEventError(f"expected an event of trading, was {event.type}")

    def on_minute(self, at: datetime) -> tuple[AccountOutcome, ...]:
        """Watch every account at a scheduled instant; stop those that cannot see what they hold."""
        return _each(self.accounts(), lambda account: self.monitor_account(account.account, at))

    def monitor_account(self, account: str, at: datetime) -> AccountOutcome:
        """Watch one account at a scheduled instant. Raises AccountError."""
        return self._handle(account, at, _monitored)

    def on_command(self, command: AnyCommand, who: str) -> AccountOutcome:  # noqa: C901, PLR0911 - one command a line
        """Carry out a command. Raises CommandError, AccountError, pydantic.ValidationError (terms that cannot be)."""
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
        """Return an account as it is. Raises AccountError."""
        with self.ledger.transaction(account) as tx:
            return tx.load(at)

    def accounts(self) -> tuple[TradingAccount, ...]:
        """Return every account, by name."""
        return tuple(self.ledger.accounts())

    def configured(self) -> tuple[Sequence[TradingAccount], Mapping[str, str]]:
        """Return every account, by name, and of those whose row in the ledger cannot be read why."""
        return self.ledger.configured()

    def readiness_report(self, account: str, at: datetime) -> ReadinessReport:
        """Return whether an account may trade live at `at`, judged on the newest bars. Raises AccountError."""
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
        """Keep a part of a view, and return the view once all of it is there. Raises ViewPartsError when it is another's."""
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
    """Return the account state with the orders that somebody named, however long ago they closed: `apply_bars` drops those."""
    gone = {key: before.orders[key] for key in named if key in before.orders and key not in state.orders}
    return replaced(state, orders=MappingProxyType({**state.orders, **gone})) if gone else state


def _signal_skipped(signal: SignalGenerated, at: datetime, reasons: str) -> RiskEvent:
    return RiskEvent(RiskEventKind.SIGNAL_HELD_BACK, signal.event_id, at, NOT_READY, symbol=Symbol(signal.symbol), detail=reasons)


def _rebooking(
    tx: TradingTransaction, step: Callable[[tuple[Entry, ...]], tuple[AccountState, ChangeSet]]
) -> tuple[AccountState, ChangeSet]:
    """Take a step; when a fill came after younger ones were booked, take it with the whole history of the account."""
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
    """Ask the venue again within seconds when something has no answer after the step."""
    after, asked = follow_up(state, at, came=came)
    return after, changes + asked


def _compared(view: VenueViewReported, told_at: datetime) -> AccountHandler:
    """Return the comparison with a view. told_at: when it was asked as its parts say, under which they are kept."""

    def compare(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        after, changes = _rebooking(tx, lambda entries: venue_reports.compare(state, view, entries))
        older = [one for one in tx.incomplete_views() if one.asked_at <= told_at and one.came < one.parts]
        tx.drop_view_parts(told_at)
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
        detail=f"{of.came} of {of.parts} parts of the view of {of.asked_at.isoformat()} came: it was not compared",
    )


def _monitored(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
    """Ask a live account's venue what it has; halt an account whose venue does not answer. `apply_bars` halts on stale data."""
    changes = NO_CHANGES
    if _is_unknown(state, at):
        why = f"not compared with {state.account.venue} for {SILENT_AFTER // timedelta(minutes=1)} minutes"
        if incomplete := tx.incomplete_views():
            why += f"; {incomplete[-1].came} of {incomplete[-1].parts} parts of its newest view came"
        state, changes = halts.halt(state, HaltLevel.HALT, MONITOR, why, at)
    state, asked = _asking(tx, state, at)
    return state, changes + asked


def _asking(_tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
    """Ask the venue of a live account what it has, when it is time to."""
    return request_view(state, at) if needs_comparison(state, at) else (state, NO_CHANGES)


def _reviewed(_tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
    """Ask the venue when it is time to, or when something has no answer."""
    if needs_comparison(state, at):
        return request_view(state, at)
    return _followed(state, NO_CHANGES, at)


def _is_unknown(state: AccountState, at: datetime) -> bool:
    """Whether a live account that has something at its venue has not been compared with it for too long."""
    if state.account.mode is not TradingMode.LIVE or state.is_idle:
        return False
    return state.compared_at is not None and at - state.compared_at > SILENT_AFTER
