"""The emulator's main module: runs ministack behind the checks of `local.callers`, and without its own scheduler.

ministack answers every origin with `Access-Control-Allow-Origin: *` and looks at no `Host`: a page in a browser could create and
invoke functions, which is code on this machine. It also fires Scheduler schedules by the wall clock and leaves their context
attributes unresolved; `local.cloud.clock` fires the same deployed schedules at the replayed (or real) instant and resolves them.
"""

from __future__ import annotations

import ministack.app as emulator
import ministack.services.scheduler as schedules

from local.callers import guarded


def _nothing() -> None:
    """Stand for the ticker's start."""


if __name__ == "__main__":
    schedules.start_scheduler = _nothing
    emulator.app = guarded(emulator.app)  # `main` serves the module's `app`; Emulator.start refuses one that is not guarded
    emulator.main()
