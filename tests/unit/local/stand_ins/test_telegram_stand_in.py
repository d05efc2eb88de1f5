"""The stand-in messenger answers in Telegram's shapes."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from local.stand_ins.faults import Fault, MessengerFault
from local.stand_ins.telegram import BOT_TOKEN, CHAT_ID, TelegramStandIn


@pytest.fixture
def telegram() -> Iterator[TelegramStandIn]:
    stand_in = TelegramStandIn()
    yield stand_in
    stand_in.close()


def send(telegram: TelegramStandIn, text: str = "hello", chat: str = CHAT_ID, token: str = BOT_TOKEN) -> httpx.Response:
    return httpx.post(
        f"{telegram.url}/bot{token}/sendMessage", json={"chat_id": chat, "text": text}, timeout=1.0, trust_env=False
    )


def test_message_is_accepted_and_kept(telegram: TelegramStandIn) -> None:
    answer = send(telegram, "<b>hello</b>").json()
    assert answer["ok"] is True
    assert answer["result"]["chat"]["id"] == int(CHAT_ID)
    assert [m.text for m in telegram.messages] == ["<b>hello</b>"]
    page = httpx.get(telegram.page_url, trust_env=False).text
    assert "&lt;b&gt;hello" in page


def test_form_fields_are_accepted_too(telegram: TelegramStandIn) -> None:
    httpx.post(f"{telegram.url}/bot{BOT_TOKEN}/sendMessage", data={"chat_id": CHAT_ID, "text": "form"}, trust_env=False)
    assert telegram.messages[0].text == "form"


@pytest.mark.parametrize(
    ("text", "chat", "token", "status"),
    [
        ("x", "2", BOT_TOKEN, 400),
        ("", CHAT_ID, BOT_TOKEN, 400),
        ("x" * 4097, CHAT_ID, BOT_TOKEN, 400),
        ("x", CHAT_ID, "9:z", 401),
    ],
)
def test_what_telegram_refuses_is_refused(telegram: TelegramStandIn, text: str, chat: str, token: str, status: int) -> None:
    answer = send(telegram, text, chat, token)
    assert answer.status_code == status == answer.json()["error_code"]
    assert answer.json()["ok"] is False
    assert telegram.messages == ()


def test_faults_end_after_their_times(telegram: TelegramStandIn) -> None:
    telegram.faults.add(Fault(MessengerFault.RATE_LIMITED, CHAT_ID, times=1, retry_after=7))
    limited = send(telegram)
    assert limited.status_code == 429
    assert limited.json()["parameters"] == {"retry_after": 7}
    assert send(telegram).status_code == 200
    forbidden = telegram.faults.add(Fault(MessengerFault.FORBIDDEN))
    assert send(telegram).json()["description"] == "Forbidden: bot was blocked by the user"
    telegram.faults.remove(forbidden)
    assert send(telegram).status_code == 200
    assert telegram.refused == 2


def test_silence_runs_into_the_callers_timeout(telegram: TelegramStandIn) -> None:
    telegram.faults.add(Fault(MessengerFault.TIMEOUT, times=1))
    with pytest.raises(httpx.ReadTimeout):
        send(telegram)


def test_get_me_names_the_bot(telegram: TelegramStandIn) -> None:
    assert httpx.get(f"{telegram.url}/bot{BOT_TOKEN}/getMe", trust_env=False).json()["result"]["is_bot"] is True
    assert httpx.get(f"{telegram.url}/bot{BOT_TOKEN}/dance", trust_env=False).status_code == 404
