"""Processes of the workbench: each child is behind a guard that ends it when the workbench ends, however that happens."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn, TypeVar

from local.cloud.private import UMASK, private_folder
from local.errors import ServiceError
from local.settings import LOOPBACK

GUARD: Final = Path(__file__).with_name("guard.py")
T = TypeVar("T")


@contextmanager
def stop_signals_interrupt() -> Iterator[None]:
    """Turn SIGTERM into KeyboardInterrupt, as Ctrl-C raises, so that both clean up alike."""

    def interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_port() -> int:
    """Return a TCP port that was free on the loopback interface a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Whether nothing listens on a loopback port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def wait_until(
    probe: Callable[[], T | None], *, what: str, seconds: float, alive: Callable[[], bool] | None = None, every: float = 0.02
) -> T:
    """Return the first answer of `probe` that is not None.

    Raises ServiceError if there is no answer in time, or at once if `alive` says that the process has ended.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer is not None:
            return answer
        if alive is not None and not alive():
            raise ServiceError(f"{what}: the process ended before it was ready")
        if time.monotonic() > deadline:
            raise ServiceError(f"{what}: expected within {seconds:.0f} s, got nothing")
        time.sleep(every)


class Service:
    """A child process that ends with this one. It logs to a file, and its files are private to the user."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path,
        cwd: Path,
        user: str | None = None,
        stop_signal: str = "TERM",
        grace: float = 10.0,
    ) -> None:
        self.name, self.log, self._grace = name, log, grace
        guard = [sys.executable, "-S", "-E", str(GUARD), "--stop-signal", stop_signal, "--grace", str(grace)]
        if user is not None:
            guard += ["--user", user]
        private_folder(log.parent)
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as sink:
            self._guard = subprocess.Popen(
                [*guard, "--", *command],
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
                umask=UMASK,
            )

    @property
    def alive(self) -> bool:
        """Whether the service still runs."""
        return self._guard.poll() is None

    @property
    def guard_pid(self) -> int:
        """Process id of the guard; the service is its child."""
        return self._guard.pid

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines of the log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def stop(self) -> None:
        """End the service and wait until it is gone. Safe to call again."""
        if self._guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.close()
        try:
            self._guard.wait(self._grace + 5)
        except subprocess.TimeoutExpired:
            self._guard.send_signal(signal.SIGTERM)
            self._guard.wait(self._grace + 5)
