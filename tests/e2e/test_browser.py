"""A web page that is open in a real browser while the local cloud runs: whatever it tries, it reads nothing and does nothing.

The same page is let loose on a bare ministack first: there its attacks succeed, so that they prove something here.
"""

from __future__ import annotations

import base64
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import httpx
import pytest
from boto3.session import Session

from local.cloud.emulator import Emulator
from local.cloud.local_cloud import LocalCloud
from local.cloud.processes import Service, free_port, wait_until
from local.settings import load_settings
from signalbox.contracts import StackOutput
from tests.fakes.browser import CHROMIUM, FOREIGN, read_page, site

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium (apt-get install chromium): pages of other origins were NOT tried"),
]

# Every way a page has to send a request: each tries to make a queue of its own name, so that the queues say which ones worked.
PAGE = Template(Path(__file__).with_name("attack.html").read_text())
WAYS = {"fetch", "blind", "beacon", "form", "multipart", "image", "script", "style", "frame"}


@dataclass(frozen=True)
class Attack:
    """What a page did to a server: what its script saw, and what is left of it on this machine."""

    reported: dict[str, Any]
    queues: set[str]
    executed: bool


def attack(cloud: str, others: dict[str, str], host: str, folder: Path, api: str = "none") -> Attack:
    """Let a page of `host` loose on the emulator at `cloud` and on other addresses."""
    marker = folder / "executed"
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", f"def handler(event, context):\n    open({str(marker)!r}, 'w').close()\n")
    function = {
        "FunctionName": "stolen", "Runtime": "python3.11", "Handler": "index.handler", "Role": "arn:aws:iam::000000000000:role/x",
        "Code": {"ZipFile": base64.b64encode(code.getvalue()).decode()},
    }  # fmt: skip
    page = PAGE.substitute(cloud=json.dumps(cloud), others=json.dumps(others), function=json.dumps(function), api=api)
    with site(page) as attacker:
        reported = attacker.visited(host, folder / "profile")
    session = Session(aws_access_key_id="000000000000", aws_secret_access_key="local", region_name="us-east-1")
    urls = session.client("sqs", endpoint_url=cloud).list_queues(QueueNamePrefix="stolen-").get("QueueUrls", [])
    return Attack(reported, {url.rpartition("stolen-")[2] for url in urls}, marker.exists())


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[str]:
    """The emulator as it comes, without our guard."""
    port = free_port()
    emulator = Emulator(load_settings(), tmp_path / "aws", persistent=False, port=port)
    (tmp_path / "scratch").mkdir()
    bare = Service(
        "bare",
        [sys.executable, "-c", "from ministack.app import main; main()"],
        env=emulator._environment(tmp_path / "scratch"),
        log=tmp_path / "bare.log",
        cwd=tmp_path,
    )
    try:
        wait_until(emulator._healthy, what="a bare ministack", seconds=60, alive=lambda: bare.alive)
        yield emulator.url
    finally:
        bare.stop()


def test_without_the_guard_a_page_runs_code_on_this_machine_and_reads_secrets(bare: str, tmp_path: Path) -> None:
    done = attack(bare, {}, FOREIGN, tmp_path)
    assert done.queues == WAYS
    assert done.executed
    assert "SecretList" in done.reported["read"]["secrets"]


@pytest.mark.parametrize("host", [FOREIGN, "127.0.0.1", "localhost"])
def test_page_of_another_origin_reads_nothing_and_does_nothing(cloud: LocalCloud, host: str, tmp_path: Path) -> None:
    queues = len(cloud.emulator.client("sqs").list_queues()["QueueUrls"])
    api = httpx.URL(cloud.outputs[StackOutput.ORDERS_API_URL])
    others = {
        "telegram": f"{cloud.telegram.url}/bot123:local/sendMessage",
        "telegram_page": cloud.telegram.page_url,
        "exchange": f"{cloud.exchange.url}/products",
        "orders_api": f"{cloud.emulator.url}/_aws/execute-api/{api.host.partition('.')[0]}/$default/accounts",
    }
    done = attack(cloud.emulator.url, others, host, tmp_path, api.host.partition(".")[0])
    assert set(done.reported["read"].values()) == {None}
    assert set(done.reported["read"]) == {"simple", "health", "secrets", *others}
    assert set(done.reported["opened"].values()) == {False}
    assert (done.queues, done.executed) == (set(), False)
    foreign = [one for one in cloud.telegram.messages if "does not qualify: for shadow only" not in one.text]
    assert foreign == []  # the cloud itself reports the registration of its starter
    assert len(cloud.emulator.client("sqs").list_queues()["QueueUrls"]) == queues


def test_a_foreign_host_name_is_refused_and_a_typed_address_shows_messages_only(cloud: LocalCloud, tmp_path: Path) -> None:
    for port in (cloud.emulator.port, cloud.exchange.port, cloud.telegram.port):
        assert f"expected one Host of this machine with port {port}" in read_page(f"http://{FOREIGN}:{port}/", tmp_path / "p")
    assert "Messages to the stand-in" in read_page(cloud.telegram.page_url, tmp_path / "p")
    assert "Messages" not in read_page(f"{cloud.telegram.url}/", tmp_path / "p")
    for address in (f"http://localhost:{cloud.exchange.port}/products", f"{cloud.emulator.url}/?Action=ListQueues"):
        assert "expected no request of a browser" in read_page(address, tmp_path / "p")
