"""Runs untrusted native code for the first time in a child process, which may hang, crash or run out of memory.

onnxruntime checks a graph only while it loads and runs it, and neither can be stopped from Python: an operator may compute for
hours, or end the process. The child is a fork, so it starts within milliseconds, imports nothing, and judges the very bytes that
the parent goes on to use. Where no process can be forked safely (outside Linux), the attempt runs without these limits.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from signalbox.inference.errors import BundleArchiveError, BundleError, BundleGoldenError, BundleIncompleteError
from signalbox.limits import MAX_TRIAL_BYTES, MAX_TRIAL_CPU_SECONDS, MAX_TRIAL_SECONDS

if sys.platform == "linux":  # it is not everywhere; the child must import nothing, for another thread may hold the lock
    import resource

_PASSED: Final = b"passed"
_TEXT_LENGTH: Final = 2_000
_CHUNK: Final = 65_536
_KINDS: Final[Mapping[str, type[BundleError]]] = {
    kind.__name__: kind for kind in (BundleArchiveError, BundleGoldenError, BundleIncompleteError)
}


def require_trial(bundle: str, attempt: Callable[[], object]) -> None:
    """Run an attempt in a child process. Raises the BundleError that it raised, or BundleIncompleteError if the child was ended.

    Limits: MAX_TRIAL_CPU_SECONDS of computing, MAX_TRIAL_SECONDS in all, MAX_TRIAL_BYTES beyond the parent's address space.
    """
    if sys.platform != "linux":
        attempt()
        return
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _attempt_and_exit(attempt, writing)
    os.close(writing)
    try:
        outcome = _heard(reading)
    finally:
        os.close(reading)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)  # it has said all, or its time is over
        _, status = os.waitpid(child, 0)
    if outcome is None:
        raise BundleIncompleteError(f"{bundle}: its graphs did not load and run within {MAX_TRIAL_SECONDS} s")
    if outcome != _PASSED:
        kind, _, text = outcome.decode(errors="replace").partition("\n")
        raise _KINDS.get(kind, BundleIncompleteError)(
            text or f"{bundle}: loading or running its graphs ended the process: {_end_of(status)}"
        )


def _end_of(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def _heard(reading: int) -> bytes | None:
    """Return all that the child wrote until it closed its end; None if it did not within MAX_TRIAL_SECONDS."""
    ends, outcome = time.monotonic() + MAX_TRIAL_SECONDS, b""
    while (left := ends - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            piece = os.read(reading, _CHUNK)
            if not piece:
                return outcome
            outcome = (outcome + piece)[:_CHUNK]  # of what went wild in the child, no more is kept
    return None


def _attempt_and_exit(attempt: Callable[[], object], writing: int) -> NoReturn:
    """Run in the child. It leaves by os._exit: nothing of the parent's (connections, files, exit handlers) is closed twice."""
    try:
        _limit()
        attempt()
        outcome = _PASSED
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent raises it
        kind = type(error).__name__
        outcome = f"{kind}\n{error if isinstance(error, BundleError) else f'{kind}: {error}'}"[:_TEXT_LENGTH].encode(
            errors="replace"
        )
    with suppress(OSError):
        os.write(writing, outcome)
    os._exit(0)


def _limit() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    for limit, wanted in (
        (resource.RLIMIT_AS, pages * resource.getpagesize() + MAX_TRIAL_BYTES),
        (resource.RLIMIT_CPU, MAX_TRIAL_CPU_SECONDS),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (value, value))
