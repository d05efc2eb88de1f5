"""What `--check` says of this machine, and that the log is cut."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from local.stand_ins.mt5 import TerminalStandIn
from signalbox_mt5 import __main__ as program
from signalbox_mt5.check import Finding, as_json, as_table, check
from signalbox_mt5.config import AgentConfig, read_config
from signalbox_mt5.terminal import TradeMode
from tests.builders import NOON
from tests.fakes.venues import Clock

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

TOML = """account = "ftmo-1"
login = 1
region = "eu-central-1"
commands_queue_url = "{commands}"
reports_queue_url = "{reports}"
key_file = "key"
journal = "journal"
[symbols]
BTC-USD = "BTCUSD"
"""


class AgentHost:
    """A machine where all is right: files, queues, a terminal."""

    def __init__(self, folder: Path, queues: SQSClient) -> None:
        self.queues = queues
        self.file = folder / "agent.toml"
        commands = queues.create_queue(QueueName="signalbox-dev-mt5-ftmo-1-commands.fifo", Attributes={"FifoQueue": "true"})[
            "QueueUrl"
        ]
        reports = queues.create_queue(QueueName="signalbox-dev-mt5-ftmo-1-reports.fifo", Attributes={"FifoQueue": "true"})[
            "QueueUrl"
        ]
        self.file.write_text(TOML.format(commands=commands, reports=reports))
        (folder / "key").write_text("k" * 32)
        self.terminal = TerminalStandIn(NOON, {"BTCUSD": (49_990.0, 50_010.5)})

    @property
    def config(self) -> AgentConfig:
        return read_config(self.file)

    def findings(self) -> list[Finding]:
        return check(self.config, self.terminal, self.queues, Clock(NOON))

    def wrong(self) -> set[str]:
        return {one.what for one in self.findings() if not one.is_right} - {"clock"}  # the queues' clock is of today


@pytest.fixture
def host(tmp_path: Path, aws: None) -> Iterator[AgentHost]:
    with mock_aws():
        yield AgentHost(tmp_path, boto3.client("sqs", region_name="eu-central-1"))


def test_the_queues_of_another_account_are_wrong(host: AgentHost) -> None:
    host.file.write_text(host.file.read_text().replace('account = "ftmo-1"', 'account = "ftmo-2"'))
    assert host.wrong() == {"command queue", "report queue"}
    found = {one.what: one.found for one in host.findings()}
    assert "does not belong to ftmo-2; use the queues of this account" in found["command queue"]


def test_two_keys_are_right_while_one_is_replaced_and_a_short_one_is_not(host: AgentHost) -> None:
    host.config.key_file.write_text(f"{'n' * 32}\n{'k' * 32}\n")
    assert {one.what: one.found for one in host.findings()}[
        "signing key"
    ] == "32 characters, 1 more accepted while it is replaced"
    host.config.key_file.write_text(f"{'n' * 32}\nshort\n")
    assert host.wrong() == {"signing key"}


def test_all_is_right_and_said(host: AgentHost) -> None:
    assert host.wrong() == set()
    found = {one.what: one.found for one in host.findings()}
    assert "lots of 0.01 from 0.01 to 100.0" in found["BTC-USD"]
    assert found["margin mode"] == "hedging"
    assert found["BTC-USD price"] == "current; the broker's clock is UTC+3.0 h"


@pytest.mark.parametrize(
    ("breaks", "expected"),
    [
        (lambda host: setattr(host.terminal, "is_running", False), {"terminal"}),
        (lambda host: setattr(host.terminal, "is_connected", False), {"terminal"}),
        (lambda host: setattr(host.terminal, "login", 2), {"login"}),
        (lambda host: setattr(host.terminal, "login", None), {"login"}),
        (lambda host: setattr(host.terminal, "algo_trading", False), {"algo trading"}),
        (lambda host: setattr(host.terminal, "trading_allowed", False), {"account may trade"}),
        (lambda host: setattr(host.terminal, "margin_mode", 7), {"margin mode"}),
        (lambda host: setattr(host.terminal, "prices", {}), {"BTC-USD"}),
        (lambda host: setattr(host.terminal.of("BTCUSD"), "trade_mode", TradeMode.CLOSE_ONLY), {"BTC-USD"}),
        (lambda host: setattr(host.terminal, "ticks_at", datetime(2024, 2, 20, 3, 7, tzinfo=UTC)), {"BTC-USD price"}),
        (lambda host: (host.file.parent / "key").write_text("short"), {"signing key"}),
        (lambda host: (host.file.parent / "journal").write_text("garbage\n"), {"journal"}),
        (lambda host: host.queues.delete_queue(QueueUrl=host.config.commands_queue_url), {"command queue"}),
        (lambda host: host.queues.delete_queue(QueueUrl=host.config.reports_queue_url), {"report queue"}),
    ],
)
def test_each_thing_that_is_wrong_is_named(host: AgentHost, breaks: Callable[[AgentHost], object], expected: set[str]) -> None:
    breaks(host)
    assert host.wrong() == expected


def test_a_clock_that_is_off_is_wrong(host: AgentHost) -> None:
    (clock,) = [one for one in host.findings() if one.what == "clock"]
    assert not clock.is_right
    now = datetime.now(UTC)
    (clock,) = [one for one in check(host.config, host.terminal, host.queues, lambda: now) if one.what == "clock"]
    assert clock.is_right


def test_the_table_is_for_people_and_json_for_programs(host: AgentHost) -> None:
    host.terminal.algo_trading = False
    findings = host.findings()
    assert any(line.startswith("WRONG  algo trading") for line in as_table(findings).splitlines())
    reported = json.loads(as_json(findings))
    assert reported["ok"] is False
    assert {"what": "login", "is_right": True, "found": "1; expected 1"} in reported["checks"]


def test_without_the_package_the_check_says_so_and_fails(host: AgentHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main([str(host.file), "--check", "--json"]) == 1
    reported = json.loads(capsys.readouterr().out)
    assert any("where requirements.lock installs it" in one["found"] for one in reported["checks"])


def test_the_log_is_cut_and_the_old_ones_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "LOG_BYTES", 200)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    try:
        program.log_to(tmp_path / "agent.log")
        for _ in range(60):
            logging.getLogger("signalbox.mt5_agent").info("one line of the log of an agent")
        assert len(list(tmp_path.glob("agent.log*"))) == program.LOG_FILES + 1
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers, root.level = before, level
