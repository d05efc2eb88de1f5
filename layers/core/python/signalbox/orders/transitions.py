"""The state machine of an order, as one table. A transition that is not in the table is an error; unusual rows say why.

After an answer to a cancel or update, the state depends on the order's other facts. Such rows have the state RECOMPUTED, which
`derive_state` in signalbox.orders.order derives. docs/orders.md is generated from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final


class OrderState(StrEnum):
    """The state of an order."""

    INITIALIZED = "INITIALIZED"  # recorded, not checked yet
    DENIED = "DENIED"  # refused by the pre-trade checks
    RELEASED = "RELEASED"  # in the execution queue
    SUBMITTED = "SUBMITTED"  # sent; the venue has not answered
    ACCEPTED = "ACCEPTED"  # at the venue
    REJECTED = "REJECTED"  # refused by the venue
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    PENDING_UPDATE = "PENDING_UPDATE"  # a replace is pending
    PENDING_CANCEL = "PENDING_CANCEL"  # a cancel is pending
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"

    __hash__ = str.__hash__  # Enum's own hash is slower Python code, and every event looks up this table

    # Attributes of each member, set below: they are read several hundred times a step.
    is_closed: bool  # nothing more is expected; a late report may still be recorded
    may_be_at_venue: bool  # the venue may be working it, as far as we know


class Trigger(StrEnum):
    """What changes an order's state. A fill has two triggers: it completes the order, or it does not."""

    DENIED = "denied"
    RELEASED = "released"
    SUBMITTED = "submitted"
    UNCONFIRMED = "unconfirmed"
    LOST = "lost"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    FILLED_IN_PART = "filled in part"
    FILLED_IN_FULL = "filled in full"
    CANCEL_REQUESTED = "cancel requested"
    CANCEL_REJECTED = "cancel rejected"
    CANCELED = "canceled"
    EXPIRED = "expired"
    UPDATE_REQUESTED = "update requested"
    UPDATED = "updated"
    UPDATE_REJECTED = "update rejected"

    __hash__ = str.__hash__


class Derived(Enum):
    """A state that depends on the order's facts."""

    RECOMPUTED = "as it stands"


@dataclass(frozen=True, slots=True)
class Row:
    """One legal transition. `why` explains every transition that is not part of an order's usual course."""

    before: OrderState
    trigger: Trigger
    after: OrderState | Derived
    why: str | None = None


S, T, RECOMPUTED = OrderState, Trigger, Derived.RECOMPUTED
_CLOSED: Final = frozenset({S.DENIED, S.REJECTED, S.FILLED, S.CANCELED, S.EXPIRED})
_WORKING: Final = frozenset({S.RELEASED, S.SUBMITTED, S.ACCEPTED, S.PARTIALLY_FILLED, S.PENDING_UPDATE, S.PENDING_CANCEL})
for _state in OrderState:
    _state.is_closed, _state.may_be_at_venue = _state in _CLOSED, _state in _WORKING


def _stay(trigger: Trigger, why: str, *states: OrderState) -> tuple[Row, ...]:
    """Return rows that record a report and keep the state."""
    return tuple(Row(state, trigger, state, why) for state in states)


