"""Set-up of the bot against the stand-in: what it sets, and what it says when something is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from local.cli.telegram.setup import TelegramSetupError, menu, set_up
from local.stand_ins.telegram import BOT_TOKEN, CHAT_ID, TelegramStandIn
from signalbox.access import Role
from signalbox.chat.bot.registry import COMMANDS
from signalbox.chat.bot.words import ENGLISH, TRANSLATED
from signalbox.chat.updates import HANDLED

WEBHOOK = "https://abc.execute-api.eu-central-1.amazonaws.com/telegram"
SECRET = "s" * 64


@pytest.fixture
def telegram() -> Iterator[TelegramStandIn]:
    stand_in = TelegramStandIn()
    yield stand_in
    stand_in.close()


def done(telegram: TelegramStandIn, *chats: str, token: str = BOT_TOKEN, people: Any = ()) -> list[str]:
    secret = json.dumps({"bot_token": token, "chat_ids": list(chats)})
    return set_up(secret, SECRET, WEBHOOK, people, telegram.url)


def test_it_sets_webhook_secret_menus_in_three_languages_and_greets(telegram: TelegramStandIn) -> None:
    lines = done(telegram, CHAT_ID, people=[(int(CHAT_ID), Role.OPERATOR)])
    webhook = telegram.caller.webhook
    assert webhook is not None
    assert (webhook.url, webhook.secret, webhook.allowed) == (WEBHOOK, SECRET, frozenset(HANDLED))
    assert "People who may give commands: 1." in telegram.messages[-1].text
    assert len(telegram.menus) == 2 * (1 + len(TRANSLATED))
    assert {language for _, language in telegram.menus} == {"", *TRANSLATED}
    for (scope, language), commands in telegram.menus.items():
        role = Role.OPERATOR if json.loads(scope)["type"] == "chat" else Role.VIEWER
        expected = menu(role, language or ENGLISH)
        assert commands == [{"command": one.command, "description": one.description} for one in expected]
    assert any(line.startswith("webhook: ") for line in lines)
    again = done(telegram, CHAT_ID)
    assert again == [*lines, "nobody may give commands yet: `signalbox telegram invite --role owner`"]


def test_a_menu_has_no_command_above_its_role() -> None:
    for role in Role:
        assert [one.command for one in menu(role)] == [one.name for one in COMMANDS if role.includes(one.role)]


@pytest.mark.parametrize(("token", "part"), [("", "send /newbot to @BotFather"), ("1:wrong", "the token was refused")])
def test_a_wrong_token_is_named(telegram: TelegramStandIn, token: str, part: str) -> None:
    with pytest.raises(TelegramSetupError, match=part) as refused:
        done(telegram, CHAT_ID, token=token)
    assert "wrong" not in str(refused.value).replace("the token was refused", "")  # the token itself is not repeated
    assert telegram.caller.webhook is None


def test_a_chat_that_moved_or_does_not_know_the_bot_is_named(telegram: TelegramStandIn) -> None:
    telegram.upgrade("-5", "-1005")
    with pytest.raises(TelegramSetupError, match=r"chat -5 has the new id -1005: put it into telegram\.chat_ids"):
        done(telegram, "-5")
    with pytest.raises(TelegramSetupError, match=r"chat 404404 was refused .* send /start"):
        done(telegram, "404404")


def test_without_a_chat_it_says_so_and_offline_it_says_so(telegram: TelegramStandIn) -> None:
    assert any("the secret names no chat" in line for line in done(telegram))
    with pytest.raises(TelegramSetupError, match="is this machine online"):
        set_up(json.dumps({"bot_token": BOT_TOKEN}), SECRET, WEBHOOK, (), "http://127.0.0.1:9")


def test_a_person_who_never_wrote_to_the_bot_is_named(telegram: TelegramStandIn) -> None:
    lines = done(telegram, CHAT_ID, people=[(7_777_777, Role.OWNER)])
    assert "menu: 7777777 has no menu of their own yet; they have to send /start to the bot once" in lines
    assert {json.loads(scope)["type"] for scope, _ in telegram.menus} == {"all_private_chats"}
