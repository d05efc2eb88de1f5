"""The bot on a terminal, through the orders API: lines in, answers out, buttons by number."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from typing_extensions import override

from local.cli.accounts.command import orders_api
from local.cli.library.command import library_client
from local.cli.telegram.ledger import OperatorLedger
from local.cli.telegram.simulate import CHAT, USER, bot_of, talk
from local.settings import load_settings
from signalbox.access import Role
from signalbox.adapters.postgres.connection import ConnectionSource, DatabaseSettings
from signalbox.chat.bot.bot import Bot
from signalbox.chat.bot.conversation import ChatMessage
from signalbox.signals.signal import Signal
from tests.fakes.http_server import Reply
from tests.unit.local.cli.test_accounts_command import Gateway, Run, gateway, run, server  # noqa: F401 - fixtures

AT = datetime(2024, 3, 1, 12, 0, 1, tzinfo=UTC)  # the gateway's clock
ACCOUNT = "paper-25k"


class ApiLedger(OperatorLedger):
    """Without the ledger's rows, which tests/e2e has: there are no signals."""

    @override
    def signals(self, start: datetime, end: datetime) -> Sequence[Signal]:
        return ()


@pytest.fixture
def bot(run: Run) -> Bot:  # noqa: F811 - the fixture
    assert run("open", ACCOUNT).exit_code == 0
    source = ConnectionSource(DatabaseSettings("nowhere", 1, "none", "none", "disable"), lambda: "")
    operator = ApiLedger(orders_api("local", load_settings()), source, lambda: library_client("local", load_settings()))
    return bot_of(Role.OPERATOR, operator, "local")


def said(bot: Bot, *lines: str, as_json: bool = False) -> str:
    out = io.StringIO()
    talk(bot, io.StringIO("\n".join(lines) + "\n"), out, as_json=as_json, now=lambda: AT)
    return out.getvalue()


def test_halt_is_confirmed_by_the_number_of_its_button(bot: Bot) -> None:
    shown = said(bot, "/halt news at two", "1", "/status")
    assert "bot> Halt paper-25k (paper): news at two" in shown
    assert "  [1] Yes\n  [2] No\n" in shown
    assert "HALT since 2024-03-01 12:00 UTC" in shown
    assert "0 trades, HALT" in shown
    assert "is not stopped" in said(bot, "/resume looked at it", "1")


def test_number_without_a_button_is_no_command(bot: Bot) -> None:
    assert said(bot, "1", "/halt news", "3", "²") == said(bot, "hello", "/halt news", "hello", "hello")


@pytest.mark.parametrize("line", ["0010", "001999", "01", "1" + "0" * 5_000, "001" + "9" * 5_000])
def test_number_that_only_begins_like_a_button_s_is_no_command(bot: Bot, line: str) -> None:
    assert said(bot, "/halt news", line) == said(bot, "/halt news", "hello")


def test_json_prints_an_object_a_line(bot: Bot) -> None:
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in said(bot, "/balance", "hello", "/halt news", as_json=True).splitlines()
    ]
    assert [len(one["parts"]) for one in rows] == [1, 0, 1]
    assert rows[0]["parts"][0].startswith("paper-25k (paper at paper)\ncash 25,000.00")
    assert rows[2]["buttons"] == ["Yes", "No"]


def test_api_that_does_not_answer_is_told_and_the_button_stays(bot: Bot, gateway: Gateway) -> None:  # noqa: F811 - the fixture
    asked = bot.on_message(ChatMessage(USER, CHAT, "/resume looked", AT))
    assert asked is not None
    gateway.broken = Reply(503, {"message": "Service Unavailable"})
    lost = said(bot, "/balance")
    assert "bot> ⛔ Service Unavailable (HTTP 503)" in lost


def test_order_that_is_not_there_is_refused_in_words(bot: Bot) -> None:
    shown = said(bot, f"/cancel {'ab' * 16}", "1")
    assert "an order that is not open any more" in shown
    assert "bot> ⛔ " in shown
    assert "Traceback" not in shown
