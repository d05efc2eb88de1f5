"""Files of others are read or refused, whatever they are: a kept corpus, a share of the fuzzer, and proof that it bites."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signalbox.inference import BundleArchiveError
from tests import fuzz_files
from tests.fuzz_files import KINDS, ORDER, batches, changed, corpus, fuzz, taken

INPUTS = 3_000  # of the million that `make nightly` reads


@pytest.mark.parametrize(("kind", "path"), corpus(), ids=lambda found: getattr(found, "name", found))
def test_kept_file_is_refused_by_its_reader_s_own_error(kind: str, path: Path, tmp_path: Path) -> None:
    assert not taken(kind, path.read_bytes(), tmp_path)


def test_thousands_of_changed_files_are_read_or_refused_and_some_of_each() -> None:
    found = fuzz(range(INPUTS), seed=7)
    assert found.escaped == []
    assert found.inputs == INPUTS == found.read.total() + found.refused.total()
    assert set(found.read) == set(found.refused) == set(KINDS)


def test_input_is_the_same_whatever_came_before_it() -> None:
    assert [changed(number, 5) for number in (3, 40)] == [changed(number, 5) for number in (3, 40)]
    assert changed(3, 5) != changed(3, 6)


def test_reader_that_raises_anything_else_is_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(_content: bytes, _folder: Path) -> None:
        raise KeyError("features")

    monkeypatch.setattr(fuzz_files, "KINDS", {**KINDS, "golden": replace(KINDS["golden"], read=careless)})
    found = fuzz(range(len(ORDER)), seed=1)
    assert Counter(name for _, name, _ in found.escaped) == {"golden": KINDS["golden"].share}
    assert {error for _, _, error in found.escaped} == {"KeyError: 'features'"}


def test_archive_that_was_refused_and_yet_written_is_an_escape(tmp_path: Path) -> None:
    def hasty(_content: bytes, folder: Path) -> Path:
        folder.mkdir()
        raise BundleArchiveError("expected something else")

    with pytest.raises(AssertionError, match="something was written"):
        fuzz_files._unpack(hasty, b"", tmp_path)


def test_slow_reader_is_an_escape(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = iter([0.0, fuzz_files.CPU_SECONDS + 1.0])
    monkeypatch.setattr(time, "process_time", lambda: next(now))
    with pytest.raises(TimeoutError, match="at most"):
        taken("graph", b"", tmp_path)


def test_process_that_dies_is_an_escape_of_the_input_in_hand_and_the_others_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The batches run as ever; the process of any batch that has input 4 in it ends there by a signal."""
    real = subprocess.run

    def run(command: list[str], **options: Any) -> Any:
        first, count = int(command[4]), int(command[5])
        if first <= 4 < first + count:
            Path(command[7]).write_bytes(b"%020d" % 4)
            return subprocess.CompletedProcess(command, -11, "", "")
        return real(command, **options)

    monkeypatch.setattr(subprocess, "run", run)
    found = list(batches(8, seed=1))
    assert sum(one.inputs for one in found) == 8
    assert [escape for one in found for escape in one.escaped] == [(4, ORDER[4], "the process ended by SIGSEGV")]


def test_input_that_computes_without_end_ends_its_process() -> None:
    """In native code no exception of ours would come through; the kernel's clock counts what the process computes."""
    program = "import signal\nsignal.setitimer(signal.ITIMER_PROF, 0.05)\nsum(range(10**12))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert fuzz_files._ended(done) == "the process ended by SIGPROF"


@pytest.fixture(autouse=True)
def _numbers_may_overflow() -> Iterator[None]:
    with np.errstate(all="ignore"):  # golden rows of 1e308 are among what is tried
        yield
