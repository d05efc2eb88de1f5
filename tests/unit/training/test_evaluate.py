"""`signalbox evaluate` on a small bundle: the trainer's own figures again, the table of predictions, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from local.cli.command import app
from signalbox.inference import BundleTamperedError, load_bundle, record_of
from signalbox.inference.manifest import REPORT_FILE, Gate, Verdict, write_manifest
from signalbox.market.candles import MarketDataError
from signalbox.signals.signal import Thresholds, classify
from tests.unit.training.synthetic import small_config, walk, write_candles
from training.command import run_evaluate, run_train
from training.data.splits import DAY_MS, Span
from training.errors import TrainingError
from training.evaluate import EvaluateRequest, evaluate_bundle
from training.judge.assessment import assess
from training.judge.costs import FTMO_CRYPTO
from training.judge.estimates import Estimate
from training.judge.history import overlap_of, read_history
from training.judge.integrity import Integrity
from training.judge.overfitting import Trials
from training.judge.scoring import Scored
from training.progress import NoProgress
from training.write.report_page import plain_verdict, render_page
from training.write.writer import report_bytes

REPOSITORY = Path(__file__).parents[3]
REAL = Path(os.environ.get("SIGNALBOX_DATA", REPOSITORY.parent / "shared" / "data" / "candles"))  # noqa: TID251 - where data is
COLUMNS = ["symbol", "decided_at", "probability_up", "direction", "tier", "issued", "label", "outcome_bps", "net_bps"]


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("candles")
    return write_candles(folder, walk(60, seed=3, pull=0.02), walk(60, seed=4, symbol="ETH-USD", pull=0.02))


@pytest.fixture(scope="module")
def bundle(candles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "bundle"
    run_train(candles, out, config=small_config(tmp_path_factory.mktemp("config")), created_at=datetime(2024, 6, 1, tzinfo=UTC))
    return out


@pytest.fixture(scope="module")
def trained(bundle: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((bundle / REPORT_FILE).read_text())
    return report


def period_of_the_test(trained: dict[str, Any]) -> tuple[datetime, datetime]:
    reported = trained["periods"]["test"]
    return datetime.fromisoformat(reported["start"]), datetime.fromisoformat(reported["end"])


def on_test(bundle: Path, candles: Path, trained: dict[str, Any]) -> EvaluateRequest:
    return EvaluateRequest(bundle, candles, *period_of_the_test(trained))


def test_evaluating_the_test_period_gives_the_trainers_figures(
    bundle: Path, candles: Path, trained: dict[str, Any], tmp_path: Path
) -> None:
    run_evaluate(on_test(bundle, candles, trained), as_json=tmp_path / "out" / "report.json")
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert next(iter(found)) == "headline"
    assert found["figures"] == trained["figures"]
    assert found["curves"] == trained["curves"]
    assert found["headline"] == trained["headline"]
    verdicts = {gate: result["verdict"] for gate, result in found["gates"].items()}
    assert verdicts == {gate: result["verdict"] for gate, result in trained["gates"].items()}
    assert found["seen_before"]["in_sample"] is False
    assert [source["name"] for source in found["sources"]] == ["BTC-USDT-1m.parquet", "ETH-USDT-1m.parquet"]


def test_predictions_are_what_the_functions_would_have_said(
    bundle: Path, candles: Path, trained: dict[str, Any], tmp_path: Path
) -> None:
    run_evaluate(on_test(bundle, candles, trained), predictions=tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet")
    assert table.column_names == COLUMNS
    assert table.schema.field("decided_at").type == pa.timestamp("ms", tz="UTC")
    frozen = load_bundle(bundle).thresholds
    thresholds = Thresholds(frozen.issue_margin, frozen.high_margin)
    rows = table.to_pylist()
    assert [row["decided_at"] for row in rows] == sorted(row["decided_at"] for row in rows)
    for row in rows[::7]:
        direction, tier = classify(row["probability_up"], thresholds)
        assert (row["direction"], row["tier"]) == (direction.value, tier.value)
        assert row["issued"] == (direction.value != "HOLD")
        assert row["label"] == (row["outcome_bps"] > 0)
        if row["issued"]:
            side = 1.0 if row["direction"] == "BUY" else -1.0
            assert row["net_bps"] == pytest.approx(side * row["outcome_bps"] - FTMO_CRYPTO.round_trip_bps)
        else:
            assert row["net_bps"] is None
    issued = [row for row in rows if row["issued"]]
    assert len(issued) == trained["figures"]["issued"]["precision"]["n"]
    assert np.mean([row["net_bps"] for row in issued]) == pytest.approx(
        trained["figures"]["issued"]["net_bps"]["ftmo-crypto"]["value"], abs=1e-6
    )


def test_part_of_a_period_scores_its_rows_the_same(bundle: Path, candles: Path, trained: dict[str, Any]) -> None:
    start, end = period_of_the_test(trained)
    whole = evaluate_bundle(EvaluateRequest(bundle, candles, start, end), NoProgress()).assessment.scored
    part = evaluate_bundle(EvaluateRequest(bundle, candles, start + timedelta(days=1), end), NoProgress()).assessment.scored
    same = whole.data.decided_at_ms >= part.data.decided_at_ms[0]
    np.testing.assert_allclose(whole.probability_up[same], part.probability_up, atol=1e-6)


def test_period_it_was_made_with_is_said_in_the_first_line(bundle: Path, candles: Path) -> None:
    result = evaluate_bundle(EvaluateRequest(bundle, candles), NoProgress())
    assessment = result.assessment
    assert assessment.overlap.in_sample
    assert set(assessment.overlap.periods) == {"train", "early_stopping", "calibration", "thresholds"}
    assert not assessment.qualifies
    assert plain_verdict(assessment).startswith("This proves nothing: the model was trained on")
    page = render_page(assessment, ["synthetic candles, of no market: x"])
    assert "synthetic candles, of no market" in page
    assert page.index("This proves nothing") < page.index("<h1>")
    assert "(in-sample)" in page
    reported = result.to_json()
    assert next(iter(reported.values())).startswith("NOT JUDGED")
    assert {gate for gate, found in reported["gates"].items() if found["in_sample"]} == set(Gate) - {Gate.G0}


def test_bundle_that_does_not_say_what_it_has_seen_has_seen_all_its_data(bundle: Path, tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    shutil.copytree(bundle, silent)
    content = report_bytes({"headline": "says nothing"})
    (silent / REPORT_FILE).write_bytes(content)
    manifest = load_bundle(bundle).manifest
    write_manifest(silent, manifest.model_copy(update={"files": {**manifest.files, REPORT_FILE: record_of(content)}}))
    made = read_history(silent, load_bundle(silent).manifest)
    assert list(made.seen) == ["all its data"]
    assert made.trials.count is None
    assert made.train_up_rate is None


@pytest.mark.parametrize(("start", "end", "days"), [(0, 10, 0.0), (5, 12, 2.0), (12, 14, 2.0), (0, 40, 10.0), (30, 40, 0.0)])
def test_overlap_counts_the_days_seen(start: int, end: int, days: float) -> None:
    seen = {"train": Span(10 * DAY_MS, 16 * DAY_MS), "calibration": Span(20 * DAY_MS, 24 * DAY_MS)}
    assert overlap_of(Span(start * DAY_MS, end * DAY_MS), seen).days == days


def test_page_is_self_contained_and_escapes_what_it_shows(bundle: Path, candles: Path, trained: dict[str, Any]) -> None:
    assessment = evaluate_bundle(on_test(bundle, candles, trained), NoProgress()).assessment
    manifest = assessment.manifest.model_copy(update={"name": "<script>alert(1)</script>"})
    page = render_page(replace(assessment, manifest=manifest), [])
    assert "<script" not in page
    assert not re.search(r"(src|href)=", page)
    assert page.count("<svg") == 4
    for gate in Gate:
        assert f"{gate.value} " in page
    first = page[page.index('class="verdict') : page.index("<h1>")]
    assert "This model " in first


def test_model_that_issues_nothing_is_told_so(bundle: Path, candles: Path, trained: dict[str, Any]) -> None:
    heard = evaluate_bundle(on_test(bundle, candles, trained), NoProgress()).assessment
    never = np.zeros(len(heard.scored), np.bool_)
    assessment = assess(
        heard.manifest,
        Scored(heard.scored.data, heard.scored.probability_up, never, never),
        heard.span,
        integrity=Integrity(0.0, 0.0, Estimate(0.5, 0.49, 0.51, 1_000)),
        trials=Trials(1),
        train_up_rate=None,
        overlap=heard.overlap,
    )
    assert plain_verdict(assessment) == "This model does not qualify: it issued no signal in this period."
    assert "<h2>Reliability</h2>" in render_page(assessment, [])
    json.loads(report_bytes(assessment.to_json()))  # a figure without data is null


def test_period_without_a_decision_names_what_it_needs(bundle: Path, candles: Path, trained: dict[str, Any]) -> None:
    start, _ = period_of_the_test(trained)
    with pytest.raises(MarketDataError, match=r"features need \d+ minutes before, the outcome 61 after"):
        evaluate_bundle(EvaluateRequest(bundle, candles, start, start + timedelta(minutes=30)), NoProgress())
    with pytest.raises(MarketDataError, match="expected --start before --end"):
        evaluate_bundle(EvaluateRequest(bundle, candles, start, start - timedelta(days=1)), NoProgress())


def test_changed_bundle_is_refused(bundle: Path, candles: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "changed")
    graph = tmp_path / "changed" / "xgboost-0.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleTamperedError):
        evaluate_bundle(EvaluateRequest(tmp_path / "changed", candles), NoProgress())


def test_place_that_cannot_be_written_is_one_line(bundle: Path, candles: Path, trained: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match="cannot be written"):
        run_evaluate(on_test(bundle, candles, trained), as_json=tmp_path / "file" / "report.json")


def test_command_writes_all_three(bundle: Path, candles: Path, trained: dict[str, Any], tmp_path: Path) -> None:
    start, end = (f"{instant:%Y-%m-%dT%H:%M}" for instant in period_of_the_test(trained))
    outs = ["--json", "--out", str(tmp_path / "out")]
    where = ["--data", str(candles), "--start", start, "--end", end, "--coinbase-taker-bps", "25"]
    result = CliRunner().invoke(app, ["evaluate", str(bundle), *where, *outs])
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert written["figures"]["costs"] == {"ftmo-crypto": 3.25, "coinbase-taker": 25.0}
    assert json.loads(result.stdout) == written  # valid JSON alone on standard output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"evaluation.json", "predictions.parquet", "report.html"}


def test_training_takes_one_configuration(candles: Path, tmp_path: Path) -> None:
    both = ["--quick", "--config", "x.toml"]
    result = CliRunner().invoke(app, ["train", "--out", str(tmp_path / "b"), "--data", str(candles), *both])
    assert result.exit_code == 2
    assert "got both" in result.output


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="no real candles: neither SIGNALBOX_DATA nor ../shared/data/candles")
def test_starter_measures_what_its_card_says() -> None:
    period = datetime(2023, 12, 6, tzinfo=UTC), datetime(2024, 3, 10, tzinfo=UTC)
    request = EvaluateRequest(REPOSITORY / "training" / "starter_bundle", REAL, *period)
    assessment = evaluate_bundle(request, NoProgress()).assessment
    issued = assessment.evaluation.issued
    assert issued.precision.n == 15_978
    assert issued.precision.value == pytest.approx(0.56615, abs=1e-5)
    assert issued.net_bps["ftmo-crypto"].value == pytest.approx(-6.9149, abs=1e-3)
    assert not assessment.overlap.in_sample
    assert assessment.gates[Gate.G0].verdict is Verdict.PASS
