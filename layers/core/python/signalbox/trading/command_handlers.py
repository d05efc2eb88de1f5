"""Handlers of commands: each runs the step of its command and adds a line with the command's sender to the compliance record.

A command that was already carried out is recognised and changes nothing. On a live account, a command that opens risk first
needs the account to be ready (trading.readiness).
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
    """Return the handler that sends a person's order. The handler raises CommandError if a live account is not ready for risk."""
    terms = command.terms()

    def submit(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        if terms.client_order_id in state.orders:
            return state, NO_CHANGES  # a repeated request
        if not terms.reduce_only:
            require_ready(tx, state, at, terms.symbol)
        return operator_orders.submit(state, terms, at)

    return _audited(command, who, terms.client_order_id, submit)


def cancel_order(command: CancelOrder, who: str) -> AccountHandler:
    """Return the handler that asks the venue to cancel an order. The handler raises OrderUnknownError."""

    def cancel(_tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        return operator_orders.cancel(state, _known(state, command.client_order_id), command.request_id, at)

    return _audited(command, who, command.client_order_id, cancel)


def replace_order(command: ReplaceOrder, who: str) -> AccountHandler:
    """Return the handler that changes an order. It raises CommandError, OrderUnknownError, and checks readiness for more risk."""
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
    """Return the handler that sets the kill switch."""

    def stop(_tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        return halts.halt(state, HaltLevel(command.level), who, command.why, at, command.until)

    until = "" if command.until is None else f" until {command.until.astimezone(UTC).isoformat()}"
    return _once(command, who, f"{command.level}{until}: {command.why}", stop)


def resume_trading(command: ResumeTrading, who: str) -> AccountHandler:
    """Return the handler that releases the kill switch."""

    def release(_tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        return halts.resume(state, who, command.why, at, command.requested_at)

    return _once(command, who, command.why, release)


def choose_lots(command: ChooseLots, who: str) -> AccountHandler:
    """Return the handler that chooses the tax lot method."""

    def choose(_tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        after, changes = bookings.choose_lots(state, command.method, command.requested_at, command.effective_from, at)
        return after, replaced(changes, risk=())  # `_once` writes the command's own line

    begins = "now" if command.effective_from is None else command.effective_from.astimezone(UTC).isoformat()
    return _once(command, who, f"{command.method} from {begins}", choose, code=command.method)


def _once(
    command: HaltTrading | ResumeTrading | ChooseLots, who: str, what: str, step: AccountHandler, *, code: str | None = None
) -> AccountHandler:
    """Return a handler that runs a command once per request_id, which it stores in the compliance record.

    A queue may deliver a message twice, and somebody may resume trading in between: the second delivery must change nothing.
    A message with the same id, content and instant is a repeat. A client that got no answer may send the command again with
    another instant: that is a repeat as long as it would change nothing. Anything else under the same id raises CommandError,
    because a halt that is mistaken for an earlier one stops nothing, and nobody would notice.
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
            raise CommandError(f"request_id {command.request_id}: {before.who} used it for {before.detail}; use a new one")
        if before.detail != line.detail and step(tx, state, at) != (state, NO_CHANGES):
            raise CommandError(f"request_id {command.request_id}: {before.detail} was carried out and has ended; use a new one")
        return state, NO_CHANGES

    return once


def adopt_position(command: AdoptPosition, who: str) -> AccountHandler:
    """Return the handler that books a position of a live account that none of our orders opened. It raises CommandError."""

    def adopt(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        if state.account.mode is not TradingMode.LIVE:
            raise CommandError(
                f"{state.account.account}: only a live account can adopt a position, and its mode is {state.account.mode}"
            )
        if Symbol(command.symbol) not in state.marks:
            raise CommandError(
                f"symbol {command.symbol}: {state.account.market} has no price for it, so the position cannot be valued"
            )
        after, changes = bookings.book(state, command.fill(), at, tx.entries())
        what = f"{command.quantity:f} {command.symbol} at {command.price:f}: {command.why}"
        return after, changes + _override(changes, command, who, at, what)

    return adopt


def move_money(command: DepositMoney | WithdrawMoney, who: str) -> AccountHandler:
    """Return the handler that books a transfer.

    For a live account the command needs the venue_id that the venue's view gives this transfer.
    """

    def move(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        if state.account.mode is TradingMode.LIVE and command.venue_id is None:
            raise CommandError(f"venue_id is missing: give {state.account.venue}'s id of the transfer, to avoid booking it twice")
        transfer = transfer_of(command)
        after, changes = bookings.book(state, transfer, at, tx.entries())
        return after, changes + _override(changes, command, who, at, f"{transfer.amount:f} {transfer.key}: {command.why}")

    return move


def _override(
    changes: ChangeSet, command: AdoptPosition | DepositMoney | WithdrawMoney, who: str, at: datetime, what: str
) -> ChangeSet:
    """Return the compliance record line of a command; no line for a repeated command."""
    if changes == NO_CHANGES:
        return NO_CHANGES
    key = f"{command.kind}:{command.request_id}"
    return ChangeSet(risk=(RiskEvent(RiskEventKind.OVERRIDE, key, at, command.kind.upper(), who=who, detail=what),))


def confirm_account(command: ConfirmAccount, who: str) -> AccountHandler:
    """Return the handler that stores a confirmation about an account. A repeated command stores nothing."""

    def confirm(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        words = words_of(state.account)
        if command.what not in words:
            raise CommandError(
                f"what: expected one of {', '.join(map(repr, words))} for {state.account.account}, got {command.what!r}"
            )
        confirmed = Confirmation(who, command.requested_at, command.what, command.request_id)
        before = next((one for one in tx.confirmations() if one.request_id == confirmed.request_id), None)
        if before is not None:
            if (before.what, before.who) != (confirmed.what, confirmed.who):
                raise CommandError(
                    f"request_id {confirmed.request_id}: {before.who} already confirmed {before.what!r} with it; use a new one"
                )
            return state, NO_CHANGES
        line = RiskEvent(
            RiskEventKind.OVERRIDE, f"{command.kind}:{command.request_id}", at, command.kind.upper(), who=who, detail=command.what
        )
        return replaced(state, at=at), ChangeSet(risk=(line,), confirmations=(confirmed,))

    return confirm


def _audited(command: SubmitOrder | CancelOrder | ReplaceOrder, who: str, key: str, step: AccountHandler) -> AccountHandler:
    """Return the step plus a compliance record line that says who asked for it; a repeated command writes no line."""

    def audited(tx: TradingTransaction, state: AccountState, at: datetime) -> tuple[AccountState, ChangeSet]:
        after, changes = step(tx, state, at)
        if changes == NO_CHANGES:
            return after, changes
        line = RiskEvent(
            RiskEventKind.OVERRIDE, f"{command.kind}:{command.request_id}", at, command.kind.upper(), who=who, detail=key
        )
        return after, changes + ChangeSet(risk=(line,))

    return audited
