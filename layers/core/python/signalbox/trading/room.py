"""What happened, brought to every account it concerns: lock, load, watch the bars, take the step, commit.

Pure orchestration over the ledger's port. Nothing here decides about money; nothing here publishes. An event or a command
that comes again finds its own traces under their natural keys and changes nothing. An account's time never runs back: what
is told late is judged at the newest instant the account has seen. What is wrong with one account keeps no other from its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import replace as replaced
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final, TypeAlias, assert_never

from signalbox.contracts import EventType, Metric
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
from signalbox.trading import bookings, steps
from signalbox.trading.account import TradingAccount, TradingMode, account_named
from signalbox.trading.changes import NOTHING, Changes, RiskEvent, RiskEventKind
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
    amounts,
    transfer_of,
)
from signalbox.trading.errors import CommandError, OrderUnknownError, RebookNeededError, TradingError, UnpricedError
from signalbox.trading.events import AccountReviewDue, TurnMissed
from signalbox.trading.ports import IncompleteView, TradingLedger, TradingTransaction
from signalbox.trading.readiness import (
    Comparison,
    Confirmation,
    Readiness,
    ReadinessFacts,
    ReadinessLimits,
    mode_set,
    readiness,
    rules_confirmed,
    words_of,
)
from signalbox.trading.refusals import refusals
from signalbox.trading.state import Desk

MONITOR: Final = "monitor_risk"  # as `who` of the halts it sets
SILENT_AFTER: Final = timedelta(minutes=15)  # without an answer of the venue: three comparisons that were asked for
NOT_READY: Final = "NOT_READY"  # code of a signal that a live account may not follow yet
_FINAL: Final = (TradingError, OrderError, PortfolioError, RiskError, ArithmeticError, ValueError)  # again the next time
Step: TypeAlias = Callable[[TradingTransaction, Desk, datetime], tuple[Desk, Changes]]


class UnexpectedEventError(TradingError):
    """An event that no account listens to: a rule of the bus is wrong."""


@dataclass(frozen=True, slots=True)
class Handled:
    """What one account made of it: the desk afterwards, and what was committed (NOTHING for a duplicate)."""

    desk: Desk
    changes: Changes
    order: Order | None = None  # the one a command was about

    @property
    def account(self) -> TradingAccount:
        """Whose it is."""
        return self.desk.account


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


def live_facts(
    tx: TradingTransaction, desk: Desk, at: datetime, *, symbol: str | None = None, decided_by: tuple[str, str] | None = None
) -> ReadinessFacts:
    """Return what the ledger knows of an account's readiness at `at`; what it does not know is None and counts against it.

    symbol: whose newest bar is asked about; None: of the whole market. decided_by: the deployment (name, stage) of a signal;
    None: the one that decided last. A venue that answered a comparison lately has shown that the credentials work.
    """
    marks = [mark.at for of, mark in desk.marks.items() if symbol in {None, of}]
    said = tx.confirmations()
    compared = None
    if desk.compared_at is not None:
        doubted = (f"{one.difference} {one.subject}, in one view so far" for one in desk.at_venue.open_doubts)
        compared = Comparison(desk.compared_at, (*tx.differences(desk.compared_at), *doubted))
    answered = compared is not None and timedelta(0) <= at - compared.at <= ReadinessLimits().comparison
    return ReadinessFacts(
        account=desk.account,
        mode_set=mode_set(said),
        model=tx.standing(at, decided_by),
        halt=desk.halt,
        compared=compared,
        secrets_present=True if answered else None,
        newest_bar_closed_at=max(marks, default=None),
        rules_confirmed=rules_confirmed(said),
    )


def _each(accounts: Iterable[TradingAccount], handle: Callable[[TradingAccount], Handled]) -> tuple[Handled, ...]:
    """Bring something to every account. What is wrong with one is raised once all the others had their turn.

    Of several errors that of the ledger comes first, or of a price: what may succeed later must not be taken for what never will.
    """
    found: list[Handled] = []
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
class Standing:
    """An account and what is against its trading live."""

    desk: Desk
    facts: ReadinessFacts
    readiness: Readiness
    at: datetime


@dataclass(frozen=True, slots=True)
class TradingRoom:
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

    def on_market(self, account: TradingAccount, event: SignalGenerated | CycleDecided) -> Handled:
        """Bring an event of the market to one account. Raises AccountError."""
        if isinstance(event, SignalGenerated):
            return self._entered(account, event)
        return self._handled(account.account, instant_of(event))

    def on_event(self, event: BusEvent) -> tuple[Handled, ...]:
        """Bring an event to the accounts it concerns, each in its own transaction. Raises AccountError, UnexpectedEventError."""
        at = instant_of(event)
        match event:
            case CycleDecided() | SignalGenerated():
                return _each(self.concerned(event), lambda account: self.on_market(account, event))
            case TurnMissed():
                concerned = [one for one in self.concerned(event.missed) if one.account == event.account]
                return _each(concerned, lambda account: self.on_market(account, event.missed))
            case ExecutionReported():
                return (self._handled(event.account, at, _reported(event), (ClientOrderId(event.client_order_id),)),)
            case AccountReviewDue():
                return (self._handled(event.account, at, _reviewed),)
            case VenueViewReported():
                view = event if event.parts == 1 else self._assembled(event)
                if view is None:
                    return ()
                # of trades too: their orders may have closed, and then nothing else would bring them onto the desk
                ids = [one.client_order_id for one in view.orders] + [one.client_order_id for one in view.trades]
                named = tuple(dict.fromkeys(ClientOrderId(one) for one in ids if one is not None))
                return (self._handled(event.account, at, _compared(view), named),)
            case _:
                raise UnexpectedEventError(f"expected an event of trading, was {event.type}")

    def on_minute(self, at: datetime) -> tuple[Handled, ...]:
        """Watch every account at a scheduled instant; stop those that cannot see what they hold."""
        return _each(self.accounts(), lambda account: self.watched(account.account, at))

    def watched(self, account: str, at: datetime) -> Handled:
        """Watch one account at a scheduled instant. Raises AccountError."""
        return self._handled(account, at, _monitored)

    def on_command(self, command: AnyCommand, who: str) -> Handled:  # noqa: C901, PLR0911 - one command a line
        """Carry out a command. Raises CommandError, AccountError, pydantic.ValidationError (terms that cannot be)."""
        at = command.requested_at
        match command:
            case OpenAccount():
                self.open(command.account, at, who, command.configuration)
                return self._handled(command.account, at)
            case ConfirmAccount():
                return self._handled(command.account, at, _confirmed(command, who))
            case ChooseLots():
                return self._handled(command.account, at, _lots_chosen(command, who))
            case SubmitOrder():
                terms = command.terms()
                key = terms.client_order_id
                return self._handled(command.account, at, _audited(command, who, key, _submitted(command)), (key,), key)
            case CancelOrder():
                key = ClientOrderId(command.client_order_id)
                return self._handled(command.account, at, _audited(command, who, key, _cancelled(command)), (key,), key)
            case ReplaceOrder():
                key = ClientOrderId(command.client_order_id)
                return self._handled(command.account, at, _audited(command, who, key, _replaced(command)), (key,), key)
            case HaltTrading():
                return self._handled(
                    command.account,
                    at,
                    lambda _tx, desk, now: steps.halt(desk, HaltLevel(command.level), who, command.why, now, command.until),
                )
            case ResumeTrading():
                return self._handled(
                    command.account, at, lambda _tx, desk, now: steps.resume(desk, who, command.why, now, command.requested_at)
                )
            case AdoptPosition():
                return self._handled(command.account, at, _adopted(command, who))
            case DepositMoney() | WithdrawMoney():
                return self._handled(command.account, at, _money_moved(command, who))
            case _:
                assert_never(command)

    def look(self, account: str, at: datetime) -> Desk:
        """Return an account as it is. Raises AccountError."""
        with self.ledger.transaction(account) as tx:
            return tx.load(at)

    def accounts(self) -> tuple[TradingAccount, ...]:
        """Return every account, by name."""
        return tuple(self.ledger.accounts())

    def unreadable(self) -> Mapping[str, str]:
        """Return the accounts whose row in the ledger cannot be read, and why."""
        return self.ledger.unreadable()

    def standing(self, account: str, at: datetime) -> Standing:
        """Return whether an account may trade live at `at`, judged on the newest bars. Raises AccountError."""
        with self.ledger.transaction(account) as tx:
            desk = tx.load(at)
            facts = live_facts(tx, desk, at)
            return Standing(desk, facts, readiness(facts, at), at)

    def _handled(
        self,
        account: str,
        at: datetime,
        step: Step | None = None,
        orders: tuple[ClientOrderId, ...] = (),
        key: ClientOrderId | None = None,
    ) -> Handled:
        with self.ledger.transaction(account) as tx:
            before = tx.load(at, orders)
            now = at if before.at is None else max(at, before.at)
            candles = tx.candles(before.watched_until, now)
            watched, changes = _rebooking(tx, lambda entries: steps.watch(before, candles, now, entries=entries))
            desk = _with_named(watched, before, orders)
            if step is not None:
                desk, more = step(tx, desk, now)
                changes += more
            if changes != NOTHING or desk != before:
                tx.save(before, desk, changes)
        return Handled(desk, changes, None if key is None else desk.orders.get(key))

    def _assembled(self, part: VenueViewReported) -> VenueViewReported | None:
        """Keep a part of a view, and return the view once all of it is there. Raises ViewPartsError when it is another's."""
        with self.ledger.transaction(part.account) as tx:
            kept = tx.keep_view_part(part)
        return whole(kept) if len(kept) == part.parts else None

    def _entered(self, account: TradingAccount, signal: SignalGenerated) -> Handled:
        key = client_order_id(
            account=account.account,
            strategy=account.strategy,
            symbol=signal.symbol,
            decided_at=signal.decided_at,
            leg=Leg.ENTRY,
        )

        def enter(tx: TradingTransaction, desk: Desk, at: datetime) -> tuple[Desk, Changes]:
            decided_by = (signal.deployment, signal.stage)
            if key not in desk.orders and (reasons := _not_ready(tx, desk, at, symbol=signal.symbol, decided_by=decided_by)):
                return desk, Changes(risk=(_held_back(signal, at, reasons),))
            symbol = Symbol(signal.symbol)
            deciders = tx.deciders(symbol, signal.decided_at)
            return steps.enter(desk, signal, tx.bars(symbol, at, steps.ENTRY_BARS), at, deciders=deciders)

        return self._handled(account.account, signal.decided_at, enter, (key,), key)


