"""`signalbox library serve` answers programs of this machine, and no page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection

import httpx
import pytest

from local.cli.library.scoring_server import ScoringServer
from signalbox.application.score_signals import ScoreSignals
from signalbox.inference import load_bundle
from tests.unit.inference.tiny_bundle import SCHEMA, expected, rows, write_bundle

BODY = {"schema_hash": SCHEMA.hash, "rows": rows(2).tolist()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScoringServer]:
    found = ScoringServer(ScoreSignals(load_bundle(write_bundle(tmp_path_factory.mktemp("served") / "tiny"))))
    yield found
    found.close()


def test_it_scores_over_http(server: ScoringServer) -> None:
    with httpx.Client(trust_env=False, base_url=server.url) as client:
        answer = client.post("/score", json=BODY)
        assert answer.status_code == 200
        assert [one["probability_up"] for one in answer.json()["scores"]] == pytest.approx(expected(rows(2)), abs=1e-6)
        assert client.get("/health").json()["model"] == "tiny"
        wrong = client.post("/score", json={**BODY, "schema_hash": "0" * 64})
        assert (wrong.status_code, wrong.headers["content-type"]) == (409, "application/problem+json")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Referer": "http://evil.example/"}, {"Host": "evil.example"},
        {"Host": "127.0.0.1:1"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-origin"},
    ],
)  # fmt: skip
def test_a_page_of_a_browser_is_refused(server: ScoringServer, headers: dict[str, str]) -> None:
    with httpx.Client(trust_env=False, base_url=server.url) as client:
        answer = client.post("/score", json=BODY, headers=headers)
        assert answer.status_code == 403
        assert "scores" not in answer.text


def test_a_form_and_a_body_without_a_bound_are_refused(server: ScoringServer) -> None:
    with httpx.Client(trust_env=False, base_url=server.url) as client:
        plain = client.post("/score", content=json.dumps(BODY), headers={"Content-Type": "text/plain"})
        assert plain.status_code == 415
    raw = HTTPConnection("127.0.0.1", server.port, timeout=20)
    raw.request("POST", "/score", headers={"Content-Length": "6000001", "Content-Type": "application/json"})
    assert raw.getresponse().status == 413  # before any of it is read
    raw.close()
