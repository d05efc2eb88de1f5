"""Ends a worker process when the process that started it is gone, so that a killed command leaves no worker behind."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import wait
from threading import Thread
from typing import Final

ORPHANED: Final = 1  # exit code


def end_with_parent() -> None:
    """Watch the parent from a thread, and end this process at once when it ends, however it ended. Call it first in a worker."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_after, args=(parent.sentinel,), name="end-with-parent", daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(ORPHANED)
