"""A person types in the stand-in's chat: the webhook lets it in, the bot answers, and a button halts the account.

The bot's times are the clock's, so the cloud is this file's own: a command of today would move an account of the replayed market
by months.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest

from local.cloud.local_cloud import LocalCloud
from local.cloud.processes import wait_until
from local.market.feed import CachedFeed
from local.market.simulator import SimulatedSource
from local.settings import load_settings
from local.stand_ins.faults import Fault, MessengerFault
from local.stand_ins.telegram import CHAT_ID, Message
from signalbox.access import Role
from signalbox.adapters.aws.chat_table import DynamoPeople
from signalbox.adapters.postgres.access import PostgresAccessBook
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.chat.bot.people import ChatPerson
from signalbox.contracts import StackOutput
from signalbox.market.clock import CYCLE, cycle_of
from signalbox.trading.access import Access
from tests.e2e.conftest import Market

YOU, BEN, ACCOUNT = int(CHAT_ID), 2, "ftmo-2step-100k"


@pytest.fixture(scope="module")
def market() -> Iterator[Market]:
    """A market whose newest cycle is now's."""
    settings = load_settings()
    folder = settings.state / "e2e" / f"telegram-{os.getpid()}"
    newest = cycle_of(datetime.now(UTC))
    try:
        with LocalCloud(settings, folder, CachedFeed(SimulatedSource(7)), now=newest - CYCLE) as running:
            found = Market(running)
            found.now = newest - CYCLE
            found.cycle()
            found.quiet()
            _two_people_needed(running)
            yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _two_people_needed(cloud: LocalCloud) -> None:
    """The account needs two people, and Ben may be the second."""
    secrets, arn = cloud.emulator.client("secretsmanager"), cloud.outputs[StackOutput.TELEGRAM_SECRET_ARN]
    content = json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"])
    secrets.put_secret_value(SecretId=arn, SecretString=json.dumps({**content, "two_people": [ACCOUNT]}))
    now = datetime.now(UTC)
    people = DynamoPeople(cloud.emulator.client("dynamodb"), cloud.outputs[StackOutput.CHAT_TABLE])
    people.list_person(ChatPerson(BEN, Role.OPERATOR, "Ben", now))
    cloud.telegram.add_chats(str(BEN))
    with closing(ConnectionSource(cloud.postgres.settings, lambda: "")) as source:
        grant = Access(f"telegram:{BEN}", Role.OPERATOR, "test", now, "grant-ben")
        PostgresAccessBook(source).change(ACCOUNT, grant)


def answer_to(cloud: LocalCloud, text: str, part: str, *, user: int = YOU, chat: int = YOU) -> Message:
    """Type a text; return the first message after it that contains `part`."""
    since = len(cloud.telegram.messages)
    assert cloud.telegram.say(user, chat, text) == 200
    return wait_until(
        lambda: next((m for m in cloud.telegram.messages[since:] if part in m.text), None), what=f"answer {part!r}", seconds=60
    )


def test_a_message_is_answered_and_a_button_halts_the_account(market: Market) -> None:
    cloud = market.cloud
    market.quiet()
    assert ACCOUNT in answer_to(cloud, "/status", "equity").text
    assert "cash" in answer_to(cloud, "/balance", "cash").text
    asked = answer_to(cloud, "/halt news at two", "Confirm within 60 seconds")
    assert [label for label, _ in asked.buttons] == ["Yes", "No"]
    assert cloud.telegram.press(YOU, asked.message_id, "Yes") == 200
    done = wait_until(
        lambda: m if "Done" in (m := cloud.telegram.messages[asked.message_id - 1]).text else None, what="the halt", seconds=60
    )
    assert "HALT since" in done.text
    assert "by telegram:1: news at two" in done.text  # the person, not the bot's function
    assert done.buttons == ()
    resumed = answer_to(cloud, "/resume looked at it", "Confirm within 60 seconds")
    cloud.telegram.press(YOU, resumed.message_id, "Yes")
    waiting = wait_until(
        lambda: m if "/approve " in (m := cloud.telegram.messages[resumed.message_id - 1]).text else None,
        what="the wait for a second person", seconds=60,
    )  # fmt: skip
    assert "Nothing has happened yet" in waiting.text
    assert "HALT since" in answer_to(cloud, "/risk", "daily loss").text
    typed = waiting.text.rpartition("\n")[2]
    shown = answer_to(cloud, typed, "Asked for by telegram:1", user=BEN, chat=BEN)
    assert cloud.telegram.press(BEN, shown.message_id, "Approve") == 200
    done = wait_until(
        lambda: m if "not stopped" in (m := cloud.telegram.messages[shown.message_id - 1]).text else None,
        what="a resume", seconds=60,
    )  # fmt: skip
    assert f"Asked for by telegram:{YOU}, approved by telegram:{BEN}." in done.text


