"""`signalbox accounts` against the real routes over a ledger in memory, behind a loopback server that stands for the gateway."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext
from boto3.session import Session
from typer.testing import CliRunner, Result

from local.cli.accounts.app import accounts_app
from local.cli.accounts.command import AccountsError, OrdersApi, account_text, show
from local.cli.command import main
from signalbox.adapters.aws.trading_api import trading_api
from signalbox.adapters.aws.trading_queue import Door, handle_message
from signalbox.application.manage_orders import ManageOrders
from signalbox.events import BusEvent
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.access import AccessControl
from signalbox.trading.account import account_named
from signalbox.trading.changes import NO_CHANGES
from signalbox.trading.commands import AnyCommand, HaltTrading
from signalbox.trading.service import AccountOutcome, TradingService
from signalbox.trading.state import opened as opened_state
from signalbox.trading.view import account_view
from tests.fakes.http_server import Reply, Request, ScriptedServer, serving
from tests.fakes.memory_access import MemoryAccessBook
from tests.fakes.memory_ledger import MemoryDatabase, MemoryOutbox
from tests.fakes.memory_trading import MemoryTradingLedger
from tests.unit.lambdas.test_trading_handlers import WHO, request
from tests.unit.trading.test_headroom import state_with

API_URL = "http://api.execute-api.example"
STACKS = f"""<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks>
<member><StackName>signalbox-local-trading</StackName><StackStatus>CREATE_COMPLETE</StackStatus>
<CreationTime>2024-03-01T12:00:00Z</CreationTime><Outputs><member><OutputKey>OrdersApiUrl</OutputKey>
<OutputValue>{API_URL}</OutputValue></member><member><OutputKey>KillSwitchQueueUrl</OutputKey>
<OutputValue>http://sqs.example/000000000000/kill-switch</OutputValue></member></Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"""


class Gateway:
    """The local cloud's one address: its health, its stacks, and the API of a trading service."""

    def __init__(self) -> None:
        ledger = MemoryTradingLedger()
        gate = AccessControl(MemoryAccessBook(ledger.database.accounts), (WHO,))
        app = ManageOrders(TradingService(ledger, "coinbase"), MemoryOutbox(MemoryDatabase()), self, gate=gate)
        self.api = trading_api(app, lambda _: None)
        self.who = WHO
        self.broken: Reply | None = None
        self.sent: list[dict[str, str]] = []  # to a queue
        self.queue = Reply(200, {"MessageId": "1"})

    def __call__(self, asked: Request) -> Reply:
        if asked.path == "/_ministack/health":
            return Reply(200, {})
        if asked.path == "/" and "SendMessage" in asked.headers.get("x-amz-target", ""):
            self.sent.append(json.loads(asked.body))
            return self.queue
        if asked.path == "/":
            return Reply(200, STACKS.encode())
        if self.broken is not None:
            return self.broken
        event = request(asked.method, asked.path, asked.body.decode() or None, who=self.who)
        found = self.api.resolve(event, LambdaContext())
        return Reply(found["statusCode"], json.loads(found["body"]))

    def publish(self, _events: object) -> None:
        """A bus that takes everything."""


Run = Callable[..., Result]


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def server(gateway: Gateway) -> Iterator[ScriptedServer]:
    with serving(gateway) as found:
        yield found


@pytest.fixture
def run(server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "ports.json").write_text(json.dumps({"emulator": int(server.url.rsplit(":", 1)[1])}))
    monkeypatch.setenv("SIGNALBOX_STATE", str(tmp_path))
    return lambda *words: CliRunner().invoke(accounts_app, [*words, "--stage", "local"])


