"""The state machine of an order: one table. What is not in it is an error; an odd row says why it exists.

The answers to a cancel or an update cannot name the state after, for it depends on what else is known: they are STANDING,
the state that `derive_state` in signalbox.orders.order derives from the facts. docs/orders.md is generated from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final


class OrderState(StrEnum):
    """Where an order stands."""

    INITIALIZED = "INITIALIZED"  # written down, not judged
    DENIED = "DENIED"  # the interlocking refused
    RELEASED = "RELEASED"  # in the execution queue
    SUBMITTED = "SUBMITTED"  # sent; the venue has not answered
    ACCEPTED = "ACCEPTED"  # at the venue
    REJECTED = "REJECTED"  # refused by the venue
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    PENDING_UPDATE = "PENDING_UPDATE"  # a replace is on its way
    PENDING_CANCEL = "PENDING_CANCEL"  # a cancel is on its way
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"

    __hash__ = str.__hash__  # of an Enum it is a function of Python's, and the table is asked several times an order

    # Attributes of each member, set below: they are read several hundred times a step.
    is_closed: bool  # nothing more is expected; a late report may still be recorded
    may_be_at_venue: bool  # the venue may be working it, as far as we know


class Trigger(StrEnum):
    """What moves an order. A fill is one of two, by whether it completes the order."""

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
    """The state after a row that depends on the order's facts."""

    STANDING = "as it stands"


@dataclass(frozen=True, slots=True)
class Row:
    """One legal move; `why` is given wherever the move is not the plain course of an order."""

    before: OrderState
    trigger: Trigger
    after: OrderState | Derived
    why: str | None = None


S, T, STANDING = OrderState, Trigger, Derived.STANDING
_CLOSED: Final = frozenset({S.DENIED, S.REJECTED, S.FILLED, S.CANCELED, S.EXPIRED})
_WORKING: Final = frozenset({S.RELEASED, S.SUBMITTED, S.ACCEPTED, S.PARTIALLY_FILLED, S.PENDING_UPDATE, S.PENDING_CANCEL})
for _state in OrderState:
    _state.is_closed, _state.may_be_at_venue = _state in _CLOSED, _state in _WORKING


def _stay(trigger: Trigger, why: str, *states: OrderState) -> tuple[Row, ...]:
    """The report is recorded and the state stays."""
    return tuple(Row(state, trigger, state, why) for state in states)


