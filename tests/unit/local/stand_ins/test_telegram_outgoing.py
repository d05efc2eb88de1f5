"""The outgoing side of the stand-in: python-telegram-bot reads its answers, our messenger and it meet the documented limits."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram import Bot, Message, MessageEntity, ReplyParameters
from telegram.error import BadRequest, ChatMigrated, Forbidden, NetworkError, RetryAfter, TimedOut
from telegram.request import HTTPXRequest

from local.stand_ins.faults import Fault, MessengerFault
from local.stand_ins.telegram import BOT_TOKEN, CHAT_ID, TelegramStandIn
from local.stand_ins.telegram_outgoing import OutgoingRefusedError, Rates, read_message
from signalbox.adapters.telegram.bot_api import TelegramMessenger, entities
from signalbox.chat.messenger import (
    MessengerBusyError,
    MessengerRefusedError,
    MessengerUnavailableError,
    MessengerUnconfirmedError,
    OutgoingMessage,
)
from signalbox.chat.styled import Style, StyledText, joined, plain_text, split
from tests.builders import NOON

T = TypeVar("T")


def png(width: int, height: int) -> bytes:
    """The beginning of a picture: all that its size is read from."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">II", width, height) + bytes(5)


PHOTO = png(1080, 720)
HEADLINE = plain_text("🟢 ") + plain_text("BUY <b>BTC", Style.BOLD) + plain_text(" at ") + plain_text("62,000", Style.CODE)


@pytest.fixture
def telegram() -> Iterator[TelegramStandIn]:
    stand_in = TelegramStandIn()
    yield stand_in
    stand_in.close()


def ask(telegram: TelegramStandIn, call: Callable[[Bot], Awaitable[T]]) -> T:
    """Give a call to the client library, as a bot would."""

    async def run() -> T:
        request = HTTPXRequest(read_timeout=0.5, httpx_kwargs={"trust_env": False})
        async with Bot(BOT_TOKEN, base_url=f"{telegram.url}/bot", request=request) as bot:
            return await call(bot)

    return asyncio.run(run())


def messenger(telegram: TelegramStandIn) -> TelegramMessenger:
    return TelegramMessenger(BOT_TOKEN, url=telegram.url, timeout_seconds=0.5)


def test_the_library_reads_a_text_with_its_entities_and_its_reply(telegram: TelegramStandIn) -> None:
    first = ask(telegram, lambda bot: bot.send_message(CHAT_ID, "one"))
    marked = [MessageEntity(**one) for one in entities(HEADLINE)]
    second = ask(
        telegram,
        lambda bot: bot.send_message(
            CHAT_ID, HEADLINE.text, entities=marked, reply_parameters=ReplyParameters(first.message_id), disable_notification=True
        ),
    )
    assert second.parse_entities() == {marked[0]: "BUY <b>BTC", marked[1]: "62,000"}
    kept = telegram.messages[-1].sent
    assert (kept.reply_to, kept.silent) == (first.message_id, True)


def test_the_library_reads_a_photo_with_its_caption(telegram: TelegramStandIn) -> None:
    marked = [MessageEntity(**one) for one in entities(HEADLINE)]
    sent: Message = ask(telegram, lambda bot: bot.send_photo(CHAT_ID, PHOTO, caption=HEADLINE.text, caption_entities=marked))
    assert sent.parse_caption_entities() == {marked[0]: "BUY <b>BTC", marked[1]: "62,000"}
    assert (sent.photo[0].width, sent.photo[0].height) == (1080, 720)
    assert telegram.messages[-1].sent.photo == PHOTO


def test_our_messenger_and_the_library_leave_the_same_message(telegram: TelegramStandIn) -> None:
    ours = messenger(telegram)
    message_id = ours.send(CHAT_ID, OutgoingMessage(HEADLINE, PHOTO))
    ours.send(CHAT_ID, OutgoingMessage(HEADLINE, silent=True, reply_to=message_id))
    marked = [MessageEntity(**one) for one in entities(HEADLINE)]
    ask(telegram, lambda bot: bot.send_photo(CHAT_ID, PHOTO, caption=HEADLINE.text, caption_entities=marked))
    mine, reply, theirs = telegram.messages
    assert mine.sent == theirs.sent
    assert (reply.sent.reply_to, reply.sent.silent, reply.sent.photo) == (message_id, True, None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda bot: bot.send_message(CHAT_ID, "x" * 4097), "Message is too long"),
        (lambda bot: bot.send_message(CHAT_ID, "🟢" * 2049), "Message is too long"),
        (lambda bot: bot.send_message(CHAT_ID, " \n"), "Message text is empty"),
        (lambda bot: bot.send_photo(CHAT_ID, PHOTO, caption="x" * 1025), "Message caption is too long"),
        (lambda bot: bot.send_photo(CHAT_ID, png(9999, 2)), "Photo_invalid_dimensions"),
        (lambda bot: bot.send_photo(CHAT_ID, png(2000, 90)), "Photo_invalid_dimensions"),
        (lambda bot: bot.send_photo(CHAT_ID, b"GIF89a" + bytes(40)), "Image_process_failed"),
        (lambda bot: bot.send_message(CHAT_ID, "a", reply_parameters=ReplyParameters(99)), "Message to be replied not found"),
        (lambda bot: bot.send_message(CHAT_ID, "🟢", entities=[MessageEntity("bold", 1, 1)]), "Entity_bounds_invalid"),
        (lambda bot: bot.send_message(CHAT_ID, "ab", entities=[MessageEntity("bold", 1, 2)]), "Entity_bounds_invalid"),
        (lambda bot: bot.send_message(CHAT_ID, "ab", entities=[MessageEntity("loud", 0, 1)]), "unsupported type"),
        (
            lambda bot: bot.send_message(CHAT_ID, "ab", entities=[MessageEntity("bold", 0, 2), MessageEntity("code", 0, 1)]),
            "nested",
        ),
        (lambda bot: bot.send_message("77", "a"), "Chat not found"),
    ],
)
def test_what_telegram_refuses_the_library_hears_as_a_bad_request(
    telegram: TelegramStandIn, call: Callable[[Bot], Awaitable[Any]], message: str
) -> None:
    with pytest.raises(BadRequest, match=f"(?i){message}"):
        ask(telegram, call)
    assert telegram.messages == ()


