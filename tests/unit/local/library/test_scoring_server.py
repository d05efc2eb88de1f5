"""`signalbox library serve` answers programs of this machine, and no page."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection

import httpx
import pytest

from local.cli.library.scoring_server import ScoringServer
from local.settings import REPOSITORY
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


def test_the_command_serves_until_it_is_interrupted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = [sys.executable, "-c", "from local.cli.command import main; main()", "library", "serve"]
        words += ["--bundle", "training/starter_bundle", "--port", str(port)]
        refused = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
        assert (refused.returncode, refused.stderr.startswith(f"signalbox: --port: cannot listen on {port}")) == (2, True)
    served = subprocess.Popen([*words, "--json"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        assert served.stdout is not None
        facts = json.loads(served.stdout.readline())
        assert facts["url"] == f"http://127.0.0.1:{port}"
        assert httpx.get(f"{facts['url']}/health", trust_env=False).json()["schema_hash"] == facts["schema_hash"]
        served.send_signal(signal.SIGINT)
        assert served.wait(60) == 130
    finally:
        served.kill()
        served.communicate()
