"""telegram_webhook and telegram_bot: who gets in, what is counted, and what a bad update, press or token does."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from typing_extensions import override

from local.cli.telegram.simulate import KeptCommands
from signalbox.access import Role
from signalbox.application.telegram_bot import ChatClient, IncomingUpdate, TelegramBot
from signalbox.application.telegram_webhook import TelegramWebhook
from signalbox.chat.bot.bot import Bot
from signalbox.chat.bot.confirmation import Confirmations
from signalbox.chat.bot.conversation import Button
from signalbox.chat.bot.people import ChatPerson, PeopleBook, hash_of
from signalbox.chat.bot.ports import BotLedgerSilentError
from signalbox.chat.bot.words import WORDS
from signalbox.chat.messenger import MessengerBusyError, MessengerError, MessengerRefusedError, MessengerUnavailableError
from signalbox.chat.updates import update_from
from signalbox.contracts import Metric
from signalbox.trading.documents import ConfigurationDocument
from signalbox.wire import parse_object
from tests.fakes.lambda_context import FakeLambdaContext
from tests.unit.chat.bot.test_bot import ANNA, BEN, ServiceLedger, World
from tests.unit.trading.market import START

SECRET, CODE, GROUP = "s" * 64, "ABCD-EFGH-JKLM-NPQR", -100123
Load = Callable[[str], ModuleType]


class Book(PeopleBook):
    """Anna and Ben, and one code."""

    def __init__(self) -> None:
        self.people = {ANNA: ChatPerson(ANNA, Role.OPERATOR, "Anna", START), BEN: ChatPerson(BEN, Role.VIEWER, "Ben", START)}
        self.chats: set[int] = {GROUP}
        self.codes = {hash_of(CODE): Role.OPERATOR}
        self.asked = 0

    @override
    def person(self, user: int) -> ChatPerson | None:
        self.asked += 1
        return self.people.get(user)

    @override
    def lists_chat(self, chat: int) -> bool:
        return chat in self.chats

    @override
    def redeem(self, code_hash: str, user: int, name: str, now: datetime) -> ChatPerson | None:
        role = self.codes.pop(code_hash, None)
        if role is None:
            return None
        self.people[user] = ChatPerson(user, role, name, now)
        return self.people[user]

    @override
    def choose_zone(self, user: int, zone: str) -> None:
        """Keep none."""


class Queue:
    """Keeps what is queued."""

    def __init__(self) -> None:
        self.put_in: list[tuple[int, int, str]] = []

    def put(self, update_id: int, chat: int, body: str) -> None:
        self.put_in.append((update_id, chat, body))


def message(text: str, *, user: int = ANNA, chat: int | None = None, number: int = 5, **more: Any) -> dict[str, Any]:
    where = user if chat is None else chat
    return {
        "update_id": number,
        "message": {
            "message_id": 1, "date": 1, "text": text, "from": {"id": user, "is_bot": False, "first_name": "A"},
            "chat": {"id": where, "type": "private" if where > 0 else "supergroup"}, **more,
        },
    }  # fmt: skip


def call(update: Any, secret: str | None = SECRET) -> dict[str, Any]:
    body = update if isinstance(update, str) else json.dumps(update)
    return {
        "headers": {} if secret is None else {"x-telegram-bot-api-secret-token": secret},
        "body": body,
        "isBase64Encoded": False,
    }


class Door:
    """The deployed webhook, over a book and a queue."""

    def __init__(self, load: Load) -> None:
        self.book, self.queue = Book(), Queue()
        self._handler = load("telegram_webhook").make_handler(TelegramWebhook(lambda: SECRET, self.book, self.queue))

    def __call__(self, update: Any, secret: str | None = SECRET) -> int:
        status: int = self._handler(call(update, secret), FakeLambdaContext())["statusCode"]
        return status


@pytest.fixture
def door(load: Load) -> Door:
    return Door(load)


def counted(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in text.splitlines():
        if '"_aws"' in line:
            row = parse_object(line)
            found |= {name: sum(row[name]) for name in Metric if name in row}
    return found


def test_who_is_listed_is_queued_in_the_group_of_the_chat(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    update = message("/status")
    assert door(update) == 200
    assert door(message("/status", chat=GROUP)) == 200
    assert [(number, chat) for number, chat, _ in door.queue.put_in] == [(5, ANNA), (5, GROUP)]
    assert json.loads(door.queue.put_in[0][2]) == update
    assert counted(capsys.readouterr().out) == {Metric.UPDATES_ACCEPTED: 1.0}


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_a_stranger_gets_200_and_silence_and_is_counted(
    door: Door, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert door(message("/halt now", user=99)) == 200
    assert door(message("/halt now", user=99, chat=GROUP)) == 200  # a member of the group who is not listed
    assert door(message("/halt now", chat=-5)) == 200  # who is listed, in a group that is not
    assert door(message("/halt now", user=99, chat=ANNA)) == 200
    assert door.queue.put_in == []
    assert counted(capsys.readouterr().out) == {Metric.STRANGERS_IGNORED: 1.0}
    assert [one.getMessage() for one in caplog.records] == ["update_ignored"] * 4


@pytest.mark.parametrize("secret", [None, "", "s" * 63, "S" * 64, "ü"])
def test_a_call_without_the_secret_is_403_and_counted(door: Door, capsys: pytest.CaptureFixture[str], secret: str | None) -> None:
    assert door(message("/status"), secret) == 403
    assert (door.queue.put_in, door.book.asked) == ([], 0)  # nothing was read, so nothing was paid for
    assert counted(capsys.readouterr().out) == {Metric.WEBHOOK_REFUSED: 1.0}


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize(
    "update",
    ["", "[" * 200_000, "{", '{"update_id":1,"message":' + "[" * 50 + "]" * 50 + "}", json.dumps(message("x" * 200_000)),
     {"update_id": 1, "edited_message": message("/halt")["message"]}, {"update_id": 1, "channel_post": {}},
     {"update_id": 1, "inline_query": {"id": "1", "from": {"id": ANNA}}}],
)  # fmt: skip
def test_what_is_malformed_huge_nested_edited_or_inline_is_200_and_nothing(door: Door, update: Any) -> None:
    assert door(update) == 200
    assert door.queue.put_in == []


def test_a_body_in_base64_is_read(load: Load) -> None:
    door = Door(load)
    event = call(message("/status"))
    event |= {"body": b64encode(event["body"].encode()).decode(), "isBase64Encoded": True}
    assert door._handler(event, FakeLambdaContext()) == {"statusCode": 200}
    assert len(door.queue.put_in) == 1


def test_a_code_of_a_stranger_is_queued_and_nothing_else(door: Door) -> None:
    assert door(message(f"/start {CODE}", user=99)) == 200
    assert door(message(CODE, user=99, chat=GROUP)) == 200  # not in a group, where others read it
    assert [chat for _, chat, _ in door.queue.put_in] == [99]


# the worker


class Chat(ChatClient):
    """Keeps what is sent. fails: raised instead, once."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, str]] = []
        self.buttons: Sequence[Button] = ()
        self.edits: list[str] = []
        self.acknowledged: list[str] = []
        self.fails: MessengerError | None = None

    @override
    def read(self, body: str) -> IncomingUpdate | None:
        sender, update = update_from(body), parse_object(body)
        if sender is None:
            return None
        pressed = update.get("callback_query")
        found = update["message"] if pressed is None else pressed["message"]
        return IncomingUpdate(
            sender.update_id, sender.user, "A", sender.chat, sender.is_private,
            found.get("text", "") if pressed is None else pressed["data"], 1,
            press=None if pressed is None else pressed["id"], is_forwarded="forward_origin" in found,
        )  # fmt: skip

    def _failing(self) -> None:
        error, self.fails = self.fails, None
        if error is not None:
            raise error

    @override
    def send(self, to: IncomingUpdate, text: str, buttons: Sequence[Button]) -> None:
        self._failing()
        self.sent.append((to.chat, text))
        self.buttons = buttons

    @override
    def send_picture(self, to: IncomingUpdate, picture: bytes, caption: str) -> None:
        self.sent.append((to.chat, caption))

    @override
    def replace(self, to: IncomingUpdate, text: str, buttons: Sequence[Button]) -> None:
        self._failing()
        self.edits.append(text)
        self.buttons = buttons

    @override
    def acknowledge(self, to: IncomingUpdate) -> None:
        self.acknowledged.append(str(to.press))


