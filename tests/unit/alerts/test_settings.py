from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.alerts.kinds import CRITICAL, AlertKind
from signalbox.alerts.settings import (
    ChatSettings,
    ChatSettingsError,
    Telling,
    parse_settings,
    read_settings,
    require_usable,
    settings_text,
)

NIGHT = {"start": "22:00", "end": "07:00"}
INSTANTS = st.integers(0, 730 * 1440).map(lambda minute: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minute))
TIMES = st.times().map(lambda t: t.replace(second=0, microsecond=0, fold=0).strftime("%H:%M"))
ZONES = st.sampled_from(["UTC", "Europe/Prague", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])


def test_what_is_not_set_is_told_with_sound_in_english() -> None:
    found = read_settings(None).of("1")
    assert found == ChatSettings()
    assert {found.telling(kind) for kind in AlertKind} == {Telling.ON}


def test_a_chat_has_its_own_settings_and_others_the_default_ones() -> None:
    book = read_settings({"default": {"language": "de"}, "-100": {"language": "cs", "zone": "Europe/Prague"}})
    assert book.problems == ()
    assert (book.of("-100").language, book.of("5").language) == ("cs", "de")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"zone": "Europe/Atlantis"}, "zone: .*expected a time zone such as Europe/Prague, got 'Europe/Atlantis'"),
        ({"zone": "../etc/passwd"}, "expected a time zone"),
        ({"language": "fr"}, "language: .*'en', 'de' or 'cs'"),
        ({"events": {"no_such": "on"}}, "events.no_such"),
        ({"events": {"signal": "loud"}}, "events.signal: .*'on', 'silent' or 'off'"),
        ({"events": {"exit_failed": "off"}}, "expected critical alerts to stay on, got another setting for exit_failed"),
        ({"events": {"rule_breached": "silent"}}, "rule_breached"),
        ({"minimum_tier": "LOW"}, "minimum_tier: .*'HIGH' or 'MEDIUM'"),
        ({"quiet": {"start": "22:00"}}, "quiet.end: Field required"),
        ({"quiet": {"start": "22:00", "end": "22:00"}}, "would delay everything"),
        ({"quiet": {"start": "22:00:30", "end": "07:00"}}, "without seconds"),
        ({"quiet": {"start": "25:00", "end": "07:00"}}, "quiet.start"),
        ({"fold_from": 1}, "fold_from"),
        ({"policy": "mine.1"}, "expected one of dir60-standard.1, got 'mine.1'"),
        ({"quite": NIGHT}, "quite: Extra inputs are not permitted"),
        ([], "chat 7"),
    ],
)
def test_a_mistake_is_named_and_never_silences_the_chat(raw: object, message: str) -> None:
    with pytest.raises(ChatSettingsError, match=message):
        parse_settings("7", raw)
    book = read_settings({"7": raw, "8": {"language": "de"}})
    assert len(book.problems) == 1
    assert book.of("7") == ChatSettings()
    assert book.of("8").language == "de"
    with pytest.raises(ChatSettingsError):
        require_usable({"7": raw})


@pytest.mark.parametrize("content", [[], "x", 3])
def test_settings_that_are_no_object_are_reported(content: object) -> None:
    assert len(read_settings(content).problems) == 1


@pytest.mark.parametrize(
    ("zone", "at", "released"),
    [
        ("UTC", "2024-03-01T21:59", "2024-03-01T21:59"),
        ("UTC", "2024-03-01T22:00", "2024-03-02T07:00"),
        ("UTC", "2024-03-02T06:59", "2024-03-02T07:00"),
        ("UTC", "2024-03-02T07:00", "2024-03-02T07:00"),
        ("Europe/Prague", "2024-03-01T21:30", "2024-03-02T06:00"),
        ("Europe/Prague", "2024-07-01T20:30", "2024-07-02T05:00"),
        ("Europe/Prague", "2024-03-30T23:00", "2024-03-31T05:00"),  # the night in which the clocks go forward
        ("Europe/Prague", "2024-10-26T21:00", "2024-10-27T06:00"),  # and back
    ],
)
def test_quiet_hours_are_those_of_the_chats_zone(zone: str, at: str, released: str) -> None:
    settings = parse_settings("1", {"zone": zone, "quiet": NIGHT})
    found = settings.released_at(datetime.fromisoformat(at).replace(tzinfo=UTC), AlertKind.SIGNAL)
    assert found == datetime.fromisoformat(released).replace(tzinfo=UTC)


@given(at=INSTANTS, start=TIMES, end=TIMES, zone=ZONES, kind=st.sampled_from(AlertKind))
def test_quiet_hours_delay_nothing_critical_and_release_the_rest_within_a_day(
    at: datetime, start: str, end: str, zone: str, kind: AlertKind
) -> None:
    if start == end:
        return
    settings = parse_settings("1", {"zone": zone, "quiet": {"start": start, "end": end}})
    released = settings.released_at(at, kind)
    assert at <= released <= at + timedelta(hours=25)
    if kind in CRITICAL:
        assert released == at
    elif released > at:
        local = released.astimezone(ZoneInfo(zone))
        assert local.strftime("%H:%M") == end or local.utcoffset() != at.astimezone(ZoneInfo(zone)).utcoffset()


@given(st.dictionaries(st.sampled_from(AlertKind), st.sampled_from(Telling)))
def test_critical_kinds_are_never_off_whatever_the_settings_say(events: dict[AlertKind, Telling]) -> None:
    book = read_settings({"1": {"events": {kind.value: telling.value for kind, telling in events.items()}}})
    assert {book.of("1").telling(kind) for kind in CRITICAL} == {Telling.ON}


def test_a_chat_is_shown_its_settings_in_words() -> None:
    raw = {
        "-5": {"language": "de", "zone": "Europe/Berlin", "minimum_tier": "HIGH", "quiet": {"start": "22:00", "end": "07:00"},
               "events": {"data_recovered": "off", "trade_opened": "silent"}},
        "7": {"language": "fr"},
    }  # fmt: skip
    book = read_settings(raw)
    shown = settings_text("-5", ("-5", "7"), book)
    assert "gets alerts in German, with times of Europe/Berlin" in shown
    assert "\nsilent: trade_opened\noff: data_recovered\n" in shown
    assert "signals of tier HIGH, levels by" in shown
    assert "quiet from 22:00 to 07:00" in shown
    assert "⚠️ The settings cannot be used: alerts of chat 7" in shown
    for kind in AlertKind:
        assert kind.value in shown
    assert settings_text("8", ("-5",), book) == "This chat (8) gets no alerts: it is not among the chats of the Telegram secret."
