"""A replay in which every decision was refused is a failure, not "ok"."""

from __future__ import annotations

from local.replay.summary import why_nothing_was_decided
from signalbox.signals.ports import SymbolRefusal
from tests.builders import BTC, ETH, NOON, minutes
from tests.integration.samples import SIGNAL

STALE = [SymbolRefusal(symbol, NOON + minutes(5 * i), "STALE_DATA", "newest is late") for i in range(12) for symbol in (BTC, ETH)]


def test_a_run_without_a_decision_says_why() -> None:
    error = why_nothing_was_decided([], STALE)
    assert error == "no symbol was decided in any cycle: STALE_DATA 24 times; the first was BTC-USD, newest is late"


def test_a_run_with_one_decision_or_without_a_cycle_has_no_such_error() -> None:
    assert why_nothing_was_decided([SIGNAL], STALE) is None
    assert why_nothing_was_decided([], []) is None
