"""Account events in few words: Prague wall time, positions of one symbol, and sequences of anything that can happen."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from signalbox.market.candles import Symbol
from signalbox.orders.terms import Side
from signalbox.risk.ftmo import Closed, FtmoAccount, FtmoEvent, FtmoRules, Marked, Opened, PositionId, Swapped
from tests.builders import BTC, ETH, SOL

PRAGUE = ZoneInfo("Europe/Prague")
D = Decimal


def at(text: str) -> datetime:
    """`2024-03-05 10:00`, Prague time."""
    return datetime.fromisoformat(text).replace(tzinfo=PRAGUE)


def opened(
    time: str, position: str = "p1", price: str = "100", quantity: str = "1000", *, side: Side = Side.BUY, symbol: Symbol = BTC,
    commission: str = "0",
) -> Opened:  # fmt: skip
    return Opened(at(time), PositionId(position), symbol, side, D(quantity), D(price), D(commission))


def closed(time: str, position: str = "p1", price: str = "100", commission: str = "0") -> Closed:
    return Closed(at(time), PositionId(position), D(price), D(commission))


def marked(time: str, price: str, symbol: Symbol = BTC) -> Marked:
    return Marked(at(time), {symbol: D(price)})


def swapped(time: str, amount: str, position: str = "p1") -> Swapped:
    return Swapped(at(time), PositionId(position), D(amount))


def account(rules: FtmoRules, capital: str, *events: FtmoEvent, phase: str | None = None) -> FtmoAccount:
    found = FtmoAccount(rules, D(capital), phase=phase)
    for event in events:
        found.apply(event)
    return found


def gain(day: str, amount: int, position: str = "p1") -> tuple[Opened, Closed]:
    """One trade of a day that closes with this profit."""
    return opened(f"{day} 10:00", position, "100", "100"), closed(f"{day} 11:00", position, str(D(100) + D(amount) / 100))


@st.composite
def histories(draw: st.DrawFn, *, length: int = 25) -> list[FtmoEvent]:
    """What may happen to an account of 10,000 over some days, midnights and both clock changes included."""
    time = datetime.fromisoformat(draw(st.sampled_from(["2024-03-29 20:00", "2024-10-25 20:00"]))).replace(tzinfo=ZoneInfo("UTC"))
    prices = st.integers(80, 120).map(D)
    symbols = st.sampled_from([BTC, ETH, SOL])
    alive: list[PositionId] = []
    events: list[FtmoEvent] = []
    for i in range(draw(st.integers(1, length))):
        time += timedelta(minutes=draw(st.sampled_from([0, 1, 60, 240, 700])))
        kind = draw(st.sampled_from(["open", "mark", "mark", "mark", "close", "swap"]))
        if kind == "open" or (kind in {"close", "swap"} and not alive):
            alive.append(PositionId(f"p{i}"))
            quantity, cost = D(draw(st.integers(1, 40))), D(draw(st.integers(0, 5)))
            events.append(Opened(time, alive[-1], draw(symbols), draw(st.sampled_from(Side)), quantity, draw(prices), cost))
        elif kind == "mark":
            events.append(Marked(time, draw(st.dictionaries(symbols, prices, min_size=1))))
        elif kind == "close":
            events.append(Closed(time, alive.pop(draw(st.integers(0, len(alive) - 1))), draw(prices), D(1)))
        else:
            events.append(Swapped(time, draw(st.sampled_from(alive)), D(draw(st.integers(-200, 100)))))
    return events
