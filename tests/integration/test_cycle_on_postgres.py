"""The whole ledger function on a real PostgreSQL with the real starter bundle: candles in, signals committed, events out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.application.generate_signals import GenerateSignals
from signalbox.contracts import BACKFILL_MINUTES
from signalbox.inference import load_bundle
from signalbox.ledger_errors import LedgerUnavailableError
from signalbox.signals.cycle import run_cycle
from signalbox.signals.model import DeployedModel, ModelChoice
from signalbox.signals.ports import CycleState, LedgerTransaction, OutboxEvent
from signalbox.signals.rate_limit import SignalLimits
from signalbox.signals.signal import DeploymentStage, Thresholds
from tests.builders import NOON, SYMBOLS, candles, event, minutes
from tests.fakes.memory_ledger import MemoryLedger
from tests.fakes.postgres_server import PostgresServer, app_source
from tests.unit.inference.tiny_bundle import write_window_bundle

pytestmark = pytest.mark.integration
STARTER = Path(__file__).parents[2] / "training" / "starter_bundle"


@pytest.fixture(scope="module")
def model() -> DeployedModel:
    ensemble = load_bundle(STARTER)
    thresholds = Thresholds(ensemble.issue_margin, ensemble.high_margin)
    return DeployedModel("starter", DeploymentStage.SHADOW, ensemble, thresholds, 60)


class RecordingBus:
    def __init__(self) -> None:
        self.published: list[str] = []

    def publish(self, events: Sequence[OutboxEvent]) -> None:
        self.published.extend(e.event_id for e in events)


class FixedModels:
    def __init__(self, model: DeployedModel) -> None:
        self._choice = ModelChoice(model)

    def choose(self, _at: datetime) -> ModelChoice:
        return self._choice

    def decided(self, _outcome: object, _choice: object) -> None:
        """Nothing follows from a cycle."""


def application(
    ledger: Any, source: ConnectionSource, model: DeployedModel, pause: Callable[[float], None] = lambda _: None
) -> GenerateSignals:
    """The function's own composition, over a ledger and a model of the test's choice."""
    models: Any = FixedModels(model)
    return GenerateSignals(ledger, PostgresOutbox(source), RecordingBus(), models, SignalLimits(), pause=pause)


def with_history(source: ConnectionSource) -> ConnectionSource:
    with PostgresLedger(source).transaction() as tx:
        for symbol in SYMBOLS:
            tx.add_candles("coinbase", candles(symbol, NOON - minutes(10), BACKFILL_MINUTES))
    return source


@pytest.fixture
def app(source: ConnectionSource, model: DeployedModel) -> GenerateSignals:
    with_history(source)
    return application(PostgresLedger(source), source, model)


def count(postgres: PostgresServer, database: str, table: str) -> int:
    return int(postgres.execute(f"SELECT count(*) FROM {table}", database)[0][0])


def test_a_cycle_leaves_three_signals_with_features_and_publishes_each_once(
    app: GenerateSignals, postgres: PostgresServer, database: str
) -> None:
    outcome, _ = app.decide(event())
    assert len(outcome.signals) == 3
    assert (app.publish(), app.publish()) == (4, 0)  # the signals, and that the cycle was decided
    stored = postgres.execute("SELECT symbol, cardinality(features), stage, price FROM signals ORDER BY symbol", database)
    assert [(row[0], row[1], row[2]) for row in stored] == [(s, 31, "shadow") for s in SYMBOLS]
    assert {row[3] for row in stored} == {s.price for s in outcome.signals}


def test_the_same_event_three_times_leaves_one_signal_and_one_announcement(
    app: GenerateSignals, postgres: PostgresServer, database: str
) -> None:
    states = [app.decide(event())[0].state for _ in range(3)]
    app.publish()
    assert states == [CycleState.READY, CycleState.DECIDED, CycleState.DECIDED]
    assert count(postgres, database, "signals") == 3
    assert len(app.bus.published) == len(set(app.bus.published)) == 4  # type: ignore[attr-defined]


def test_memory_and_postgres_decide_the_same(app: GenerateSignals, model: DeployedModel) -> None:

    twin = MemoryLedger()
    with twin.transaction() as tx:
        for symbol in SYMBOLS:
            tx.add_candles("coinbase", candles(symbol, NOON - minutes(10), BACKFILL_MINUTES))
    in_memory = run_cycle(event(), ledger=twin, choice=ModelChoice(model))
    assert app.decide(event())[0].signals == in_memory.signals


def test_a_model_of_windows_decides_the_same_on_postgres_and_in_memory(source: ConnectionSource, tmp_path: Path) -> None:
    ensemble = load_bundle(write_window_bundle(tmp_path / "windows", {3: 20, 4: 7}, row=0.3))
    thresholds = Thresholds(ensemble.issue_margin, ensemble.high_margin)
    windows = DeployedModel("windows", DeploymentStage.SHADOW, ensemble, thresholds, 60)
    app = application(PostgresLedger(with_history(source)), source, windows)
    twin = MemoryLedger()
    with twin.transaction() as tx:
        for symbol in SYMBOLS:
            tx.add_candles("coinbase", candles(symbol, NOON - minutes(10), BACKFILL_MINUTES))
    decided = app.decide(event())[0].signals
    assert decided == run_cycle(event(), ledger=twin, choice=ModelChoice(windows)).signals
    assert len({signal.probability_up for signal in decided}) == 1  # the samples of all symbols are alike
    missing = (NOON + minutes(2),)
    refused = app.decide(event(NOON + minutes(5), count=5, missing=missing))[0].refusals
    assert {refusal.reason for refusal in refused} == {"GAP_IN_WINDOW"}
    after = [app.decide(event(NOON + minutes(m), count=5, missing=missing))[0] for m in range(10, 91, 5)]
    assert [bool(outcome.signals) for outcome in after] == [False] * 15 + [True] * 2  # an hour and the window later


class RestartingLedger:
    """A ledger whose server restarts inside the first transaction, after the candles were written."""

    def __init__(self, inner: PostgresLedger, postgres: PostgresServer) -> None:
        self._inner, self._postgres, self.restarts = inner, postgres, 0

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        with self._inner.transaction() as tx:
            yield _Restarting(tx, self)  # type: ignore[misc]

    def restart_once(self) -> None:
        if self.restarts == 0:
            self.restarts += 1
            self._postgres.restart()


class _Restarting:
    def __init__(self, tx: LedgerTransaction, owner: RestartingLedger) -> None:
        self._tx, self._owner = tx, owner

    def __getattr__(self, name: str) -> object:
        if name == "mark_decided":
            self._owner.restart_once()
        return getattr(self._tx, name)


def test_a_database_restart_within_a_cycle_loses_and_doubles_nothing(
    source: ConnectionSource, model: DeployedModel, postgres: PostgresServer, database: str
) -> None:
    ledger = RestartingLedger(PostgresLedger(with_history(source)), postgres)
    app = application(ledger, source, model)
    outcome, _ = app.decide(event())
    assert ledger.restarts == 1
    assert outcome.state is CycleState.READY
    assert count(postgres, database, "signals") == 3
    assert app.publish() == 4


def test_a_database_that_stays_away_fails_the_delivery_so_that_the_queue_keeps_it(
    source: ConnectionSource, model: DeployedModel
) -> None:
    class Away:
        def transaction(self) -> None:
            raise LedgerUnavailableError("no connection")

    pauses: list[float] = []
    app = application(Away(), source, model, pauses.append)
    with pytest.raises(LedgerUnavailableError):
        app.decide(event())
    assert pauses == sorted(pauses)
    assert sum(pauses) < 10


CRASHING = """
import os, sys
from pathlib import Path
from signalbox.adapters.postgres.connection import ConnectionSource, DatabaseSettings
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.inference import load_bundle
from signalbox.signals.cycle import run_cycle
from signalbox.signals.model import DeployedModel, ModelChoice
from signalbox.signals.signal import DeploymentStage, Thresholds
from tests.builders import event
host, port, name, user, bundle = sys.argv[1:]
settings = DatabaseSettings(host=host, port=int(port), name=name, user=user, sslmode="disable")
ensemble = load_bundle(Path(bundle))
model = DeployedModel("starter", DeploymentStage.SHADOW, ensemble, Thresholds(ensemble.issue_margin, ensemble.high_margin), 60)
run_cycle(event(), ledger=PostgresLedger(ConnectionSource(settings, lambda: "")), choice=ModelChoice(model))
os.kill(os.getpid(), 9)  # committed, not published
"""


def test_a_function_killed_between_commit_and_publish_leaves_its_events_to_the_relay(
    app: GenerateSignals, postgres: PostgresServer, database: str
) -> None:
    settings = postgres.settings(database)
    arguments = [settings.host, str(settings.port), settings.name, settings.user, str(STARTER)]
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", CRASHING, *arguments], cwd=root, check=False, capture_output=True, timeout=120)
    assert killed.returncode == -9, killed.stderr.decode()
    assert count(postgres, database, "signals") == 3
    assert app.decide(event())[0].duplicate  # the queue delivers it again
    assert app.publish() == 4
    assert len(app.bus.published) == 4  # type: ignore[attr-defined]


def test_two_workers_on_the_same_cycle_decide_it_once(
    app: GenerateSignals, postgres: PostgresServer, database: str, model: DeployedModel
) -> None:

    with app_source(postgres, database) as other:
        second = application(PostgresLedger(other), other, model)
        with ThreadPoolExecutor(2) as pool:
            states = {f.result()[0].state for f in [pool.submit(a.decide, event()) for a in (app, second)]}
    assert states == {CycleState.READY, CycleState.DECIDED}
    assert count(postgres, database, "signals") == 3
