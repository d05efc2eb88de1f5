"""`signalbox bench simulate`: run many schedules of an account against a misbehaving venue and report broken invariants.

Processes share the seeds in chunks. The process that finds a violation shrinks its schedule and reports it with its seed and
story.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from local.bench.durable_postgres import load_average
from local.simulation.choices import smaller
from local.simulation.world import Violation, run_schedule
from training.parent import end_with_parent

CHUNK: Final = 100  # schedules per task
MAX_SHOWN: Final = 20  # violations that are reported in full; further ones are only counted


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """How many schedules to run, from which seed, in how many processes."""

    schedules: int = 20_000
    seed: int = 0
    workers: int = 2


@dataclass(frozen=True, slots=True)
class Found:
    """A violation: its seed, the broken invariant, the smallest schedule found that breaks it, and the steps of that schedule."""

    seed: int
    violation: Violation
    choices: list[int]
    story: list[str]


@dataclass
class Simulated:
    """The result of a run.

    seed: of the first schedule. steps: of the ledger. by_wire: schedules whose messages travelled as text.
    """

    seed: int = 0
    schedules: int = 0
    steps: int = 0
    by_wire: int = 0
    seconds: float = 0.0
    violations: list[Found] = field(default_factory=list)
    interrupted: bool = False

    @property
    def is_sound(self) -> bool:
        """Whether every invariant held."""
        return not self.violations

    def as_json(self) -> dict[str, Any]:
        """Return the result as it is printed."""
        rate = self.schedules / self.seconds if self.seconds else 0.0
        return {
            "seed": self.seed,
            "schedules": self.schedules,
            "steps": self.steps,
            "by_wire": self.by_wire,
            "seconds": round(self.seconds, 1),
            "schedules_per_second": round(rate, 1),
            "load": load_average(),
            "interrupted": self.interrupted,
            "violations": [asdict(found) for found in self.violations[:MAX_SHOWN]],
            "violations_found": len(self.violations),
        }


def run_simulation(options: SimulateOptions, *, console: Console | None = None) -> Simulated:
    """Run the schedules. Ctrl-C ends the run and returns the results so far."""
    console = console or Console(stderr=True)
    found, started = Simulated(options.seed), time.perf_counter()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    chunks = [
        (first, min(CHUNK, options.seed + options.schedules - first))
        for first in range(options.seed, options.seed + options.schedules, CHUNK)
    ]
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
        ProcessPoolExecutor(options.workers, initializer=_begin_worker) as pool,
    ):
        bar = progress.add_task("schedules", total=options.schedules)
        waiting: set[Future[Simulated]] = set()
        try:
            while chunks or waiting:
                while chunks and len(waiting) < 2 * options.workers:
                    waiting.add(pool.submit(_chunk, *chunks.pop(0)))
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for one in done:
                    part = one.result()
                    found.schedules += part.schedules
                    found.steps += part.steps
                    found.by_wire += part.by_wire
                    found.violations += part.violations
                    progress.update(bar, advance=part.schedules, description=f"schedules, {len(found.violations)} violations")
        except KeyboardInterrupt:
            found.interrupted = True
            pool.shutdown(wait=False, cancel_futures=True)
    found.seconds = time.perf_counter() - started
    found.violations.sort(key=lambda one: one.seed)
    return found


def _begin_worker() -> None:
    """Take what is imported out of the garbage collector's rounds, as the ledger's functions do (bootstrap.ledger)."""
    end_with_parent()
    gc.collect()
    gc.freeze()


def _chunk(first: int, count: int) -> Simulated:
    part = Simulated(first)
    for seed in range(first, first + count):
        run = run_schedule(seed)
        part.schedules += 1
        part.steps += run.steps
        part.by_wire += run.by_wire
        if run.violation is not None:
            part.violations.append(minimised(seed, run.choices, run.violation))
    return part


def minimised(seed: int, choices: list[int], violation: Violation) -> Found:
    """Return a violation with the smallest schedule found that still breaks the same invariant."""

    def breaks(recorded: Sequence[int]) -> bool:
        again = run_schedule(recorded=recorded).violation
        return again is not None and again.invariant == violation.invariant

    least = smaller(choices, breaks)
    reported = run_schedule(recorded=least, story=True)
    return Found(seed, reported.violation or violation, least, reported.story)


def print_simulation(found: Simulated, *, json_output: bool) -> None:
    """Print the result of a run as a summary or as JSON."""
    if json_output:
        sys.stdout.write(json.dumps(found.as_json(), indent=1) + "\n")
        return
    figures = found.as_json()
    out = Console()
    out.print(
        f"{found.schedules:,} schedules, {found.steps:,} steps in {figures['seconds']:,} s"
        f" ({figures['schedules_per_second']:,}/s, load {figures['load']}); {len(found.violations)} violations"
        + (" (interrupted)" if found.interrupted else ""),
        highlight=False,
    )
    for one in found.violations[:MAX_SHOWN]:
        out.print(f"\n[bold red]{one.violation.invariant}[/] seed {one.seed}, after {one.violation.at:.1f} s", highlight=False)
        out.print(f"  {one.violation.detail}\n  choices {one.choices}", highlight=False, markup=False)
        for line in one.story:
            out.print(f"  {line}", highlight=False, markup=False)