@pytest.mark.filterwarnings("ignore:Deprecated since version v22.2")  # of RetryAfter's own attribute
@pytest.mark.parametrize(
    ("fault", "error", "ours", "arrived"),
    [
        (MessengerFault.RATE_LIMITED, RetryAfter, MessengerBusyError, 0),
        (MessengerFault.FORBIDDEN, Forbidden, MessengerRefusedError, 0),
        (MessengerFault.SERVER_ERROR, NetworkError, MessengerUnavailableError, 0),
        (MessengerFault.TIMEOUT, TimedOut, MessengerUnconfirmedError, 0),
        (MessengerFault.TIMEOUT_AFTER, TimedOut, MessengerUnconfirmedError, 2),
        (MessengerFault.BAD_GATEWAY_AFTER, NetworkError, MessengerUnconfirmedError, 2),
    ],
)
def test_a_fault_is_the_same_to_the_library_and_to_our_messenger(
    telegram: TelegramStandIn, fault: MessengerFault, error: type[Exception], ours: type[Exception], arrived: int
) -> None:
    telegram.faults.add(Fault(fault))
    with pytest.raises(error):
        ask(telegram, lambda bot: bot.send_message(CHAT_ID, "hi"))
    with pytest.raises(ours):
        messenger(telegram).send(CHAT_ID, OutgoingMessage(plain_text("hi")))
    assert len(telegram.messages) == arrived


def test_a_photo_can_be_refused_where_a_text_is_not(telegram: TelegramStandIn) -> None:
    telegram.faults.add(Fault(MessengerFault.PHOTO_REFUSED))
    with pytest.raises(MessengerRefusedError, match="IMAGE_PROCESS_FAILED"):
        messenger(telegram).send(CHAT_ID, OutgoingMessage(HEADLINE, PHOTO))
    assert messenger(telegram).send(CHAT_ID, OutgoingMessage(HEADLINE)) == 1


def test_a_group_that_moved_says_where(telegram: TelegramStandIn) -> None:
    telegram.upgrade("-5", "-1005")
    with pytest.raises(ChatMigrated) as caught:
        ask(telegram, lambda bot: bot.send_message("-5", "hi"))
    assert caught.value.new_chat_id == -1005


def test_a_reply_to_a_message_that_is_gone_is_sent_without_it(telegram: TelegramStandIn) -> None:
    messenger(telegram).send(CHAT_ID, OutgoingMessage(HEADLINE, reply_to=99))
    assert telegram.messages[0].sent.reply_to is None


def test_messages_come_too_fast_for_a_chat_and_in_all() -> None:
    stand_in = TelegramStandIn(rates=Rates())
    try:
        ours = messenger(stand_in)
        ours.send(CHAT_ID, OutgoingMessage(HEADLINE))
        with pytest.raises(MessengerBusyError) as caught:
            ours.send(CHAT_ID, OutgoingMessage(HEADLINE))
        assert caught.value.retry_after == 1
    finally:
        stand_in.close()


@given(st.lists(st.tuples(st.integers(0, 90_000), st.sampled_from(["1", "2", "-3"])), min_size=1, max_size=80))
def test_the_rates_are_never_exceeded(tries: list[tuple[int, str]]) -> None:
    rates = Rates(in_all=2)
    accepted: list[tuple[int, str]] = []
    for moment, chat in sorted(tries):
        if rates.wait(chat, NOON + timedelta(milliseconds=moment)) is None:
            accepted.append((moment, chat))
    for moment, chat in accepted:
        assert len([at for at, _ in accepted if moment - 1000 < at <= moment]) <= 2
        assert len([at for at, one in accepted if one == chat and moment - 1000 < at <= moment]) <= 1
        assert len([at for at, one in accepted if one == chat and moment - 60_000 < at <= moment]) <= 20


PIECES = st.lists(st.tuples(st.text(st.sampled_from("a🟢é<&_*\n "), min_size=1), st.sampled_from([None, *Style])), max_size=12)


@given(pieces=PIECES, first=st.integers(2, 30))
def test_every_part_of_a_split_text_is_one_that_telegram_takes(pieces: list[tuple[str, Style | None]], first: int) -> None:
    text: StyledText = joined((plain_text(piece, style) for piece, style in pieces), "")
    for part in split(text, first=first, limit=40):
        fields = {"text": part.text, "entities": entities(part)}
        assert read_message(fields, with_photo=False, known=()).text == part.text


@pytest.mark.parametrize("raw", ["{", "[1]", {"a": 1}, [3]])
def test_entities_that_are_no_list_of_objects_are_refused(raw: Any) -> None:
    with pytest.raises(OutgoingRefusedError, match="can't parse"):
        read_message({"text": "a", "entities": raw}, with_photo=False, known=())
