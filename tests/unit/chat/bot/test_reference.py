"""The page of the bot names every command as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from signalbox.access import Role
from signalbox.chat.bot.registry import COMMANDS, BotCommand, parse

PAGE = Path(__file__).resolve().parents[4] / "docs/telegram.md"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.name)
def test_page_has_the_row_of_each_command(command: BotCommand) -> None:
    row = f"| `{command.usage}` | {command.role.value} | {command.help} | `{command.example}` |"
    assert row in PAGE.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.name)
def test_example_of_each_command_is_understood(command: BotCommand) -> None:
    found = parse(command.example, role=Role.OWNER, accounts=["ftmo-2step-100k"], symbols=lambda: ["BTC-USD"])
    assert found is not None
    assert found.command is command
