"""The emulator's main module: ministack without its own schedule ticker, because time is the workbench's.

ministack fires Scheduler schedules by the wall clock and leaves their context attributes unresolved. `local.clock` fires the
same deployed schedules at the replayed (or real) instant and resolves them, so both must not run.
"""

from __future__ import annotations

import ministack.services.scheduler as schedules
from ministack.app import main


def _nothing() -> None:
    """Stand for the ticker's start."""


if __name__ == "__main__":
    schedules.start_scheduler = _nothing
    main()
