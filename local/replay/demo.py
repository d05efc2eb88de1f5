"""`signalbox demo`: replays the whole path from closed bars to an alert on the local cloud and writes a report."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psutil
from botocore.exceptions import BotoCoreError, ClientError

from local.cloud.local_cloud import LocalCloud, default_symbols
from local.cloud.private import private_files, tighten
from local.cloud.processes import stop_signals_interrupt
from local.cloud.trace import RECORDING, record_trace
from local.errors import DataError
from local.market.choice import choose_source
from local.market.source import CandleHistory
from local.replay.replay import CycleReplay, Stopwatch, default_window, load_feed
from local.replay.summary import FAILED, INTERRUPTED, OK, ReplayRecord, expected_cycles
from local.replay.view import View, choose_view
from local.settings import Settings
from local.stand_ins.exchange import LoadedBars
from signalbox.errors import SignalboxError
from signalbox.market.clock import CYCLE, cycle_of, cycles_between

DEFAULT_HOURS: Final = 6.0
MAX_HOURS: Final = 24.0 * 14
EXIT_CODES: Final = {OK: 0, FAILED: 1, INTERRUPTED: 130}
LOGS: Final = ("postgres/postgres.log", "aws/emulator.log")


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The options of the command."""

    data: Path | None
    start: datetime | None
    hours: float
    out: Path
    bundle: Path | None
    json_output: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    source: CandleHistory
    feed: LoadedBars
    start: datetime
    end: datetime


def run_demo(options: DemoOptions, settings: Settings) -> int:
    """Replay, write `summary.json`, `report.html` and `chart.png`, and return the exit code.

    Raises SignalboxError on bad input.
    """
    watch = Stopwatch()
    with stop_signals_interrupt(), private_files():
        tighten(settings.state)
        _check(options)
        with watch.stage("load"):
            plan = _plan(options, settings)
        folder = _fresh_folder(settings)
        try:
            with choose_view(default_symbols(), plain=settings.ci or options.json_output) as view:
                record = _run(plan, options, settings, folder, view=view, watch=watch)
        finally:
            _keep_logs(folder, options.out / "logs")
            shutil.rmtree(folder, ignore_errors=True)
    from local.replay.report import write_report  # noqa: PLC0415 - matplotlib is loaded when there is something to draw

    summary = write_report(record, options.out)
    _print(summary, options)
    return EXIT_CODES[record.exit]


def _check(options: DemoOptions) -> None:
    """Raise DataError for what cannot be run or written, before anything slow begins."""
    if not CYCLE.total_seconds() / 3600 <= options.hours <= MAX_HOURS:
        raise DataError(f"--hours: expected {CYCLE.total_seconds() / 3600:.2f} to {MAX_HOURS:.0f}, got {options.hours}")
    if options.start is not None and options.start != cycle_of(options.start):
        raise DataError(f"--start: expected a five-minute boundary, got {options.start.isoformat()}")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.out):
            pass
    except OSError as error:
        raise DataError(f"--out: cannot write to {options.out} ({error.strerror}); choose another folder") from error


def _plan(options: DemoOptions, settings: Settings) -> _Plan:
    symbols = default_symbols()
    source = choose_source(options.data, settings, symbols)
    start, end = default_window(source, options.hours, options.start)
    return _Plan(source, load_feed(source, symbols, start, end), start, end)


def _run(plan: _Plan, options: DemoOptions, settings: Settings, folder: Path, *, view: View, watch: Stopwatch) -> ReplayRecord:
    view.phase(f"source: {plan.source.name}")
    replay: CycleReplay | None = None
    try:
        with watch.stage("start"):
            cloud = LocalCloud(settings, folder, plan.feed, now=plan.start, progress=view.phase)
            cloud.__enter__()
        try:
            if options.bundle is not None:
                view.phase(f"deploying the bundle {cloud.deploy_bundle(options.bundle)} as shadow")
            replay = CycleReplay(cloud, view, source=plan.source.name, start=plan.start, end=plan.end)
            view.begin(_title(plan), expected_cycles(plan.start, plan.end))
            record = _replay(replay, view, watch)
            _record_trace(cloud, record, options.out / "logs", view)
            return record
        finally:
            with watch.stage("stop"):
                cloud.close()
    except KeyboardInterrupt:
        if replay is not None:
            raise  # a second interrupt, while the results for the first were being read
        return _nothing(plan, watch)


