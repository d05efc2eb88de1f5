"""The stand-in as python-telegram-bot meets it: answers it reads, refusals that it names, and limits in both directions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from telegram import BotCommand, BotCommandScopeChat

from local.stand_ins.faults import Fault, MessengerFault
from local.stand_ins.telegram import BOT_TOKEN, CHAT_ID, TelegramStandIn
from local.stand_ins.telegram_webhook import SECRET_HEADER, Webhook
from signalbox.adapters.telegram.client import TelegramClient
from signalbox.application.telegram_bot import IncomingUpdate
from signalbox.chat.bot.conversation import Button
from signalbox.chat.messenger import (
    ChatMovedError,
    MessengerBusyError,
    MessengerRefusedError,
    MessengerUnavailableError,
)
from tests.fakes.http_server import Reply, serving

CHAT = int(CHAT_ID)
TO = IncomingUpdate(1, CHAT, "Ada", CHAT, is_private=True, text="/x", message_id=1, press="q1")


@pytest.fixture
def telegram() -> Iterator[TelegramStandIn]:
    stand_in = TelegramStandIn()
    yield stand_in
    stand_in.close()


@pytest.fixture
def client(telegram: TelegramStandIn) -> Iterator[TelegramClient]:
    found = TelegramClient(BOT_TOKEN, url=telegram.url)
    yield found
    found.close()


def test_a_message_with_buttons_is_sent_edited_and_acknowledged(telegram: TelegramStandIn, client: TelegramClient) -> None:
    client.send(TO, "<b>Halt?</b>", (Button("Yes", "y:1"), Button("No", "n:1")))
    (message,) = telegram.messages
    assert (message.text, message.parse_mode) == ("<b>Halt?</b>", None)  # as it is: nothing is markup
    assert message.buttons == (("Yes", "y:1"), ("No", "n:1"))
    client.acknowledge(TO)
    client.acknowledge(TO)  # long gone: no error
    client.replace(TO, "Done", ())
    client.replace(TO, "Done", ())  # not modified: no error
    assert telegram.messages[0].text == "Done"
    assert telegram.messages[0].buttons == ()


@pytest.mark.parametrize(
    ("text", "buttons"),
    [("", ()), ("x" * 4097, ()), ("x", (Button("Yes", "y" * 65),)), ("x", (Button("Yes", ""),)), ("x", (Button("", "y:1"),))],
)
def test_what_the_limits_forbid_is_refused_for_good(
    telegram: TelegramStandIn, client: TelegramClient, text: str, buttons: tuple[Button, ...]
) -> None:
    with pytest.raises((MessengerRefusedError, ValueError)):  # the library refuses an empty text of a button itself
        client.send(TO, text, buttons)
    assert telegram.messages == ()


@pytest.mark.filterwarnings("ignore::telegram.warnings.PTBDeprecationWarning")
def test_faults_become_the_messengers_errors(telegram: TelegramStandIn, client: TelegramClient) -> None:
    for kind, error in (
        (MessengerFault.RATE_LIMITED, MessengerBusyError),
        (MessengerFault.FORBIDDEN, MessengerRefusedError),
        (MessengerFault.SERVER_ERROR, MessengerUnavailableError),
    ):
        telegram.faults.add(Fault(kind, times=1, retry_after=7))
        with pytest.raises(error):
            client.send(TO, "x", ())
    telegram.upgrade(CHAT_ID, "-100777")
    with pytest.raises(ChatMovedError, match="-100777"):
        client.send(TO, "x", ())
    with closing(TelegramClient("9:z", url=telegram.url)) as revoked, pytest.raises(MessengerRefusedError):
        revoked.send(TO, "x", ())


def test_menus_and_the_webhook_are_set_with_the_library(telegram: TelegramStandIn, client: TelegramClient) -> None:
    client.call(client.api.set_my_commands([BotCommand("status", "Every account")], scope=BotCommandScopeChat(CHAT)))
    (menu,) = telegram.menus.values()
    assert menu == [{"command": "status", "description": "Every account"}]
    for url in ("http://example.com/telegram", "https://example.com:444/telegram"):
        with pytest.raises(MessengerRefusedError):
            client.call(client.api.set_webhook(url))
    with pytest.raises(MessengerRefusedError):
        client.call(client.api.set_webhook("https://example.com/telegram", secret_token="a b"))
    assert client.call(client.api.set_webhook("https://example.com/t", secret_token="s3", allowed_updates=["message"]))
    info = client.call(client.api.get_webhook_info())
    assert info.url == "https://example.com/t"
    assert telegram.caller.webhook == Webhook("https://example.com/t", "s3", frozenset({"message"}))


def test_what_is_typed_and_pressed_arrives_as_updates_the_library_reads(
    telegram: TelegramStandIn, client: TelegramClient
) -> None:
    with serving(lambda _: Reply(200, {})) as server:
        telegram.caller.webhook = Webhook(f"{server.url}/telegram", "s3")
        assert telegram.say(7, 7, "/status now") == 200
        client.send(TO, "Halt?", (Button("Yes", "y:1"),))
        assert telegram.press(CHAT, 1, "Yes") == 200
        assert telegram.say(7, -100123, "hello") == 200
        requests = server.requests
    assert {one.headers[SECRET_HEADER.lower()] for one in requests} == {"s3"}
    found = [client.read(one.body.decode()) for one in requests]
    assert [(one.user, one.chat, one.text, one.press) for one in found if one is not None] == [
        (7, 7, "/status now", None),
        (CHAT, CHAT, "y:1", "q1"),
        (7, -100123, "hello", None),
    ]
    assert len({json.loads(one.body)["update_id"] for one in requests}) == 3
