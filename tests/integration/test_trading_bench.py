"""The benchmarks of trading measure what they say: every order of a short run is in the ledger once, every check is made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from local.bench.orders import OrderBenchOptions, _schedules, run_order_bench
from local.bench.risk import RiskBenchOptions, run_risk_bench
from local.cloud.processes import wait_until
from local.settings import REPOSITORY, load_settings
from signalbox.contracts import ADMIN_DATABASE_USER, DATABASE_NAME

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


def test_orders_interrupted_tell_what_was_measured_and_leave_nothing_behind(tmp_path: Path) -> None:
    command = ("-m", "local.cli.command", "bench", "orders", "--rate", "50", "--seconds", "600", "--json")
    reported, output = tmp_path / "told.json", tmp_path / "said.log"
    with reported.open("wb") as out, output.open("wb") as log:
        bench = subprocess.Popen(
            [sys.executable, *command],
            cwd=REPOSITORY,
            env=load_settings().base_env,
            stdout=out,
            stderr=log,
            start_new_session=True,
        )
    try:
        server = wait_until(lambda: _server_of(bench), what="PostgreSQL", seconds=60, alive=lambda: bench.poll() is None)
        folder = Path(server.cwd())  # a server walks there by no name: "-D" says where it was started
        sockets = Path(server.cmdline()[server.cmdline().index("-k") + 1])
        wait_until(lambda: _orders_at(sockets) > 20 or None, what="orders", seconds=60, alive=lambda: bench.poll() is None)
        family = psutil.Process(bench.pid).children(recursive=True)
        os.killpg(bench.pid, signal.SIGINT)  # as a terminal does: everybody in the group hears it
        assert bench.wait(60) == 130, output.read_text()
    finally:
        bench.kill()
        bench.wait()
    assert len(family) >= 2 + 2  # workers; the guard and its server
    assert psutil.wait_procs(family, timeout=20)[1] == []
    assert not folder.parent.parent.exists()
    assert folder.parent.parent.name.startswith("signalbox-bench-")
    assert not sockets.exists()
    found = json.loads(reported.read_text())
    assert found["interrupted"] is True
    assert found["is_sound"] is True, found["checks"]
    assert 20 < found["orders"] < 30_000
    assert 0 < found["p50_ms"] <= found["p99_ms"]


def _server_of(process: subprocess.Popen[bytes]) -> psutil.Process | None:
    for one in psutil.Process(process.pid).children(recursive=True):
        try:
            if one.name() == "postgres" and "-D" in one.cmdline():
                return one
        except psutil.Error:  # it ended while we looked
            continue
    return None


def _orders_at(sockets: Path) -> int:
    try:
        with psycopg.connect(
            f"host={sockets} dbname={DATABASE_NAME} user={ADMIN_DATABASE_USER}", connect_timeout=2
        ) as connection:
            row = connection.execute("SELECT count(*) FROM orders").fetchone()
    except psycopg.Error:  # it is starting, or not migrated yet
        return 0
    return 0 if row is None else row[0]


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
