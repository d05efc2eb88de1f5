"""The entry points really run: candles in, a bundle in SM_MODEL_DIR, the figures on standard output, the reason of a failure."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.stores import FolderStore
from signalbox.bootstrap.settings import SettingsError
from signalbox.bootstrap.training_container import MAX_FAILURE, failures_reported, read_container
from signalbox.inference import load_bundle, pack_bundle
from signalbox.library.entries import VersionState
from signalbox.library.evaluations import FinishedEvaluation, record_evaluation
from signalbox.library.judgements import read_evaluation
from signalbox.library.metrics import EpochFigure, JobMetric, metric_definitions, training_definitions
from signalbox.library.registration import FinishedJob, JobOutcome, register
from signalbox.market.candles import Candle, from_ms
from signalbox.market.lake import VALUES, DayKey, SeriesKey
from tests.fakes.memory_library import MemoryArtifacts, MemoryLibrary
from tests.unit.jobs.ml_layout import REPOSITORY, Layout
from tests.unit.training.synthetic import DAY, parts_of, walk, windows_with_a_signal, write_candles
from training.data.candles import find_candle_files
from training.fit.members import Making
from training.job import LoggedTracking
from training.write.tracking import NoTracking

PARAMETERS = {"purpose": "train", "model": "dir60-v31-small", "config": "quick", "seed": 3, "families": "xgboost"}
TOOLS = {"sagemaker_program": "train.py", "sagemaker_submit_directory": "/opt/ml/input/data/code/sourcedir.tar.gz"}


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_candles(tmp_path_factory.mktemp("candles"), walk(50, seed=3, pull=0.02))


@pytest.fixture(scope="module")
def trained(candles: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, str]:
    """One job as a training container starts it, and what it printed."""
    layout = Layout.make(tmp_path_factory.mktemp("ml") / "opt" / "ml", {"candles": candles}, {**PARAMETERS, **TOOLS})
    done = layout.run("train.py", "--seed", "3", "--model", "dir60-v31-small", variables=layout.variables())
    assert done.returncode == 0, done.stderr + done.stdout
    return layout, done.stdout


def archive_of(folder: Path) -> bytes:
    """What SageMaker makes of the model folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    return buffer.getvalue()


def test_a_training_job_leaves_a_bundle_that_serving_would_load(trained: tuple[Layout, str]) -> None:
    layout, _ = trained
    manifest = load_bundle(layout.root / "model").manifest
    assert manifest.name == "dir60-v31-small"
    assert manifest.training.seed == 3
    assert layout.failure is None


def test_the_model_folder_is_filled_and_never_replaced(trained: tuple[Layout, str]) -> None:
    layout, _ = trained
    assert sorted(path.name for path in layout.root.iterdir()) == ["checkpoints", "input", "model", "output"]
    assert all(path.is_file() for path in (layout.root / "model").iterdir())


@pytest.mark.parametrize("definition", metric_definitions(), ids=[metric.name for metric in JobMetric])
def test_every_metric_definition_finds_its_figure_in_what_the_job_prints(
    trained: tuple[Layout, str], definition: dict[str, str]
) -> None:
    layout, printed = trained
    (value,) = re.findall(definition["Regex"], printed)
    report = json.loads((layout.root / "model" / "report.json").read_text())
    issued = report["figures"]["issued"]
    expected = {
        JobMetric.PRECISION: issued["precision"]["value"],
        JobMetric.PRECISION_LOW: issued["precision"]["low"],
        JobMetric.COVERAGE: issued["coverage"],
        JobMetric.CALIBRATION_ERROR: issued["calibration_error"]["value"],
        JobMetric.NET_BPS: next(iter(issued["net_bps"].values()))["value"],
        JobMetric.SIGNALS: issued["precision"]["n"],
        JobMetric.GATES_PASSED: sum(gate["verdict"] == "pass" for gate in report["gates"].values()),
    }
    assert float(value) == pytest.approx(expected[JobMetric(definition["Name"])], abs=1e-6)


