"""One local cloud for all e2e tests: the deployed functions on a simulated market whose time only moves forward."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from local.cloud.local_cloud import LocalCloud
from local.cloud.processes import wait_until
from local.market.feed import CachedFeed
from local.market.simulator import SimulatedSource
from local.settings import VENUE, load_settings
from signalbox.contracts import Function
from signalbox.market.clock import CYCLE
from signalbox.signals.ports import SymbolRefusal
from signalbox.signals.signal import Signal

START = datetime(2026, 1, 14, 12, 0, tzinfo=UTC)
DECIDED_SECONDS = 90.0


class Market:
    """The cloud with its replayed clock; every test takes the cycles it needs from here."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.now = START
        self.collect = cloud.schedule_of(Function.COLLECT_CANDLES)
        self.relay = cloud.schedule_of(Function.RELAY_OUTBOX)

    def tick(self) -> datetime:
        """Move to the next boundary without firing anything."""
        self.now += CYCLE
        self.cloud.exchange.set_time(self.now)
        return self.now

    def fire(self, at: datetime) -> None:
        """Fire the collection of one cycle."""
        firing = self.cloud.clock.fire(self.collect, at)
        assert firing.error is None

    def decide(self, at: datetime) -> None:
        self.cloud.watch.until_decided(at, seconds=DECIDED_SECONDS)

    def cycle(self) -> datetime:
        """Run one whole cycle and return its boundary."""
        at = self.tick()
        self.fire(at)
        self.decide(at)
        return at

    def quiet(self) -> None:
        """Wait until everything that was caused has happened."""
        self.cloud.watch.until_quiet(seconds=60)

    def signals(self, at: datetime) -> dict[str, Signal]:
        rows = self.cloud.ledger.signals(at - CYCLE, at)
        assert len({r.symbol for r in rows}) == len(rows)
        return {row.symbol: row for row in rows}

    def refusals(self, at: datetime) -> dict[str, SymbolRefusal]:
        return {row.symbol: row for row in self.cloud.ledger.refusals(VENUE, at - CYCLE, at)}

    def texts(self) -> list[str]:
        """Return every alert, also where several came in one message."""
        return [text for message in self.cloud.telegram.messages for text in message.text.split("\n\n")]

    def await_text(self, part: str, since: int) -> str:
        """Return the first message after the `since`-th that contains `part`."""
        return wait_until(
            lambda: next((t for t in self.texts()[since:] if part in t), None), what=f"a message with {part!r}", seconds=60
        )


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    settings = load_settings()
    folder = settings.state / "e2e" / str(os.getpid())
    try:
        with LocalCloud(settings, folder, CachedFeed(SimulatedSource(7)), now=START) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _warm_market(cloud: LocalCloud) -> Market:
    market = Market(cloud)
    market.cycle()  # cold starts and the back-fill of the history
    market.quiet()
    return market


@pytest.fixture
def market(_warm_market: Market) -> Iterator[Market]:
    """The market, healthy before and after each test, with no dead letters it did not have before."""
    cloud = _warm_market.cloud
    dead = cloud.watch.dead_letters()
    yield _warm_market
    cloud.exchange.faults.clear()
    cloud.telegram.faults.clear()
    at = _warm_market.cycle()
    _warm_market.quiet()
    assert set(_warm_market.signals(at)) == set(cloud.symbols)
    assert cloud.watch.dead_letters() == dead
