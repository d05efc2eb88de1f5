"""Figures that the bot works out of what the ledger recorded: profit, hit rate, costs, models, prices.

A period selects trades by when they were decided. Profit is after fees. What was not recorded is said, never taken for zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Final

from signalbox.chat.words import clock, counted, price, signed, span_of
from signalbox.exact import ZERO, exactly, ratio
from signalbox.portfolio.account import EquitySnapshot
from signalbox.signals.signal import Signal
from signalbox.trading.questions import BarRow
from signalbox.trading.state import Trade

FEW: Final = 30  # closed trades; a hit rate of fewer says little


@exactly
def pnl_text(account: str, trades: Sequence[Trade], equity: Sequence[EquitySnapshot], period: timedelta) -> str:
    """Return profit and loss of a period: of closed trades after fees, and of equity without deposits and withdrawals."""
    closed = [one.realised for one in trades if one.realised is not None]
    won = [one for one in closed if one > 0]
    lines = [
        f"{account}, {span_of(period)}: {signed(sum(closed, Decimal(0)))} from {counted(len(closed), 'closed trade')} after fees"
    ]
    if closed:
        lines.append(f"{len(won)} won, {len(closed) - len(won)} lost or even")
    if len(equity) > 1:
        first, last = equity[0], equity[-1]
        change = (last.equity - last.transfers) - (first.equity - first.transfers)
        lines.append(f"equity {signed(change)} since {clock(first.at)}, open positions included")
    else:
        lines.append("No equity was recorded in that period.")
    return "\n".join(lines)


@exactly
def stats_text(account: str, trades: Sequence[Trade], equity: Sequence[EquitySnapshot], period: timedelta) -> str:
    """Return hit rate, average win and loss, profit factor, best, worst, time held, and the largest fall of equity."""
    closed = [one for one in trades if one.realised is not None]
    results = [one.realised for one in closed if one.realised is not None]
    won, lost = [one for one in results if one > 0], [one for one in results if one < 0]
    lines = [f"{account}, {span_of(period)}: {counted(len(results), 'closed trade')}"]
    if results:
        lines.append(f"hit rate {ratio(Decimal(len(won)), Decimal(len(results)), 4):.1%}, {len(won)} won, {len(lost)} lost")
        lines += [f"average win {signed(_mean(won))}"] if won else []
        lines += [f"average loss {signed(_mean(lost))}"] if lost else []
        factor = f"{ratio(sum(won, ZERO), -sum(lost, ZERO), 2):f}" if lost else "none: no trade lost"
        lines += [f"profit factor {factor}", f"a trade makes {signed(_mean(results))} on average"]
        lines.append(f"best {signed(max(results))}, worst {signed(min(results))}")
        held = [one.closed_at - one.opened_at for one in closed if one.closed_at is not None and one.opened_at is not None]
        lines += [f"held {span_of(sum(held, timedelta()) / len(held))} on average"] if held else []
        if len(results) < FEW:
            lines.append(f"Fewer than {FEW} trades: these figures say little about the next ones.")
    return "\n".join([*lines, _fall(equity)])


@exactly
def _mean(amounts: Sequence[Decimal]) -> Decimal:
    return ratio(sum(amounts, ZERO), Decimal(len(amounts)), 2)


@exactly
def _fall(equity: Sequence[EquitySnapshot]) -> str:
    """Return the largest fall of equity from a peak, deposits and withdrawals left out."""
    if len(equity) < 2:
        return "No equity was recorded in that period, so its largest fall is unknown."
    peak, worst, of = equity[0].equity - equity[0].transfers, ZERO, ZERO
    for one in equity:
        worth = one.equity - one.transfers
        peak = max(peak, worth)
        if peak - worth > worst:
            worst, of = peak - worth, peak + one.transfers
    share = f" ({ratio(worst, of, 4):.1%})" if of > 0 else ""
    return f"largest fall of equity {signed(-worst)}{share}, at the recorded instants"


@exactly
def performance_text(account: str, trades: Sequence[Trade], period: timedelta) -> str:
    """Return the profit and loss of each symbol, the best first."""
    found: dict[str, list[Decimal]] = {}
    for one in trades:
        if one.realised is not None:
            found.setdefault(one.symbol, []).append(one.realised)
    rows = sorted(found.items(), key=lambda row: (-sum(row[1], ZERO), row[0]))
    lines = [
        f"{symbol} {signed(sum(part, ZERO))}, {counted(len(part), 'trade')}, {sum(x > 0 for x in part)} won"
        for symbol, part in rows
    ]
    return "\n".join([f"{account}, {span_of(period)}, closed trades after fees", *(lines or ["No trade was closed."])])


@exactly
def costs_text(account: str, equity: Sequence[EquitySnapshot], period: timedelta) -> str:
    """Return what trading cost in a period: fees and funding between the first and the last recorded instant."""
    if len(equity) < 2:
        return f"{account}, {span_of(period)}: no equity was recorded, so the costs are unknown."
    first, last = equity[0], equity[-1]
    return (
        f"{account}, {clock(first.at)} to {clock(last.at)}\n"
        f"fees {signed(first.fees - last.fees)}\nfunding {signed(last.funding - first.funding)}"
    )


def models_text(found: Sequence[Signal], period: timedelta) -> str:
    """Return the models that decided in a period, with what they decided and issued."""
    decided = Counter((one.deployment, one.stage.value, one.schema_name) for one in found)
    issued = Counter(one.deployment for one in found if one.issued)
    lines = []
    for (name, stage, schema), number in sorted(decided.items()):
        newest = max(one.decided_at for one in found if one.deployment == name)
        lines.append(f"{name} ({stage}, features {schema}): {number} decided, {issued[name]} issued, newest {clock(newest)}")
    return "\n".join([f"{counted(len(lines), 'model')} in {span_of(period)}", *lines])


def bars_text(symbol: str, hours: int, bars: Sequence[BarRow]) -> str:
    """Return what the bars of the last hours say in words: the newest price, the change, the range, and missing minutes."""
    if not bars:
        return f"{symbol}: no bar was recorded in the last {hours} h."
    first, last = bars[0], bars[-1]
    low, high = min(one.low for one in bars), max(one.high for one in bars)
    missing = int((last.open_time - first.open_time) / timedelta(minutes=1)) + 1 - len(bars)
    gaps = f"\n{counted(missing, 'minute')} between them without a bar" if missing else ""
    return (
        f"{symbol} {_shown(last.close)}, {last.close / first.open - 1:+.2%}, of the last {hours} h\n"
        f"low {_shown(low)}, high {_shown(high)}\nbars from {clock(first.open_time)} to {clock(last.open_time)}{gaps}"
    )


def _shown(value: float) -> str:
    return price(Decimal(repr(value)))
