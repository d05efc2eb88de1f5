"""Measures the hot swap under load: threads score while one deployment after the other takes over.

Everything but S3 and the ledger is real: archives are unpacked, verified in a child process, warmed and swapped in by
`application.serving`. Two models take turns, which differ in their calibration; a score is mixed if it is not exactly that of the
model that it began with. A score is in a swap window if a bundle is loaded at the same time.
"""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from local.errors import DataError
from signalbox.application.serving import ServingModels
from signalbox.inference.archive import pack_bundle
from signalbox.inference.bundle import record_of
from signalbox.inference.judged import read_arrays
from signalbox.inference.manifest import GOLDEN_FILE, read_manifest, write_manifest
from signalbox.library.deployments import ALL_SYMBOLS, DeploymentState, LibraryDeployment, SignalCount, Slot, missed, moved
from signalbox.library.entries import EntityKey, EntityKind, VersionKey
from signalbox.library.errors import DeploymentRefusedError
from signalbox.signals.signal import DeploymentStage

_SYMBOLS: Final = 3
_STEADY: Final = 10  # scores of each thread between two swaps
_PATIENCE: Final = 60.0  # seconds
_BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SwapBenchOptions:
    """What to measure."""

    bundle: Path
    scores: int = 10_000
    swaps: int = 50
    threads: int = 4


@dataclass(frozen=True, slots=True)
class SwapBenchResult:
    """Milliseconds of one score of three symbols, and what went wrong."""

    scores: int
    swaps: int
    errors: int
    mixed: int
    steady_p50: float
    steady_p99: float
    swapping_p50: float
    swapping_p99: float
    swap_seconds: float  # of one swap, on average
    first_megabytes: float  # resident, after the second swap
    last_megabytes: float

    @property
    def is_sound(self) -> bool:
        """Whether no score failed and none was mixed."""
        return self.errors == self.mixed == 0


class _OneSlot:
    """A slot in memory, and its bundle."""

    def __init__(self, archives: tuple[bytes, bytes], model: str) -> None:
        self._archives = {hashlib.sha256(one).hexdigest(): one for one in archives}
        self._hashes, self._model = tuple(self._archives), model
        self.held = Slot(None, None)

    def archive(self, _key: str, sha256: str) -> bytes:
        return self._archives[sha256]

    def ask(self, number: int) -> None:
        version = VersionKey(EntityKey(EntityKind.MODEL, self._model), number)
        one = LibraryDeployment(
            f"swap-{number}", version, "1.0.0", ALL_SYMBOLS, number, DeploymentStage.SHADOW, DeploymentState.PENDING, _BEGIN,
            _BEGIN, "bench", "swap", f"bundles/{number}.zip",
            self._hashes[number % len(self._hashes)],
        )  # fmt: skip
        self.held = Slot(self.held.current, one)

    def slot(self, _group: str) -> Slot:
        return self.held

    def _incoming(self) -> LibraryDeployment:
        if self.held.incoming is None:
            raise DeploymentRefusedError("nothing is on its way")
        return self.held.incoming

    def move(self, _name: str, to: DeploymentState, at: datetime, _who: str, why: str) -> LibraryDeployment:
        one = moved(self._incoming(), to, at, why if to is DeploymentState.FAILED else None)
        self.held = replace(self.held, incoming=one if one.is_incoming else None)
        return one

    def confirm(self, _name: str, at: datetime, _why: str) -> LibraryDeployment:
        one = moved(self._incoming(), DeploymentState.HEALTHY, at)
        self.held = Slot(one, None)
        return one

    def miss(self, _name: str, cycle_at: datetime, why: str) -> LibraryDeployment:
        return missed(self._incoming(), cycle_at, why)

    def end(self, name: str, _at: datetime, _who: str, _why: str) -> LibraryDeployment:
        raise DeploymentRefusedError(f"a benchmark has no challengers: {name}")

    def fall_back(self, _name: str, _at: datetime, _who: str, _why: str) -> LibraryDeployment | None:
        return None

    def count(self, _name: str, _since: datetime, _until: datetime) -> SignalCount:
        return SignalCount(0, 0)

    def roll_back(self, group: str, *, to: int | None, at: datetime, who: str, why: str, request_id: str) -> LibraryDeployment:
        raise DeploymentRefusedError(f"a benchmark goes back to nothing: {(group, to, at, who, why, request_id)}")


