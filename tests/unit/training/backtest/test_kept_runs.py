"""A backtest that was run is kept by what it was made from: the same again reads it, anything else runs anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.training.backtest.random_walks import BOLD, WARM_UP, account, walk_bars, walk_signals
from training.backtest import kept_runs
from training.backtest.bar_grid import BarGrid
from training.backtest.engine import BacktestRun, Plan, run
from training.backtest.kept_runs import KEPT, KeptRuns, RunInputs
from training.backtest.starts import Attempt
from training.errors import TrainingError

DAY = 1_440
GRID = BarGrid.of(walk_bars(4, WARM_UP + 3 * DAY, minute_bps=8.0, jump_every=613))
SIGNALS = walk_signals(GRID, 4, share=0.5)
PLAN = Plan(account("ftmo-2step-100k", BOLD), WARM_UP, WARM_UP + 3 * DAY)


@pytest.fixture(scope="module")
def found() -> BacktestRun:
    return run(GRID, SIGNALS, PLAN)


def test_a_kept_run_and_its_attempts_are_read_back_equal(found: BacktestRun, tmp_path: Path) -> None:
    assert found.record.halts
    assert any(line.limit is not None for line in found.record.risk)
    kept, inputs = KeptRuns(tmp_path / "runs"), RunInputs.of(GRID, SIGNALS)
    run_key, attempts_key = inputs.key("account", PLAN), inputs.key("starts", PLAN, [GRID.instant(WARM_UP)])
    attempts = (Attempt.of(GRID.instant(WARM_UP), found),)
    assert kept.find_run(run_key) is None
    assert kept.find_attempts(attempts_key) is None
    kept.keep_run(run_key, found)
    kept.keep_attempts(attempts_key, attempts)
    again = KeptRuns(tmp_path / "runs")
    assert again.find_run(run_key) == found
    assert again.find_attempts(attempts_key) == attempts


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(("ftmo-1step-10k", "paper-100k")), cut=st.integers(60, DAY))
def test_any_run_is_kept_whole(tmp_path_factory: pytest.TempPathFactory, seed: int, kind: str, cut: int) -> None:
    grid = BarGrid.of(walk_bars(seed, WARM_UP + DAY, minute_bps=10.0))
    made = run(grid, walk_signals(grid, seed, share=0.3), Plan(account(kind, BOLD), WARM_UP, WARM_UP + cut))
    kept = KeptRuns(tmp_path_factory.mktemp("runs"))
    kept.keep_run("one.json", made)
    assert kept.find_run("one.json") == made


def test_whatever_a_run_depends_on_has_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = RunInputs.of(GRID, SIGNALS)
    dates = [GRID.instant(WARM_UP)]
    plans = (
        PLAN,
        replace(PLAN, account=account("ftmo-2step-25k", BOLD)),
        replace(PLAN, account=account("ftmo-2step-100k")),
        replace(PLAN, start=PLAN.start + 5),
        replace(PLAN, end=PLAN.end - 5),
        replace(PLAN, every_bar=True),
        replace(PLAN, stop_at_target=True),
        replace(PLAN, stop_when_over=False),
        replace(PLAN, tells_refusals=False),
    )
    keys = [inputs.key("account", plan) for plan in plans]
    keys += [inputs.key("starts", PLAN, dates), inputs.key("starts", PLAN, [dates[0] + timedelta(days=1)])]
    last = GRID.bars[-1]
    volume = last.volume.copy()
    volume[-1] += 1
    changed = BarGrid.of((*GRID.bars[:-1], replace(last, volume=volume)))
    others = [RunInputs.of(changed, SIGNALS), RunInputs.of(GRID, SIGNALS[:-1])]
    monkeypatch.setattr(kept_runs, "_code", lambda: "another version")
    others.append(RunInputs.of(GRID, SIGNALS))
    keys += [one.key("account", PLAN) for one in others]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b'{"state": 1}', b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_a_run_that_was_never_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "one.json").write_bytes(content)
    assert KeptRuns(tmp_path).find_run("one.json") is None


def test_the_oldest_are_removed_and_nothing_is_left_half_written(tmp_path: Path) -> None:
    kept = KeptRuns(tmp_path)
    for number in range(KEPT + 3):
        kept.keep_attempts(f"{number}.json", ())
    assert len(list(tmp_path.iterdir())) == KEPT


def test_a_folder_that_cannot_be_written_is_told() -> None:
    with pytest.raises(TrainingError, match="--fresh"):
        KeptRuns(Path("/proc/nope")).keep_attempts("one.json", ())