def _with_named(desk: Desk, before: Desk, named: tuple[ClientOrderId, ...]) -> Desk:
    """Return the desk with the orders that somebody named, however long ago they closed: watching lets go of those."""
    gone = {key: before.orders[key] for key in named if key in before.orders and key not in desk.orders}
    return replaced(desk, orders=MappingProxyType({**desk.orders, **gone})) if gone else desk


def _not_ready(
    tx: TradingTransaction, desk: Desk, at: datetime, *, symbol: str, decided_by: tuple[str, str] | None = None
) -> str:
    """Return why a live account may not take new risk in a symbol, nothing for one that may, or is not live."""
    if desk.account.mode is not TradingMode.LIVE:
        return ""
    facts = live_facts(tx, desk, at, symbol=symbol, decided_by=decided_by)
    return " ".join(str(reason) for reason in readiness(facts, at).reasons)


def _require_ready(tx: TradingTransaction, desk: Desk, at: datetime, symbol: str) -> None:
    if reasons := _not_ready(tx, desk, at, symbol=symbol):
        raise CommandError(f"{desk.account.account} may not trade live: {reasons}")


def _submitted(command: SubmitOrder) -> Step:
    def submit(tx: TradingTransaction, desk: Desk, at: datetime) -> tuple[Desk, Changes]:
        terms = command.terms()
        if terms.client_order_id in desk.orders:
            return desk, NOTHING  # the same request again
        if not terms.reduce_only:
            _require_ready(tx, desk, at, terms.symbol)
        return steps.submit(desk, terms, at)

    return submit


