"""A worker whose parent was killed ends by itself, whichever way it was started and whatever it is computing."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local.settings import REPOSITORY

WORKERS = 2
# the parent prints the workers' ids, then waits for an answer that never comes
PARENT = """
import multiprocessing, sys
sys.path.insert(0, sys.argv[3])
from tests.unit.training.test_parent import compute_for_ever
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    ids = context.SimpleQueue()
    workers = [context.Process(target=compute_for_ever, args=(ids,), daemon=True) for _ in range(int(sys.argv[2]))]
    for one in workers:
        one.start()
    print(*[ids.get() for _ in workers], flush=True)
    workers[0].join()
"""


def compute_for_ever(ids: object) -> None:
    from training.parent import end_with_parent  # noqa: PLC0415 - in the worker

    end_with_parent()
    ids.put(os.getpid())  # type: ignore[attr-defined]
    while True:
        sum(range(1000))


@pytest.fixture(params=["fork", "spawn"])
def parent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    started = subprocess.Popen(
        [sys.executable, str(script), request.param, str(WORKERS), str(REPOSITORY)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with started:
        yield started
        started.kill()


def test_workers_of_a_killed_command_end(parent: subprocess.Popen[str]) -> None:
    assert parent.stdout is not None
    workers = [psutil.Process(int(word)) for word in parent.stdout.readline().split()]
    assert len(workers) == WORKERS
    parent.kill()
    parent.wait()
    _, left = psutil.wait_procs(workers, timeout=20)
    for one in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    assert not left
