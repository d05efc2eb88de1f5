"""What the bot answers about money: limits, positions, profit, and the effect of a command before it is confirmed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from signalbox.chat.bot.answers import effect_text, orders_listing, positions_text, risk_text, signal_text, signals_listing
from signalbox.chat.bot.conversation import parts_of
from signalbox.chat.bot.figures import pnl_text
from signalbox.chat.bot.paging import ListPage, page_answer
from signalbox.market.candles import Symbol
from signalbox.portfolio.account import EquitySnapshot
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Tier
from signalbox.trading.bars import apply_bars
from signalbox.trading.documents import AccountDocument, OrderDocument
from signalbox.trading.view import account_view
from tests.unit.trading.market import BASE, BTC, START, bar
from tests.unit.trading.test_headroom import state_with, tried

STOP: OrderDocument = {
    "client_order_id": "feed0001", "symbol": BTC, "side": "SELL", "type": "STOP", "leg": "STOP_LOSS", "state": "ACCEPTED",
    "quantity": "0.3736", "limit_price": None, "stop_price": "59330.94", "filled": "0", "average_price": None, "fees": "0",
    "decided_at": START.isoformat(), "reason": None, "detail": "",
}  # fmt: skip


def holding() -> AccountDocument:
    """An account that bought BTC at its newest price."""
    state, _ = tried(state_with(["100000"]), 1)
    state, _ = apply_bars(state, {BTC: [bar(BTC, START, BASE[BTC])]}, START + timedelta(minutes=1))
    return account_view(state)


def test_risk_shows_each_limit_with_what_is_left() -> None:
    shown = risk_text(account_view(state_with(["96100", "94000"])))
    assert "▓▓▓▓░░░░░░ 42% of the daily loss limit\n  2,900.00 left, broken below 91,100.00" in shown
    assert "▓▓▓▓▓▓░░░░ 60% of the total loss limit\n  4,000.00 left, broken below 90,000.00" in shown


def test_a_signal_of_a_fallback_venue_and_of_late_bars_is_marked() -> None:
    plain = Signal(
        Symbol(BTC), START, "starter-1", DeploymentStage.SHADOW, Direction.BUY, Tier.HIGH, 0.61, BASE[BTC],
        late=False, schema_name="v50", schema_hash="h", features=(1.0,),
    )  # fmt: skip
    marked = replace(plain, market="kraken", known_at=START + timedelta(seconds=21))
    assert "kraken" not in signal_text(plain) + str(signals_listing([plain], timedelta(hours=1)).rows)
    assert "Decided on kraken, a fallback venue" in signal_text(marked)
    assert f"complete at {START + timedelta(seconds=21):%H:%M:%S} UTC, late" in signal_text(marked)
    assert " on kraken" in signals_listing([marked], timedelta(hours=1)).rows[0]


def test_risk_without_a_price_says_that_it_is_unknown() -> None:
    assert "unknown" in risk_text({**holding(), "limits": None, "equity": None})


def test_flatten_says_what_it_closes_and_what_that_realises_about() -> None:
    account = holding()
    (position,) = account["positions"]
    account = {**account, "equity": "99790", "balance": "100000", "orders": [STOP]}
    effect = effect_text("flatten", account, reason="leaving")
    assert f"closes {position['quantity']} BTC-USD at about 60,000" in effect
    assert "realises about -210.00 before fees" in effect
    assert "all are cancelled" in effect
    assert "stays open, with stops and targets: 1 position" in effect_text("halt", account, reason="news")


def test_position_has_its_stop_and_deadline() -> None:
    account = holding()
    (trade,) = account["trades"]
    shown = positions_text(account)
    assert f"stop {Decimal(str(trade['stop_loss'])):,f}" in shown
    assert "until 2024-03-01" in shown


def test_profit_counts_no_deposit() -> None:
    rows = [_snapshot(0, "100000", "0"), _snapshot(1, "110250", "10000")]
    shown = pnl_text("a-1k", (), rows, timedelta(days=1))
    assert "equity +250.00 since" in shown


def test_list_names_the_number_that_it_cuts() -> None:
    found = page_answer(orders_listing({**holding(), "orders": [STOP] * 40}), ListPage("/orders ftmo-2step-100k", START))
    shown = "\n".join(found.parts)
    assert shown.startswith("ftmo-2step-100k: 40 open orders (1 to 12, page 1 of 4)")
    assert shown.count("feed0001") == 12


@given(st.lists(st.text(alphabet="ab🛑 \n", max_size=60), max_size=40).map("\n".join), st.integers(2, 50))
def test_parts_fit_as_telegram_counts_and_lose_nothing_but_white_space(text: str, limit: int) -> None:
    parts = parts_of(text, limit)
    assert all(len(part.encode("utf-16-le")) // 2 <= limit for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def _snapshot(hours: int, equity: str, transfers: str) -> EquitySnapshot:
    zero, at = Decimal(0), START + timedelta(hours=hours)
    worth = Decimal(equity)
    return EquitySnapshot("a-1k", at, worth, worth, zero, worth, zero, Decimal(transfers), zero, zero, zero, {})