_QUEUE: Final = (
    Row(S.INITIALIZED, T.DENIED, S.DENIED),
    Row(S.INITIALIZED, T.RELEASED, S.RELEASED),
    Row(S.RELEASED, T.DENIED, S.DENIED, "a halt was set between release and send"),
    Row(S.RELEASED, T.EXPIRED, S.EXPIRED, "it waited past send_before, so nobody will send it any more"),
    Row(S.RELEASED, T.SUBMITTED, S.SUBMITTED),
    Row(S.RELEASED, T.UNCONFIRMED, S.SUBMITTED, "the send began and its report was lost; only the timeout arrived"),
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
    Row(S.SUBMITTED, T.UNCONFIRMED, S.SUBMITTED, "unknown is not failed: it stays pending until the venue was asked"),
    Row(S.SUBMITTED, T.LOST, S.CANCELED, "the venue does not know it after the settling time; a late fill stays legal"),
    Row(S.SUBMITTED, T.FILLED_IN_PART, S.PARTIALLY_FILLED, "the fill overtook the acceptance"),
    Row(S.SUBMITTED, T.FILLED_IN_FULL, S.FILLED, "the fill overtook the acceptance"),
    Row(S.SUBMITTED, T.CANCELED, S.CANCELED, "an immediate order found nothing; its end overtook the acceptance"),
    Row(S.SUBMITTED, T.EXPIRED, S.EXPIRED, "its end overtook the acceptance"),
    Row(S.SUBMITTED, T.CANCEL_REQUESTED, S.PENDING_CANCEL, "a cancel names our id, so it need not wait for the acceptance"),
)
_AT_VENUE: Final = (
    Row(S.ACCEPTED, T.FILLED_IN_PART, S.PARTIALLY_FILLED),
    Row(S.ACCEPTED, T.FILLED_IN_FULL, S.FILLED),
    Row(S.ACCEPTED, T.CANCEL_REQUESTED, S.PENDING_CANCEL),
    Row(S.ACCEPTED, T.UPDATE_REQUESTED, S.PENDING_UPDATE),
    Row(S.ACCEPTED, T.CANCELED, S.CANCELED),
    Row(S.ACCEPTED, T.EXPIRED, S.EXPIRED),
    Row(S.ACCEPTED, T.REJECTED, S.REJECTED, "some venues accept first and refuse in matching (margin, post-only)"),
    Row(S.PARTIALLY_FILLED, T.FILLED_IN_PART, S.PARTIALLY_FILLED),
    Row(S.PARTIALLY_FILLED, T.FILLED_IN_FULL, S.FILLED),
    Row(S.PARTIALLY_FILLED, T.CANCEL_REQUESTED, S.PENDING_CANCEL),
    Row(S.PARTIALLY_FILLED, T.UPDATE_REQUESTED, S.PENDING_UPDATE),
    Row(S.PARTIALLY_FILLED, T.CANCELED, S.CANCELED),
    Row(S.PARTIALLY_FILLED, T.EXPIRED, S.EXPIRED),
)
_LATE_UPDATE: Final = "a late answer to an update that a view had not shown: its terms are in force"
_UPDATING: Final = (
    Row(S.ACCEPTED, T.UPDATED, STANDING, _LATE_UPDATE),
    Row(S.PARTIALLY_FILLED, T.UPDATED, STANDING, _LATE_UPDATE),
    Row(S.PENDING_UPDATE, T.UPDATED, STANDING, "the new quantity may be just what is filled"),
    Row(S.PENDING_UPDATE, T.UPDATE_REJECTED, STANDING, "back to what it was, or complete if the old quantity is filled"),
    Row(S.PENDING_UPDATE, T.FILLED_IN_PART, S.PENDING_UPDATE, "the fill says nothing about the update"),
    Row(S.PENDING_UPDATE, T.FILLED_IN_FULL, S.FILLED, "filled to the larger of both quantities: nothing is left to update"),
    Row(S.PENDING_UPDATE, T.CANCEL_REQUESTED, S.PENDING_CANCEL, "reducing risk never waits for an update"),
    Row(S.PENDING_UPDATE, T.CANCELED, S.CANCELED, "the order ended before the update reached it"),
    Row(S.PENDING_UPDATE, T.EXPIRED, S.EXPIRED, "the order ended before the update reached it"),
    Row(S.PENDING_UPDATE, T.UNCONFIRMED, S.PENDING_UPDATE, "the update got no answer: asked again, never assumed"),
)
_CANCELING: Final = (
    Row(S.PENDING_CANCEL, T.CANCELED, S.CANCELED),
    Row(S.PENDING_CANCEL, T.CANCEL_REJECTED, STANDING, "back to where it was without the cancel"),
    Row(S.PENDING_CANCEL, T.FILLED_IN_PART, S.PENDING_CANCEL, "the fill crossed our cancel; the rest is still being cancelled"),
    Row(S.PENDING_CANCEL, T.FILLED_IN_FULL, S.FILLED, "the fill crossed our cancel"),
    Row(S.PENDING_CANCEL, T.EXPIRED, S.EXPIRED, "it ended by itself before the cancel reached it"),
    Row(S.PENDING_CANCEL, T.UNCONFIRMED, S.PENDING_CANCEL, "the cancel got no answer: the order may be live"),
    Row(S.PENDING_CANCEL, T.DENIED, S.DENIED, "it was cancelled in the queue, and a halt kept it from being sent"),
    Row(S.PENDING_CANCEL, T.SUBMITTED, S.PENDING_CANCEL, "it was cancelled in the queue: the send comes first, then the cancel"),
    Row(S.PENDING_CANCEL, T.ACCEPTED, S.PENDING_CANCEL, "the acceptance of an order that was cancelled at once"),
    Row(S.PENDING_CANCEL, T.REJECTED, S.REJECTED, "the order itself was refused, so there is nothing to cancel"),
    Row(S.PENDING_CANCEL, T.LOST, S.CANCELED, "it never reached the venue"),
    Row(S.PENDING_CANCEL, T.UPDATED, STANDING, "the update before the cancel was done"),
    Row(S.PENDING_CANCEL, T.UPDATE_REJECTED, STANDING, "the update before the cancel was refused"),
)
_LATE: Final = (
    *(
        Row(s, T.FILLED_IN_PART, s, "a late fill: it crossed the end on the wire; recorded")
        for s in (S.REJECTED, S.CANCELED, S.EXPIRED)
    ),
    *(
        Row(s, T.FILLED_IN_FULL, S.FILLED, "a late fill that completes it: nothing was left to end")
        for s in (S.REJECTED, S.CANCELED, S.EXPIRED)
    ),
    Row(S.FILLED, T.FILLED_IN_FULL, S.FILLED, "an overfill: the venue filled more than was ordered; recorded"),
    *_stay(T.SUBMITTED, "overtaken by the venue's answer", S.ACCEPTED, S.PARTIALLY_FILLED, S.PENDING_UPDATE),
    *_stay(T.SUBMITTED, "overtaken by its end", S.REJECTED, S.FILLED, S.CANCELED, S.EXPIRED),
    *_stay(
        T.ACCEPTED, "overtaken by what followed; its venue id is recorded", S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.EXPIRED
    ),
    *_stay(T.UNCONFIRMED, "the answer came on another channel before the timeout was reported", S.ACCEPTED, S.PARTIALLY_FILLED),
    *_stay(T.UNCONFIRMED, "it ended before the timeout was reported", S.REJECTED, S.FILLED, S.CANCELED, S.EXPIRED),
    *_stay(T.CANCEL_REJECTED, "it had ended before the cancel reached it", S.DENIED, S.REJECTED, S.FILLED, S.CANCELED, S.EXPIRED),
    *_stay(T.UPDATE_REJECTED, "it had ended before the update reached it", S.REJECTED, S.FILLED, S.CANCELED, S.EXPIRED),
    *_stay(T.CANCELED, "it had ended otherwise before a stray of it was taken out", S.FILLED, S.EXPIRED, S.REJECTED),
    *_stay(T.UPDATED, "the update and the end crossed; its terms are recorded", S.FILLED, S.CANCELED, S.EXPIRED),
)
ROWS: Final = (*_QUEUE, *_SENT, *_AT_VENUE, *_UPDATING, *_CANCELING, *_LATE)
TRANSITIONS: Final[Mapping[tuple[OrderState, Trigger], Row]] = {(row.before, row.trigger): row for row in ROWS}
