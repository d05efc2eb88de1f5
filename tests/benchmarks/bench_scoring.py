"""Scoring of three symbols, warm: `python tests/benchmarks/bench_scoring.py [--rounds N] [--bundle DIR] [--json]`.

Feature rows through the whole handler (body of JSON in, body out), and symbols on bars in memory: the first question of a
minute, which computes their features, and the next. Beside it a naive twin: json
and one run of each graph for each symbol, no check. Budget (docs/architecture.md, section 10): p50 <= 10 ms. Both in
milliseconds of CPU time and of wall time, and with the calibration unit (ten Decimal products), because machines differ.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Collection
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
from signalbox.application.score_signals import ScoreRequest, ScoreSignals
from signalbox.inference import Ensemble, load_bundle
from signalbox.market.candles import Bars, Symbol
from tests.builders import NOON, SYMBOLS, candles

STARTER = Path(__file__).resolve().parents[2] / "training" / "starter_bundle"
HISTORY = 2_200


class MemoryBars:
    """The newest bars of three symbols."""

    def __init__(self) -> None:
        self._bars = {symbol: Bars.from_candles(symbol, candles(symbol, NOON, HISTORY)) for symbol in SYMBOLS}

    def newest(self, symbols: Collection[Symbol], until: datetime, count: int) -> dict[Symbol, Bars]:
        return {symbol: self._bars[symbol].until(until).last(count) for symbol in symbols}


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
    found = {
        "body_bytes": len(body),
        "rows": spans(lambda: respond(scoring_api(lambda: service), request), options.rounds),
        "naive_rows": spans(lambda: naive(ensemble, body), options.rounds),
        "symbols_first": spans(lambda: ScoreSignals(ensemble, bars).score(asked, NOON), options.rounds),
        "symbols_again": spans(lambda: service.score(asked, NOON), options.rounds),
        f"{UNIT}, us": round(min(unit_sample_us() for _ in range(200)), 3),
    }
    print(json.dumps(found) if options.json else "\n".join(f"{name}: {one}" for name, one in found.items()))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
