"""The first line of a backtest: what was made or lost, in which trades, and what the gates really said of the model."""

from __future__ import annotations

import pytest

from signalbox.inference import Gate, Verdict
from training.backtest.backtest import gates_text, money_text
from training.backtest.figures import FiguresPart
from training.judge.estimates import Estimate

ESTIMATE = Estimate(0.5, 0.4, 0.6, 3)


def closed(trades: int, net: float) -> FiguresPart:
    return FiguresPart(trades, ESTIMATE, 0.5, net, 0.0, 0.0, ESTIMATE, 30.0)


@pytest.mark.parametrize(
    ("change", "part", "still_open", "text"),
    [
        (0.0, closed(0, 0.0), 0, "No money was made or lost: no trade was opened."),
        (0.01, closed(0, 0.0), 1, "+1.00% (+0.00% in 0 closed trades, +1.00% in 1 still open)"),
        (0.01, closed(12, -500.0), 2, "+1.00% (-0.50% in 12 closed trades, +1.50% in 2 still open)"),
        (-0.02, closed(3, -2000.0), 0, "-2.00% (-2.00% in 3 closed trades)"),
    ],
)
def test_money_of_closed_trades_and_of_open_ones_is_told_apart(
    change: float, part: FiguresPart, still_open: int, text: str
) -> None:
    told = money_text(change, part, 100_000.0, still_open)
    verb = "lost" if change < 0 else "made"
    assert told in {text, f"Money was {verb} after costs: {text.replace(' (', ' of the capital (', 1)}."}


def test_a_gate_that_nobody_evaluated_is_not_one_that_was_failed() -> None:
    nothing = dict.fromkeys(Gate, Verdict.NOT_EVALUATED)
    assert "failed" not in gates_text(nothing, promotes=False)
    some = nothing | {Gate.G0: Verdict.PASS, Gate.G1: Verdict.FAIL}
    assert gates_text(some, promotes=False) == (
        "The model runs in shadow only: gates failed G1; not evaluated G2, G3, G4, G5, G6."
    )
    good = dict.fromkeys(Gate, Verdict.PASS)
    assert gates_text(good, promotes=True).startswith("The model passed the gates that promote it;")
