"""The benchmarks of trading measure what they say: every order of a short run is in the ledger once, every check is made."""

from __future__ import annotations

import json

import pytest

from local.bench.orders import OrderBenchOptions, _schedules, run_order_bench
from local.bench.risk import RiskBenchOptions, run_risk_bench

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_short_run_of_orders_is_sound_and_counts_what_was_delivered_again(capsys: pytest.CaptureFixture[str]) -> None:
    options = OrderBenchOptions(rate=60, seconds=2, accounts=3, redelivered=0.1, peer_seconds=0.3, json_output=True)
    found = run_order_bench(options)
    assert found.is_sound, found.checks
    assert len(found.checks) == 7
    assert (found.orders, found.redelivered, found.ignored, found.refused) == (120, 12, 12, 0)
    assert 0 < found.p50_ms <= found.p99_ms <= found.max_ms
    assert 0 < found.transactions <= 120 + 12 + options.accounts * 2
    assert json.loads(capsys.readouterr().out)["is_sound"] is True


def test_schedules_hold_every_order_once_and_some_again_later() -> None:
    options = OrderBenchOptions(rate=100, seconds=3, accounts=4, workers=2, redelivered=0.05)
    schedules = _schedules(options)
    firsts = [n for s in schedules for n, first in zip(s.numbers, s.first, strict=True) if first]
    assert sorted(firsts) == list(range(300))
    assert sum(len(s.numbers) for s in schedules) == 315
    for number, schedule in enumerate(schedules):
        assert schedule.due_s == sorted(schedule.due_s)
        assert {n % 4 % 2 for n in schedule.numbers} == {number}
        due = {n: at for n, at, first in zip(schedule.numbers, schedule.due_s, schedule.first, strict=True) if first}
        assert all(at == n / 100 for n, at in due.items())
        again = zip(schedule.numbers, schedule.due_s, schedule.first, strict=True)
        assert all(at > due[n] for n, at, first in again if not first)


def test_risk_bench_measures_every_way_and_finds_them_judging_alike(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_risk_bench(RiskBenchOptions(rounds=100, postgres_rounds=20, json_output=True))
    assert {"check in memory", "check read from PostgreSQL", "peer: ten Decimal products"} <= found.keys()
    assert all(0 < figures["p50_us"] <= figures["p99_us"] for figures in found.values())
    assert json.loads(capsys.readouterr().out)["figures"] == found
