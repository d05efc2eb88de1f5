"""The five-minute cycle, warm: `python tests/benchmarks/bench_cycle.py [--cycles N] [--bundle DIR] [--challengers N]`.

Candles in, signals committed by the ledger function's steps, on a real PostgreSQL that syncs every commit, with the starter or
another bundle; beside it what the cycle cannot do without: the features of three windows, the ensemble, and one commit of a
row. Budgets (docs/architecture.md, section 10): the cycle p50 <= 150 ms; the ensemble, three symbols and three members, <= 15 ms.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from time import perf_counter

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.application.challengers import ReadyChallengers
from signalbox.application.generate_signals import GenerateSignals
from signalbox.features import compute_features
from signalbox.inference import load_bundle
from signalbox.market.candles import Bars
from signalbox.signals.cycle import CycleOutcome, run_cycle
from signalbox.signals.model import DeployedModel, ModelChoice, ModelProblem
from signalbox.signals.ports import Ledger, OutboxEvent
from signalbox.signals.rate_limit import SignalLimits
from signalbox.signals.signal import DeploymentStage, Thresholds
from tests.builders import BTC, NOON, SYMBOLS, candles, event, minutes
from tests.fakes.postgres_server import app_source, running_postgres

STARTER = Path(__file__).resolve().parents[2] / "training" / "starter_bundle"
HISTORY = 2_200


def spans(run: Callable[[int], object], rounds: int) -> dict[str, float]:
    """Milliseconds of `run(0..rounds-1)`: p50, p99 and the longest."""
    found = []
    for index in range(rounds):
        began = perf_counter()
        run(index)
        found.append((perf_counter() - began) * 1000)
    p50, p99 = np.percentile(found, (50, 99))
    return {"p50_ms": round(float(p50), 3), "p99_ms": round(float(p99), 3), "longest_ms": round(max(found), 3)}


def cycles(ledger: Ledger, choice: ModelChoice, rounds: int) -> dict[str, float]:
    """Run consecutive cycles, each with its five new bars and ten known ones, after one that warms up."""
    with ledger.transaction() as tx:
        for symbol in SYMBOLS:
            tx.add_candles("coinbase", candles(symbol, NOON - minutes(5), HISTORY))
    events = [event(NOON + minutes(5 * i), count=15) for i in range(rounds + 1)]
    first = run_cycle(events[0], ledger=ledger, choice=choice)
    if len(first.signals) != len(SYMBOLS):
        raise SystemExit(f"expected a signal a symbol, got {first.refusals}")
    return spans(lambda i: run_cycle(events[i + 1], ledger=ledger, choice=choice), rounds)


class Beside:
    """Challengers that are loaded and healthy."""

    def __init__(self, models: tuple[DeployedModel, ...]) -> None:
        self.models = models

    def ready(self, _at: datetime, _seconds: float) -> ReadyChallengers:
        return ReadyChallengers(self.models, ())

    def decided(self, name: str, at: datetime) -> None:
        """Nothing is on its way."""

    def failed(self, name: str, _at: datetime, reason: str) -> ModelProblem:
        raise SystemExit(f"{name}: {reason}")


def cycles_beside(source: ConnectionSource, choice: ModelChoice, challengers: int, rounds: int) -> dict[str, dict[str, float]]:
    """The same cycles with challengers of the same bundle: until what serves is committed, and until all have decided."""
    assert choice.model is not None
    ledger, model = PostgresLedger(source), choice.model
    beside = Beside(tuple(replace(model, deployment=f"beside-{i}", challenger=True) for i in range(challengers)))
    app = GenerateSignals(ledger, PostgresOutbox(source), NoBus(), FixedModels(choice), SignalLimits(), challengers=beside)
    began_at = NOON + minutes(5 * (rounds + 2))
    with ledger.transaction() as tx:
        for symbol in SYMBOLS:
            tx.add_candles("coinbase", candles(symbol, began_at - minutes(5), HISTORY))
    served: list[float] = []

    def cycle(index: int) -> None:
        what, began = event(began_at + minutes(5 * index), count=15), perf_counter()
        outcome, _ = app.decide(what)
        served.append((perf_counter() - began) * 1000)
        found = app.decide_beside(what, outcome, model.deployment, 60.0)
        if len(found.signals) != challengers * len(SYMBOLS):
            raise SystemExit(f"expected a signal a symbol and challenger, got {found}")

    cycle(0)
    served.clear()
    whole = spans(lambda index: cycle(index + 1), rounds)
    p50, p99 = np.percentile(served, (50, 99))
    own = {"p50_ms": round(float(p50), 3), "p99_ms": round(float(p99), 3), "longest_ms": round(max(served), 3)}
    name = f"{challengers + 1} models"
    return {f"what serves, of {name}": own, f"all decided, of {name}": whole}


class NoBus:
    """Publishes nothing."""

    def publish(self, events: Sequence[OutboxEvent]) -> None:
        """Take them."""


class FixedModels:
    """One model, always."""

    def __init__(self, choice: ModelChoice) -> None:
        self.choice = choice

    def choose(self, _at: datetime) -> ModelChoice:
        return self.choice

    def decided(self, _outcome: CycleOutcome, _choice: ModelChoice) -> None:
        """Nothing follows."""


def one_row_commits(source: ConnectionSource, rounds: int) -> dict[str, float]:
    """Commit one small row at a time: the floor under any cycle on this disk."""

    def commit(index: int) -> None:
        with PostgresLedger(source).transaction() as tx:
            tx.mark_decided("floor", NOON + minutes(5 * index))

    return spans(commit, rounds)


def measure(rounds: int, bundle: Path, challengers: int) -> dict[str, dict[str, float]]:
    """Every figure."""
    ensemble = load_bundle(bundle)
    thresholds = Thresholds(ensemble.issue_margin, ensemble.high_margin)
    choice = ModelChoice(DeployedModel(bundle.name, DeploymentStage.SHADOW, ensemble, thresholds, 60))
    bars = Bars.from_candles(BTC, candles(BTC, NOON, ensemble.history_bars))
    window = compute_features(ensemble.schema, bars).values[-ensemble.window_bars :]
    windows = np.repeat(window[np.newaxis], len(SYMBOLS), axis=0)
    with running_postgres() as server:
        database = server.create_database()
        with app_source(server, database) as source:
            server.execute("ALTER SYSTEM SET fsync = on")
            server.execute("ALTER SYSTEM SET synchronous_commit = on")
            server.execute("SELECT pg_reload_conf()")
            on_postgres = cycles(PostgresLedger(source), choice, rounds)
            beside = cycles_beside(source, choice, challengers, rounds)
            commits = one_row_commits(source, rounds)
    return {
        "cycle on PostgreSQL": on_postgres,
        **beside,
        "one row committed": commits,
        "ensemble, 3 symbols": spans(lambda _: ensemble.predict(windows), 1_000),
        "features, 3 symbols": spans(lambda _: [compute_features(ensemble.schema, bars) for _ in SYMBOLS], 100),
        "bundle loaded and verified": spans(lambda _: load_bundle(bundle), 20),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--bundle", type=Path, default=STARTER)
    parser.add_argument("--challengers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.cycles, options.bundle, options.challengers)
    if options.json:
        sys.stdout.write(json.dumps(figures, indent=1) + "\n")
        return
    for name, found in figures.items():
        sys.stdout.write(f"{name:40}" + "".join(f"{key} {value:>9.3f}   " for key, value in found.items()) + "\n")


if __name__ == "__main__":
    main()
