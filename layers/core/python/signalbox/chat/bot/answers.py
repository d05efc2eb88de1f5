"""What the bot answers: accounts, signals and trades as plain text that fits a phone. Amounts are in the account's currency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from signalbox.chat.bot.paging import Listing
from signalbox.chat.words import bullets, clock, counted, money, price, rule_name, share_bar, signed, span_of
from signalbox.exact import exactly
from signalbox.signals.signal import Direction, Signal
from signalbox.trading.documents import AccountDocument, LimitDocument, OrderDocument, ReadinessDocument
from signalbox.trading.state import Trade

LATE_AFTER: Final = timedelta(minutes=7)  # a decision every five minutes, and two for bars that the exchange publishes late


def status_text(
    accounts: Sequence[AccountDocument], newest: Sequence[Signal] | None, at: datetime, unread: Mapping[str, str]
) -> str:
    """Return a line an account and a line about the decisions. newest None: unknown. unread: what could not be read, and why."""
    lines = [
        f"{one['account']} ({one['mode']}): equity {_money(one['equity'])} {one['currency']},"
        f" {counted(len(one['trades']), 'trade')}, {'trading' if one['halt'] is None else one['halt']['level']}"
        for one in accounts
    ]
    missing = [f"⚠️ {what}: unknown now. {why}" for what, why in unread.items()]
    if not lines and not missing:
        lines = ["You may see no account."]
    return "\n".join([*lines, *([] if newest is None else [health_text(newest, at)]), *missing])


def health_text(newest: Sequence[Signal], at: datetime) -> str:
    """Return when each symbol was last decided. `newest`: one signal a symbol, of the last day."""
    if not newest:
        return "⚠️ Nothing was decided in the last 24 hours."
    return "\n".join(
        f"{'✅' if at - one.decided_at <= LATE_AFTER else '⚠️'} {one.symbol} decided {clock(one.decided_at)},"
        f" {span_of(at - one.decided_at)} ago"
        for one in newest
    )


def prices_text(newest: Sequence[Signal], at: datetime) -> str:
    """Return the price of each newest decision, with its age: it is no quote of this moment."""
    return "\n".join(f"{one.symbol} {price(one.price)}, {span_of(at - one.decided_at)} ago" for one in newest) or "No price yet."


def signal_text(one: Signal) -> str:
    """Return a decision in full."""
    lines = [
        f"{one.direction.value} {one.symbol} at {price(one.price)}, {clock(one.decided_at)}",
        f"{one.confidence:.1%} {'up' if one.probability_up >= 0.5 else 'down'}, tier {one.tier.value}",
        f"model {one.deployment} ({one.stage.value})",
    ]
    if one.market is not None:
        lines.append(f"Decided on {one.market}, a fallback venue: its price, not that of the stage's own venue.")
    if one.known_at is not None:
        lines.append(f"Its bars were complete at {one.known_at:%H:%M:%S} UTC, late.")
    if one.held_back is not None:
        lines.append(f"Not issued: {one.held_back}.")
    elif one.direction is Direction.HOLD:
        lines.append("Too close to one half to act on.")
    return "\n".join(lines)


def signals_listing(found: Sequence[Signal], period: timedelta) -> Listing:
    """Return the issued signals of a period, newest first."""
    issued = [one for one in reversed(found) if one.issued]
    lines = [
        f"{one.direction.value} {one.symbol} {price(one.price)} {one.confidence:.0%} {one.tier.value} {clock(one.decided_at)}"
        f"{'' if one.market is None else f' on {one.market}'}"
        for one in issued
    ]
    return Listing(f"{counted(len(issued), 'issued signal')} of {len(found)} decisions in {span_of(period)}", tuple(lines))


def risk_text(account: AccountDocument) -> str:
    """Return how much of each loss limit is left, and what stops trading."""
    lines = [f"{account['account']}: equity {_money(account['equity'])} {account['currency']}"]
    limits = account["limits"]
    if limits is None:
        lines.append("⚠️ An open position has no price: what is left of the limits is unknown.")
    elif not limits:
        lines.append("No loss limits are in force.")
    for limit in limits or ():
        lines += _limit_lines(limit)
    return "\n".join([*lines, *_stops(account)])


def balance_text(account: AccountDocument) -> str:
    """Return cash, balance and equity."""
    return (
        f"{account['account']} ({account['mode']} at {account['venue']})\n"
        f"cash {_money(account['cash'])}\nbalance {_money(account['balance'])}\n"
        f"equity {_money(account['equity'])} {account['currency']}"
    )


def positions_text(account: AccountDocument) -> str:
    """Return what an account holds, with the stop and target of its trade."""
    trades = {one["symbol"]: one for one in account["trades"]}
    lines = []
    for held in account["positions"]:
        mark = None if held["mark"] is None else held["mark"]["price"]
        lines.append(f"{held['quantity']} {held['symbol']}, newest price {_price(mark)}")
        if (trade := trades.get(held["symbol"])) is not None:
            target = f", target {_price(trade['take_profit'])}" if trade["take_profit"] else ""
            lines.append(f"  stop {_price(trade['stop_loss'])}{target}, until {_when(trade['deadline'])}")
    lines += [f"others hold {one['quantity']} {one['symbol']} at the venue: never touched" for one in account["others"]]
    return "\n".join([f"{account['account']}: {counted(len(account['positions']), 'position')}", *lines])


def orders_listing(account: AccountDocument) -> Listing:
    """Return the open orders; `/cancel` takes their id."""
    lines = tuple(_order_line(one) for one in account["orders"])
    return Listing(f"{account['account']}: {counted(len(lines), 'open order')}", lines)


def trades_listing(account: str, found: Sequence[Trade], period: timedelta) -> Listing:
    """Return the trades of a period, newest first."""
    lines = []
    for one in reversed(found):
        end = "open" if one.closed_at is None else f"closed {clock(one.closed_at)}"
        result = "" if one.realised is None else f", {signed(one.realised)}"
        lines.append(f"{one.side.value} {one.symbol} {clock(one.decided_at)}, {one.state.value.lower()}, {end}{result}")
    return Listing(f"{account}: {counted(len(lines), 'trade')} in {span_of(period)}", tuple(lines))


def readiness_text(found: ReadinessDocument) -> str:
    """Return whether an account may trade live, and every reason against it with its remedy."""
    if found["is_ready"]:
        return f"✅ {found['account']} may trade live at {found['venue']}."
    reasons = bullets(f"{one['found']}. {one['remedy']}" for one in found["reasons"])
    return f"⛔ {found['account']} may not trade live:\n{reasons}"


@exactly
def effect_text(verb: str, account: AccountDocument, *, reason: str = "", order: str = "") -> str:
    """Return what a command will do, before it is confirmed."""
    name = f"{account['account']} ({account['mode']})"
    if verb == "cancel":
        found = next((one for one in account["orders"] if one["client_order_id"] == order), None)
        return f"Cancel at {name}: " + ("an order that is not open any more" if found is None else _order_line(found))
    lines = [f"{_VERBS[verb]} {name}: {reason}"]
    if verb == "flatten":
        lines += [
            f"closes {one['quantity']} {one['symbol']} at about {_price(None if one['mark'] is None else one['mark']['price'])}"
            for one in account["positions"]
        ] or ["nothing is held"]
        if account["equity"] is not None and account["balance"] is not None and account["positions"]:
            lines.append(f"realises about {signed(Decimal(account['equity']) - Decimal(account['balance']))} before fees")
    elif account["positions"]:
        lines.append(f"{counted(len(account['positions']), 'position')} stay open, with stops and targets")
    if verb != "resume" and account["orders"]:
        lines.append(f"{counted(len(account['orders']), 'open order')}: {_ORDERS[verb]}")
    return "\n".join(lines)


_VERBS: Final = {"halt": "Halt", "reduceonly": "Allow only reductions at", "flatten": "Close everything at", "resume": "Resume"}
_ORDERS: Final = {
    "halt": "entries are cancelled, stops and targets stay",
    "reduceonly": "entries are cancelled, stops and targets stay",
    "flatten": "all are cancelled",
}


def close_text(account: AccountDocument, symbol: str) -> str:
    """Return what closing a position does. The caller has made sure that there is one."""
    held = next(one for one in account["positions"] if one["symbol"] == symbol)
    mark = None if held["mark"] is None else held["mark"]["price"]
    return f"Close {held['quantity']} {symbol} of {account['account']} ({account['mode']}) at about {_price(mark)}, at the market"


def mode_text(account: AccountDocument, mode: str) -> str:
    """Return what confirming a mode does."""
    if mode == "live":
        where = f"{account['account']} may trade LIVE at {account['venue']}"
        return f"Confirm that {where}, with real money. /readiness says what is missing."
    return f"Withdraw the live mode of {account['account']}: no new live orders; positions keep their stops"


def order_text(one: OrderDocument) -> str:
    """Return one order with what became of it."""
    lines = [_order_line(one), f"decided {_when(one['decided_at'])}"]
    if one["average_price"] is not None:
        lines.append(f"filled {one['filled']} at {_price(one['average_price'])}, fees {_money(one['fees'])}")
    if one["reason"]:
        lines.append(f"{one['reason']}: {one['detail']}".rstrip(": "))
    return "\n".join(lines)


def done_text(account: AccountDocument) -> str:
    """Return what is true of an account after a command."""
    stops = _stops(account)
    return "\n".join([f"✅ Done. {account['account']} is {'not stopped' if not stops else 'stopped:'}", *stops])


def _stops(account: AccountDocument) -> list[str]:
    lines = []
    if (halt := account["halt"]) is not None:
        until = f" until {_when(halt['until'])}" if halt["until"] else ""
        lines.append(f"🛑 {halt['level']} since {_when(halt['since'])}{until} by {halt['who']}: {halt['why']}")
    if (over := account["exhausted"]) is not None:
        until = f"until {_when(over['until'])}" if over["until"] else "for good"
        lines.append(f"🛑 No entry fits what is left of {rule_name(over['rule'])}, {until}.")
    lines += [f"⏸ {one['symbol'] or 'every symbol'} until {_when(one['until'])}: {one['reason']}" for one in account["locks"]]
    return lines


@exactly
def _limit_lines(limit: LimitDocument) -> tuple[str, str]:
    used, amount = Decimal(limit["used"] or 0), Decimal(limit["amount"] or 0)
    share = min(max(used / amount, Decimal(0)), Decimal(1)) if amount else Decimal(1)
    since = "" if limit["counts_from"] is None else f" from {_when(limit['counts_from'])}"
    return (
        f"{share_bar(share)} {share:.0%} of the {rule_name(limit['rule'])} limit{since}",
        f"  {_money(limit['remaining'])} left, broken below {_money(limit['limit'])}",
    )


def _order_line(one: OrderDocument) -> str:
    at = one["limit_price"] or one["stop_price"]
    return (
        f"{one['side']} {one['quantity']} {one['symbol']} {one['type']}{f' {_price(at)}' if at else ''},"
        f" {one['state'].lower()}, {one['client_order_id']}"
    )


def _money(text: str | None) -> str:
    return "unknown" if text is None else money(Decimal(text))


def _price(text: str | None) -> str:
    return "unknown" if text is None else price(Decimal(text))


def _when(text: str | None) -> str:
    return "an unknown time" if text is None else clock(datetime.fromisoformat(text))
