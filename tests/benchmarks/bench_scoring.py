"""Scoring of three symbols, warm: `python tests/benchmarks/bench_scoring.py [--rounds N] [--bundle DIR] [--json]`.

Feature rows through the whole handler (body of JSON in, body out), and symbols on bars in memory: the first question of a
minute, which computes their features, and the next; then both as score_signals answers them, with what serves and the candles
read from PostgreSQL at each request. Beside it a naive twin: json
and one run of each graph for each symbol, no check. Budget (docs/architecture.md, section 10): p50 <= 10 ms. Both in
milliseconds of CPU time and of wall time, and with the calibration unit (ten Decimal products), because machines differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Callable, Collection
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from local.bench.unit import UNIT, unit_sample_us
from local.cli.library.scoring_server import respond
from local.stand_ins.server import Request
from signalbox.adapters.aws.scoring_api import scoring_api
from signalbox.adapters.postgres.deployments import PostgresDeployments
from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.library import PostgresLibrary
from signalbox.adapters.postgres.scoring_bars import LedgerBars
from signalbox.application.current_scores import CurrentScores
from signalbox.application.score_signals import ScoreRequest, ScoreSignals
from signalbox.contracts import Function, database_user
from signalbox.inference import Ensemble, load_bundle
from signalbox.inference.archive import pack_bundle
from signalbox.library.deployments import ALL_SYMBOLS, DeploymentState
from signalbox.library.entries import EntityKey, EntityKind, NewVersion, VersionState
from signalbox.library.lifecycle import Lifecycle, VersionDecision
from signalbox.market.candles import Bars, Symbol
from signalbox.signals.signal import DeploymentStage
from tests.builders import NOON, SYMBOLS, candles
from tests.fakes.memory_deployments import MemoryBundles
from tests.fakes.postgres_server import app_source, running_postgres

STARTER = Path(__file__).resolve().parents[2] / "training" / "starter_bundle"
HISTORY = 2_200


class MemoryBars:
    """The newest bars of three symbols."""

    def __init__(self) -> None:
        self._bars = {symbol: Bars.from_candles(symbol, candles(symbol, NOON, HISTORY)) for symbol in SYMBOLS}

    def newest(self, symbols: Collection[Symbol], until: datetime, count: int) -> dict[Symbol, Bars]:
        return {symbol: self._bars[symbol].until(until).last(count) for symbol in symbols}


def deployed(bundle: Path, stack: ExitStack) -> CurrentScores:
    """What score_signals is composed of: a PostgreSQL with candles and a bundle that serves, reached as its own user."""
    server = stack.enter_context(running_postgres())
    database = server.create_database()
    archive = pack_bundle(bundle)
    hashed = hashlib.sha256(archive).hexdigest()
    model = EntityKey(EntityKind.MODEL, load_bundle(bundle).manifest.name)
    key = f"bundles/{model.name}/{hashed}.zip"
    writing = stack.enter_context(app_source(server, database))
    with PostgresLedger(writing).transaction() as candle_tx:
        for symbol in SYMBOLS:
            candle_tx.add_candles("coinbase", candles(symbol, NOON, HISTORY))
    with PostgresLibrary(writing).transaction() as tx:
        tx.lock(model)
        facts = NewVersion(
            model, "bench", VersionState.CANDIDATE, NOON, bundle_key=key, sha256=hashed, manifest="{}", semantic="1.0.0"
        )
        version = tx.add_version(facts)
        tx.add_decision(version, VersionDecision(Lifecycle.CANDIDATE, "bench", NOON, "G0 pass", "bench"))
    book = PostgresDeployments(writing)
    one = book.request(
        version, ALL_SYMBOLS, DeploymentStage.SHADOW, at=NOON, who="bench", why="bench", request_id="bench", overridden=False,
        evaluated_rate=None,
    )  # fmt: skip
    for state in (DeploymentState.VALIDATING, DeploymentState.WARMING):
        book.move(one.name, state, NOON, "bench", "next")
    book.confirm(one.name, NOON, "decided")
    reading = stack.enter_context(app_source(server, database, user=database_user(Function.SCORE_SIGNALS)))
    return CurrentScores(PostgresDeployments(reading), MemoryBundles({key: archive}), LedgerBars(reading, "coinbase"))


def naive(ensemble: Ensemble, body: bytes) -> str:
    """What a first version would do: a run of each graph for each symbol, and no check of anything."""
    scores = []
    for window in json.loads(body)["windows"]:
        total = 0.0
        for member, session in zip(ensemble.manifest.members, ensemble.sessions, strict=True):
            rows = np.array(window if member.window_bars else window[-1:], dtype=np.float32)
            given = {"features": rows[np.newaxis] if member.window_bars else rows}
            if member.output == "probability_pair":
                up = float(session.run(["probabilities"], given)[0][0, 1])
                total += member.weight * math.log(up / (1 - up))
            else:
                total += member.weight * float(session.run(["logit"], given)[0].reshape(-1)[0])
        scores.append(1 / (1 + math.exp(-total / ensemble.manifest.calibrator.temperature)))
    return json.dumps({"scores": scores})


def spans(run: Callable[[], object], rounds: int) -> dict[str, float]:
    wall, cpu = [], []
    for _ in range(rounds):
        began, used = perf_counter(), process_time()
        run()
        wall.append((perf_counter() - began) * 1000)
        cpu.append((process_time() - used) * 1000)
    percents = {"p50_ms": np.percentile(wall, 50), "p99_ms": np.percentile(wall, 99), "cpu_p50_ms": np.percentile(cpu, 50)}
    return {name: round(float(value), 3) for name, value in percents.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--bundle", type=Path, default=STARTER)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    ensemble = load_bundle(options.bundle)
    bars = MemoryBars()
    service = ScoreSignals(ensemble, bars)
    with np.load(options.bundle / "golden.npz", allow_pickle=False) as golden:
        windows = golden["features"][:3].tolist()
    body = json.dumps({"schema_hash": ensemble.schema.hash, "windows": windows}).encode()
    request = Request("POST", "/score", {}, body, "application/json", {"content-type": "application/json"}, "/score")
    asked = ScoreRequest(symbols=list(SYMBOLS), at=NOON)
    first: dict[str, Any] = json.loads(respond(scoring_api(lambda: service), request)["body"])
    twin = json.loads(naive(ensemble, body))["scores"]
    apart = max(abs(one["probability_up"] - other) for one, other in zip(first["scores"], twin, strict=True))
    refused = [one for one in service.score(asked, NOON + timedelta(seconds=1)).scores if one.refused]
    if apart > 1e-6 or refused:
        raise SystemExit(f"expected scores that are alike, and all of them; got {apart} apart, {refused}")
    with ExitStack() as stack:
        scores = deployed(options.bundle, stack)
        in_ledger = scores.service().score(asked, NOON).scores
        if in_ledger != service.score(asked, NOON).scores:
            raise SystemExit("expected the scores of the ledger's candles to be those of the same candles in memory")
        ledger = {
            "deployed_rows": spans(lambda: respond(scoring_api(scores.service), request), options.rounds),
            "deployed_symbols_again": spans(lambda: scores.service().score(asked, NOON), options.rounds),
        }
    found = {
        "body_bytes": len(body),
        "rows": spans(lambda: respond(scoring_api(lambda: service), request), options.rounds),
        "naive_rows": spans(lambda: naive(ensemble, body), options.rounds),
        "symbols_first": spans(lambda: ScoreSignals(ensemble, bars).score(asked, NOON), options.rounds),
        "symbols_again": spans(lambda: service.score(asked, NOON), options.rounds),
        **ledger,
        f"{UNIT}, us": round(min(unit_sample_us() for _ in range(200)), 3),
    }
    print(json.dumps(found) if options.json else "\n".join(f"{name}: {one}" for name, one in found.items()))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
