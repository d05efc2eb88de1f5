"""The stand-in messenger answers in Telegram's shapes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from local.stand_ins.faults import Fault, MessengerFault
from local.stand_ins.telegram import BOT_TOKEN, CHAT_ID, TelegramStandIn
from local.stand_ins.telegram_webhook import Webhook
from signalbox.adapters.charts.painter import MatplotlibPainter
from signalbox.chat.bot.ports import RecentPrices
from signalbox.trading.questions import BarRow
from tests.fakes.http_server import Reply as Answered
from tests.fakes.http_server import Request, serving

BAR = BarRow(open_time=datetime(2026, 3, 1, tzinfo=UTC), open=1, high=2, low=0.5, close=1.5, volume=1)


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


def test_the_page_shows_a_photo_to_who_knows_its_address(telegram: TelegramStandIn) -> None:
    png = MatplotlibPainter().paint_prices(RecentPrices("BTC-USD", "UTC", (BAR,)))
    files = {"photo": ("chart.png", png, "image/png")}
    sent = httpx.post(
        f"{telegram.url}/bot{BOT_TOKEN}/sendPhoto",
        data={"chat_id": CHAT_ID, "caption": 'a "b" <c>'},
        files=files,
        trust_env=False,
    )
    assert sent.status_code == 200, sent.text
    page = httpx.get(telegram.page_url, trust_env=False)
    address = f"{telegram.page_url.removeprefix(telegram.url)}/photo?message=1"
    assert f'<img src="{address}" alt="Chart: a &#34;b&#34; &lt;c&gt;"' in page.text
    assert "img-src 'self'" in page.headers["content-security-policy"]
    headers = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
    shown = httpx.get(f"{telegram.url}{address}", headers=headers, trust_env=False)
    assert (shown.status_code, shown.content, shown.headers["content-type"]) == (200, png, "image/png")
    for wrong in ("0", "2", "-1", "x", "9" * 40, ""):
        assert httpx.get(f"{telegram.page_url}/photo", params={"message": wrong}, trust_env=False).status_code == 404
    stranger = f"{telegram.url}/page/{'x' * 32}/photo?message=1"
    assert httpx.get(stranger, headers=headers, trust_env=False).status_code == 404


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


def test_page_types_and_presses_for_who_has_its_address(telegram: TelegramStandIn) -> None:
    bodies: list[bytes] = []

    def took(request: Request) -> Answered:
        bodies.append(request.body)
        return Answered(200, {})

    with serving(took) as server:
        telegram.caller.webhook = Webhook(f"{server.url}/telegram")
        data = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y:1"}]]}
        httpx.post(
            f"{telegram.url}/bot{BOT_TOKEN}/sendMessage",
            json={"chat_id": CHAT_ID, "text": "Halt?", "reply_markup": data},
            trust_env=False,
        )
        said = httpx.get(f"{telegram.page_url}/say", params={"text": "/status"}, trust_env=False)
        assert (said.status_code, said.headers["location"]) == (303, telegram.page_url.removeprefix(telegram.url))
        assert (
            httpx.get(f"{telegram.page_url}/press", params={"message": "1", "button": "Yes"}, trust_env=False).status_code == 303
        )
        for wrong in ({"message": "9", "button": "Yes"}, {"message": "x"}, {"message": "1", "button": "Maybe"}):
            httpx.get(f"{telegram.page_url}/press", params=wrong, trust_env=False)
        linked = {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}
        assert httpx.get(f"{telegram.page_url}/say?text=x", headers=linked, trust_env=False).status_code == 404
        assert httpx.get(f"{telegram.url}/page/{'x' * 32}/say?text=x", trust_env=False).status_code == 404
    assert [b'"/status"' in bodies[0], b'"y:1"' in bodies[1], len(bodies)] == [True, True, 2]
    page = httpx.get(telegram.page_url, trust_env=False).text
    assert page.index("Halt?") < page.index('class="you"><pre>/status')
