"""Figures that the bot works out of what the ledger recorded: profit, hit rate, costs, models, prices.

A period selects trades by when they were decided. Profit is after fees. What was not recorded is said, never taken for zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, timedelta
from decimal import Decimal
from typing import Final

from signalbox.chat.bot.words import WORDS, BotWords
from signalbox.chat.words import clock, price, signed
from signalbox.exact import ZERO, exactly, ratio
from signalbox.portfolio.account import EquitySnapshot
from signalbox.signals.signal import Signal
from signalbox.trading.questions import BarRow
from signalbox.trading.state import Trade

FEW: Final = 30  # closed trades; a hit rate of fewer says little


@exactly
def pnl_text(
    account: str, trades: Sequence[Trade], equity: Sequence[EquitySnapshot], period: timedelta, words: BotWords = WORDS
) -> str:
    """Return profit and loss of a period: of closed trades after fees, and of equity without deposits and withdrawals."""
    closed = [one.realised for one in trades if one.realised is not None]
    won = [one for one in closed if one > 0]
    lines = [
        words.say(
            "pnl.closed",
            account=account,
            span=words.span(period),
            amount=signed(sum(closed, Decimal(0))),
            trades=words.counted(len(closed), "closed_trade"),
        )
    ]
    if closed:
        lines.append(words.say("pnl.won", won=str(len(won)), lost=str(len(closed) - len(won))))
    if len(equity) > 1:
        first, last = equity[0], equity[-1]
        change = (last.equity - last.transfers) - (first.equity - first.transfers)
        lines.append(words.say("pnl.equity", change=signed(change), time=clock(first.at)))
    else:
        lines.append(words.say("pnl.no_equity"))
    return "\n".join(lines)


@exactly
def stats_text(
    account: str, trades: Sequence[Trade], equity: Sequence[EquitySnapshot], period: timedelta, words: BotWords = WORDS
) -> str:
    """Return hit rate, average win and loss, profit factor, best, worst, time held, and the largest fall of equity."""
    closed = [one for one in trades if one.realised is not None]
    results = [one.realised for one in closed if one.realised is not None]
    won, lost = [one for one in results if one > 0], [one for one in results if one < 0]
    lines = [f"{account}, {words.span(period)}: {words.counted(len(results), 'closed_trade')}"]
    if results:
        rate = f"{ratio(Decimal(len(won)), Decimal(len(results)), 4):.1%}"
        lines.append(words.say("stats.hit", rate=rate, won=str(len(won)), lost=str(len(lost))))
        lines += [words.say("stats.average_win", amount=signed(_mean(won)))] if won else []
        lines += [words.say("stats.average_loss", amount=signed(_mean(lost)))] if lost else []
        lines.append(
            words.say("stats.factor", factor=f"{ratio(sum(won, ZERO), -sum(lost, ZERO), 2):f}")
            if lost
            else words.say("stats.no_factor")
        )
        lines.append(words.say("stats.mean", amount=signed(_mean(results))))
        lines.append(words.say("stats.best", best=signed(max(results)), worst=signed(min(results))))
        held = [one.closed_at - one.opened_at for one in closed if one.closed_at is not None and one.opened_at is not None]
        lines += [words.say("stats.held", span=words.span(sum(held, timedelta()) / len(held)))] if held else []
        if len(results) < FEW:
            lines.append(words.say("stats.few", few=str(FEW)))
    return "\n".join([*lines, _fall(equity, words)])


@exactly
def _mean(amounts: Sequence[Decimal]) -> Decimal:
    return ratio(sum(amounts, ZERO), Decimal(len(amounts)), 2)


@exactly
def _fall(equity: Sequence[EquitySnapshot], words: BotWords) -> str:
    """Return the largest fall of equity from a peak, deposits and withdrawals left out."""
    if len(equity) < 2:
        return words.say("stats.no_fall")
    peak, worst, of = equity[0].equity - equity[0].transfers, ZERO, ZERO
    for one in equity:
        worth = one.equity - one.transfers
        peak = max(peak, worth)
        if peak - worth > worst:
            worst, of = peak - worth, peak + one.transfers
    share = f" ({ratio(worst, of, 4):.1%})" if of > 0 else ""
    return words.say("stats.fall", amount=f"{signed(-worst)}{share}")


@exactly
def performance_text(account: str, trades: Sequence[Trade], period: timedelta, words: BotWords = WORDS) -> str:
    """Return the profit and loss of each symbol, the best first."""
    found: dict[str, list[Decimal]] = {}
    for one in trades:
        if one.realised is not None:
            found.setdefault(one.symbol, []).append(one.realised)
    rows = sorted(found.items(), key=lambda row: (-sum(row[1], ZERO), row[0]))
    lines = [
        words.say(
            "stats.row",
            symbol=symbol,
            amount=signed(sum(part, ZERO)),
            trades=words.counted(len(part), "trade"),
            won=str(sum(x > 0 for x in part)),
        )
        for symbol, part in rows
    ]
    title = words.say("stats.title", account=account, span=words.span(period))
    return "\n".join([title, *(lines or [words.say("stats.none")])])


@exactly
def calendar_text(account: str, trades: Sequence[Trade], period: timedelta, words: BotWords = WORDS) -> str:
    """Return the profit and loss of each UTC day on which a trade was closed, the newest first."""
    days: dict[date, list[Decimal]] = {}
    for one in trades:
        if one.realised is not None and one.closed_at is not None:
            days.setdefault(one.closed_at.astimezone(UTC).date(), []).append(one.realised)
    lines = [
        words.say(
            "calendar.day", day=day.isoformat(), amount=signed(sum(part, ZERO)), trades=words.counted(len(part), "closed_trade")
        )
        for day, part in sorted(days.items(), reverse=True)
    ]
    return "\n".join(
        [words.say("calendar.title", account=account), *(lines or [words.say("calendar.none", span=words.span(period))])]
    )


@exactly
def costs_text(account: str, equity: Sequence[EquitySnapshot], period: timedelta, words: BotWords = WORDS) -> str:
    """Return what trading cost in a period: fees and funding between the first and the last recorded instant."""
    if len(equity) < 2:
        return words.say("costs.unknown", account=account, span=words.span(period))
    first, last = equity[0], equity[-1]
    return "\n".join(
        (
            words.say("costs.period", account=account, start=clock(first.at), end=clock(last.at)),
            words.say("costs.fees", amount=signed(first.fees - last.fees)),
            words.say("costs.funding", amount=signed(last.funding - first.funding)),
        )
    )


def models_text(found: Sequence[Signal], period: timedelta, words: BotWords = WORDS) -> str:
    """Return the models that decided in a period, with what they decided and issued."""
    decided = Counter((one.deployment, one.stage.value, one.schema_name) for one in found)
    issued = Counter(one.deployment for one in found if one.issued)
    lines = []
    for (name, stage, schema), number in sorted(decided.items()):
        newest = max(one.decided_at for one in found if one.deployment == name)
        facts = {"model": name, "stage": stage, "schema": schema, "decided": str(number), "issued": str(issued[name])}
        lines.append(words.say("models.row", time=clock(newest), **facts))
    title = words.say("models.title", models=words.counted(len(lines), "model"), span=words.span(period))
    return "\n".join([title, *lines])


def bars_text(symbol: str, hours: int, bars: Sequence[BarRow], words: BotWords = WORDS) -> str:
    """Return what the bars of the last hours say in words: the newest price, the change, the range, and missing minutes."""
    if not bars:
        return words.say("chart.none", symbol=symbol, hours=str(hours))
    first, last = bars[0], bars[-1]
    low, high = min(one.low for one in bars), max(one.high for one in bars)
    missing = int((last.open_time - first.open_time) / timedelta(minutes=1)) + 1 - len(bars)
    change = f"{last.close / first.open - 1:+.2%}"
    lines = [
        words.say("chart.change", symbol=symbol, price=_shown(last.close), change=change, hours=str(hours)),
        words.say("chart.range", low=_shown(low), high=_shown(high)),
        words.say("chart.bars", start=clock(first.open_time), end=clock(last.open_time)),
        *([words.say("chart.gaps", minutes=words.counted(missing, "minute"))] if missing else []),
    ]
    return "\n".join(lines)


def _shown(value: float) -> str:
    return price(Decimal(repr(value)))
