"""send_alerts over memory twins: at most one message per event and chat, nothing lost, nothing critical delayed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.alerts.delivery import EMAIL, LEASE, Delivery, Move
from signalbox.alerts.kinds import LIFETIME
from signalbox.application.chat_deliveries import DeliveryResult, DeliveryState
from signalbox.application.send_alerts import SendAlerts
from signalbox.chat.messenger import (
    ChatMovedError,
    MessengerBusyError,
    MessengerRefusedError,
    MessengerUnavailableError,
    MessengerUnconfirmedError,
)
from signalbox.events import AlertUndeliverable, MarketDataRecovered, MarketDataStale, SignalGenerated, SignalResolved
from signalbox.orders.terms import Side
from signalbox.trading.events import OrderRefused, RuleBreached
from tests.builders import NOON, minutes
from tests.fakes.memory_alerts import (
    Clock,
    MemoryChatMoves,
    MemoryChats,
    MemoryDeliveryLog,
    MemoryMailer,
    MemoryQueue,
    PlainPainter,
    ScriptedMessenger,
)
from tests.unit.alerts.facts import signal

BREACH = RuleBreached(account="a", rule="max_loss", at=NOON, limit=Decimal(90000), equity=Decimal(89000))


def refusal(number: int, at: datetime = NOON) -> OrderRefused:
    said = f"number {number}."
    return OrderRefused(
        account="a", client_order_id=f"{number:032x}", symbol="BTC-USD", side=Side.BUY, at=at, code="X", message=said
    )


class Room:
    """send_alerts, and a queue that gives deliveries back until they are done."""

    def __init__(self, *ids: str, content: object = None) -> None:
        self.bot, self.mailer, self.painter = ScriptedMessenger(), MemoryMailer(), PlainPainter()
        self.log, self.moves, self.queue, self.clock = MemoryDeliveryLog(), MemoryChatMoves(), MemoryQueue(), Clock(NOON)
        self.chats = MemoryChats(ids or ("1",), content, self.bot)
        self.moved: list[Move] = []
        self.app = SendAlerts(
            log=self.log,
            moves=self.moves,
            bus=self.queue,
            queue=self.queue,
            chats=self.chats,
            painter=self.painter,
            mailer=self.mailer,
            retry_in=lambda *_: None,
            clock=self.clock,
        )

    def tell(self, *events: Any) -> list[Delivery]:
        """Fan the events out and return what was queued."""
        before = len(self.queue.deliveries)
        for event in events:
            self.app.fan_out(event)
        return self.queue.deliveries[before:]

    def deliver(self, *batch: Delivery) -> list[DeliveryResult]:
        return self.app.deliver(batch, self.moved.append)

    def states(self, *batch: Delivery) -> list[str]:
        return [one.state.value for one in self.deliver(*batch)]

    def run(self, batch: list[Delivery], tries: int = 40) -> None:
        """Deliver until nothing comes again, with what the deliveries themselves queue; time passes as they ask."""
        waiting = list(batch)
        for _ in range(tries):
            if not waiting:
                return
            before = len(self.queue.deliveries)
            results = self.deliver(*waiting[:10])
            waits = [one.seconds or 5 for one in results if one.comes_again]
            again = [one for one, result in zip(waiting, results, strict=False) if result.comes_again]
            waiting = [*again, *waiting[10:], *self.queue.deliveries[before:]]
            self.clock.forward(timedelta(seconds=min(waits, default=0)))
        assert waiting == [], "expected every delivery to end"


def test_a_signal_is_a_photo_with_its_facts_and_its_outcome_a_reply_to_it() -> None:
    room = Room()
    said = signal()
    room.run(room.tell(said))
    (_, message), *others = room.bot.arrived
    assert others == []
    assert message.photo is not None
    for part in ("BUY BTC-USD", "61.0%", "HIGH", "Stop", "Expires", "starter"):
        assert part in message.text.text
    room.clock.forward(timedelta(hours=1))
    room.run(
        room.tell(
            SignalResolved(
                symbol=said.symbol, decided_at=said.decided_at, deployment=said.deployment, stage="shadow", direction="BUY",
                tier="HIGH", horizon_minutes=60, price=said.price, close=said.price + 620, right=True,
            )
        )
    )  # fmt: skip
    _, (_, outcome) = room.bot.arrived
    assert outcome.reply_to == 1
    assert "BUY BTC-USD was right: +1.00% in 60 minutes" in outcome.text.text


@pytest.mark.parametrize("error", [RuntimeError("fonts"), MemoryError(), ValueError("no candles")])
def test_where_the_chart_fails_the_text_goes_out_and_says_so(error: Exception) -> None:
    room = Room()
    room.painter.error = error
    (result,) = room.deliver(*room.tell(signal()))
    assert (result.state, result.chart_missing) == (DeliveryState.SENT, True)
    ((_, message),) = room.bot.arrived
    assert message.photo is None
    assert message.text.text.endswith("No chart: it could not be drawn.")


def test_without_candles_the_text_says_what_is_missing() -> None:
    room = Room()
    room.run(room.tell(signal(recent=None)))
    ((_, message),) = room.bot.arrived
    assert message.photo is None
    assert "No chart: the signal came without candles." in message.text.text
    assert "Stop and target are unknown" in message.text.text


def test_a_photo_that_the_messenger_refuses_goes_out_as_text() -> None:
    room = Room()
    room.bot.faults["1"] = [MessengerRefusedError("HTTP 400: PHOTO_INVALID_DIMENSIONS")]
    assert room.states(*room.tell(signal())) == ["SENT"]
    ((_, message),) = room.bot.arrived
    assert message.photo is None
    assert "No chart" in message.text.text


def test_an_event_that_comes_again_is_one_message() -> None:
    room = Room("1", "2")
    first, again = room.tell(BREACH), room.tell(BREACH)
    room.run([*first, *first, *again])
    room.run(again)
    assert [len(room.bot.texts(chat)) for chat in ("1", "2")] == [1, 1]
    assert len(room.mailer.mails) == 1


def test_a_message_without_an_answer_is_never_sent_again_but_by_e_mail() -> None:
    room = Room()
    room.bot.lost_answers["1"] = [MessengerUnconfirmedError("no answer: ReadTimeoutError")]
    batch = room.tell(refusal(1))
    room.run(batch)
    room.clock.forward(timedelta(hours=1))
    room.run(batch)
    assert len(room.bot.texts("1")) == 1
    assert [type(one) for one in room.queue.announced] == [AlertUndeliverable, AlertUndeliverable]
    assert len({one.event_id for one in room.queue.announced}) == 1
    assert ["number 1." in text and "unknown" in text for _, text in room.mailer.mails] == [True]


def test_a_message_whose_sender_died_is_never_sent_again_but_by_e_mail() -> None:
    room = Room()

    def die(_chat: str) -> None:
        raise KeyboardInterrupt

    room.bot.on_send = die
    batch = room.tell(refusal(1))
    with pytest.raises(KeyboardInterrupt):
        room.deliver(*batch)
    room.bot.on_send = lambda _: None
    assert room.states(*batch) == ["POSTPONED"]  # its sender may be at work still
    room.clock.forward(LEASE)
    assert room.states(*batch) == ["UNDELIVERABLE"]
    assert room.bot.arrived == []
    room.run(room.queue.deliveries[1:])
    assert len(room.mailer.mails) == 1


def test_an_outage_is_retried_until_the_alert_expires_and_then_sent_by_e_mail() -> None:
    room = Room()
    room.bot.faults["1"] = [MessengerUnavailableError("no connection") for _ in range(3)]
    (delivery,) = room.tell(refusal(1))
    for _ in range(3):
        assert room.states(delivery) == ["POSTPONED"]
        room.clock.forward(timedelta(minutes=30))
    room.clock.forward(LIFETIME)
    assert room.states(delivery) == ["UNDELIVERABLE"]
    room.run(room.queue.deliveries[1:])
    assert room.bot.arrived == []
    assert len(room.mailer.mails) == 1


def test_a_pause_beyond_the_expiry_is_not_waited_for() -> None:
    room = Room()
    room.bot.faults["1"] = [MessengerBusyError(3 * 3600)]
    assert room.states(*room.tell(refusal(1))) == ["UNDELIVERABLE"]


def test_an_expired_alert_that_was_sent_before_is_a_duplicate() -> None:
    room = Room()
    batch = room.tell(refusal(1))
    room.run(batch)
    room.clock.forward(LIFETIME)
    assert room.states(*batch) == ["DUPLICATE"]
    assert room.mailer.mails == []


def test_the_pause_of_one_chat_delays_no_other_of_the_batch() -> None:
    room = Room("1", "2")
    room.bot.faults["1"] = [MessengerBusyError(900)]
    results = room.deliver(*room.tell(refusal(1)))
    assert [(one.state.value, one.seconds) for one in results] == [("POSTPONED", 900), ("SENT", None)]


def test_a_chat_that_fails_in_any_way_leaves_the_others_of_the_batch_alone() -> None:
    room = Room("1", "2")
    room.bot.faults["1"] = [RuntimeError("a bug")]
    assert room.states(*room.tell(refusal(1))) == ["POSTPONED", "SENT"]


def test_what_is_critical_goes_by_e_mail_though_the_secret_cannot_be_read() -> None:
    room = Room()
    room.chats.broken = RuntimeError("the secret")
    with pytest.raises(RuntimeError, match="the secret"):
        room.app.fan_out(BREACH)
    room.run(room.queue.deliveries)
    assert ["total loss rule is broken" in subject for subject, _ in room.mailer.mails] == [True]


def test_an_e_mail_that_fails_comes_again_and_is_sent_once() -> None:
    room = Room()
    room.mailer.errors = [ConnectionError("sns")]
    batch = [one for one in room.tell(BREACH) if one.chat_id == EMAIL]
    assert room.states(*batch) == ["POSTPONED"]
    assert room.states(*batch) == ["SENT"]
    assert room.states(*batch) == ["DUPLICATE"]
    assert len(room.mailer.mails) == 1


def test_no_chat_is_told_by_e_mail() -> None:
    room = Room()
    room.chats.ids = ()
    found = room.app.fan_out(refusal(1))
    assert found.undeliverable is not None
    room.run(room.queue.deliveries)
    assert len(room.mailer.mails) == 1


def test_a_refusal_is_final_told_and_mailed_and_blocks_nothing() -> None:
    room = Room()
    room.bot.faults["1"] = [MessengerRefusedError("HTTP 403: bot was blocked")]
    assert room.states(*room.tell(refusal(1), refusal(2))) == ["UNDELIVERABLE", "SENT"]
    room.run(room.queue.deliveries[2:])
    assert ["blocked" in text for _, text in room.mailer.mails] == [True]


def test_a_moved_chat_is_followed_remembered_and_told() -> None:
    room = Room("-5")
    room.bot.faults["-5"] = [ChatMovedError("-1005")]
    room.run(room.tell(refusal(1), refusal(2)))
    assert (len(room.bot.texts("-1005")), room.moved) == (2, [Move("-5", "-1005")])
    room.run(room.tell(refusal(3)))
    assert len(room.bot.texts("-1005")) == 3


def test_settings_switch_off_silence_and_choose_the_tier() -> None:
    content = {"1": {"events": {"data_stale": "off", "order_refused": "silent"}, "minimum_tier": "HIGH"}}
    room = Room("1", "2", content=content)
    stale = MarketDataStale(symbol="SOL-USD", since=NOON, reason="NO_CANDLES", newest_close=None)
    assert [one.chat_id for one in room.tell(stale)] == ["2"]
    assert [one.chat_id for one in room.tell(signal(tier="MEDIUM"))] == ["2"]
    assert [one.chat_id for one in room.tell(signal())] == ["1", "2"]
    room.run(room.tell(refusal(1)))
    assert {chat: message.silent for chat, message in room.bot.arrived} == {"1": True, "2": False}


def test_wrong_settings_are_reported_and_silence_nothing() -> None:
    room = Room(content={"1": {"events": {"signal": "never"}}})
    found = room.app.fan_out(signal())
    assert (found.queued, len(found.problems)) == (1, 1)


def test_a_burst_comes_in_one_message_in_order() -> None:
    room = Room()
    assert room.states(*room.tell(*[refusal(n) for n in range(5)])) == ["SENT"] * 5
    (text,) = room.bot.texts("1")
    assert text.startswith("📚 5 messages in one")
    assert [text.index(f"number {n}.") for n in range(5)] == sorted(text.index(f"number {n}.") for n in range(5))


def test_a_burst_that_fits_no_message_comes_in_several_and_each_says_how_many_it_has() -> None:
    room = Room()
    said = [refusal(n).model_copy(update={"message": f"number {n}." + "x" * 1200}) for n in range(5)]
    assert room.states(*room.tell(*said)) == ["SENT"] * 5
    assert [text.partition("\n")[0] for text in room.bot.texts("1")] == ["📚 3 messages in one", "📚 2 messages in one"]


def test_quiet_hours_hold_back_what_can_wait_and_nothing_else() -> None:
    room = Room(content={"1": {"quiet": {"start": "11:00", "end": "13:30"}, "zone": "UTC"}})
    held = room.tell(refusal(1), refusal(2), refusal(3))
    assert [(one.state.value, one.seconds) for one in room.deliver(*held)] == [("HELD", 5400)] * 3
    urgent = [one for one in room.tell(BREACH) if one.chat_id == "1"]
    assert {one.group for one in held} != {one.group for one in urgent}
    assert room.states(*urgent) == ["SENT"]
    room.clock.forward(timedelta(seconds=5400))
    assert room.states(*held) == ["SENT"] * 3
    assert len(room.bot.texts("1")) == 2  # the breach, and the others in one


def test_an_outage_replies_with_its_end() -> None:
    room = Room()
    room.run(room.tell(MarketDataStale(symbol="SOL-USD", since=NOON, reason="NO_CANDLES", newest_close=None)))
    room.run(room.tell(MarketDataRecovered(symbol="SOL-USD", at=NOON + minutes(15), stale_since=NOON)))
    assert [message.reply_to for _, message in room.bot.arrived] == [None, 1]


def test_a_text_longer_than_a_message_comes_in_parts_and_is_taken_up_where_it_failed() -> None:
    room = Room()
    long = refusal(1).model_copy(update={"message": "\n".join(f"line {n} " + "x" * 90 for n in range(100))})
    batch = room.tell(long)

    def fail_second(_chat: str) -> None:
        if len(room.bot.arrived) == 1:
            room.bot.on_send = lambda _: None
            raise MessengerUnavailableError("no connection")

    room.bot.on_send = fail_second
    assert room.states(*batch) == ["POSTPONED"]
    assert room.states(*batch) == ["SENT"]
    texts = room.bot.texts("1")
    assert [text.count(f"line {n} ") for n in range(100) for text in ["\n".join(texts)]] == [1] * 100
    assert room.states(*batch) == ["DUPLICATE"]


FAULTS: list[Callable[[], Exception]] = [
    lambda: MessengerUnavailableError("no connection"),
    lambda: MessengerBusyError(30),
    lambda: MessengerUnconfirmedError("timeout"),
    lambda: MessengerRefusedError("HTTP 403"),
    lambda: RuntimeError("a bug"),
]


@given(
    order=st.lists(st.integers(0, 7), min_size=1, max_size=30),
    faults=st.lists(st.one_of(st.none(), st.sampled_from(FAULTS)), max_size=12),
    lost=st.lists(st.booleans(), max_size=6),
    fold_from=st.integers(2, 6),
)
def test_whatever_is_redelivered_an_alert_arrives_at_most_once_and_none_is_lost(
    order: list[int], faults: list[Callable[[], Exception] | None], lost: list[bool], fold_from: int
) -> None:
    room = Room(content={"1": {"fold_from": fold_from}})
    queued = room.tell(*[refusal(n) for n in order])  # the same event again is the same alert
    script = [None if make is None else make() for make in faults]
    hidden = [MessengerUnconfirmedError("no answer") if one else None for one in lost]

    def next_fault(chat: str) -> None:
        if script and (error := script.pop(0)) is not None:
            raise error
        if hidden and (error := hidden.pop(0)) is not None:
            room.bot.lost_answers[chat] = [error]

    room.bot.on_send = next_fault
    room.run(queued, tries=200)
    room.run(queued, tries=200)  # all of it once more
    arrived = "\n".join(room.bot.texts("1"))
    mailed = "\n".join(text for _, text in room.mailer.mails)
    for n in set(order):
        assert arrived.count(f"number {n}.") <= 1
        assert arrived.count(f"number {n}.") + mailed.count(f"number {n}.") >= 1


@given(
    minute=st.integers(0, 1439),
    start=st.integers(0, 1439),
    length=st.integers(1, 1438),
    critical=st.lists(st.booleans(), min_size=1, max_size=8),
)
def test_quiet_hours_delay_nothing_critical_and_lose_nothing(minute: int, start: int, length: int, critical: list[bool]) -> None:
    def clock(of_day: int) -> str:
        return f"{of_day // 60 % 24:02}:{of_day % 60:02}"

    room = Room(content={"1": {"quiet": {"start": clock(start), "end": clock(start + length)}}})
    room.clock.now = NOON.replace(hour=0) + timedelta(minutes=minute)
    events = [
        BREACH.model_copy(update={"account": f"acc{n}", "at": room.clock.now}) if one else refusal(n, room.clock.now)
        for n, one in enumerate(critical)
    ]
    queued = [one for one in room.tell(*events) if one.chat_id == "1"]
    urgent = [one for one in queued if one.is_critical]
    assert not urgent or {one.state for one in room.deliver(*urgent)} == {DeliveryState.SENT}
    room.run([one for one in queued if not one.is_critical])
    arrived = "\n".join(room.bot.texts("1"))
    for n, one in enumerate(critical):
        assert arrived.count(f"acc{n}:" if one else f"number {n}.") == 1


def test_signals_are_told_only_as_issued_and_in_time() -> None:
    room = Room()
    for quiet in (signal(direction="HOLD", issued=False, tier="LOW"), signal(late=True), signal(issued=False, held_back="RATE")):
        assert isinstance(quiet, SignalGenerated)
        assert room.tell(quiet) == []
