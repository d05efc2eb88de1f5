from decimal import Decimal

import pytest

from signalbox.chat.alerts import Alert, render_alert
from signalbox.chat.messenger import (
    MessengerBusyError,
    MessengerRefusedError,
    MessengerUnavailableError,
    deliver_alert,
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


def test_an_active_signal_has_no_shadow_badge() -> None:
    alert = render_alert(signal(stage="active"))
    assert alert is not None
    assert "SHADOW" not in alert.text


@pytest.mark.parametrize("changes", [{"direction": "HOLD", "issued": False, "tier": "LOW"}, {"late": True}])
def test_nobody_is_told_of_a_hold_or_of_a_late_signal(changes: dict[str, object]) -> None:
    assert render_alert(signal(**changes)) is None


def test_an_alert_carries_its_events_id() -> None:
    for told in (
        signal(),
        MarketDataStale(symbol="SOL-USD", since=NOON, reason="NO_CANDLES", newest_close=None),
        MarketDataRecovered(symbol="SOL-USD", at=NOON + minutes(15), stale_since=NOON),
        ModelRefused(deployment="m2", cycle_at=NOON, reason="sha256", kept="m1"),
    ):
        alert = render_alert(told)
        assert alert is not None
        assert alert.alert_id == told.event_id
        assert parse_event(told.type, told.to_detail()) == told


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

    def once(self, alert_id: str, chat_id: str, deliver) -> bool:
        if (alert_id, chat_id) in self.done:
            return False
        deliver()
        self.done.add((alert_id, chat_id))
        return True


def test_the_same_alert_three_times_is_one_message_a_chat() -> None:
    messenger, log = FakeMessenger(), MemoryDeliveries()
    reports = [deliver_alert(Alert("a", "hi"), ["1", "2"], messenger=messenger, log=log) for _ in range(3)]
    assert messenger.sent == [("1", "hi"), ("2", "hi")]
    assert [(r.sent, r.duplicates) for r in reports] == [(2, 0), (0, 2), (0, 2)]


def test_a_blocked_chat_does_not_keep_the_alert_from_the_others_and_the_text_is_kept() -> None:
    messenger = FakeMessenger({"1": MessengerRefusedError("HTTP 403: blocked")})
    report = deliver_alert(Alert("a", "hi"), ["1", "2"], messenger=messenger, log=MemoryDeliveries())
    assert messenger.sent == [("2", "hi")]
    assert report.undeliverable == (AlertUndeliverable(alert_id="a", chat_id="1", reason="HTTP 403: blocked", text="hi"),)


@pytest.mark.parametrize("error", [MessengerBusyError(3), MessengerUnavailableError("HTTP 500")])
def test_a_passing_failure_is_raised_and_the_next_try_sends_only_what_is_missing(error: Exception) -> None:
    messenger, log = FakeMessenger({"2": error}), MemoryDeliveries()
    with pytest.raises(type(error)):
        deliver_alert(Alert("a", "hi"), ["1", "2"], messenger=messenger, log=log)
    messenger.errors.clear()
    report = deliver_alert(Alert("a", "hi"), ["1", "2"], messenger=messenger, log=log)
    assert messenger.sent == [("1", "hi"), ("2", "hi")]
    assert (report.sent, report.duplicates) == (1, 1)
