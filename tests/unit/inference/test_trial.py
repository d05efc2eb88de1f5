"""Graphs that hang, crash or want too much memory are ended in a child process, and a live prediction has its time."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from onnx import helper, numpy_helper

from signalbox.inference import BundleError, BundleGoldenError, load_bundle, trial
from signalbox.inference import bundle as loading
from signalbox.inference.ensemble import Ensemble
from signalbox.inference.errors import BundleIncompleteError
from signalbox.inference.trial import require_trial
from signalbox.limits import MAX_SCORING_SECONDS, MAX_TRIAL_BYTES
from tests.unit.inference import hostile
from tests.unit.inference.tiny_bundle import write_bundle


def computing(products: int) -> bytes:
    """A graph of 2 kB that multiplies two matrices of 16 MiB again and again: about 0.2 s each, and no more memory."""
    nodes = [helper.make_node("ConstantOfShape", ["s"], ["m0"])]
    nodes += [helper.make_node("MatMul", [f"m{i}", f"m{i}"], [f"m{i + 1}"]) for i in range(products)]
    nodes += [helper.make_node("ReduceSum", [f"m{products}"], ["t"], keepdims=0)]
    return hostile.graph(nodes, [numpy_helper.from_array(np.array([2048, 2048]), "s")])


def endless_operator() -> bytes:
    """A graph of one average over 1.6 * 10^13 products, which no flag ends: it is one operator."""
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["x"]),
        helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2001, 2001], pads=[1000, 1000, 1000, 1000]),
        helper.make_node("ReduceSum", ["y"], ["t"], keepdims=0),
    ]
    return hostile.graph(nodes, [numpy_helper.from_array(np.array([1, 1, 2000, 2000]), "s")])


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MAX_TRIAL_CPU_SECONDS", 1)


@pytest.mark.usefixtures("_short")
@pytest.mark.parametrize("make", [lambda: computing(2_000), endless_operator], ids=["many operators", "one operator"])
def test_graph_that_computes_for_minutes_is_ended(make: Callable[[], bytes], tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b", files={"linear-1.onnx": make()})
    began = time.process_time()
    with pytest.raises(BundleIncompleteError, match=r"^b: loading or running its graphs ended the process: SIG(KILL|XCPU)"):
        load_bundle(folder)
    assert time.process_time() - began < 2.0  # of this process: it computed nothing of it


def test_attempt_that_only_waits_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MAX_TRIAL_SECONDS", 0.1)
    with pytest.raises(BundleIncompleteError, match=r"b: its graphs did not load and run within 0\.1 s"):
        require_trial("b", lambda: os.read(os.pipe()[0], 1))


def test_crash_ends_the_child_alone() -> None:
    def crash() -> None:
        faulthandler.disable()
        ctypes.string_at(0)

    with pytest.raises(BundleIncompleteError, match="b: loading or running its graphs ended the process: SIGSEGV"):
        require_trial("b", crash)


def test_memory_beyond_the_limit_is_refused() -> None:
    with pytest.raises(BundleIncompleteError, match="MemoryError"):
        require_trial("b", lambda: bytearray(2 * MAX_TRIAL_BYTES))


def test_error_of_an_attempt_keeps_its_class_and_its_words() -> None:
    def fail() -> None:
        raise BundleGoldenError("b: expected golden probabilities\nof two lines")

    with pytest.raises(BundleGoldenError, match="b: expected golden probabilities\nof two lines"):
        require_trial("b", fail)


def test_attempt_leaves_the_parent_as_it_was() -> None:
    children = {one.pid for one in psutil.Process().children()}
    before = len(list(Path("/proc/self/fd").iterdir()))
    kept: list[int] = []
    require_trial("b", lambda: kept.append(1))
    assert kept == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert {one.pid for one in psutil.Process().children()} <= children


def test_a_prediction_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with rows on which a graph computes longer than on the golden ones: it passed its trial."""
    folder = write_bundle(tmp_path / "b", files={"linear-1.onnx": computing(2_000)})
    monkeypatch.setattr(loading, "require_trial", lambda *_: None)
    monkeypatch.setattr(loading, "_check_golden", lambda *_: None)
    monkeypatch.setattr(loading, "MAX_SCORING_SECONDS", 0.2)
    found = load_bundle(folder)
    with pytest.raises(Exception, match="terminate flag"):
        found.predict(np.zeros((1, len(found.schema.names))))


def test_served_bundle_has_a_time_limit_and_a_study_has_none(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b")
    assert load_bundle(folder).seconds == MAX_SCORING_SECONDS
    assert isinstance(found := load_bundle(folder, loading.Workspace.MACHINE), Ensemble)
    assert found.seconds is None


def test_refused_bundle_is_a_bundle_error(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b", files={"linear-1.onnx": b"\x3a\x00"})
    with pytest.raises(BundleError):
        load_bundle(folder)


def test_child_that_goes_on_talking_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Native code that went wild holds the pipe's other end."""
    monkeypatch.setattr(trial, "MAX_TRIAL_SECONDS", 1.0)

    ends: list[tuple[int, int]] = []

    def pipe() -> tuple[int, int]:
        ends.append(made())
        return ends[-1]

    def talks() -> None:
        while True:
            os.write(ends[0][1], b"x" * 65_536)

    made = os.pipe
    monkeypatch.setattr(os, "pipe", pipe)
    before = psutil.Process().memory_info().rss
    with pytest.raises(BundleIncompleteError):
        require_trial("b", talks)
    assert psutil.Process().memory_info().rss - before < 64 * 2**20