def answered(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_live_account_is_opened_confirmed_and_says_what_is_missing(run: Run) -> None:
    opened = run(
        "open", "live-1", "--kind", "ftmo-2step", "--capital", "50000", "--venue", "coinbase", "--mode", "live", "--json"
    )
    assert (opened.exit_code, answered(opened)["mode"]) == (0, "live")
    missing = run("readiness", "live-1")
    assert missing.exit_code == 1
    assert "live-1 may not trade live:\n  MODE_NOT_CONFIRMED: nobody confirmed mode live." in missing.stdout
    assert run("confirm", "live-1", "live").exit_code == 0
    ready = answered(run("readiness", "live-1", "--json"))
    assert ready["mode_set"]["who"] == WHO
    assert "MODE_NOT_CONFIRMED" not in {one["code"] for one in ready["reasons"]}
    assert run("list").stdout == "live-1  live at coinbase  ftmo-2step  50000 USD\n"


def test_the_kill_switch_is_set_and_released_and_shown(run: Run) -> None:
    assert run("open", "paper-25k").exit_code == 0
    assert run("halt", "paper-25k", "--why", "news", "--level", "FLATTEN").exit_code == 0
    assert f"FLATTEN since 2024-03-01T12:00:01+00:00 by {WHO}: news" in run("show", "paper-25k").stdout
    resumed = run("resume", "paper-25k", "--why", "looked")
    assert resumed.exit_code == 0
    assert resumed.stdout.startswith("paper-25k: the kill switch is released; new entries are possible again\n")
    assert answered(run("show", "paper-25k", "--json"))["halt"] is None


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        (("show", "nobody-1k"), "account 'nobody-1k' does not exist"),
        (("open", "x-1", "--kind", "hedge", "--capital", "1"), "configuration.kind: Input should be"),
        (("open", "x-1", "--kind", "paper", "--capital", "much"), "configuration.capital: "),
        (("open", "nonsense"), "expected KIND-CAPITALk"),
    ],
)
def test_what_is_refused_is_told_as_the_api_tells_it(run: Run, words: tuple[str, ...], reported: str) -> None:
    result = run(*words)
    assert isinstance(result.exception, AccountsError)
    assert reported in str(result.exception)


def test_an_owner_lets_somebody_in_and_out_again_and_is_told_what_they_lack(run: Run, gateway: Gateway) -> None:
    ben = "arn:aws:iam::123456789012:user/ben"
    run("open", "paper-10k")
    gateway.who = ben
    refused = run("halt", "paper-10k", "--why", "news")
    assert str(refused.exception) == (
        f"halt needs the role operator, {ben} has none on paper-10k."
        " An owner grants it: signalbox accounts access grant (HTTP 403)"
    )
    gateway.who = WHO
    lines = run("access", "grant", "paper-10k", ben, "operator").stdout.splitlines()
    assert [line.split("  since")[0] for line in lines] == [f"operator  {ben}", f"owner     {WHO}"]
    gateway.who = ben
    assert "HALT since" in run("halt", "paper-10k", "--why", "news").stdout
    assert "grant needs the role owner" in str(run("access", "grant", "paper-10k", ben, "owner").exception)
    gateway.who = WHO
    assert ben not in run("access", "revoke", "paper-10k", ben).stdout
    assert json.loads(run("access", "list", "paper-10k", "--json").stdout)["access"][0]["who"] == "deployment"
    assert "chooses the session's name" in str(
        run("access", "grant", "paper-10k", "arn:aws:sts::123456789012:assumed-role/Trader/ben", "viewer").exception
    )


