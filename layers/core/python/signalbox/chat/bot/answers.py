"""What the bot answers: accounts, signals and trades as plain text that fits a phone. Amounts are in the account's currency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from signalbox.chat.bot.paging import Listing
from signalbox.chat.bot.ports import SILENT, BotLedgerError
from signalbox.chat.bot.words import WORDS, BotWords
from signalbox.chat.words import bullets, clock, money, price, share_bar, signed
from signalbox.exact import exactly
from signalbox.signals.signal import Direction, Signal
from signalbox.trading.documents import AccountDocument, LimitDocument, OrderDocument, ReadinessDocument
from signalbox.trading.state import Trade

LATE_AFTER: Final = timedelta(minutes=7)  # a decision every five minutes, and two for bars that the exchange publishes late


def refusal_text(error: BotLedgerError, words: BotWords = WORDS) -> str:
    """Return why the ledger refused, in its own words, or that it does not answer."""
    return words.say("ledger.silent") if str(error) == SILENT else str(error)


def status_text(
    accounts: Sequence[AccountDocument],
    newest: Sequence[Signal] | None,
    at: datetime,
    unread: Mapping[str, str],
    words: BotWords = WORDS,
) -> str:
    """Return a line an account and a line about the decisions. newest None: unknown. unread: what could not be read, and why."""
    lines = [
        words.say(
            "status.account",
            account=one["account"],
            mode=one["mode"],
            equity=_money(one["equity"], words),
            currency=one["currency"],
            trades=words.counted(len(one["trades"]), "trade"),
            state=words.say("status.trading") if one["halt"] is None else one["halt"]["level"],
        )
        for one in accounts
    ]
    missing = [words.say("status.unknown", what=what, why=why) for what, why in unread.items()]
    if not lines and not missing:
        lines = [words.say("which.none")]
    return "\n".join([*lines, *([] if newest is None else [health_text(newest, at, words)]), *missing])


def health_text(newest: Sequence[Signal], at: datetime, words: BotWords = WORDS) -> str:
    """Return when each symbol was last decided. `newest`: one signal a symbol, of the last day."""
    if not newest:
        return words.say("health.nothing")
    return "\n".join(
        words.say(
            "health.decided",
            mark="✅" if at - one.decided_at <= LATE_AFTER else "⚠️",
            symbol=one.symbol,
            time=clock(one.decided_at),
            span=words.span(at - one.decided_at),
        )
        for one in newest
    )


def prices_text(newest: Sequence[Signal], at: datetime, words: BotWords = WORDS) -> str:
    """Return the price of each newest decision, with its age: it is no quote of this moment."""
    lines = [
        words.say("price.line", symbol=one.symbol, price=price(one.price), span=words.span(at - one.decided_at)) for one in newest
    ]
    return "\n".join(lines) or words.say("price.none")


def signal_text(one: Signal, words: BotWords = WORDS) -> str:
    """Return a decision in full."""
    direction = "signal.up" if one.probability_up >= 0.5 else "signal.down"
    lines = [
        words.say(
            "signal.headline",
            direction=one.direction.value,
            symbol=one.symbol,
            price=price(one.price),
            time=clock(one.decided_at),
        ),
        words.say(direction, share=f"{one.confidence:.1%}", tier=one.tier.value),
        words.say("signal.model", model=one.deployment, stage=one.stage.value),
    ]
    if one.market is not None:
        lines.append(words.say("signal.fallback", market=one.market))
    if one.known_at is not None:
        lines.append(words.say("signal.late", time=f"{one.known_at:%H:%M:%S}"))
    if one.held_back is not None:
        lines.append(words.say("signal.held", reason=str(one.held_back)))
    elif one.direction is Direction.HOLD:
        lines.append(words.say("signal.hold"))
    return "\n".join(lines)


def signals_listing(found: Sequence[Signal], period: timedelta, words: BotWords = WORDS) -> Listing:
    """Return the issued signals of a period, newest first."""
    issued = [one for one in reversed(found) if one.issued]
    lines = []
    for one in issued:
        row = (
            f"{one.direction.value} {one.symbol} {price(one.price)} {one.confidence:.0%} {one.tier.value} {clock(one.decided_at)}"
        )
        lines.append(row if one.market is None else words.say("signal.row_on", row=row, market=one.market))
    title = words.say(
        "signal.title",
        issued=words.counted(len(issued), "issued_signal"),
        decisions=str(len(found)),
        span=words.span(period),
    )
    return Listing(title, tuple(lines))


def risk_text(account: AccountDocument, words: BotWords = WORDS) -> str:
    """Return how much of each loss limit is left, and what stops trading."""
    equity = _money(account["equity"], words)
    lines = [words.say("risk.equity", account=account["account"], equity=equity, currency=account["currency"])]
    limits = account["limits"]
    if limits is None:
        lines.append(words.say("risk.no_price"))
    elif not limits:
        lines.append(words.say("risk.no_limits"))
    for limit in limits or ():
        lines += _limit_lines(limit, words)
    return "\n".join([*lines, *_stops(account, words)])


def balance_text(account: AccountDocument, words: BotWords = WORDS) -> str:
    """Return cash, balance and equity."""
    return "\n".join(
        (
            words.say("account.balance", account=account["account"], mode=account["mode"], venue=account["venue"]),
            words.say("account.cash", amount=_money(account["cash"], words)),
            words.say("account.settled", amount=_money(account["balance"], words)),
            words.say("account.equity", amount=_money(account["equity"], words), currency=account["currency"]),
        )
    )


def positions_text(account: AccountDocument, words: BotWords = WORDS) -> str:
    """Return what an account holds, with the stop and target of its trade."""
    trades = {one["symbol"]: one for one in account["trades"]}
    lines = []
    for held in account["positions"]:
        mark = None if held["mark"] is None else held["mark"]["price"]
        symbol = held["symbol"]
        lines.append(
            words.say("account.held", quantity=_number(held["quantity"], words), symbol=symbol, price=_price(mark, words))
        )
        if (trade := trades.get(symbol)) is not None:
            levels = {"stop": _price(trade["stop_loss"], words), "time": _when(trade["deadline"], words)}
            target = trade["take_profit"]
            lines.append(
                "  "
                + (
                    words.say("account.levels_target", target=_price(target, words), **levels)
                    if target
                    else words.say("account.levels", **levels)
                )
            )
    lines += [
        words.say("account.others", quantity=_number(one["quantity"], words), symbol=one["symbol"]) for one in account["others"]
    ]
    return "\n".join([f"{account['account']}: {words.counted(len(account['positions']), 'position')}", *lines])


def orders_listing(account: AccountDocument, words: BotWords = WORDS) -> Listing:
    """Return the open orders; `/cancel` takes their id."""
    lines = tuple(_order_line(one) for one in account["orders"])
    return Listing(f"{account['account']}: {words.counted(len(lines), 'open_order')}", lines)


def trades_listing(account: str, found: Sequence[Trade], period: timedelta, words: BotWords = WORDS) -> Listing:
    """Return the trades of a period, newest first."""
    lines = []
    for one in reversed(found):
        open_ = one.closed_at is None
        end = words.say("account.trade_open") if open_ else words.say("account.trade_closed", time=_at(one.closed_at, words))
        result = "" if one.realised is None else f", {signed(one.realised)}"
        lines.append(f"{one.side.value} {one.symbol} {clock(one.decided_at)}, {one.state.value.lower()}, {end}{result}")
    title = words.say("account.trades", account=account, trades=words.counted(len(lines), "trade"), span=words.span(period))
    return Listing(title, tuple(lines))


def readiness_text(found: ReadinessDocument, words: BotWords = WORDS) -> str:
    """Return whether an account may trade live, and every reason against it with its remedy."""
    if found["is_ready"]:
        return words.say("account.ready", account=found["account"], venue=found["venue"])
    reasons = bullets(f"{one['found']}. {one['remedy']}" for one in found["reasons"])
    return words.say("account.not_ready", account=found["account"]) + f"\n{reasons}"


@exactly
def effect_text(verb: str, account: AccountDocument, *, reason: str = "", order: str = "", words: BotWords = WORDS) -> str:
    """Return what a command will do, before it is confirmed."""
    name = f"{account['account']} ({account['mode']})"
    if verb == "cancel":
        found = next((one for one in account["orders"] if one["client_order_id"] == order), None)
        return words.say("effect.cancel", account=name, order=words.say("effect.gone") if found is None else _order_line(found))
    lines = [words.say(f"effect.{verb}", account=name, reason=reason)]
    if verb == "flatten":
        lines += [
            words.say(
                "effect.closes",
                quantity=_number(one["quantity"], words),
                symbol=one["symbol"],
                price=_price(None if one["mark"] is None else one["mark"]["price"], words),
            )
            for one in account["positions"]
        ] or [words.say("effect.nothing_held")]
        if account["equity"] is not None and account["balance"] is not None and account["positions"]:
            amount = signed(Decimal(account["equity"]) - Decimal(account["balance"]))
            lines.append(words.say("effect.realises", amount=amount))
    elif account["positions"]:
        lines.append(words.say("effect.stay", positions=words.counted(len(account["positions"]), "position")))
    if verb != "resume" and account["orders"]:
        orders = words.counted(len(account["orders"]), "open_order")
        lines.append(words.say("effect.all_cancelled" if verb == "flatten" else "effect.entries_cancelled", orders=orders))
    return "\n".join(lines)


def close_text(account: AccountDocument, symbol: str, words: BotWords = WORDS) -> str:
    """Return what closing a position does. The caller has made sure that there is one."""
    held = next(one for one in account["positions"] if one["symbol"] == symbol)
    mark = None if held["mark"] is None else held["mark"]["price"]
    name = f"{account['account']} ({account['mode']})"
    return words.say(
        "effect.close", quantity=_number(held["quantity"], words), symbol=symbol, account=name, price=_price(mark, words)
    )


def mode_text(account: AccountDocument, mode: str, words: BotWords = WORDS) -> str:
    """Return what confirming a mode does."""
    if mode == "live":
        return words.say("effect.live", account=account["account"], venue=account["venue"])
    return words.say("effect.paper", account=account["account"])


def order_text(one: OrderDocument, words: BotWords = WORDS) -> str:
    """Return one order with what became of it."""
    lines = [_order_line(one), words.say("account.decided", time=_when(one["decided_at"], words))]
    if one["average_price"] is not None:
        filled = {
            "quantity": _number(one["filled"], words),
            "price": _price(one["average_price"], words),
            "fees": _money(one["fees"], words),
        }
        lines.append(words.say("account.filled", **filled))
    if one["reason"]:
        lines.append(f"{one['reason']}: {one['detail']}".rstrip(": "))
    return "\n".join(lines)


def done_text(account: AccountDocument, words: BotWords = WORDS) -> str:
    """Return what is true of an account after a command."""
    stops = _stops(account, words)
    return "\n".join([words.say("effect.stopped" if stops else "effect.free", account=account["account"]), *stops])


def _stops(account: AccountDocument, words: BotWords) -> list[str]:
    lines = []
    if (halt := account["halt"]) is not None:
        facts = {"level": halt["level"], "since": _when(halt["since"], words), "who": halt["who"], "why": halt["why"]}
        until = halt["until"]
        lines.append(
            words.say("risk.halt_until", until=_when(until, words), **facts) if until else words.say("risk.halt", **facts)
        )
    if (over := account["exhausted"]) is not None:
        rule = words.rule(over["rule"])
        lines.append(
            words.say("risk.exhausted_until", rule=rule, until=_when(over["until"], words))
            if over["until"]
            else words.say("risk.exhausted", rule=rule)
        )
    lines += [
        words.say(
            "risk.lock",
            symbol=one["symbol"] or words.say("risk.every_symbol"),
            until=_when(one["until"], words),
            reason=one["reason"],
        )
        for one in account["locks"]
    ]
    return lines


@exactly
def _limit_lines(limit: LimitDocument, words: BotWords) -> tuple[str, str]:
    used, amount = Decimal(limit["used"] or 0), Decimal(limit["amount"] or 0)
    share = min(max(used / amount, Decimal(0)), Decimal(1)) if amount else Decimal(1)
    facts = {"bar": share_bar(share), "share": f"{share:.0%}", "rule": words.rule(limit["rule"])}
    since = limit["counts_from"]
    return (
        words.say("risk.used", **facts) if since is None else words.say("risk.used_from", since=_when(since, words), **facts),
        "  " + words.say("risk.left", left=_money(limit["remaining"], words), limit=_money(limit["limit"], words)),
    )


def _order_line(one: OrderDocument) -> str:
    at = one["limit_price"] or one["stop_price"]
    return (
        f"{one['side']} {one['quantity']} {one['symbol']} {one['type']}{f' {price(Decimal(at))}' if at else ''},"
        f" {one['state'].lower()}, {one['client_order_id']}"
    )


def _money(text: str | None, words: BotWords) -> str:
    return words.say("unknown.amount") if text is None else money(Decimal(text))


def _number(text: str | None, words: BotWords) -> str:
    return words.say("unknown.amount") if text is None else text


def _price(text: str | None, words: BotWords) -> str:
    return words.say("unknown.amount") if text is None else price(Decimal(text))


def _when(text: str | None, words: BotWords) -> str:
    return _at(None if text is None else datetime.fromisoformat(text), words)


def _at(instant: datetime | None, words: BotWords) -> str:
    return words.say("unknown.time") if instant is None else clock(instant)