class Finished:
    """In memory."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()

    def is_finished(self, update_id: int) -> bool:
        return update_id in self.numbers

    def finish(self, update_id: int, at: datetime) -> None:
        self.numbers.add(update_id)


class Worker:
    """The deployed worker over a real trading service."""

    def __init__(self, load: Load) -> None:
        self.world, self.chat, self.book = World(), Chat(), Book()
        pending = KeptCommands()

        def role_of(user: int) -> Role | None:
            found = self.book.people.get(user)
            return None if found is None else found.role

        def bot_for(_person: ChatPerson) -> Bot:
            waiting = Confirmations(role_of, lambda user: self.world.ledgers[user], pending, self.world.two_people.__contains__)
            return Bot(role_of, lambda user: self.world.ledgers[user], waiting)

        self.pauses: list[int] = []
        self.app = TelegramBot(bot_for, self.book, Finished(), lambda: self.chat, lambda _r, _q, wait: self.pauses.append(wait))
        self._handler = load("telegram_bot").make_handler(self.app)
        self._number = 100

    def handle(self, update: dict[str, Any], *, sent_at: datetime | None = None, received: int = 1) -> list[dict[str, str]]:
        sent = sent_at or datetime.now(UTC)
        record = {
            "messageId": "m", "receiptHandle": "r", "body": json.dumps(update), "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-central-1:1:updates.fifo", "awsRegion": "eu-central-1", "messageAttributes": {},
            "attributes": {"SentTimestamp": str(int(sent.timestamp() * 1000)), "MessageGroupId": "g",
                           "ApproximateReceiveCount": str(received), "SenderId": "x"},
        }  # fmt: skip
        failed: list[dict[str, str]] = self._handler({"Records": [record]}, FakeLambdaContext())["batchItemFailures"]
        return failed

    def type(self, text: str, **more: Any) -> list[dict[str, str]]:
        self._number += 1
        return self.handle(message(text, number=self._number, **more))

    def press(
        self, label: str, *, user: int = ANNA, chat: int | None = None, number: int | None = None, after: timedelta = timedelta()
    ) -> list[dict[str, str]]:
        self._number += 1
        data = next(one.data for one in self.chat.buttons if one.label == label)
        kept, where = self.chat.buttons, user if chat is None else chat
        update = {"update_id": number or self._number, "callback_query": {
            "id": f"q{self._number}", "from": {"id": user, "is_bot": False, "first_name": "A"}, "chat_instance": "1",
            "data": data,
            "message": {"message_id": 1, "date": 1, "chat": {"id": where, "type": "private" if where > 0 else "supergroup"}},
        }}  # fmt: skip
        failed = self.handle(update, sent_at=datetime.now(UTC) + after)
        self.chat.buttons = self.chat.buttons or kept
        return failed


@pytest.fixture
def worker(load: Load) -> Worker:
    return Worker(load)


def halted(worker: Worker) -> bool:
    return worker.world.ledgers[ANNA].account("paper-25k")["halt"] is not None


def test_a_command_is_answered_in_its_chat(worker: Worker) -> None:
    assert worker.type("/balance paper-25k") == []
    assert worker.type("/balance paper-25k", chat=GROUP) == []
    assert [chat for chat, _ in worker.chat.sent] == [ANNA, GROUP]
    assert worker.chat.sent[0][1].startswith("paper-25k (paper at")


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_a_halt_by_button_halts_once_however_often_it_is_delivered(worker: Worker) -> None:
    worker.type("/halt paper-25k news at two")
    worker.chat.fails = MessengerUnavailableError("lost")
    assert worker.press("Yes", number=900) == [{"itemIdentifier": "m"}]  # done, and its answer is lost
    assert halted(worker)
    assert worker.press("Yes", number=900) == []  # the same press again
    assert "Done" in worker.chat.edits[-1]
    assert worker.press("Yes", number=901) == []  # another press
    assert "used up or expired" in worker.chat.edits[-1]
    assert worker.chat.acknowledged == ["q102", "q103", "q104"]


@pytest.mark.parametrize("who", [{"user": BEN, "chat": GROUP}, {"user": ANNA, "chat": GROUP}])
def test_another_person_or_chat_cannot_press(worker: Worker, who: dict[str, int]) -> None:
    worker.type("/halt paper-25k news")
    worker.press("Yes", user=who["user"], chat=who["chat"])
    assert not halted(worker)
    assert worker.chat.edits == []  # the message with the button stays
    assert "another person's, or of another chat" in worker.chat.sent[-1][1]


def test_a_command_of_two_people_is_in_the_log_with_both(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    worker.type("/halt paper-25k news")
    worker.press("Yes")
    worker.world.grant(BEN, "paper-25k", Role.OPERATOR)
    worker.book.people[BEN] = ChatPerson(BEN, Role.OPERATOR, "Ben", START)
    worker.world.two_people.add("paper-25k")
    worker.type("/resume paper-25k looked at it", chat=GROUP)
    worker.press("Yes", chat=GROUP)
    assert halted(worker)
    worker.press("Approve", chat=GROUP)  # of the person who asked
    assert halted(worker)
    worker.press("Approve", user=BEN, chat=GROUP, number=950)
    assert not halted(worker)
    (row,) = [one for one in caplog.records if one.getMessage() == "command_approved"]
    assert (row.__dict__["asked_by"], row.__dict__["approved_by"], row.__dict__["kind"]) == (ANNA, BEN, "resume")
    assert row.__dict__["request_id"].endswith(f"-by-{BEN}")


def test_a_press_that_waited_in_the_queue_counts_from_when_it_was_pressed(worker: Worker) -> None:
    worker.type("/halt paper-25k news")
    worker.press("Yes", after=-timedelta(hours=1))  # waited in the queue: it was pressed in time
    assert halted(worker)


def test_who_was_removed_meanwhile_is_a_stranger(worker: Worker) -> None:
    worker.type("/halt paper-25k news")
    del worker.book.people[ANNA]
    assert worker.press("Yes") == []
    assert worker.type("/status") == []
    assert not halted(worker)
    assert len(worker.chat.sent) == 1


def test_a_forwarded_command_is_none(worker: Worker) -> None:
    worker.type("/halt paper-25k news", forward_origin={"type": "user"})
    worker.type("look at this", forward_origin={"type": "user"})
    assert [text for _, text in worker.chat.sent] == [WORDS.say("chat.forwarded")]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("/price DOGE-USD", "'DOGE-USD' is not understood"),
        ("/halt paper-25k " + "x" * 4081, "4097 characters; at most 4096"),
        ("/halt paper-25k \u202eswen", "Character 17 is invisible (U+202E)"),
        ("/halt paper\u200b-25k news", "Character 12 is invisible (U+200B)"),
        ("/blanace", "Did you mean /balance?"),
    ],
)
def test_bad_input_is_answered_in_words(worker: Worker, text: str, part: str) -> None:
    assert worker.type(text) == []
    assert part in worker.chat.sent[-1][1]


class Down(ServiceLedger):
    """The ledger is down."""

    @override
    def accounts(self) -> Sequence[ConfigurationDocument]:
        raise BotLedgerSilentError("The ledger does not answer. Try again in a minute; trading goes on by itself.")


def test_a_database_that_is_down_is_said(worker: Worker) -> None:
    worker.world.ledgers[ANNA] = Down(worker.world.app, ANNA)
    assert worker.type("/status") == []
    assert "The ledger does not answer" in worker.chat.sent[-1][1]


def test_a_revoked_token_loses_the_answer_and_alarms(worker: Worker, capsys: pytest.CaptureFixture[str]) -> None:
    worker.chat.fails = MessengerRefusedError("Unauthorized")
    assert worker.type("/status") == []  # it blocks nothing behind it
    assert counted(capsys.readouterr().out) == {Metric.ANSWERS_LOST: 1.0}


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_an_answer_that_could_not_be_sent_comes_again_and_a_finished_update_does_not(worker: Worker) -> None:
    update = message("/symbols", number=7)
    worker.chat.fails = MessengerUnavailableError("timeout")
    assert worker.handle(update) == [{"itemIdentifier": "m"}]
    assert worker.handle(update) == [] == worker.handle(update)
    assert len(worker.chat.sent) == 1


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize(
    ("error", "received", "pause"),
    [
        (MessengerUnavailableError("timeout"), 1, 1),
        (MessengerUnavailableError("timeout"), 3, 4),
        (MessengerUnavailableError("timeout"), 8, 60),
        (MessengerBusyError(7), 5, 7),
        (MessengerBusyError(900), 1, 60),
    ],
)
def test_who_waits_for_an_answer_does_not_wait_for_the_queues_timeout(
    worker: Worker, error: MessengerError, received: int, pause: int
) -> None:
    worker.chat.fails = error
    assert worker.handle(message("/symbols", number=7), received=received) == [{"itemIdentifier": "m"}]
    assert worker.pauses == [pause]
    assert worker.handle(message("/symbols", number=7), received=received + 1) == []
    assert (len(worker.chat.sent), worker.pauses) == (1, [pause])


def test_a_code_lets_a_stranger_in_once(worker: Worker) -> None:
    worker.type(f"/start {CODE}", user=99)
    assert worker.book.people[99].role is Role.OPERATOR
    assert "You are operator of this bot" in worker.chat.sent[-1][1]
    worker.type(CODE, user=98)
    assert 98 not in worker.book.people
    assert len(worker.chat.sent) == 1  # silence
    worker.type(CODE)
    assert worker.chat.sent[-1] == (ANNA, WORDS.say("chat.not_a_code"))


def test_what_is_no_update_is_refused_for_good(worker: Worker, capsys: pytest.CaptureFixture[str]) -> None:
    assert worker.handle({"update_id": "x"}) == []
    assert counted(capsys.readouterr().out) == {Metric.EVENTS_REFUSED: 1.0}
