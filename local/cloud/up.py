"""`signalbox up`: the local cloud on the real five-minute clock, until Ctrl-C. Its state is kept under `.signalbox/up/`."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from local.cloud.clock import JobTiming
from local.cloud.local_cloud import LocalCloud, Ports, default_symbols
from local.cloud.private import private_files, private_folder, tighten
from local.cloud.processes import port_is_free, stop_signals_interrupt
from local.cloud.up_view import AlertCount, UpCycle, UpView, choose_up_view
from local.errors import StateInUseError, StuckError
from local.market.choice import live_or_simulated
from local.market.feed import CachedFeed
from local.settings import VENUE, Settings
from signalbox.contracts import Function, StackOutput
from signalbox.market.clock import CYCLE, cycle_of

DECIDE_SECONDS: Final = 120.0
COUNTED: Final = timedelta(days=30)  # of trades, in the line of an account
LOOKBACK: Final = timedelta(hours=24)  # of signals and cycles that are counted
ALERTS: Final = "alerts.json"
TICK: Final = timedelta(minutes=1)
MARKET_ANCHOR: Final = "market.json"  # which market this state was recorded from


def run_up(settings: Settings, *, port: int | None, seed: int) -> int:
    """Run until Ctrl-C or SIGTERM and return the exit code. Raises StateInUseError, ServiceError, DeployError."""
    folder = settings.state / "up"
    with stop_signals_interrupt(), private_files(), only_one(private_folder(folder) / "lock"):
        tighten(settings.state)
        view = choose_up_view(default_symbols(), _now, plain=settings.ci)
        source = live_or_simulated(default_symbols(), seed=seed)
        view.say(f"market: {source.name}" + ("" if "live" in source.name else " (no exchange could be reached)"))
        _same_market(folder / MARKET_ANCHOR, source.name)
        ports = _remembered_ports(folder / "ports.json", wanted=port)
        try:
            with LocalCloud(
                settings, folder, CachedFeed(source), now=_now(), durable=True, realtime=True, ports=ports, progress=view.say
            ) as cloud:
                view.say(_addresses(cloud))
                with view:
                    _Ticker(cloud, view, AlertCount(folder / ALERTS)).run()
        except KeyboardInterrupt:
            view.say("stopped")
    return 0


class _Ticker:
    """Triggers the schedules that are due at every minute of the wall clock; a slow function does not delay the others."""

    def __init__(self, cloud: LocalCloud, view: UpView, alerts: AlertCount) -> None:
        self._cloud, self._view, self._alerts = cloud, view, alerts
        self._collect = cloud.schedule_of(Function.COLLECT_CANDLES)
        self._never = threading.Event()

    def run(self) -> None:
        """Run the current cycle at once, then fire the schedules until interrupted."""
        with ThreadPoolExecutor(max_workers=8, thread_name_prefix="schedule") as pool:
            pool.submit(self._fire, self._collect, cycle_of(_now()))
            minute = _now().replace(second=0, microsecond=0)
            try:
                while True:
                    minute = max(minute + TICK, _now().replace(second=0, microsecond=0))  # a laptop that slept skips, not storms
                    self._wait_until(minute)
                    for schedule in self._cloud.clock.due(minute):
                        pool.submit(self._fire, schedule, minute)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _wait_until(self, instant: datetime) -> None:
        while (left := (instant - _now()).total_seconds()) > 0:
            self._never.wait(min(left, 5.0))  # short, so that a changed wall clock is noticed

    def _fire(self, schedule: JobTiming, instant: datetime) -> None:
        try:
            self._cloud.exchange.set_time(_now())
            firing = self._cloud.clock.fire(schedule, instant)
            if firing.error is not None:
                self._view.say(f"! {schedule.function} failed at {instant:%H:%M}: {firing.error[:400]}")
            elif schedule is self._collect or schedule == self._collect:
                self._show_cycle(cycle_of(instant))
        except StuckError as error:
            self._view.say(f"! {error}")
        except Exception as error:  # noqa: BLE001 - this thread has no caller; the clock must go on and the operator must know
            self._view.say(f"! {schedule.function} at {instant:%H:%M}: {type(error).__name__}: {error}")

    def _show_cycle(self, cycle_at: datetime) -> None:
        self._cloud.watch.until_decided(cycle_at, seconds=DECIDE_SECONDS)
        newest = self._cloud.ledger.signals(cycle_at - LOOKBACK, cycle_at)
        facts = UpCycle(
            cycle_at=cycle_at,
            signals=[one for one in newest if one.decided_at > cycle_at - CYCLE],
            refusals=self._cloud.ledger.refusals(VENUE, cycle_at - CYCLE, cycle_at),
            issued=Counter(one.symbol for one in newest if one.issued),
            cycles=self._cloud.ledger.decided_cycles(VENUE, cycle_at - LOOKBACK, cycle_at).count,
            alerts=self._alerts.total(len(self._cloud.telegram.messages)),
        )
        self._view.cycle(facts)
        self._cloud.watch.until_traded(cycle_at, seconds=DECIDE_SECONDS)
        accounts = self._cloud.accounts.lines(cycle_at - COUNTED, cycle_at)
        alerts = self._alerts.total(len(self._cloud.telegram.messages))
        self._view.cycle(replace(facts, accounts=accounts, alerts=alerts))


def _now() -> datetime:
    return datetime.now(UTC)  # the workbench's wall clock: `up` is real time by definition


def _addresses(cloud: LocalCloud) -> str:
    return "\n".join(
        [
            "",
            "The local cloud is up, on this machine only:",
            f"  AWS emulator    {cloud.emulator.url}   (AWS_ENDPOINT_URL, any credentials, region us-east-1)",
            f'  PostgreSQL      psql "{cloud.postgres.dsn}"',
            f"  Telegram page   {cloud.telegram.page_url}",
            f"  exchange        {cloud.exchange.url}/products",
            f"  orders API      {_orders_api(cloud.emulator.url, cloud.outputs[StackOutput.ORDERS_API_URL])}",
            "Cycles run every five minutes. Ctrl-C stops; the state stays under .signalbox/up.",
            "",
        ]
    )


def _orders_api(emulator: str, url: str) -> str:
    """Return where the orders API answers: at the emulator's address, which finds it by its name. No resolver knows that name."""
    return f"{emulator}   (header Host: {urlsplit(url).netloc}; signed requests: aws4, service execute-api)"


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Lock the state folder. Raises StateInUseError, which names the process that has the lock."""
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise StateInUseError(f"signalbox up already runs on {path.parent} (process {holder}); stop it first") from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _same_market(path: Path, name: str) -> None:
    """Refuse to mix two markets in one ledger: live prices and simulated ones share their symbols."""
    if path.exists() and (before := json.loads(path.read_text())["market"]) != name:
        raise StateInUseError(
            f"the state in {path.parent} was recorded from {before}, the market is now {name}; remove that folder to start afresh"
        )
    path.write_text(json.dumps({"market": name}))


def _remembered_ports(path: Path, *, wanted: int | None) -> Ports:
    """Reuse the ports of the last run while they are free, so that addresses (and the templates made of them) stay the same."""
    before: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        before = json.loads(path.read_text())
    if wanted is not None and not port_is_free(wanted):
        raise StateInUseError(f"port {wanted} is in use")
    chosen = Ports.choose(before, emulator=wanted)
    path.write_text(json.dumps(chosen.as_dict()))
    return chosen