def test_the_log_has_a_plain_line_for_each_fit_as_it_goes_on(trained: tuple[Layout, str]) -> None:
    layout, printed = trained
    assert not set("\r\x1b") & set(printed), "a log shows what redraws a bar as rubbish"
    lines = [line for line in printed.splitlines() if line.startswith("[metric] whole/")]
    members = json.loads((layout.root / "model" / "manifest.json").read_text())["members"]
    assert len(lines) >= len(members) > 1
    found = [one for one in training_definitions() if any(re.search(one["Regex"], line) for line in lines)]
    assert {one["Name"] for one in found} == {f"xgboost-{n}:stopping_loss" for n in range(len(members))}
    assert printed.index(lines[0]) < printed.index("[metric] issued:precision=")


class Diary:
    """Keeps what it is told, as mlflow would."""

    def __init__(self) -> None:
        self.notified: list[Any] = []

    def begin(self, name: str, parameters: Any) -> None:
        self.notified.append(("begin", name, dict(parameters)))

    def metrics(self, series: str, step: int, figures: Any) -> None:
        self.notified.append((series, step, dict(figures)))

    def artefacts(self, folder: Path) -> None:
        self.notified.append(("artefacts", folder))

    def end(self, *, finished: bool) -> None:
        self.notified.append(("end", finished))


def test_the_log_hides_nothing_from_the_diary() -> None:
    diary, lines = Diary(), list[str]()
    logged = LoggedTracking(diary, lines.append)
    logged.begin("run", {"seed": 1})
    logged.metrics("whole/lstm-0", 0, {"train_loss": 0.7, "stopping_loss": float("nan")})
    logged.artefacts(Path("x"))
    logged.end(finished=True)
    assert lines == ["[metric] whole/lstm-0 epoch=0; train_loss=0.700000;"]
    assert [one[0] for one in diary.notified] == ["begin", "whole/lstm-0", "artefacts", "end"]


def test_each_epoch_of_a_network_is_a_point_of_its_curves() -> None:
    pytest.importorskip("torch", reason="torch is not installed: make training")
    from tests.unit.training.networks import tiny_lstm  # noqa: PLC0415 - after torch is known to be there
    from training.fit.neural.family import NeuralFamily, device_rows  # noqa: PLC0415 - as above

    data, lines = windows_with_a_signal(300), list[str]()
    train, stopping, _ = parts_of(data, 0.6, 0.8)
    config = tiny_lstm()
    watching = Making(seed=1, on_epoch=LoggedTracking(NoTracking(), lines.append).metrics)
    NeuralFamily("lstm", config, device_rows(data.tensor)).fit(train, stopping, watching)
    curves = {one["Name"]: re.findall(one["Regex"], "\n".join(lines)) for one in training_definitions()}
    drawn = {name: len(values) for name, values in curves.items() if values}
    assert set(drawn) == {f"lstm-0:{figure}" for figure in EpochFigure}
    assert set(drawn.values()) == {len(lines)}
    assert len(lines) > 1


def test_without_the_containers_variables_the_layout_itself_is_read(candles: Path, tmp_path: Path) -> None:
    layout = Layout.make(tmp_path / "ml", {"candles": candles}, {**PARAMETERS, "config": "absent"})
    done = layout.run("train.py")
    assert done.returncode == 1
    assert layout.failure is not None
    assert layout.failure.startswith("ConfigError: config: expected one of ")
    assert done.stderr.strip() == layout.failure


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({**PARAMETERS, "model": "Not A Name"}, "TrainingPlanError: parameters of the job: model"),
        ({**PARAMETERS, "epochs": "7"}, "epochs: Extra inputs are not permitted"),
        ({**PARAMETERS, "start": "2024-02-01T00:00:00Z", "end": "2024-01-01T00:00:00Z"}, "expected start before end"),
        ({**PARAMETERS, "start": "2030-01-01T00:00:00Z"}, "MarketDataError"),
    ],
)
def test_a_job_that_cannot_be_done_says_why_in_its_failure_file(
    candles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parameters: dict[str, object], reason: str
) -> None:
    layout = Layout.make(tmp_path / "ml", {"candles": candles}, parameters)
    assert layout.run_here("train.py", layout.variables(), monkeypatch) == layout.failure
    assert reason in (layout.failure or "")
    assert list((layout.root / "model").iterdir()) == []


