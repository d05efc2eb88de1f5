from decimal import Decimal
from typing import Any

import pytest

from signalbox.chat.alerts import Alert, render_alert
from signalbox.chat.messenger import (
    ChatMovedError,
    Delivery,
    DeliveryReport,
    MessengerBusyError,
    MessengerRefusedError,
    MessengerUnavailableError,
    Move,
    deliver,
    deliveries_of,
    undelivered,
)
from signalbox.events import (
    AlertUndeliverable,
    MarketDataRecovered,
    MarketDataStale,
    ModelRefused,
    SignalGenerated,
    parse_event,
)
from tests.builders import NOON, event, minutes


def signal(**changes: object) -> SignalGenerated:
    facts: dict[str, object] = {
        "symbol": "BTC-USD", "decided_at": NOON, "deployment": "starter", "stage": "shadow", "direction": "BUY", "tier": "HIGH",
        "issued": True, "late": False, "probability_up": 0.61, "confidence": 0.61, "price": Decimal("62000.50"),
        "horizon_minutes": 60, "schema_name": "v31", "schema_hash": "abc",
    }  # fmt: skip
    return SignalGenerated(**{**facts, **changes})


def test_a_shadow_signal_says_so_and_names_side_price_confidence_horizon_and_time() -> None:
    alert = render_alert(signal())
    assert alert is not None
    for part in ("BUY BTC-USD", "62,000.5", "61.0%", "60 minutes", "HIGH", "2024-03-01 12:00 UTC", "SHADOW"):
        assert part in alert.text


def test_a_signal_on_prices_of_a_fallback_venue_says_so() -> None:
    alert, usual = render_alert(signal(market="kraken")), render_alert(signal())
    assert alert is not None
    assert usual is not None
    assert "Prices of kraken: the usual venue does not answer." in alert.text
    assert "Prices of" not in usual.text


def test_an_active_signal_has_no_shadow_badge() -> None:
    alert = render_alert(signal(stage="active"))
    assert alert is not None
    assert "SHADOW" not in alert.text


@pytest.mark.parametrize("changes", [{"direction": "HOLD", "issued": False, "tier": "LOW"}, {"late": True}])
def test_nobody_is_told_of_a_hold_or_of_a_late_signal(changes: dict[str, object]) -> None:
    assert render_alert(signal(**changes)) is None


def test_an_alert_carries_its_events_id() -> None:
    for reported in (
        signal(),
        MarketDataStale(symbol="SOL-USD", since=NOON, reason="NO_CANDLES", newest_close=None),
        MarketDataRecovered(symbol="SOL-USD", at=NOON + minutes(15), stale_since=NOON),
        ModelRefused(deployment="m2", cycle_at=NOON, reason="sha256", kept="m1"),
    ):
        alert = render_alert(reported)
        assert alert is not None
        assert alert.alert_id == reported.event_id
        assert parse_event(reported.type, reported.to_detail()) == reported


def test_an_outage_is_told_in_words_and_recovery_with_its_length() -> None:
    stale = render_alert(MarketDataStale(symbol="SOL-USD", since=NOON, reason="VENUE_TIMEOUT", newest_close=NOON - minutes(5)))
    assert stale is not None
    assert "did not answer in time" in stale.text
    assert "11:55 UTC" in stale.text
    recovered = render_alert(MarketDataRecovered(symbol="SOL-USD", at=NOON + minutes(15), stale_since=NOON))
    assert recovered is not None
    assert "15 minutes" in recovered.text


def test_candles_are_not_an_alert() -> None:
    assert render_alert(event()) is None


class FakeMessenger:
    def __init__(self, errors: dict[str, Exception] | None = None) -> None:
        self.sent: list[tuple[str, str]] = []
        self.errors = errors or {}

    def send(self, chat_id: str, text: str) -> None:
        if chat_id in self.errors:
            raise self.errors[chat_id]
        self.sent.append((chat_id, text))


class MemoryDeliveries:
    def __init__(self) -> None:
        self.done: set[tuple[str, str]] = set()

    def once(self, alert_id: str, chat_id: str, deliver: Any) -> bool:
        if (alert_id, chat_id) in self.done:
            return False
        deliver()
        self.done.add((alert_id, chat_id))
        return True