def _replay(replay: CycleReplay, view: View, watch: Stopwatch) -> ReplayRecord:
    exit_, error = OK, None
    try:
        with watch.stage("replay"):
            replay.run()
    except KeyboardInterrupt:
        exit_ = INTERRUPTED
        view.warn("interrupted: writing the results so far")
    except SignalboxError as failed:
        exit_, error = FAILED, str(failed)
        view.warn(str(failed))
    return replay.record(exit_=exit_, error=error, watch=watch)


def _record_trace(cloud: LocalCloud, record: ReplayRecord, logs: Path, view: View) -> None:
    """Record what `signalbox trace` reads. If the cloud has failed, record whatever it still returns."""
    cycles = cycles_between(record.start - CYCLE, record.decided_until or record.end)
    try:
        record_trace(cloud.logs, cloud.decisions, cycles, logs / RECORDING)
    except (SignalboxError, BotoCoreError, ClientError) as error:
        view.warn(f"the trace is not complete: {error}")


def _title(plan: _Plan) -> str:
    return f"Replaying {plan.start:%Y-%m-%d %H:%M} to {plan.end:%Y-%m-%d %H:%M} UTC from {plan.source.name}"


def _nothing(plan: _Plan, watch: Stopwatch) -> ReplayRecord:
    """Return the record of a replay that was interrupted before it began."""
    return ReplayRecord(
        source=plan.source.name,
        symbols=default_symbols(),
        start=plan.start,
        end=plan.end,
        timings=(),
        signals=(),
        refusals=(),
        bars={},
        alerts_sent=0,
        duplicates_injected=0,
        duplicates_ignored=0,
        warnings=(),
        wall_seconds=watch.total,
        stages_seconds=watch.seconds,
        exit=INTERRUPTED,
        decided_until=plan.start,
    )


def _fresh_folder(settings: Settings) -> Path:
    """Return an empty folder for this process, and remove the folders of processes that have ended."""
    top = settings.state / "demo"
    top.mkdir(parents=True, exist_ok=True)
    for old in top.iterdir():
        if old.name.isdigit() and not psutil.pid_exists(int(old.name)):
            shutil.rmtree(old, ignore_errors=True)
    folder = top / str(os.getpid())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _keep_logs(folder: Path, logs: Path) -> None:
    logs.mkdir(parents=True, exist_ok=True)
    for name in LOGS:
        if (folder / name).exists():
            shutil.copyfile(folder / name, logs / Path(name).name)


def _print(summary: dict[str, Any], options: DemoOptions) -> None:
    if options.json_output:
        sys.stdout.write(json.dumps(summary, indent=2) + "\n")
        return
    signals, model = summary["signals"], summary["model"]
    directions = ", ".join(f"{count} {name}" for name, count in signals["by_direction"].items())
    shadow = " (shadow: not for trading)" if model["stage"] == "shadow" else ""
    lines = [
        f"{summary['exit']}: {summary['cycles']} cycles of {len(summary['symbols'])} symbols in {summary['wall_seconds']:.0f} s",
        f"  source      {summary['source']}",
        f"  model       {model['bundle']}, schema {model['schema']}{shadow}",
        f"  signals     {signals['total']}: {directions}",
        f"  alerts      {summary['alerts_sent']} sent",
        *(_account_text(account) for account in summary["accounts"]),
        f"  duplicates  {summary['duplicates_injected']} cycles fired twice, {summary['duplicates_ignored']} duplicates ignored",
        f"  data        {len(summary['gaps'])} gaps, {summary['stale_cycles']} cycles with a refused symbol",
        f"  cycle       p50 {summary['p50_ms']} ms, p99 {summary['p99_ms']} ms; "
        f"without the first ({summary['first_cycle_ms']} ms, it back-fills) p99 {summary['warm_p99_ms']} ms",
        f"  written     {', '.join(str(options.out / name) for name in ('summary.json', 'report.html', 'chart.png'))}",
    ]
    if summary["error"]:
        lines.append(f"  error       {summary['error']}")
    sys.stdout.write("\n".join(lines) + "\n")


def _account_text(account: dict[str, Any]) -> str:
    held, refused = sum(account["held_back"].values()), sum(account["refused"].values())
    worst = max((float(item["share"]) for item in account["worst_used"].values()), default=0.0)
    return (
        f"  account     {account['account']} ({account['mode']}): equity {float(account['equity']):,.2f}, "
        f"{account['trades_opened']} trades opened, {account['trades_closed']} closed, "
        f"realised {float(account['realised']):+,.2f} by closed trades after their fees, fees of all fills "
        f"{float(account['fees']):,.2f}; {held} signals held back, {refused} orders refused; "
        f"at most {worst:.1%} of a loss limit used"
    )