def test_a_missing_channel_is_named_with_those_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    layout = Layout.make(tmp_path / "ml", {"other": tmp_path / "other"}, PARAMETERS)
    layout.run_here("train.py", layout.variables(), monkeypatch)
    assert "no input channel 'candles'" in (layout.failure or "")
    assert "channels of this job: other" in (layout.failure or "")


def test_a_model_folder_in_use_is_refused_before_anything_is_trained(
    candles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout.make(tmp_path / "ml", {"candles": candles}, PARAMETERS)
    (layout.root / "model" / "old.bin").write_bytes(b"old")
    layout.run_here("train.py", layout.variables(), monkeypatch)
    assert "the model folder must be empty, but has old.bin" in (layout.failure or "")


@pytest.mark.parametrize(("text", "reason"), [('["no"]', "got list"), ("{", "expected JSON")])
def test_parameters_that_are_no_object_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        read_container(tmp_path, {"SM_HPS": text})


def test_a_single_variable_has_the_last_word(tmp_path: Path) -> None:
    """The pipeline's processing steps give them one by one."""
    found = read_container(tmp_path, {"SM_HPS": '{"config": "quick", "start": "x"}', "SM_HP_START": "y"})
    assert found.parameters == {"config": "quick", "start": "y"}


def test_a_bug_keeps_the_end_of_its_traceback_within_the_limit(tmp_path: Path) -> None:
    layout = Layout.make(tmp_path / "ml", {}, PARAMETERS)
    with pytest.raises(SystemExit, match="ZeroDivisionError"), failures_reported(read_container(layout.root, {})):
        raise ZeroDivisionError("x" * 2_000 + " the cause")
    assert layout.failure is not None
    assert len(layout.failure) == MAX_FAILURE
    assert layout.failure.rstrip().endswith("the cause")


@pytest.mark.parametrize("packed", [True, False], ids=["model.tar.gz", "files of a bundle"])
def test_an_evaluation_job_judges_the_model_on_its_own_test_period(
    trained: tuple[Layout, str], candles: Path, tmp_path: Path, packed: bool
) -> None:
    made, printed = trained
    model = made.root / "model"
    if packed:
        model = tmp_path / "artifact"
        model.mkdir()
        (model / "model.tar.gz").write_bytes(archive_of(made.root / "model"))
    parameters = {"purpose": "evaluate", "register_when": "integrity", "start": "", "end": ""}
    layout = Layout.make(tmp_path / "ml", {"candles": candles, "model": model}, parameters)
    done = layout.run("evaluate.py", variables=layout.variables())
    assert done.returncode == 0, done.stderr
    output = layout.root / "output" / "data"
    verdict = json.loads((output / "verdict.json").read_text())
    trained_report = json.loads((made.root / "model" / "report.json").read_text())
    evaluation = json.loads((output / "evaluation.json").read_text())
    assert evaluation["figures"]["issued"]["precision"] == trained_report["figures"]["issued"]["precision"]
    assert verdict["registers"] is (evaluation["gates"]["G0"]["verdict"] == "pass")
    assert verdict["qualifies"] is evaluation["qualifies"]
    judged = read_evaluation((output / "evaluation.json").read_bytes(), "evaluation.json", source="job", at=from_ms(0))
    assert judged.bundle_sha256 == hashlib.sha256(pack_bundle(made.root / "model")).hexdigest() == verdict["bundle_sha256"]
    assert judged.period.start.isoformat() == trained_report["period"]["start"]
    precision = metric_definitions()[0]["Regex"]
    assert re.findall(precision, done.stdout) == re.findall(precision, printed)
    assert (output / "report.html").is_file()
    assert recorded(made.root / "model", output, tmp_path) == (1, "job-2", False)


def recorded(model: Path, output: Path, tmp_path: Path) -> tuple[int, str, bool]:
    """What the library makes of a training and of an evaluation of it, each as SageMaker packs what it left."""
    library, at = MemoryLibrary(), from_ms(0)
    artifacts = MemoryArtifacts(model=archive_of(model), output=archive_of(output))
    ports = {"artifacts": artifacts, "library": library}
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    training = FinishedJob("job-1", "dir60-v31-small", JobOutcome.COMPLETED, at, "model")
    registered = register(training, workspace=tmp_path / "one", **ports)  # type: ignore[arg-type]
    assert registered.state is VersionState.CANDIDATE
    judged = record_evaluation(
        FinishedEvaluation("job-2", JobOutcome.COMPLETED, at, "model", "output"),
        workspace=tmp_path / "two",
        **ports,  # type: ignore[arg-type]
    )
    assert judged.version == registered.version, judged.reason
    found = library.tables.evaluations[registered.version, "job-2"]
    assert found.gates.keys() == library.tables.evaluations[registered.version, "training"].gates.keys()
    return judged.version.number, found.source, found.qualifies


def test_a_tampered_model_is_never_evaluated(
    trained: tuple[Layout, str], candles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = trained
    model = tmp_path / "model"
    model.mkdir()
    for path in (made.root / "model").iterdir():
        (model / path.name).write_bytes(path.read_bytes() + (b" " if path.name == "report.json" else b""))
    layout = Layout.make(tmp_path / "ml", {"candles": candles, "model": model}, {"purpose": "evaluate"})
    layout.run_here("evaluate.py", layout.variables(), monkeypatch)
    assert (layout.failure or "").startswith("BundleTamperedError")
    assert not (layout.root / "output" / "data" / "verdict.json").exists()


def test_a_lake_that_lost_its_top_folder_on_the_way_is_read_and_frozen_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A channel of s3://bucket/candles holds venue=... at its top."""
    lake, bars = Lake(FolderStore(tmp_path / "lake")), walk(48, seed=5)
    columns = [[Decimal(repr(float(value))) for value in getattr(bars, name)] for name in VALUES]
    rows = [Candle(bars.symbol, from_ms(int(at)), *values) for at, *values in zip(bars.open_time_ms, *columns, strict=True)]
    for first in range(0, len(rows), DAY):
        key = DayKey(SeriesKey("coinbase", bars.symbol), rows[first].open_time.date())
        lake.write_day(key, rows[first : first + DAY], asked_until=key.end)
    layout = Layout.make(tmp_path / "ml", {"candles": tmp_path / "lake" / "candles"}, {"config": "quick"})
    assert layout.run_here("features.py", layout.variables(), monkeypatch) is None, layout.failure
    frozen = layout.root / "output" / "data"
    (kept,), (source,) = find_candle_files(frozen), find_candle_files(tmp_path / "lake")
    assert kept.sha256() == source.sha256()
    assert kept.ends() == source.ends()


def test_the_features_step_freezes_what_training_will_read(candles: Path, tmp_path: Path) -> None:
    layout = Layout.make(tmp_path / "ml", {"candles": candles}, {"config": "quick"})
    done = layout.run("features.py", variables=layout.variables())
    assert done.returncode == 0, done.stderr
    frozen = layout.root / "output" / "data"
    assert [s.sha256() for s in find_candle_files(frozen)] == [s.sha256() for s in find_candle_files(candles)]
    reported = json.loads((frozen / "dataset.json").read_text())
    assert reported["decisions"] == reported["rows_by_symbol"]["BTC-USD"]["kept"] > 0
    assert reported["sources"][0]["sha256"] == find_candle_files(candles)[0].sha256()


def test_too_few_days_fail_in_the_features_step_before_any_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = write_candles(tmp_path / "short", walk(5))
    layout = Layout.make(tmp_path / "ml", {"candles": short}, {"config": "quick"})
    layout.run_here("features.py", layout.variables(), monkeypatch)
    assert "45 whole days" in (layout.failure or "")


def test_the_folder_never_shadows_the_sdk_of_its_name() -> None:
    assert not (REPOSITORY / "sagemaker" / "__init__.py").exists()