def run_swap_bench(options: SwapBenchOptions) -> SwapBenchResult:  # noqa: C901 - one measurement
    """Measure. Raises DataError for a folder without a bundle, BundleError for one that does not verify."""
    if not options.bundle.is_dir():
        raise DataError(f"{options.bundle} is not a folder; give the folder of a bundle")
    with tempfile.TemporaryDirectory(prefix="swap-") as folder:
        archives = (pack_bundle(options.bundle), pack_bundle(_recalibrated(options.bundle, Path(folder) / "other")))
    book = _OneSlot(archives, read_manifest(options.bundle).name)
    serving = ServingModels(book, book)
    expected: list[Any] = []
    features = np.empty(0)
    for number in (2, 3):  # even numbers are of the first archive
        _swap(serving, book, number)
        if serving.model is None:
            raise DataError(f"{options.bundle} could not be served: {serving.choose(_BEGIN).problem}")
        scorer = serving.model.scorer
        shape = (_SYMBOLS, scorer.window_bars, len(scorer.schema.names))
        features = np.random.default_rng(7).normal(0.0, 1.0, shape)
        expected.append(scorer.predict(features))
    if np.array_equal(*expected):
        raise DataError(f"{options.bundle}: expected two models that score differently")
    windows: list[tuple[float, float]] = []
    timed: list[list[tuple[float, float]]] = [[] for _ in range(options.threads)]
    wrong = {"errors": 0, "mixed": 0}
    ended, scored = threading.Event(), threading.Condition()
    each = -(-options.scores // options.threads)

    def score(place: int) -> None:
        while not ended.is_set() or len(timed[place]) < each:
            began = time.perf_counter()
            now = serving.model
            try:
                found = None if now is None else now.scorer.predict(features)
            except Exception:  # noqa: BLE001 - counted, whatever it is
                wrong["errors"] += 1
                continue
            with scored:
                timed[place].append((began, time.perf_counter()))
                scored.notify_all()
            turn = 0 if now is None else int(now.deployment.rpartition("-")[2]) % len(expected)
            wrong["mixed"] += found is None or not np.array_equal(found, expected[turn])

    threads = [threading.Thread(target=score, args=(place,), daemon=True) for place in range(options.threads)]
    for thread in threads:
        thread.start()
    first = 0.0
    for number in range(4, options.swaps + 4):
        began = time.perf_counter()
        _swap(serving, book, number)
        windows.append((began, time.perf_counter()))
        first = first or _resident()
        steady = [len(of) + _STEADY for of in timed]
        with scored:  # every thread scores so often in steady state between two swaps
            if not scored.wait_for(lambda: all(len(of) >= least for of, least in zip(timed, steady, strict=True)), _PATIENCE):  # noqa: B023
                raise DataError(f"expected {_STEADY} scores of each thread between two swaps within {_PATIENCE} s")
    ended.set()
    for thread in threads:
        thread.join()
    return _result(options, timed, windows, wrong, first)


def _recalibrated(bundle: Path, folder: Path) -> Path:
    """Write the same bundle with twice the temperature, and return its folder."""
    shutil.copytree(bundle, folder)
    manifest = read_manifest(bundle)
    golden = read_arrays((bundle / GOLDEN_FILE).read_bytes(), {"features": (2, 3), "probability_up": (1,)})
    probability = golden["probability_up"]
    cooler = 1.0 / (1.0 + np.exp(-np.log(probability / (1.0 - probability)) / 2.0))
    np.savez(folder / GOLDEN_FILE, features=golden["features"], probability_up=cooler)
    calibrator = manifest.calibrator.model_copy(update={"temperature": manifest.calibrator.temperature * 2.0})
    files = {**manifest.files, GOLDEN_FILE: record_of((folder / GOLDEN_FILE).read_bytes())}
    write_manifest(folder, manifest.model_copy(update={"calibrator": calibrator, "files": files}))
    return folder


def print_swap_bench(found: SwapBenchResult, *, json_output: bool) -> None:
    """Print the result, as JSON or for people."""
    if json_output:
        print(json.dumps(asdict(found)))
        return
    print(f"{found.scores:,} scores during {found.swaps} swaps: {found.errors} errors, {found.mixed} mixed")
    print(f"  steady state  p50 {found.steady_p50} ms, p99 {found.steady_p99} ms")
    print(f"  swap windows  p50 {found.swapping_p50} ms, p99 {found.swapping_p99} ms; one swap {found.swap_seconds} s")
    print(f"  memory        {found.first_megabytes} MB after the first swap, {found.last_megabytes} MB after the last")


def _swap(serving: ServingModels, book: _OneSlot, number: int) -> None:
    at = _BEGIN + timedelta(minutes=5 * number)
    book.ask(number)
    if serving.choose(at).problem is None:
        book.confirm(f"swap-{number}", at, "swapped")
        serving.choose(at)


def _result(
    options: SwapBenchOptions,
    timed: list[list[tuple[float, float]]],
    windows: list[tuple[float, float]],
    wrong: dict[str, int],
    first: float,
) -> SwapBenchResult:
    spans = [span for of in timed for span in of]
    inside = [any(begin < end_of and start_of < end for start_of, end_of in windows) for begin, end in spans]
    milliseconds = np.array([(end - begin) * 1e3 for begin, end in spans])
    swapping, steady = milliseconds[np.array(inside)], milliseconds[~np.array(inside)]
    return SwapBenchResult(
        scores=len(spans),
        swaps=options.swaps,
        errors=wrong["errors"],
        mixed=wrong["mixed"],
        steady_p50=_percentile(steady, 50),
        steady_p99=_percentile(steady, 99),
        swapping_p50=_percentile(swapping, 50),
        swapping_p99=_percentile(swapping, 99),
        swap_seconds=round(sum(end - begin for begin, end in windows) / len(windows), 3),
        first_megabytes=first,
        last_megabytes=_resident(),
    )


def _percentile(values: Any, which: int) -> float:
    return round(float(np.percentile(values, which)), 3) if len(values) else float("nan")


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return round(pages * resource.getpagesize() / 2**20, 1)
