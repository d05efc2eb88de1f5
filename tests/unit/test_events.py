"""The name of an event begins with its type, so that no type can take a name of another."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import signalbox.library.events
import signalbox.orders.messages
import signalbox.trading.events  # noqa: F401 - each declares its own
from signalbox.contracts import EventType
from signalbox.events import _BY_TYPE, BusEvent
from tests.fuzz_wire import samples

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SAMPLES = {event.type: event for event in samples()}


def event_of(kind: EventType, text: str) -> BusEvent:
    """An event of a type: a sample of what has parts, else one whose every text is `text`."""
    if kind in SAMPLES:
        return SAMPLES[kind]
    fields = _BY_TYPE[kind].model_fields.items()
    values: dict[str, Any] = {n: NOW if "datetime" in str(f.annotation).lower() else text for n, f in fields}
    return _BY_TYPE[kind].model_construct(**values)


@pytest.mark.parametrize("kind", EventType)
@given(text=st.text(max_size=9) | st.sampled_from([f"{other}:a" for other in EventType]))
def test_the_name_of_every_event_begins_with_its_type(kind: EventType, text: str) -> None:
    assert event_of(kind, text).event_id.startswith(f"{kind.value}:")


def test_every_type_has_its_class_and_none_is_the_beginning_of_another_ones_names() -> None:
    assert set(_BY_TYPE) == {kind.value for kind in EventType}
    assert not any(":" in kind.value for kind in EventType)
