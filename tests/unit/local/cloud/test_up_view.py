"""What `signalbox up` shows: a screen in a terminal, lines elsewhere, and counts that survive a restart."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from local.cloud.accounts import AccountLine
from local.cloud.up_view import AlertCount, LiveUpView, PlainUpView, UpCycle
from signalbox.signals.ports import SymbolRefusal
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Tier
from tests.builders import BTC, ETH

NOW = datetime(2026, 1, 5, 12, 2, 30, tzinfo=UTC)
CYCLE_AT = NOW.replace(minute=0, second=0)
SIGNAL = Signal(
    symbol=BTC, decided_at=CYCLE_AT, deployment="d", stage=DeploymentStage.SHADOW, direction=Direction.BUY, tier=Tier.HIGH,
    probability_up=0.61, price=Decimal("101.5"), late=False, schema_name="v31", schema_hash="ab", features=(),
)  # fmt: skip
LINE = AccountLine("paper-25k", Decimal(25_100), Decimal(100), 1, 2, halted=True)
FACTS = UpCycle(CYCLE_AT, [SIGNAL], [SymbolRefusal(ETH, CYCLE_AT, "STALE_DATA", "gone")], {BTC: 7}, 288, 41, [LINE])


def test_a_terminal_sees_signals_accounts_counts_and_when_the_next_cycle_is() -> None:
    console = Console(width=110, force_terminal=True, no_color=True)
    with console.capture() as caught, LiveUpView((BTC, ETH), console, lambda: NOW) as view:
        view.say("market: simulated [x]")
        view.cycle(FACTS)
        view.cycle(UpCycle(CYCLE_AT.replace(hour=11), [], [], {}, 1, 1))  # of a slow thread: older than what is shown
    shown = caught.get()
    assert "market: simulated [x]" in shown
    assert "next cycle in 2:30" in shown
    last = shown[shown.rindex("next cycle") :]
    for part in (
        "BTC-USD",
        "101.50",
        "BUY",
        "HIGH",
        "STALE_DATA",
        "288 cycles in 24 hours",
        "alerts sent: 41",
        "HALTED",
        "SHADOW",
    ):
        assert part in last, part


def test_a_pipe_gets_a_line_a_cycle_and_one_an_account(capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainUpView()
    view.cycle(UpCycle(CYCLE_AT, FACTS.signals, FACTS.refusals, FACTS.issued, 288, 40))
    view.cycle(FACTS)
    cycle, account = capsys.readouterr().out.splitlines()
    assert cycle == "2026-01-05 12:00  BTC-USD 101.50 BUY HIGH 61% [shadow]  ETH-USD refused: STALE_DATA  alerts 40"
    assert account.startswith("  paper-25k  equity 25,100.00")


def test_the_count_of_alerts_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "alerts.json"
    assert [AlertCount(path).total(3), AlertCount(path).total(2)] == [3, 5]
    path.write_text("{")
    assert AlertCount(path).total(1) == 1
