"""The scoring service and its API: the model's own figures, or a problem that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.cli.library.scoring_server import respond
from local.stand_ins.server import Request
from signalbox.adapters.aws.scoring_api import scoring_api
from signalbox.application.score_signals import MAX_SCORES, ScoreRequest, ScoreSignals
from signalbox.inference import Ensemble, load_bundle
from signalbox.market.candles import Bars, Symbol
from signalbox.signals.rows import IncompleteRows, newest_rows
from tests.builders import BTC, ETH, NOON, candles
from tests.examples import examples
from tests.unit.inference.tiny_bundle import SCHEMA, WIDTH, expected, rows, windows, write_bundle, write_window_bundle

HASH = SCHEMA.hash


class KnownBars:
    """Bars of BTC-USD and ETH-USD until noon."""

    def __init__(self, count: int = 600) -> None:
        self._bars = {one: Bars.from_candles(one, candles(one, NOON, count)) for one in (BTC, ETH)}

    def newest(self, symbols: Collection[Symbol], until: datetime, count: int) -> dict[Symbol, Bars]:
        empty = Bars.from_candles(BTC, ())
        return {symbol: self._bars.get(symbol, empty).until(until).last(count) for symbol in symbols}


@pytest.fixture(scope="module")
def row_model(tmp_path_factory: pytest.TempPathFactory) -> ScoreSignals:
    return ScoreSignals(load_bundle(write_bundle(tmp_path_factory.mktemp("row") / "tiny")), KnownBars(2_000))


@pytest.fixture(scope="module")
def window_model(tmp_path_factory: pytest.TempPathFactory) -> ScoreSignals:
    return ScoreSignals(load_bundle(write_window_bundle(tmp_path_factory.mktemp("window") / "windows", {3: 4}, row=0.5)))


def asked(service: ScoreSignals, body: bytes | Any, method: str = "POST", path: str = "/score") -> tuple[int, dict[str, Any]]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = respond(scoring_api(lambda: service), Request(method, path, {}, content, "application/json", {}, path))
    return found["statusCode"], json.loads(found["body"])


def test_rows_are_scored_as_the_model_scores_them(row_model: ScoreSignals) -> None:
    features = rows(5, seed=7)
    status, answer = asked(row_model, {"schema_hash": HASH, "windows": features[:, np.newaxis].tolist()})
    assert status == 200
    assert (answer["model"], answer["schema_hash"], answer["horizon_minutes"]) == ("tiny", HASH, 60)
    np.testing.assert_allclose([one["probability_up"] for one in answer["scores"]], expected(features), atol=1e-6)
    for one in answer["scores"]:
        margin = abs(one["probability_up"] - 0.5)
        tier = "HIGH" if margin >= 0.07 else "MEDIUM" if margin >= 0.05 else "LOW"
        assert (one["tier"], one["direction"] == "HOLD") == (tier, tier == "LOW")
    assert asked(row_model, {"schema_hash": HASH, "rows": features.tolist()})[1] == answer


def test_consecutive_rows_are_a_decision_for_each_whole_window(window_model: ScoreSignals) -> None:
    series = rows(9, seed=3)
    cut = np.stack([series[start : start + 4] for start in range(6)])
    _, of_rows = asked(window_model, {"schema_hash": HASH, "rows": series.tolist()})
    _, of_windows = asked(window_model, {"schema_hash": HASH, "windows": cut.tolist()})
    assert len(of_rows["scores"]) == 6
    assert of_rows == of_windows
    np.testing.assert_array_equal([one["probability_up"] for one in of_rows["scores"]], window_model.ensemble.predict(cut))


def test_a_batch_has_a_thousand_and_no_more(row_model: ScoreSignals) -> None:
    thousand = rows(MAX_SCORES).tolist()
    status, answer = asked(row_model, {"schema_hash": HASH, "rows": thousand})
    assert (status, len(answer["scores"])) == (200, MAX_SCORES)
    for body in ({"rows": [*thousand, thousand[0]]}, {"windows": [[row] for row in (*thousand, thousand[0])]}):
        assert asked(row_model, {"schema_hash": HASH, **body})[0] == 422


def test_another_schema_is_refused_with_both_hashes(row_model: ScoreSignals) -> None:
    status, problem = asked(row_model, {"schema_hash": "ab" * 32, "rows": rows(1).tolist()})
    assert (status, problem["type"]) == (409, "urn:signalbox:problem:wrong-schema")
    assert HASH in problem["detail"]
    assert "ab" * 32 in problem["detail"]


def test_symbols_are_scored_as_the_cycle_scores_them(row_model: ScoreSignals) -> None:
    status, answer = asked(row_model, {"symbols": [ETH, BTC, "SOL-USD"], "at": NOON.isoformat()})
    assert status == 200
    ensemble, bars = row_model.ensemble, KnownBars(2_000)
    for one, symbol in zip(answer["scores"], (ETH, BTC), strict=False):
        window = newest_rows(ensemble, bars.newest((symbol,), NOON, ensemble.history_bars)[symbol], None)
        assert not isinstance(window, IncompleteRows)
        assert one["symbol"] == symbol
        assert one["probability_up"] == ensemble.predict(window[np.newaxis])[0]
        assert datetime.fromisoformat(one["decided_at"]) == NOON
    assert answer["scores"][2] == {"symbol": "SOL-USD", "refused": "STALE_DATA", "detail": "no bars"}


def test_kept_rows_are_those_of_the_bars_at_hand(row_model: ScoreSignals) -> None:
    known = KnownBars(2_000)
    service = ScoreSignals(row_model.ensemble, known)
    request = ScoreRequest(symbols=[BTC, ETH], at=NOON)
    first = service.score(request, NOON)
    assert service.score(request, NOON) == first
    earlier = ScoreRequest(symbols=[BTC, ETH], at=NOON - timedelta(minutes=1))
    assert service.score(earlier, NOON) == ScoreSignals(row_model.ensemble, known).score(earlier, NOON)
    revised = KnownBars(2_000)
    revised.newest((BTC,), NOON, 1)[BTC].close[-1] *= 1.001  # the venue changed one price
    changed = replace(service, bars=revised).score(request, NOON)
    assert changed == ScoreSignals(row_model.ensemble, revised).score(request, NOON)
    assert changed.scores[0] != first.scores[0]
    assert changed.scores[1] == first.scores[1]


def test_a_symbol_that_cannot_be_decided_is_refused_with_the_reason(row_model: ScoreSignals) -> None:
    service = replace(row_model, bars=KnownBars(50))
    late = NOON + timedelta(minutes=7)
    assert service.score(ScoreRequest(symbols=[BTC], at=NOON), NOON).scores[0].refused == "INSUFFICIENT_HISTORY"
    stale = service.score(ScoreRequest(symbols=[BTC]), late).scores[0]
    assert (stale.refused, stale.detail) == ("STALE_DATA", "the newest bar is 7 minutes old")
    for at in ("2999-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"):
        status, problem = asked(service, {"symbols": [BTC], "at": at})
        assert (status, problem["type"]) == (422, "urn:signalbox:problem:invalid-request")


def test_without_candles_symbols_are_refused(window_model: ScoreSignals) -> None:
    status, problem = asked(window_model, {"symbols": [BTC]})
    assert (status, problem["type"]) == (503, "urn:signalbox:problem:no-candles")


ROW = [0.0] * WIDTH


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"{", 400), (b"[]", 400), (b"null", 400), (b"\xff\xfe", 400), (b'{"rows":[[NaN]]}', 400),
        (b'{"rows":[[Infinity]]}', 400), (b'{"rows":[[1e999]]}', 400), (b'{"rows":[[-1e999]]}', 400),
        (b'{"rows":[[' + b"9" * 400 + b"]]}", 400), (b'{"rows":' + b"[" * 100_000, 400), (b'{"a":1,"a":2}', 400),
        (b'{"a":"\\u0000"}', 400), (b" " * 6_000_001, 400),
        (b'{"rows":[[' + b"9" * 60 + b"]]}", 422),
        ({}, 422), ({"schema_hash": HASH}, 422), ({"rows": [ROW]}, 422), ({"schema_hash": HASH, "rows": []}, 422),
        ({"schema_hash": HASH, "rows": [[]]}, 422), ({"schema_hash": HASH, "rows": [ROW, ROW[1:]]}, 422),
        ({"schema_hash": HASH, "rows": [[*ROW, 0.0]]}, 422), ({"schema_hash": HASH, "rows": [["0.0"] * WIDTH]}, 422),
        ({"schema_hash": HASH, "rows": [[True] * WIDTH]}, 422), ({"schema_hash": HASH, "rows": [[None] * WIDTH]}, 422),
        ({"schema_hash": HASH, "rows": [[1e300] * WIDTH]}, 422), ({"schema_hash": HASH, "windows": [[ROW, ROW]]}, 422),
        ({"schema_hash": HASH, "windows": [ROW]}, 422), ({"schema_hash": HASH, "rows": [ROW], "symbols": [BTC]}, 422),
        ({"schema_hash": HASH, "rows": [ROW], "at": "2024-03-01T00:00:00Z"}, 422), ({"schema_hash": "x", "rows": [ROW]}, 422),
        ({"schema_hash": HASH, "rows": [ROW], "extra": 1}, 422), ({"symbols": []}, 422), ({"symbols": [BTC, BTC]}, 422),
        ({"symbols": ["'; DROP TABLE signals; --"]}, 422), ({"symbols": ["../BTC-USD"]}, 422), ({"symbols": [1]}, 422),
        ({"symbols": [BTC], "at": "yesterday"}, 422), ({"symbols": [BTC], "at": "2024-03-01T00:00:00"}, 422),
        ({"symbols": [f"A{n}-USD" for n in range(51)]}, 422),
    ],
)  # fmt: skip
def test_bad_input_gets_a_problem(row_model: ScoreSignals, body: bytes | dict[str, Any], status: int) -> None:
    found, problem = asked(row_model, body)
    assert (found, problem["status"]) == (status, status)
    assert problem["type"].startswith("urn:signalbox:problem:")
    assert len(json.dumps(problem)) < 8_000


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["windows", "rows", "symbols", "schema_hash", "at", "extra"])


@given(body=st.dictionaries(NAMES, JSON_VALUES | st.just(HASH) | st.just([ROW]) | st.just([BTC]), max_size=4))
@settings(max_examples=examples(120), deadline=None)
def test_any_json_gets_an_answer_or_a_problem(row_model: ScoreSignals, body: dict[str, Any]) -> None:
    status, answer = asked(row_model, json.dumps(body).encode())
    assert status in {200, 400, 409, 422}
    assert ("scores" in answer) == (status == 200)


@given(
    method=st.sampled_from(["GET", "PUT", "DELETE", "POST"]), path=st.text("/.aeorsc%0", max_size=12).map(lambda text: f"/{text}")
)
@settings(max_examples=examples(60), deadline=None)
def test_another_route_is_none(row_model: ScoreSignals, method: str, path: str) -> None:
    if path not in {"/score", "/health", "/openapi.json"}:
        status, problem = asked(row_model, b"", method, path)
        assert (status, problem["type"]) == (404, "urn:signalbox:problem:no-route")


def test_a_model_that_fails_is_a_problem_and_no_score(row_model: ScoreSignals) -> None:
    class Broken:
        def run(self, *_: Any) -> Any:
            raise RuntimeError("a graph ended")

    class NotANumber:
        def run(self, *_: Any) -> list[Any]:
            return [np.full((1, 1), np.nan, np.float32)]

    known = row_model.ensemble
    for session in (Broken(), NotANumber()):
        broken = Ensemble(known.manifest, known.schema, (session, session), None)
        status, problem = asked(ScoreSignals(broken), {"schema_hash": HASH, "rows": [ROW]})
        assert (status, problem["type"]) == (500, "urn:signalbox:problem:scoring-failed")


def test_the_api_describes_itself(row_model: ScoreSignals) -> None:
    status, document = asked(row_model, b"", "GET", "/openapi.json")
    assert (status, document["openapi"]) == (200, "3.1.0")
    assert set(document["paths"]) == {"/score", "/health", "/openapi.json"}
    text = json.dumps(document)
    schemas: Callable[[str], bool] = lambda name: name in document["components"]["schemas"]  # noqa: E731
    assert all(schemas(part.split('"')[0]) for part in text.split("#/components/schemas/")[1:])
    assert asked(row_model, b"", "GET", "/health")[1]["features"] == list(SCHEMA.names)


def test_windows_and_not_their_order_are_the_callers(window_model: ScoreSignals) -> None:
    first, second = windows(1, 4, seed=1), windows(1, 4, seed=1)[:, ::-1]
    both = asked(window_model, {"schema_hash": HASH, "windows": [*first.tolist(), *second.tolist()]})[1]["scores"]
    assert both[0] != both[1]
