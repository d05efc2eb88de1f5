"""`python -m tests.telegram_gallery`: docs/telegram/*.png, the chat page as a browser and a phone show it.

The bot, the messenger's client, the stand-in and its page are the real ones; the accounts are those of the bot's tests and the
prices are invented. Needs Chromium or Chrome, which gets a file and no network.
"""

from __future__ import annotations

import base64
import math
import re
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from local.browser import browser
from local.cli.telegram.simulate import KeptCommands
from local.stand_ins.telegram import BOT_TOKEN, TelegramStandIn
from local.stand_ins.telegram_webhook import Webhook
from signalbox.access import Role
from signalbox.adapters.charts.painter import MatplotlibPainter
from signalbox.adapters.telegram.client import TelegramClient
from signalbox.application.telegram_bot import TelegramBot
from signalbox.chat.bot.bot import Bot
from signalbox.chat.bot.confirmation import Confirmations
from signalbox.chat.bot.people import ChatPerson
from signalbox.trading.questions import BarRow
from tests.fakes.http_server import Reply, Request, serving
from tests.gallery import small
from tests.sample_pages import ROOT
from tests.unit.chat.bot.test_bot import ACCOUNTS, ANNA, BEN, World, decided, yes
from tests.unit.lambdas.test_telegram_functions import Book, Finished
from tests.unit.trading.market import START

FOLDER: Final = ROOT / "docs" / "telegram"
GROUP: Final = -100123
# file, width, height, dark
SHOWN: Final = (("answers-wide", 1280, 1720, False), ("answers-phone", 390, 2080, True), ("two-people-phone", 390, 620, False))


def bars(hours: int) -> list[BarRow]:
    """Return invented one-minute bars up to START."""
    found, before = [], 60_000.0
    for minute in range(hours * 60):
        price = round(60_000 + 420 * math.sin(minute / 190) + 130 * math.sin(minute / 23) + 25 * math.sin(minute * 1.7), 2)
        at = START - timedelta(minutes=hours * 60 - minute)
        found.append(
            BarRow(
                open_time=at,
                open=before,
                high=round(max(before, price) + 9, 2),
                low=round(min(before, price) - 9, 2),
                close=price,
                volume=1,
            )
        )
        before = price
    return found


@contextmanager
def conversation() -> Iterator[tuple[TelegramStandIn, World]]:
    """A stand-in whose webhook is answered by the bot."""
    world, book, pending = World(), Book(), KeptCommands()
    telegram = TelegramStandIn(chat_ids=frozenset({str(ANNA), str(GROUP)}))
    client = TelegramClient(BOT_TOKEN, url=telegram.url)
    book.people[BEN] = ChatPerson(BEN, Role.OPERATOR, "Ben", START)
    world.grant(BEN, ACCOUNTS[0], Role.OPERATOR)
    ledger = world.ledgers[ANNA]
    ledger.found = [decided(at=START - timedelta(minutes=5 * number)) for number in range(30, -1, -1)]
    ledger.rows = bars(24)

    def role_of(user: int) -> Role | None:
        return book.people[user].role if user in book.people else None

    def bot_for(_person: ChatPerson) -> Bot:
        waiting = Confirmations(role_of, lambda user: world.ledgers[user], pending, world.two_people.__contains__)
        return Bot(role_of, lambda user: world.ledgers[user], waiting, paint=MatplotlibPainter().paint_prices)

    app = TelegramBot(bot_for, book, Finished(), lambda: client, lambda *_: None)

    def answered(request: Request) -> Reply:
        app.handle(request.body.decode(), START, START)
        return Reply(200, {})

    try:
        with serving(answered) as server:
            telegram.caller.webhook = Webhook(f"{server.url}/telegram", "s3")
            yield telegram, world
    finally:
        client.close()
        telegram.close()


def page_of(telegram: TelegramStandIn) -> str:
    """Return the page as one file, its pictures inside."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(telegram.page_url) as answer:
        html: str = answer.read().decode()

    def inside(found: re.Match[str]) -> str:
        photo = telegram.messages[int(found[1]) - 1].sent.photo or b""
        return f'src="data:image/png;base64,{base64.b64encode(photo).decode()}"'

    html = re.sub(r'src="[^"]*/photo\?message=(\d+)"', inside, html)
    html = html.replace("form.say{position:fixed", "form.say{position:static")  # a picture has no lower edge of a screen
    return re.sub(r"<meta http-equiv=.refresh.[^>]*>", "", html)


def main() -> int:
    """Write the pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with conversation() as (telegram, world):
        for text in (f"/risk {ACCOUNTS[0]}", "/signals BTC 24h", "/chart BTC 24", f"/flatten {ACCOUNTS[0]} leaving", "/flaten x"):
            telegram.say(ANNA, ANNA, text)
        answers = page_of(telegram)
    with conversation() as (telegram, world):
        world.press(yes(world.type(f"/halt {ACCOUNTS[0]} news at two")))
        world.two_people.add(ACCOUNTS[0])
        telegram.say(ANNA, GROUP, f"/resume {ACCOUNTS[0]} news is over")
        telegram.press(ANNA, telegram.messages[-1].message_id, "Yes")
        telegram.press(ANNA, telegram.messages[-1].message_id, "Approve")
        two_people = page_of(telegram)
    pages = {"answers": answers, "two-people": two_people}
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        for name, width, height, dark in SHOWN:
            path = Path(folder) / f"{name}.html"
            path.write_text(pages[name.rpartition("-")[0]], encoding="utf-8")
            chromium.open(path, width=width, dark=dark)
            (FOLDER / f"{name}.png").write_bytes(small(chromium.picture(height=height)))
    sys.stdout.write(f"{sum(path.stat().st_size for path in FOLDER.iterdir()):,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