_QUEUE: Final = (
    Row(S.INITIALIZED, T.DENIED, S.DENIED),
    Row(S.INITIALIZED, T.RELEASED, S.RELEASED),
    Row(S.RELEASED, T.DENIED, S.DENIED, "a halt was set between release and send"),
    Row(S.RELEASED, T.EXPIRED, S.EXPIRED, "the order waited past send_before, so it will not be sent"),
    Row(S.RELEASED, T.SUBMITTED, S.SUBMITTED),
    Row(S.RELEASED, T.UNCONFIRMED, S.SUBMITTED, "the report of the send was lost; only the timeout arrived"),
    Row(S.RELEASED, T.ACCEPTED, S.ACCEPTED, "the report of the send was lost or overtaken"),
    Row(S.RELEASED, T.REJECTED, S.REJECTED, "the report of the send was lost or overtaken"),
    Row(S.RELEASED, T.FILLED_IN_PART, S.PARTIALLY_FILLED, "the reports of send and acceptance were lost or overtaken"),
    Row(S.RELEASED, T.FILLED_IN_FULL, S.FILLED, "the reports of send and acceptance were lost or overtaken"),
    Row(S.RELEASED, T.CANCELED, S.CANCELED, "an immediate order ended before the report of its send arrived"),
    Row(S.RELEASED, T.CANCEL_REQUESTED, S.PENDING_CANCEL, "the cancel follows the order through the same queue"),
)
_SENT: Final = (
    Row(S.SUBMITTED, T.ACCEPTED, S.ACCEPTED),
    Row(S.SUBMITTED, T.REJECTED, S.REJECTED),
    Row(S.SUBMITTED, T.UNCONFIRMED, S.SUBMITTED, "unknown is not failed: the order stays pending until the venue is asked"),
    Row(S.SUBMITTED, T.LOST, S.CANCELED, "the venue does not know the order after the settling time; a late fill stays legal"),
    Row(S.SUBMITTED, T.FILLED_IN_PART, S.PARTIALLY_FILLED, "the fill overtook the acceptance"),
    Row(S.SUBMITTED, T.FILLED_IN_FULL, S.FILLED, "the fill overtook the acceptance"),
    Row(S.SUBMITTED, T.CANCELED, S.CANCELED, "an immediate order found nothing; its end overtook the acceptance"),
    Row(S.SUBMITTED, T.EXPIRED, S.EXPIRED, "the end overtook the acceptance"),
    Row(S.SUBMITTED, T.CANCEL_REQUESTED, S.PENDING_CANCEL, "a cancel uses our id, so it need not wait for the acceptance"),
)
_AT_VENUE: Final = (
    Row(S.ACCEPTED, T.FILLED_IN_PART, S.PARTIALLY_FILLED),
    Row(S.ACCEPTED, T.FILLED_IN_FULL, S.FILLED),
    Row(S.ACCEPTED, T.CANCEL_REQUESTED, S.PENDING_CANCEL),
    Row(S.ACCEPTED, T.UPDATE_REQUESTED, S.PENDING_UPDATE),
    Row(S.ACCEPTED, T.CANCELED, S.CANCELED),
    Row(S.ACCEPTED, T.EXPIRED, S.EXPIRED),
    Row(S.ACCEPTED, T.REJECTED, S.REJECTED, "some venues accept first and reject later (margin, post-only)"),
    Row(S.PARTIALLY_FILLED, T.FILLED_IN_PART, S.PARTIALLY_FILLED),
    Row(S.PARTIALLY_FILLED, T.FILLED_IN_FULL, S.FILLED),
    Row(S.PARTIALLY_FILLED, T.CANCEL_REQUESTED, S.PENDING_CANCEL),
    Row(S.PARTIALLY_FILLED, T.UPDATE_REQUESTED, S.PENDING_UPDATE),
    Row(S.PARTIALLY_FILLED, T.CANCELED, S.CANCELED),
    Row(S.PARTIALLY_FILLED, T.EXPIRED, S.EXPIRED),
)
_LATE_UPDATE: Final = "a late answer to an update that a view had not shown: the update's terms are in force"
_UPDATING: Final = (
    Row(S.ACCEPTED, T.UPDATED, RECOMPUTED, _LATE_UPDATE),
    Row(S.PARTIALLY_FILLED, T.UPDATED, RECOMPUTED, _LATE_UPDATE),
    Row(S.PENDING_UPDATE, T.UPDATED, RECOMPUTED, "the new quantity may equal the filled quantity"),
    Row(S.PENDING_UPDATE, T.UPDATE_REJECTED, RECOMPUTED, "back to the previous state, or FILLED if the old quantity is filled"),
    Row(S.PENDING_UPDATE, T.FILLED_IN_PART, S.PENDING_UPDATE, "the fill says nothing about the update"),
    Row(S.PENDING_UPDATE, T.FILLED_IN_FULL, S.FILLED, "filled up to the larger of both quantities: nothing is left to update"),
    Row(S.PENDING_UPDATE, T.CANCEL_REQUESTED, S.PENDING_CANCEL, "reducing risk never waits for an update"),
    Row(S.PENDING_UPDATE, T.CANCELED, S.CANCELED, "the order ended before the update reached it"),
    Row(S.PENDING_UPDATE, T.EXPIRED, S.EXPIRED, "the order ended before the update reached it"),
    Row(S.PENDING_UPDATE, T.UNCONFIRMED, S.PENDING_UPDATE, "the update got no answer: the venue is asked again"),
)
_CANCELING: Final = (
    Row(S.PENDING_CANCEL, T.CANCELED, S.CANCELED),
    Row(S.PENDING_CANCEL, T.CANCEL_REJECTED, RECOMPUTED, "back to the state before the cancel"),
    Row(S.PENDING_CANCEL, T.FILLED_IN_PART, S.PENDING_CANCEL, "the fill crossed our cancel; the rest is still being cancelled"),
    Row(S.PENDING_CANCEL, T.FILLED_IN_FULL, S.FILLED, "the fill crossed our cancel"),
    Row(S.PENDING_CANCEL, T.EXPIRED, S.EXPIRED, "the order ended before the cancel reached it"),
    Row(S.PENDING_CANCEL, T.UNCONFIRMED, S.PENDING_CANCEL, "the cancel got no answer: the order may still be open"),
    Row(S.PENDING_CANCEL, T.DENIED, S.DENIED, "cancelled in the queue, and a halt kept the order from being sent"),
    Row(S.PENDING_CANCEL, T.SUBMITTED, S.PENDING_CANCEL, "cancelled in the queue: the send comes first, then the cancel"),
    Row(S.PENDING_CANCEL, T.ACCEPTED, S.PENDING_CANCEL, "the order was accepted after its cancel was requested"),
    Row(S.PENDING_CANCEL, T.REJECTED, S.REJECTED, "the order was rejected, so there is nothing to cancel"),
    Row(S.PENDING_CANCEL, T.LOST, S.CANCELED, "the order never reached the venue"),
    Row(S.PENDING_CANCEL, T.UPDATED, RECOMPUTED, "the venue carried out an update before the cancel"),
    Row(S.PENDING_CANCEL, T.UPDATE_REJECTED, RECOMPUTED, "the venue refused an update before the cancel"),
)
_LATE: Final = (
    *(
        Row(s, T.FILLED_IN_PART, s, "a late fill that crossed the end on the wire; recorded")
        for s in (S.REJECTED, S.CANCELED, S.EXPIRED)
    ),
    *(Row(s, T.FILLED_IN_FULL, S.FILLED, "a late fill that completes the order") for s in (S.REJECTED, S.CANCELED, S.EXPIRED)),
    Row(S.FILLED, T.FILLED_IN_FULL, S.FILLED, "an overfill: the venue filled more than was ordered; recorded"),
    *_stay(T.SUBMITTED, "the venue's answer overtook the report of the send", S.ACCEPTED, S.PARTIALLY_FILLED, S.PENDING_UPDATE),
    *_stay(T.SUBMITTED, "the end overtook the report of the send", S.REJECTED, S.FILLED, S.CANCELED, S.EXPIRED),
    *_stay(
        T.ACCEPTED,
        "later events overtook the acceptance; the venue id is recorded",
        S.PARTIALLY_FILLED,
        S.FILLED,
        S.CANCELED,
        S.EXPIRED,
    ),
    *_stay(T.UNCONFIRMED, "the answer arrived on another channel before the timeout", S.ACCEPTED, S.PARTIALLY_FILLED),
    *_stay(T.UNCONFIRMED, "the order ended before the timeout was reported", S.REJECTED, S.FILLED, S.CANCELED, S.EXPIRED),
    *_stay(
        T.CANCEL_REJECTED, "the order ended before the cancel reached it", S.DENIED, S.REJECTED, S.FILLED, S.CANCELED, S.EXPIRED
    ),
    *_stay(T.UPDATE_REJECTED, "the order ended before the update reached it", S.REJECTED, S.FILLED, S.CANCELED, S.EXPIRED),
    *_stay(T.CANCELED, "the order had ended already when a stray copy was cancelled", S.FILLED, S.EXPIRED, S.REJECTED),
    *_stay(T.UPDATED, "the update and the end crossed; the new terms are recorded", S.FILLED, S.CANCELED, S.EXPIRED),
)
ROWS: Final = (*_QUEUE, *_SENT, *_AT_VENUE, *_UPDATING, *_CANCELING, *_LATE)
TRANSITIONS: Final[Mapping[tuple[OrderState, Trigger], Row]] = {(row.before, row.trigger): row for row in ROWS}
