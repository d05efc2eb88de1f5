"""Runs one service and ends it when its owner ends. A separate script on the standard library alone, so that it starts at once.

    python guard.py --stop-signal INT --grace 10 [--user NAME] -- COMMAND ...

The owner holds the other end of stdin. When that closes (a clean stop, Ctrl-C, a crash, SIGKILL: the kernel closes it in
every case) or on SIGTERM, the service gets its stop signal, then, after the grace, its whole process group is killed. The
guard lives in its own session, so a Ctrl-C at the terminal reaches the owner alone and the order of stopping is the owner's.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _die_with_parent(signal_number: int) -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(PR_SET_PDEATHSIG, signal_number)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def main() -> int:
    """Start the command, wait until it or the owner ends, and end everything that it started."""
    parser = argparse.ArgumentParser(description="run a service until stdin closes")
    parser.add_argument("--stop-signal", default="TERM", choices=["TERM", "INT", "QUIT"])
    parser.add_argument("--grace", type=float, default=10.0, help="seconds")
    parser.add_argument("--user", default=None)
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    stop_signal = signal.Signals[f"SIG{args.stop_signal}"]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    service = subprocess.Popen(
        args.command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        user=args.user,
        group=args.user,
        extra_groups=[] if args.user else None,
        preexec_fn=_die_with_parent(stop_signal),  # noqa: PLW1509 - no thread exists yet
    )

    def watch_owner() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        stop.set()

    def watch_service() -> None:
        service.wait()
        stop.set()

    for watch in (watch_owner, watch_service):
        threading.Thread(target=watch, daemon=True).start()
    stop.wait()
    if service.poll() is None:
        service.send_signal(stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            service.wait(args.grace)
    _kill_group(service.pid)
    return service.wait()


if __name__ == "__main__":
    sys.exit(main())