class MemoryMoves:
    def __init__(self) -> None:
        self.to: dict[str, str] = {}

    def newest(self, chat_id: str) -> str:
        return self.to.get(chat_id, chat_id)

    def remember(self, chat_id: str, new_id: str) -> None:
        self.to[chat_id] = new_id


class Bench:
    """Everything a delivery needs, and what was told."""

    def __init__(self, errors: dict[str, Exception] | None = None) -> None:
        self.messenger, self.log, self.moves = FakeMessenger(errors), MemoryDeliveries(), MemoryMoves()
        self.notified: list[Move] = []

    def deliver(self, chat: str, alert: str = "a") -> DeliveryReport:
        delivery = Delivery(alert_id=alert, chat_id=chat, text="hi")
        return deliver(delivery, messenger=self.messenger, log=self.log, moves=self.moves, on_move=self.notified.append)


def test_an_alert_is_one_delivery_a_chat_each_with_a_key_of_its_own() -> None:
    found = deliveries_of(Alert("a", "hi"), ["1", "2", "1"])
    assert [(d.alert_id, d.chat_id, d.text) for d in found] == [("a", "1", "hi"), ("a", "2", "hi")]
    assert len({d.key for d in (*found, *deliveries_of(Alert("b", "hi"), ["1"]))}) == 3
    assert [len(d.key) for d in found] == [64, 64]


def test_an_alert_without_a_chat_is_undeliverable_and_keeps_its_text() -> None:
    assert deliveries_of(Alert("a", "hi"), []) == ()
    assert undelivered(Alert("a", "hi"), "nobody") == AlertUndeliverable(
        alert_id="a", chat_id="(none)", reason="nobody", text="hi"
    )


def test_the_same_delivery_three_times_is_one_message() -> None:
    desk = Bench()
    assert [desk.deliver("1").is_duplicate for _ in range(3)] == [False, True, True]
    assert desk.messenger.sent == [("1", "hi")]


def test_a_chat_that_blocked_the_bot_is_final_and_the_text_is_kept() -> None:
    report = Bench({"1": MessengerRefusedError("HTTP 403: blocked")}).deliver("1")
    assert report.undeliverable == AlertUndeliverable(alert_id="a", chat_id="1", reason="HTTP 403: blocked", text="hi")


@pytest.mark.parametrize("error", [MessengerBusyError(3), MessengerUnavailableError("HTTP 500")])
def test_a_passing_failure_is_raised_and_the_next_try_sends(error: Exception) -> None:
    desk = Bench({"2": error})
    with pytest.raises(type(error)):
        desk.deliver("2")
    desk.messenger.errors.clear()
    assert not desk.deliver("2").is_duplicate
    assert desk.messenger.sent == [("2", "hi")]


def test_a_chat_that_moved_is_followed_at_once_remembered_and_told_once() -> None:
    desk = Bench({"-5": ChatMovedError("-1005")})
    assert desk.deliver("-5").undeliverable is None
    assert desk.deliver("-5", "b").undeliverable is None
    assert desk.deliver("-5").is_duplicate  # redelivered
    assert desk.messenger.sent == [("-1005", "hi"), ("-1005", "hi")]
    assert (desk.notified, desk.moves.to) == ([Move("-5", "-1005")], {"-5": "-1005"})


def test_a_chat_that_moved_and_is_busy_there_keeps_where_it_went() -> None:
    desk = Bench({"-5": ChatMovedError("-1005"), "-1005": MessengerBusyError(900)})
    with pytest.raises(MessengerBusyError):
        desk.deliver("-5")
    desk.messenger.errors = {"-5": MessengerRefusedError("must not be asked again")}
    assert desk.deliver("-5").undeliverable is None
    assert desk.notified == [Move("-5", "-1005")]


def test_chats_that_point_at_each_other_end() -> None:
    report = Bench({"1": ChatMovedError("2"), "2": ChatMovedError("1")}).deliver("1")
    assert report.undeliverable is not None
    assert "moved 3 times" in report.undeliverable.reason