def _held_back(signal: SignalGenerated, at: datetime, reasons: str) -> RiskEvent:
    return RiskEvent(RiskEventKind.SIGNAL_HELD_BACK, signal.event_id, at, NOT_READY, symbol=Symbol(signal.symbol), detail=reasons)


def _rebooking(tx: TradingTransaction, step: Callable[[tuple[Entry, ...]], tuple[Desk, Changes]]) -> tuple[Desk, Changes]:
    """Take a step; when a fill came after younger ones were booked, take it with the whole history of the account."""
    try:
        return step(())
    except RebookNeededError:
        return step(tuple(tx.entries()))


def _reported(event: ExecutionReported) -> Step:
    def report(tx: TradingTransaction, desk: Desk, at: datetime) -> tuple[Desk, Changes]:
        after, changes = _rebooking(tx, lambda entries: steps.report(desk, event, entries))
        return _followed(after, changes + refusals(after, changes.order_events), at)

    return report


def _followed(desk: Desk, changes: Changes, at: datetime, came: datetime | None = None) -> tuple[Desk, Changes]:
    """Ask the venue again within seconds when something has no answer after the step."""
    after, asked = steps.follow_up(desk, at, came=came)
    return after, changes + asked


def _compared(view: VenueViewReported) -> Step:
    def compare(tx: TradingTransaction, desk: Desk, at: datetime) -> tuple[Desk, Changes]:
        after, changes = _rebooking(tx, lambda entries: steps.compare(desk, view, entries))
        older = [one for one in tx.incomplete_views() if one.asked_at <= view.asked_at and one.came < one.parts]
        tx.drop_view_parts(view.asked_at)
        changes += refusals(after, changes.order_events)
        changes += Changes(risk=tuple(_incomplete(one, at) for one in older))
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


