"""A calm account with room for everything; each argument is what the test is about."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from signalbox.market.candles import Symbol
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.terms import Side
from signalbox.risk import (
    PRESETS,
    AccountId,
    AccountKind,
    GroupName,
    HaltLevel,
    Instrument,
    Lock,
    LossFloor,
    LossRule,
    Mark,
    Position,
    ProposedOrder,
    RiskLimits,
    RiskSnapshot,
    WorkingOrder,
)
from tests.builders import BTC, ETH, NOON, SOL

D = Decimal
PRICES = {BTC: D(50_000), ETH: D(2_500), SOL: D(100)}
LIMITS = PRESETS[AccountKind.FTMO_2STEP]
SPOT = PRESETS[AccountKind.LIVE_SPOT]


def instrument(symbol: Symbol = BTC, **changes: Any) -> Instrument:
    facts: dict[str, Any] = {
        "symbol": symbol,
        "group": GroupName("alts" if symbol != BTC else "btc"),
        "tick": D("0.01"),
        "step": D("0.0001"),
        "min_quantity": D("0.0001"),
        "max_quantity": D(1_000),
        "min_notional": D(10),
        "max_notional": D(500_000),
        "margin_fraction": D("0.5"),
        "fee_fraction": D("0.0005"),
    }
    return Instrument(**(facts | changes))


def floor(rule: LossRule, breach: str, block: str, **changes: Any) -> LossFloor:
    facts: dict[str, Any] = {
        "rule": rule,
        "breach_below": D(breach),
        "block_below": D(block),
        "starts_at": NOON - timedelta(hours=13),
        "ends_at": NOON + timedelta(hours=11),
    }
    return LossFloor(**(facts | changes))


DAILY = floor(LossRule.MAX_DAILY_LOSS, "190000", "192000")
OVERALL = floor(LossRule.MAX_LOSS, "180000", "184000")


def lock(symbol: Symbol | None = None, *, reason: str = "COOLDOWN_ACTIVE", minutes: int = 15) -> Lock:
    return Lock(reason, symbol, NOON - timedelta(minutes=1), NOON + timedelta(minutes=minutes), D(0), D(1))


def order(
    side: Side = Side.BUY,
    quantity: str | Decimal = "0.1",
    price: str | None = None,
    *,
    symbol: Symbol = BTC,
    stop: str | None = None,
    reduce_only: bool = False,
    order_id: str = "o1",
) -> ProposedOrder:
    return ProposedOrder(
        ClientOrderId(order_id),
        symbol,
        side,
        D(quantity),
        None if price is None else D(price),
        None if stop is None else D(stop),
        reduce_only,
    )


def position(
    symbol: Symbol = BTC,
    quantity: str | Decimal = "1",
    average: str | Decimal = "50000",
    stop: str | None = None,
    protected: str | Decimal | None = None,
) -> Position:
    """A stop closes all of it unless told otherwise."""
    if stop is None:
        return Position(symbol, D(quantity), D(average))
    return Position(symbol, D(quantity), D(average), D(stop), abs(D(quantity)) if protected is None else D(protected))


def snapshot(*positions: Position, working: tuple[WorkingOrder, ...] = (), **changes: Any) -> RiskSnapshot:
    facts: dict[str, Any] = {
        "account": AccountId("a1"),
        "at": NOON,
        "account_at": NOON,
        "halt": HaltLevel.NONE,
        "locks": (),
        "balance": D(200_000),
        "accrued_costs": D(0),
        "positions": {p.symbol: p for p in positions},
        "working": working,
        "instruments": {s: instrument(s) for s in PRICES},
        "marks": {s: Mark(p, NOON) for s, p in PRICES.items()},
        "floors": (DAILY, OVERALL),
        "order_times": (),
    }
    return RiskSnapshot(**(facts | changes))


def limits(base: RiskLimits = LIMITS, **changes: Any) -> RiskLimits:
    return RiskLimits.model_validate(base.model_dump() | changes)


@st.composite
def orders(draw: st.DrawFn, *, count: int = 8) -> list[ProposedOrder]:
    """Orders of every kind on all symbols, sized from dust to far too much, on ticks and steps."""
    found = []
    for i in range(draw(st.integers(1, count))):
        symbol = draw(st.sampled_from(sorted(PRICES)))
        side, mark = draw(st.sampled_from(Side)), PRICES[symbol]
        notional = draw(st.sampled_from([1, 5_000, 20_000, 60_000, 150_000, 400_000])) * draw(st.integers(50, 100))
        off = draw(st.none() | st.integers(-600, 600))
        price = None if off is None else mark * (10_000 + off) / 10_000
        sign = 1 if side is Side.BUY else -1
        distance = draw(st.none() | st.integers(1, 900))
        stop = None if distance is None else mark * (10_000 - sign * distance) / 10_000
        quantity = max((D(notional) / 100 / mark).quantize(D("0.0001")), D("0.0001"))
        found.append(ProposedOrder(ClientOrderId(f"o{i}"), symbol, side, quantity, price, stop, draw(st.booleans())))
    return found


@st.composite
def snapshots(draw: st.DrawFn) -> RiskSnapshot:
    """Accounts with positions of either sign and orders at work, some of them near or over their limits."""
    positions = []
    for symbol, price in PRICES.items():
        size = draw(st.sampled_from([0, 0, 1, -1, 3, -4])) * draw(st.integers(1, 20))
        if size:
            quantity = (D(size) * 2_000 / price).quantize(D("0.0001"))
            positions.append(Position(symbol, quantity, price * draw(st.integers(98, 102)) / 100))
    sent = [
        WorkingOrder(
            ProposedOrder(ClientOrderId(f"w{i}"), o.symbol, o.side, o.quantity, o.price, o.stop_price, False), o.quantity
        )
        for i, o in enumerate(draw(orders(count=2)))
        if draw(st.booleans())
    ]
    return snapshot(*positions, working=tuple(sent))
