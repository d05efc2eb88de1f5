"""Events of an account as short messages. Amounts are in the account's currency, as recorded in the ledger."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, assert_never

from signalbox.chat.words import clock, money, price, rule_name
from signalbox.orders.terms import Leg
from signalbox.trading.events import (
    AccountExhausted,
    ExitFailed,
    OrderRefused,
    RiskWarning,
    RuleBreached,
    StopPassed,
    TargetReached,
    TradeClosed,
    TradeOpened,
    TradingHalted,
    TradingResumed,
    VenueRefused,
)

TradingEvent = (
    OrderRefused
    | VenueRefused
    | TradeOpened
    | TradeClosed
    | ExitFailed
    | StopPassed
    | RiskWarning
    | AccountExhausted
    | TradingHalted
    | TradingResumed
    | RuleBreached
    | TargetReached
)
_CLOSED_BY: Final = {
    Leg.EXIT: "by hand",
    Leg.TAKE_PROFIT: "at its target",
    Leg.STOP_LOSS: "at its stop",
    Leg.TIMEOUT: "at its time",
    Leg.FLATTEN: "by the kill switch",
    Leg.ENTRY: "by an entry order",
}
_WARNINGS: Final = {
    "ALERT": "nothing is stopped yet",
    "BLOCK": "no new risk until it falls",
    "FLATTEN": "everything open is closed",
}


def render_trading(event: TradingEvent) -> str:  # noqa: C901, PLR0911 - one case per event; mypy checks that none is missing
    """Return the message of an event about an account."""
    match event:
        case OrderRefused():
            return f"🚫 {event.account}: {event.side} {event.symbol} was refused, {event.message} ({clock(event.at)})."
        case VenueRefused():
            words = f": {' '.join(event.detail.split())}" if event.detail else ""
            return (
                f"🚫 {event.account}: {event.venue} refused the {event.what} {event.side} {event.symbol},"
                f" {event.reason}{words} ({clock(event.at)})."
            )
        case TradeOpened():
            target = f", target {price(event.take_profit)}" if event.take_profit is not None else ""
            return (
                f"📈 {_account(event.account, event.mode)}: {event.side} {event.quantity:f} {event.symbol}"
                f" at {price(event.price)}\n"
                f"stop {price(event.stop_loss)}{target}, until {clock(event.deadline)}"
            )
        case TradeClosed():
            sign = "✅" if event.realised >= 0 else "🔻"
            return (
                f"{sign} {_account(event.account, event.mode)}: {event.side} {event.symbol} closed {_CLOSED_BY[event.leg]}"
                f" at {price(event.price)}\n{money(event.realised)} after fees, balance {money(event.balance)}"
            )
        case ExitFailed() | StopPassed():
            return _exit_trouble(event)
        case RiskWarning():
            share = event.used / event.amount if event.amount else Decimal(1)
            what = _WARNINGS.get(event.level, event.level)
            rule = rule_name(event.rule)
            limit = f"{rule} limit" if event.counts_from is None else f"{rule} limit from {clock(event.counts_from)} on"
            return (
                f"⚠️ {event.account}: {share:.0%} of the {limit} is used, {what}\n"
                f"equity {money(event.equity)}, limit {money(event.limit)}, {clock(event.at)}"
            )
        case AccountExhausted():
            until = "for good" if event.until is None else f"until {clock(event.until)}"
            return (
                f"🪫 {event.account}: exhausted {until}. {money(event.left)} is left above our own stop of the"
                f" {rule_name(event.rule)} limit, and no entry risks less than {money(event.least_loss)}\n"
                f"signals are held back, balance {money(event.balance)}, {clock(event.at)}"
            )
        case TradingHalted():
            until = f" until {clock(event.until)}" if event.until is not None else ", until somebody resumes"
            return f"⛔ {event.account}: {event.level} by {event.who}{until}: {event.why} ({clock(event.at)})."
        case TradingResumed():
            return f"▶️ {event.account}: resumed by {event.who}: {event.why} ({clock(event.at)})."
        case RuleBreached():
            rule = rule_name(event.rule)
            found = f"equity {money(event.equity)} below {money(event.limit)}"
            return f"❌ {event.account}: the {rule} rule is broken, {found} ({clock(event.at)})."
        case TargetReached():
            return (
                f"🏁 {event.account}: the target of {event.phase} is reached, balance {money(event.balance)} ({clock(event.at)})."
            )
        case _:
            assert_never(event)


def _exit_trouble(event: ExitFailed | StopPassed) -> str:
    match event:
        case ExitFailed():
            again = f", next try {clock(event.retry_at)}" if event.retry_at is not None else ""
            return (
                f"🆘 {_account(event.account, event.mode)}: {event.quantity:f} {event.symbol} is still open, to be closed"
                f" {_CLOSED_BY[event.leg]} since {clock(event.since)}\n"
                f"{event.attempts} orders were sent: {event.reason}{again}. It is tried until it is closed."
            )
        case StopPassed():
            return (
                f"⚠️ {event.account}: {event.symbol} is at {price(event.price)}, beyond the stop of its {event.side} at"
                f" {price(event.stop_loss)}, and the stop did not close it: closed at the market ({clock(event.at)})."
            )
        case _:
            assert_never(event)


def _account(account: str, mode: str) -> str:
    return account if mode == "live" else f"{account} ({mode})"