def _cancelled(command: CancelOrder) -> Step:
    def cancel(_tx: TradingTransaction, desk: Desk, at: datetime) -> tuple[Desk, Changes]:
        return steps.cancel(desk, _known(desk, command.client_order_id), command.request_id, at)

    return cancel


def _replaced(command: ReplaceOrder) -> Step:
    quantity, limit_price, stop_price = amounts(command)

    def change(tx: TradingTransaction, desk: Desk, at: datetime) -> tuple[Desk, Changes]:
        key = _known(desk, command.client_order_id)
        order = desk.orders[key]
        after, changes = steps.replace(
            desk, key, command.request_id, at, quantity=quantity, limit_price=limit_price, stop_price=stop_price
        )
        is_smaller = (limit_price, stop_price) == (None, None) and quantity is not None and quantity <= order.quantity
        if changes != NOTHING and not order.terms.reduce_only and not is_smaller:
            _require_ready(tx, desk, at, order.terms.symbol)
        return after, changes

    return change


def _known(desk: Desk, key: str) -> ClientOrderId:
    if key not in desk.orders:
        raise OrderUnknownError(f"{desk.account.account} has no order {key}")
    return ClientOrderId(key)


def _lots_chosen(command: ChooseLots, who: str) -> Step:
    def choose(_tx: TradingTransaction, desk: Desk, at: datetime) -> tuple[Desk, Changes]:
        after, changes = steps.choose_lots(desk, command.method, command.requested_at, command.effective_from, at)
        return after, replaced(changes, risk=tuple(replaced(line, who=who) for line in changes.risk))

    return choose


def _adopted(command: AdoptPosition, who: str) -> Step:
    def adopt(tx: TradingTransaction, desk: Desk, at: datetime) -> tuple[Desk, Changes]:
        if desk.account.mode is not TradingMode.LIVE:
            raise CommandError(
                f"{desk.account.account}: expected a live account, was {desk.account.mode}: it holds what it traded"
            )
        if Symbol(command.symbol) not in desk.marks:
            raise CommandError(
                f"symbol: expected one that {desk.account.market} prices, was {command.symbol}: it could not be valued"
            )
        after, changes = bookings.book(desk, command.fill(), at, tx.entries())
        what = f"{command.quantity:f} {command.symbol} at {command.price:f}: {command.why}"
        return after, changes + _override(changes, command, who, at, what)

    return adopt


def _money_moved(command: DepositMoney | WithdrawMoney, who: str) -> Step:
    """Book money. Of a live account the venue's id is needed: its view brings the same money under that id."""

    def move(tx: TradingTransaction, desk: Desk, at: datetime) -> tuple[Desk, Changes]:
        if desk.account.mode is TradingMode.LIVE and command.venue_id is None:
            raise CommandError(
                f"venue_id: expected {desk.account.venue}'s own id of it, for its view brings the same money; was none"
            )
        transfer = transfer_of(command)
        after, changes = bookings.book(desk, transfer, at, tx.entries())
        return after, changes + _override(changes, command, who, at, f"{transfer.amount:f} {transfer.key}: {command.why}")

    return move


def _override(
    changes: Changes, command: AdoptPosition | DepositMoney | WithdrawMoney, who: str, at: datetime, what: str
) -> Changes:
    """Return the line of a command in the compliance record; a repeated command leaves none."""
    if changes == NOTHING:
        return NOTHING
    key = f"{command.kind}:{command.request_id}"
    return Changes(risk=(RiskEvent(RiskEventKind.OVERRIDE, key, at, command.kind.upper(), who=who, detail=what),))


