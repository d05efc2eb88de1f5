"""What each command does to an account: the step, and its line in the compliance record of who asked for it.

A repeated command finds its own traces and changes nothing. Whatever opens risk on a live account has to be ready first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as replaced
from datetime import UTC, datetime
from typing import TypeAlias

from signalbox.market.candles import Symbol
from signalbox.orders.identity import ClientOrderId
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading import bookings, halts, operator_orders
from signalbox.trading.account import TradingMode
from signalbox.trading.changes import NO_CHANGES, ChangeSet, RiskEvent, RiskEventKind
from signalbox.trading.commands import (
    AdoptPosition,
    CancelOrder,
    ChooseLots,
    ConfirmAccount,
    DepositMoney,
    HaltTrading,
    ReplaceOrder,
    ResumeTrading,
    SubmitOrder,
    WithdrawMoney,
    amounts,
    transfer_of,
)
from signalbox.trading.errors import CommandError, OrderUnknownError
from signalbox.trading.live_readiness import require_ready
from signalbox.trading.ports import TradingTransaction
from signalbox.trading.readiness import (
    Confirmation,
    words_of,
)
from signalbox.trading.state import AccountState

AccountHandler: TypeAlias = Callable[[TradingTransaction, AccountState, datetime], tuple[AccountState, ChangeSet]]


def submit_order(command: SubmitOrder, who: str) -> AccountHandler:
    """Send an order of a person. Raises CommandError where a live account may not open risk."""
    terms = command.terms()

    def submit(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        if terms.client_order_id in state.orders:
            return state, NO_CHANGES  # the same request again
        if not terms.reduce_only:
            require_ready(tx, state, at, terms.symbol)
        return operator_orders.submit(state, terms, at)

    return _audited(command, who, terms.client_order_id, submit)


def cancel_order(command: CancelOrder, who: str) -> AccountHandler:
    """Ask for a cancel. Raises OrderUnknownError."""

    def cancel(_tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        return operator_orders.cancel(state, _known(state, command.client_order_id), command.request_id, at)

    return _audited(command, who, command.client_order_id, cancel)


def replace_order(command: ReplaceOrder, who: str) -> AccountHandler:
    """Ask for a change; one that opens more risk needs a live account to be ready. Raises CommandError, OrderUnknownError."""
    quantity, limit_price, stop_price = amounts(command)

    def change(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        key = _known(state, command.client_order_id)
        order = state.orders[key]
        after, changes = operator_orders.replace(
            state, key, command.request_id, at, quantity=quantity, limit_price=limit_price, stop_price=stop_price
        )
        is_smaller = (limit_price, stop_price) == (None, None) and quantity is not None and quantity <= order.quantity
        if changes != NO_CHANGES and not order.terms.reduce_only and not is_smaller:
            require_ready(tx, state, at, order.terms.symbol)
        return after, changes

    return _audited(command, who, command.client_order_id, change)


def _known(state: AccountState, key: str) -> ClientOrderId:
    if key not in state.orders:
        raise OrderUnknownError(f"{state.account.account} has no order {key}")
    return ClientOrderId(key)


def halt_trading(command: HaltTrading, who: str) -> AccountHandler:
    """Set the kill switch."""

    def stop(_tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        return halts.halt(state, HaltLevel(command.level), who, command.why, at, command.until)

    until = "" if command.until is None else f" until {command.until.astimezone(UTC).isoformat()}"
    return _once(command, who, f"{command.level}{until}: {command.why}", stop)


def resume_trading(command: ResumeTrading, who: str) -> AccountHandler:
    """Release the kill switch."""

    def release(_tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        return halts.resume(state, who, command.why, at, command.requested_at)

    return _once(command, who, command.why, release)


def choose_lots(command: ChooseLots, who: str) -> AccountHandler:
    """Choose the method of the tax lots."""

    def choose(_tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        after, changes = bookings.choose_lots(state, command.method, command.requested_at, command.effective_from, at)
        return after, replaced(changes, risk=())  # its line is that of the command

    begins = "now" if command.effective_from is None else command.effective_from.astimezone(UTC).isoformat()
    return _once(command, who, f"{command.method} from {begins}", choose, code=command.method)


def _once(
    command: HaltTrading | ResumeTrading | ChooseLots, who: str, what: str, step: AccountHandler, *, code: str | None = None
) -> AccountHandler:
    """Return the step of a command whose natural key is its request_id, which its line in the compliance record keeps.

    A queue may deliver a message twice, and somebody may resume in between: the second delivery changes nothing. It is the same
    command when id, content and instant are the same. A client that got no answer sends it again, and the gateway may give it
    another instant: it is the same as long as it would change nothing. Anything else under this id raises CommandError,
    because a stop that is taken for an old one stops nothing, and nobody would see that.
    """
    asked = " (asked at "
    line = RiskEvent(
        RiskEventKind.OVERRIDE,
        f"{command.kind}:{command.request_id}",
        command.requested_at,
        code or command.kind.upper(),
        who=who,
        detail=f"{what}{asked}{command.requested_at.astimezone(UTC).isoformat()})",
    )

    def once(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        before = tx.recorded(line.kind, line.key)
        if before is None:
            after, changes = step(tx, state, at)
            return replaced(after, at=at), changes + ChangeSet(risk=(replaced(line, at=at),))
        if before.detail.rpartition(asked)[0] != what:
            raise CommandError(f"request_id {command.request_id}: {before.who} used it for {before.detail}; take another")
        if before.detail != line.detail and step(tx, state, at) != (state, NO_CHANGES):
            raise CommandError(f"request_id {command.request_id}: {before.detail} was carried out and is over; take another")
        return state, NO_CHANGES

    return once


def adopt_position(command: AdoptPosition, who: str) -> AccountHandler:
    """Book a position of a live account that no order of ours made. Raises CommandError."""

    def adopt(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        if state.account.mode is not TradingMode.LIVE:
            raise CommandError(
                f"{state.account.account}: expected a live account, was {state.account.mode}: it holds what it traded"
            )
        if Symbol(command.symbol) not in state.marks:
            raise CommandError(
                f"symbol: expected one that {state.account.market} prices, was {command.symbol}: it could not be valued"
            )
        after, changes = bookings.book(state, command.fill(), at, tx.entries())
        what = f"{command.quantity:f} {command.symbol} at {command.price:f}: {command.why}"
        return after, changes + _override(changes, command, who, at, what)

    return adopt


def move_money(command: DepositMoney | WithdrawMoney, who: str) -> AccountHandler:
    """Book money. Of a live account the venue's id is needed: its view brings the same money under that id."""

    def move(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        if state.account.mode is TradingMode.LIVE and command.venue_id is None:
            raise CommandError(f"venue_id: give {state.account.venue}'s own id of it, because its view reports the same money")
        transfer = transfer_of(command)
        after, changes = bookings.book(state, transfer, at, tx.entries())
        return after, changes + _override(changes, command, who, at, f"{transfer.amount:f} {transfer.key}: {command.why}")

    return move


def _override(
    changes: ChangeSet, command: AdoptPosition | DepositMoney | WithdrawMoney, who: str, at: datetime, what: str
) -> ChangeSet:
    """Return the line of a command in the compliance record; a repeated command leaves none."""
    if changes == NO_CHANGES:
        return NO_CHANGES
    key = f"{command.kind}:{command.request_id}"
    return ChangeSet(risk=(RiskEvent(RiskEventKind.OVERRIDE, key, at, command.kind.upper(), who=who, detail=what),))


def confirm_account(command: ConfirmAccount, who: str) -> AccountHandler:
    """Keep what somebody says of an account, by the instant they said it; a repeated command keeps nothing."""

    def confirm(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        words = words_of(state.account)
        if command.what not in words:
            raise CommandError(
                f"what: expected one of {', '.join(map(repr, words))} for {state.account.account}, was {command.what!r}"
            )
        confirmed = Confirmation(who, command.requested_at, command.what, command.request_id)
        before = next((one for one in tx.confirmations() if one.request_id == confirmed.request_id), None)
        if before is not None:
            if (before.what, before.who) != (confirmed.what, confirmed.who):
                raise CommandError(
                    f"request_id {confirmed.request_id}: {before.who} confirmed {before.what!r} with it; take another"
                )
            return state, NO_CHANGES
        line = RiskEvent(
            RiskEventKind.OVERRIDE, f"{command.kind}:{command.request_id}", at, command.kind.upper(), who=who, detail=command.what
        )
        return replaced(state, at=at), ChangeSet(risk=(line,), confirmations=(confirmed,))

    return confirm


def _audited(command: SubmitOrder | CancelOrder | ReplaceOrder, who: str, key: str, step: AccountHandler) -> AccountHandler:
    """Return the step with a line in the compliance record of who asked for it; a repeated command leaves none."""

    def audited(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        after, changes = step(tx, state, at)
        if changes == NO_CHANGES:
            return after, changes
        line = RiskEvent(
            RiskEventKind.OVERRIDE, f"{command.kind}:{command.request_id}", at, command.kind.upper(), who=who, detail=key
        )
        return after, changes + ChangeSet(risk=(line,))

    return audited
