from decimal import Decimal
from typing import get_args

import pytest

from signalbox.chat.alerts import render_alert
from signalbox.chat.trading_alerts import TradingEvent
from signalbox.events import Event, parse_event
from signalbox.orders.terms import Leg, Side
from signalbox.risk.snapshot import HaltLevel
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
from tests.builders import NOON, minutes

KEY = "0" * 32
D = Decimal
TOLD: list[tuple[Event, tuple[str, ...]]] = [
    (
        OrderRefused(
            account="a", client_order_id=KEY, symbol="BTC-USD", side=Side.BUY, at=NOON, code="HALTED", message="HALTED: x",
        ),
        ("a: BUY BTC-USD was refused", "HALTED: x"),
    ),
    (
        TradeOpened(
            account="a", mode="paper", entry=KEY, symbol="BTC-USD", side=Side.SELL, at=NOON, quantity=D("0.5000"),
            price=D("62000.50"), stop_loss=D(63000), take_profit=None, deadline=NOON + minutes(60),
        ),
        ("a (paper): SELL 0.5000 BTC-USD at 62,000.5", "stop 63,000, until 2024-03-01 13:00 UTC"),
    ),
    (
        TradeOpened(
            account="a", mode="live", entry=KEY, symbol="BTC-USD", side=Side.BUY, at=NOON, quantity=D(1),
            price=D(62000), stop_loss=D(61000), take_profit=D(64000), deadline=NOON + minutes(60),
        ),
        ("📈 a: BUY 1 BTC-USD at 62,000", "target 64,000"),
    ),
    (
        TradeClosed(
            account="a", mode="paper", entry=KEY, symbol="BTC-USD", side=Side.BUY, at=NOON, leg=Leg.STOP_LOSS, price=D(61000),
            realised=D("-12.345"), balance=D("99987.655"),
        ),
        ("🔻", "closed at its stop at 61,000", "-12.34 after fees", "balance 99,987.66"),
    ),
    (
        RiskWarning(
            account="a", rule="max_daily_loss", level="BLOCK", at=NOON, day="2024-03-01", used=D(4000), amount=D(5000),
            equity=D(96000), limit=D(95000),
        ),
        ("80% of the daily loss limit is used", "no new risk", "equity 96,000.00, limit 95,000.00"),
    ),
    (
        RiskWarning(
            account="a", rule="max_daily_loss", level="FLATTEN", at=NOON, day="2024-03-02", used=D(4600), amount=D(5000),
            equity=D(98957), limit=D(98557), counts_from=NOON + minutes(30),
        ),
        ("92% of the daily loss limit from 2024-03-01 12:30 UTC on is used", "everything open is closed", "limit 98,557.00"),
    ),
    (
        AccountExhausted(
            account="a", rule="max_loss", at=NOON, balance=D(92100), left=D(100), least_loss=D("211.5"), until=None,
        ),
        ("exhausted for good", "100.00 is left", "total loss limit", "less than 211.50", "held back, balance 92,100.00"),
    ),
    (
        AccountExhausted(
            account="a", rule="max_daily_loss", at=NOON, balance=D(96100), left=D(100), least_loss=D(220),
            until=NOON + minutes(5),
        ),
        ("exhausted until 2024-03-01 12:05 UTC", "daily loss limit"),
    ),
    (
        TradingHalted(account="a", level=HaltLevel.HALT, who="ops", why="nobody looks", at=NOON, until=None),
        ("HALT by ops, until somebody resumes: nobody looks",),
    ),
    (
        TradingHalted(account="a", level=HaltLevel.FLATTEN, who="ops", why="x", at=NOON, until=NOON + minutes(5)),
        ("FLATTEN by ops until 2024-03-01 12:05 UTC",),
    ),
    (
        ExitFailed(
            account="a", mode="live", symbol="BTC-USD", leg=Leg.TIMEOUT, quantity=D("0.3736"), since=NOON, at=NOON + minutes(2),
            number=2, attempts=7, reason="MARKET_CLOSED: 10018 Market closed", retry_at=NOON + minutes(3),
        ),
        ("a: 0.3736 BTC-USD is still open", "7 orders were sent: MARKET_CLOSED", "next try 2024-03-01 12:03 UTC"),
    ),
    (
        StopPassed(account="a", entry=KEY, symbol="BTC-USD", side=Side.BUY, at=NOON, stop_loss=D(59000), price=D(55000)),
        ("BTC-USD is at 55,000, beyond the stop of its BUY at 59,000", "closed at the market"),
    ),
    (
        VenueRefused(
            account="a", venue="coinbase", client_order_id="ab" * 16, request=None, what="order", symbol="BTC-USD", side=Side.BUY,
            at=NOON, reason="VENUE_REFUSED", detail="size is too small.\nMinimum size is 1",
        ),
        ("coinbase refused the order BUY BTC-USD, VENUE_REFUSED: size is too small. Minimum size is 1",),
    ),
    (TradingResumed(account="a", who="ops", why="looked", at=NOON), ("resumed by ops: looked",)),
    (
        RuleBreached(account="a", rule="max_loss", at=NOON, limit=D(90000), equity=D("89999.99")),
        ("total loss rule is broken", "equity 89,999.99 below 90,000.00"),
    ),
    (TargetReached(account="a", phase="challenge", at=NOON, balance=D(110000)), ("target of challenge", "110,000.00")),
]  # fmt: skip


@pytest.mark.parametrize(("event", "parts"), TOLD, ids=lambda value: value.type if isinstance(value, Event) else "")
def test_what_happened_to_an_account_is_told_under_its_events_id(event: Event, parts: tuple[str, ...]) -> None:
    alert = render_alert(event)
    assert alert is not None
    assert alert.alert_id == event.event_id
    assert all(part in alert.text for part in parts), alert.text
    assert len(alert.text.splitlines()) <= 2
    assert parse_event(event.type, event.to_detail()) == event


def test_every_event_of_an_account_is_among_them() -> None:
    assert {type(event) for event, _ in TOLD} == set(get_args(TradingEvent))
