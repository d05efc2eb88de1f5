"""Scores are of the deployment that serves at this request, or there are none."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from local.cli.library.scoring_server import respond
from local.stand_ins.server import Request
from signalbox.adapters.aws.scoring_api import scoring_api
from signalbox.application.current_scores import CurrentScores
from signalbox.inference import Ensemble, load_bundle
from signalbox.ledger_errors import LedgerUnavailableError
from signalbox.library.deployments import DeploymentState
from signalbox.market.candles import Bars, Symbol
from tests.builders import NOON
from tests.fakes.memory_deployments import AT, MemoryBundles, MemoryDeployments
from tests.unit.inference.tiny_bundle import SCHEMA, expected, packed_models, rows

BODY = {"schema_hash": SCHEMA.hash, "rows": rows(2).tolist()}
NAMES = ("one", "two")


class NoBars:
    """A ledger without candles."""

    def newest(self, symbols: Collection[Symbol], _until: datetime, _count: int) -> dict[Symbol, Bars]:
        return {symbol: Bars.from_candles(symbol, ()) for symbol in symbols}


@dataclass
class Installation:
    """What score_signals reaches."""

    archives: dict[str, bytes]
    book: MemoryDeployments = field(default_factory=MemoryDeployments)
    bundles: MemoryBundles = field(default_factory=MemoryBundles)
    loads: int = 0

    def __post_init__(self) -> None:
        self.scores = CurrentScores(self.book, self.bundles, NoBars(), load=self._load)

    def _load(self, folder: Path) -> Ensemble:
        self.loads += 1
        return load_bundle(folder)

    def serve(self, name: str) -> str:
        one = self.book.deploy(name, self.archives[name], self.bundles)
        for state in (DeploymentState.VALIDATING, DeploymentState.WARMING):
            self.book.move(one.name, state, AT, "f", "next")
        self.book.confirm(one.name, AT, "decided")
        return one.name

    def ask(self, body: Any = BODY, path: str = "/score") -> tuple[int, dict[str, Any]]:
        method = "POST" if path == "/score" else "GET"
        request = Request(method, path, {}, json.dumps(body).encode(), "application/json", {}, path)
        found = respond(scoring_api(self.scores.service), request)
        return found["statusCode"], json.loads(found["body"])


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return packed_models(tmp_path_factory.mktemp("bundles"), NAMES)


@pytest.fixture
def stage(archives: dict[str, bytes]) -> Installation:
    return Installation(archives)


def probabilities(answer: dict[str, Any]) -> list[float]:
    return [one["probability_up"] for one in answer["scores"]]


def test_nothing_is_scored_before_a_deployment_serves(stage: Installation) -> None:
    status, answer = stage.ask()
    assert (status, answer["type"].rsplit(":", 1)[-1]) == (503, "nothing-serves")
    stage.book.deploy("one", stage.archives["one"], stage.bundles)  # on its way: it did not decide a cycle yet
    assert stage.ask()[0] == 503
    assert stage.bundles.fetched == []


def test_each_request_is_scored_by_what_serves_then_and_each_bundle_is_fetched_once(stage: Installation) -> None:
    for turn, name in enumerate(NAMES):
        deployment = stage.serve(name)
        for _ in range(3):
            status, answer = stage.ask()
            assert (status, answer["model"], answer["deployment"]) == (200, name, deployment)
            assert probabilities(answer) == pytest.approx(expected(rows(2), (1, 20 + turn)), abs=1e-6)
        assert stage.ask(path="/health")[1]["deployment"] == deployment
        assert stage.loads == turn + 1


def test_symbols_without_candles_are_refused_by_name(stage: Installation) -> None:
    stage.serve("one")
    status, answer = stage.ask({"symbols": ["BTC-USD"], "at": NOON.isoformat()})
    assert (status, answer["scores"][0]["refused"]) == (200, "STALE_DATA")


@pytest.mark.parametrize("fault", ["absent", "other bytes", "another model", "storage away"])
def test_a_bundle_that_cannot_be_loaded_is_never_replaced_by_the_one_before(stage: Installation, fault: str) -> None:
    stage.serve("one")
    assert stage.ask()[0] == 200
    stage.serve("two")
    key = next(key for key in stage.bundles.objects if "/two/" in key)
    right = stage.bundles.objects[key]
    if fault == "absent":
        del stage.bundles.objects[key]
    elif fault == "other bytes":
        stage.bundles.objects[key] = right[:-1]
    elif fault == "another model":
        stage.book.deploy("three", stage.archives["one"], stage.bundles)
        one = next(one for one in stage.book.rows.values() if one.version.entity.name == "three")
        for state in (DeploymentState.VALIDATING, DeploymentState.WARMING):
            stage.book.move(one.name, state, AT, "f", "next")
        stage.book.confirm(one.name, AT, "decided")
    else:
        stage.bundles.fault = OSError("connection reset")
    status, answer = stage.ask()
    assert (status, answer["type"].rsplit(":", 1)[-1]) == (503, "model-unavailable")
    assert "two" in answer["detail"] or "three" in answer["detail"]
    if fault in {"absent", "storage away"}:  # it passes, and the next request is answered
        stage.bundles.fault = None
        stage.bundles.objects[key] = right
        assert stage.ask()[1]["model"] == "two"


def test_a_ledger_that_is_away_is_said_and_kept_models_do_not_answer_for_it(stage: Installation) -> None:
    stage.serve("one")
    assert stage.ask()[0] == 200
    stage.book.fault = LedgerUnavailableError("cannot connect")
    status, answer = stage.ask()
    assert (status, answer["type"].rsplit(":", 1)[-1]) == (503, "ledger-unavailable")