def test_with_json_a_refusal_is_the_problem_that_the_api_answered(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("list").exit_code == 0
    monkeypatch.setattr(sys, "argv", ["signalbox", "accounts", "open", "nonsense", "--stage", "local", "--json"])
    with pytest.raises(SystemExit) as stopped:
        main()
    printed = capsys.readouterr()
    problem = json.loads(printed.out)
    assert (stopped.value.code, problem["type"], problem["status"]) == (2, "urn:signalbox:problem:invalid-request", 422)
    assert problem["errors"][0]["pointer"] == "#/account"
    assert problem["instance"].startswith("urn:signalbox:request:")
    assert printed.err.startswith("signalbox: account: account 'nonsense': expected KIND-CAPITALk")


def test_with_json_an_error_of_this_side_is_a_problem_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNALBOX_STATE", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["signalbox", "accounts", "list", "--stage", "local", "--json"])
    with pytest.raises(SystemExit):
        main()
    problem = json.loads(capsys.readouterr().out)
    assert (problem["type"], "status" in problem) == ("urn:signalbox:problem:accounts", False)
    assert "signalbox up" in problem["detail"]


def test_a_command_that_was_not_answered_names_the_request_that_is_safe_to_repeat(run: Run, gateway: Gateway) -> None:
    gateway.broken = Reply(503, {"message": "Service Unavailable"})
    result = run("confirm", "live-1", "live", "--request-id", "mine-0001")
    assert "Service Unavailable (HTTP 503); repeat the same command with --request-id mine-0001" in str(result.exception)
    gateway.broken = Reply(403, {"message": "Forbidden"})
    assert "execute-api:Invoke" in str(run("list").exception)
    gateway.broken = Reply(200, b"<html>")
    assert "may" not in run("list").stdout


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_halt_that_the_api_does_not_answer_goes_by_the_kill_switchs_queue(run: Run, gateway: Gateway, status: int) -> None:
    gateway.broken = Reply(status, {"message": "Too Many Requests"})
    words = ("halt", "live-1", "--why", "news", "--level", "FLATTEN", "--request-id", "stop-0001")
    result = run(*words)
    assert result.exit_code == 0
    assert f"Too Many Requests (HTTP {status})" in result.stdout
    assert "was sent through the kill switch's queue" in result.stdout
    (sent,) = gateway.sent
    assert sent["QueueUrl"].endswith("/kill-switch")
    service = Heard()
    now = str(int(time.time() * 1000))
    handle_message(service, sent["MessageBody"], sender="AIDEXAMPLE", sent_ms=now, keys=None, door=Door.KILL_SWITCH)
    (command,) = service.commands
    assert (command.account, command.request_id, command.level) == ("live-1", "stop-0001", HaltLevel.FLATTEN)
    assert answered(run(*words, "--json"))["sent_by"] == "the kill switch's queue"


def test_a_halt_that_nothing_takes_says_so_and_fails(run: Run, gateway: Gateway) -> None:
    gateway.broken = Reply(429, {"message": "Too Many Requests"})
    gateway.queue = Reply(403, {"__type": "AccessDenied", "message": "not yours"})
    result = run("halt", "live-1", "--why", "news")
    assert isinstance(result.exception, AccountsError)
    assert str(result.exception).startswith("NOT HALTED: Too Many Requests (HTTP 429)")


def test_a_halt_that_the_api_refuses_goes_nowhere_else(run: Run, gateway: Gateway) -> None:
    run("open", "paper-10k")
    gateway.who = "arn:aws:iam::123456789012:user/ben"
    assert isinstance(run("halt", "paper-10k", "--why", "news").exception, AccountsError)
    assert gateway.sent == []


class Heard:
    """What a kill switch's queue brings."""

    def __init__(self) -> None:
        self.commands: list[HaltTrading] = []

    def kill(self, command: HaltTrading, who: str) -> AccountOutcome:
        self.commands.append(command)
        account = account_named("paper-25k", market="coinbase")
        return AccountOutcome(opened_state(account, command.requested_at), NO_CHANGES)

    def command(self, command: AnyCommand, who: str) -> AccountOutcome:
        raise AssertionError(f"expected a halt by the kill switch's door, got {command} of {who}")

    def handle(self, event: BusEvent, sent_at: datetime | None = None) -> tuple[AccountOutcome, ...]:
        raise AssertionError(f"expected a halt, got {event} of {sent_at}")


def test_without_a_running_local_cloud_it_says_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNALBOX_STATE", str(tmp_path))
    result = CliRunner().invoke(accounts_app, ["list", "--stage", "local"])
    assert "run `signalbox up`" in str(result.exception)
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "ports.json").write_text('{"emulator": 9}')
    assert "is `signalbox up` running?" in str(CliRunner().invoke(accounts_app, ["list", "--stage", "local"]).exception)


def test_a_request_is_signed_for_the_api_and_by_the_caller() -> None:
    seen: list[str] = []

    def answer(asked: Request) -> Reply:
        seen.append(asked.headers["authorization"])
        return Reply(200, {})

    session = Session(aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="x", region_name="eu-central-1")
    with serving(answer) as server:
        OrdersApi(API_URL, session, "eu-central-1", via=server.url).call("GET", "/accounts")
    (signature,) = seen
    assert signature.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-central-1/execute-api/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=" in signature


@pytest.mark.parametrize("words", ["no\n  holds 0 BTC-USD", "no\u202e0 sdloh", "no\u2028  holds 0"])
def test_words_of_a_venue_stay_on_their_line_of_an_account(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    show({"orders": [{"reason": "REFUSED", "detail": words}]}, lambda found: str(found["orders"][0]["detail"]), as_json=False)
    assert len(capsys.readouterr().out.splitlines()) == 1
    show({"detail": words}, lambda found: str(found["detail"]), as_json=True)
    assert json.loads(capsys.readouterr().out) == {"detail": words}


def test_account_shows_what_may_still_be_lost() -> None:
    shown = account_text(account_view(state_with(["96100", "94000"])))
    assert "max daily loss: 2900 of 5000 left, broken below an equity of 91100" in shown
    assert "max loss: 4000 of 10000 left, broken below an equity of 90000" in shown
    of_before = {key: value for key, value in account_view(state_with(["94000"])).items() if key != "limits"}
    assert "max loss" not in account_text(of_before)
