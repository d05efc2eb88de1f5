"""What is too large for one event of the bus, in parts, and whole again.

The bus takes 256 KiB with its envelope, and so does a queue; the envelope of an agent escapes what is in it, which adds up to
a third. A report of one order's events is cut anywhere, because each part says what happened and nothing else. A venue's view
says also what did *not* happen, so it means nothing until it is whole: each part carries the digest of the whole, and what
is put together is compared only when that is its digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias, TypeVar, overload

from pydantic import BaseModel

from signalbox.orders.errors import ViewPartsError
from signalbox.orders.messages import ExecutionReported, VenueViewReported, ViewedOrder, ViewedTrade

Item = TypeVar("Item", bound=BaseModel)
Report: TypeAlias = ExecutionReported | VenueViewReported
PART_BYTES: Final = 160_000  # of the items of one part, as JSON


@overload
def in_parts(report: ExecutionReported, limit: int = PART_BYTES) -> tuple[ExecutionReported, ...]: ...
@overload
def in_parts(report: VenueViewReported, limit: int = PART_BYTES) -> tuple[VenueViewReported, ...]: ...
def in_parts(report: Report, limit: int = PART_BYTES) -> tuple[Report, ...]:
    """Return the report itself when it fits, else its parts, oldest facts first."""
    if isinstance(report, ExecutionReported):
        return tuple(report.model_copy(update={"events": tuple(some)}) for some in _cut(report.events, limit))
    items: list[ViewedOrder | ViewedTrade] = [*report.orders, *report.trades]
    cuts = list(_cut(items, limit))
    if len(cuts) <= 1:
        return (report,)
    view = digest(report)
    return tuple(
        report.model_copy(
            update={
                "orders": tuple(item for item in some if isinstance(item, ViewedOrder)),
                "trades": tuple(item for item in some if isinstance(item, ViewedTrade)),
                "positions": report.positions if number == 1 else {},
                "others": report.others if number == 1 else {},
                "instruments": report.instruments if number == 1 else (),
                "transfers": report.transfers if number == 1 else (),
                "part": number,
                "parts": len(cuts),
                "view": view,
            }
        )
        for number, some in enumerate(cuts, 1)
    )


def whole(parts: Sequence[VenueViewReported]) -> VenueViewReported:
    """Return the view that these parts are, given in any order. Raises ViewPartsError unless they are all of it, each once."""
    found = sorted(parts, key=lambda one: one.part)
    if not found or [one.part for one in found] != list(range(1, found[0].parts + 1)):
        of = found[0].parts if found else "several"
        raise ViewPartsError(f"expected each part of {of} once, was {[one.part for one in found]}")
    first = found[0]
    made = first.model_copy(
        update={
            "orders": tuple(order for one in found for order in one.orders),
            "trades": tuple(trade for one in found for trade in one.trades),
            "part": 1,
            "parts": 1,
            "view": None,
        }
    )
    if first.view is not None and {digest(made), *(one.view for one in found)} != {first.view}:
        raise ViewPartsError(f"{first.account}: expected the view {first.view} of {first.asked_at}, was {digest(made)}")
    return made


def digest(view: VenueViewReported) -> str:
    """Return what names a whole view: 128 bits of its content."""
    text = view.model_copy(update={"part": 1, "parts": 1, "view": None}).model_dump_json()
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _size(item: BaseModel) -> int:
    return len(item.model_dump_json()) + 1


def _cut(items: Sequence[Item], limit: int) -> Iterator[list[Item]]:
    part: list[Item] = []
    weight = 0
    for item in items:
        own = _size(item)
        if part and weight + own > limit:
            yield part
            part, weight = [], 0
        part.append(item)
        weight += own
    if part:
        yield part