def test_an_answer_that_telegram_refused_once_comes_within_seconds(market: Market) -> None:
    """An update that failed is tried again after a second; before, after the whole timeout of its queue, a minute."""
    market.quiet()
    answer_to(market.cloud, "/risk", "daily loss")
    market.cloud.telegram.faults.add(Fault(MessengerFault.SERVER_ERROR, scope=str(YOU), times=1))
    began = time.monotonic()
    answer_to(market.cloud, "/risk", "daily loss")
    assert time.monotonic() - began < 30


def test_the_library_answers_in_the_chat_and_shows_what_a_rollback_does(market: Market) -> None:
    cloud = market.cloud
    market.quiet()
    version = answer_to(cloud, "/version", "stage local").text
    assert "decides now: " in version
    name = version.partition("decides now: ")[2].partition(" (")[2].partition(",")[0]
    assert "training" in answer_to(cloud, f"/model {name}", name).text
    asked = answer_to(cloud, "/rollback too many signals", "Confirm within 60 seconds")
    assert "Roll back what decides: too many signals" in asked.text
    assert cloud.telegram.press(YOU, asked.message_id, "Yes") == 200
    waiting = wait_until(  # a shadow serves, so what comes back may be active
        lambda: m if "/approve " in (m := cloud.telegram.messages[asked.message_id - 1]).text else None,
        what="the wait for a second person", seconds=60,
    )  # fmt: skip
    shown = answer_to(cloud, waiting.text.rpartition("\n")[2], "Asked for by telegram:1", user=BEN, chat=BEN)
    assert cloud.telegram.press(BEN, shown.message_id, "Approve") == 200
    refused = wait_until(
        lambda: m if "⛔" in (m := cloud.telegram.messages[shown.message_id - 1]).text else None, what="a refusal", seconds=60
    )
    assert "no earlier healthy deployment" in refused.text  # the library's own words: it was asked, in this person's name


def test_strangers_get_silence_and_nothing_of_theirs_is_queued(market: Market) -> None:
    cloud = market.cloud
    market.quiet()
    before = len(cloud.telegram.messages)
    assert cloud.telegram.say(99, 99, "/status") == 200
    assert cloud.telegram.say(99, YOU, "/halt now") == 200  # in somebody else's chat
    queue = cloud.outputs[StackOutput.UPDATES_QUEUE_URL]
    waiting = cloud.emulator.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert int(waiting["ApproximateNumberOfMessages"]) == int(waiting["ApproximateNumberOfMessagesNotVisible"]) == 0
    market.quiet()
    assert not [m for m in cloud.telegram.messages[before:] if m.chat_id == "99" or "equity" in m.text or "Confirm" in m.text]


def test_without_the_secret_it_is_403(market: Market) -> None:
    caller = market.cloud.telegram.caller
    kept = caller.webhook
    assert kept is not None
    try:
        caller.webhook = type(kept)(kept.url, "wrong", kept.allowed)
        assert market.cloud.telegram.say(YOU, YOU, "/status") == 403
    finally:
        caller.webhook = kept


def test_the_same_update_twice_is_answered_once(market: Market) -> None:
    telegram = market.cloud.telegram
    update = telegram.caller.update("message", json.loads(json.dumps({
        "message_id": 77, "date": 1, "from": {"id": YOU, "is_bot": False, "first_name": "Ada"},
        "chat": {"id": YOU, "type": "private"}, "text": "/version",
    })))  # fmt: skip
    since = len(telegram.messages)
    for _ in range(3):
        assert telegram.caller.deliver(update) == 200
    answer_to(market.cloud, "/symbols", "BTC-USD")  # behind them in the same group
    assert len([m for m in telegram.messages[since:] if "stage local" in m.text]) == 1