def _confirmed(command: ConfirmAccount, who: str) -> Step:
    """Keep what somebody says of an account, by the instant they said it; a repeated command keeps nothing."""

    def confirm(tx: TradingTransaction, desk: Desk, at: datetime) -> tuple[Desk, Changes]:
        words = words_of(desk.account)
        if command.what not in words:
            raise CommandError(
                f"what: expected one of {', '.join(map(repr, words))} for {desk.account.account}, was {command.what!r}"
            )
        said = Confirmation(who, command.requested_at, command.what, command.request_id)
        before = next((one for one in tx.confirmations() if one.request_id == said.request_id), None)
        if before is not None:
            if (before.what, before.who) != (said.what, said.who):
                raise CommandError(f"request_id {said.request_id}: {before.who} confirmed {before.what!r} with it; take another")
            return desk, NOTHING
        line = RiskEvent(
            RiskEventKind.OVERRIDE, f"{command.kind}:{command.request_id}", at, command.kind.upper(), who=who, detail=command.what
        )
        return replaced(desk, at=at), Changes(risk=(line,), confirmations=(said,))

    return confirm


def _audited(command: SubmitOrder | CancelOrder | ReplaceOrder, who: str, key: str, step: Step) -> Step:
    """Return the step with a line in the compliance record of who asked for it; a repeated command leaves none."""

    def audited(tx: TradingTransaction, desk: Desk, at: datetime) -> tuple[Desk, Changes]:
        after, changes = step(tx, desk, at)
        if changes == NOTHING:
            return after, changes
        line = RiskEvent(
            RiskEventKind.OVERRIDE, f"{command.kind}:{command.request_id}", at, command.kind.upper(), who=who, detail=key
        )
        return after, changes + Changes(risk=(line,))

    return audited


def _monitored(tx: TradingTransaction, desk: Desk, at: datetime) -> tuple[Desk, Changes]:
    """Ask the venue of a live account what it has, and stop an account whose venue does not answer. Stale data stops `watch`."""
    changes = NOTHING
    if _is_unknown(desk, at):
        why = f"not compared with {desk.account.venue} for {SILENT_AFTER // timedelta(minutes=1)} minutes"
        if incomplete := tx.incomplete_views():
            why += f"; {incomplete[-1].came} of {incomplete[-1].parts} parts of its newest view came"
        desk, changes = steps.halt(desk, HaltLevel.HALT, MONITOR, why, at)
    desk, asked = _asking(tx, desk, at)
    return desk, changes + asked


def _asking(_tx: TradingTransaction, desk: Desk, at: datetime) -> tuple[Desk, Changes]:
    """Ask the venue of a live account what it has, when it is time to."""
    return steps.request_view(desk, at) if steps.needs_comparison(desk, at) else (desk, NOTHING)


def _reviewed(_tx: TradingTransaction, desk: Desk, at: datetime) -> tuple[Desk, Changes]:
    """Ask the venue when it is time to, or when something has no answer."""
    if steps.needs_comparison(desk, at):
        return steps.request_view(desk, at)
    return _followed(desk, NOTHING, at)


def _is_unknown(desk: Desk, at: datetime) -> bool:
    """Whether a live account that has something at its venue has not been compared with it for too long."""
    if desk.account.mode is not TradingMode.LIVE or desk.is_idle:
        return False
    return desk.compared_at is not None and at - desk.compared_at > SILENT_AFTER


_EVENTS: Final[Mapping[EventType, Metric]] = {
    EventType.ORDER_REFUSED: Metric.ORDERS_REFUSED,
    EventType.TRADE_OPENED: Metric.TRADES_OPENED,
    EventType.TRADE_CLOSED: Metric.TRADES_CLOSED,
    EventType.TRADING_HALTED: Metric.TRADING_HALTS,
    EventType.EXIT_FAILED: Metric.EXITS_FAILED,
    EventType.RULE_BREACHED: Metric.RULES_BREACHED,
}
_RISK: Final[Mapping[RiskEventKind, Metric]] = {
    RiskEventKind.EVENT_REFUSED: Metric.EVENTS_REFUSED,
    RiskEventKind.DIFFERENCE: Metric.VENUE_DIFFERENCES,
    RiskEventKind.OTHERS_AT_VENUE: Metric.OTHERS_AT_VENUE,
    RiskEventKind.SIGNAL_HELD_BACK: Metric.SIGNALS_HELD_BACK,
}


def counted(handled: tuple[Handled, ...]) -> dict[Metric, int]:
    """Return how often each thing happened that an operator watches, zeros included."""
    found = dict.fromkeys((*_EVENTS.values(), *_RISK.values()), 0)
    for one in handled:
        for event in one.changes.events:
            if event.type in _EVENTS:
                found[_EVENTS[event.type]] += 1
        for line in one.changes.risk:
            if line.kind in _RISK:
                found[_RISK[line.kind]] += 1
    return found
