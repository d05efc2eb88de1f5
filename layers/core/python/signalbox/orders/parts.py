"""Splits reports that are too large for one bus event into parts, and joins a view's parts again.

The bus and the queues take 256 KiB with the envelope, and an agent's envelope escapes its content, which adds up to a third.
A report of order events can be cut anywhere, because each part only says what happened. A venue's view also says what did
*not* happen, so only the whole view means anything: each part carries the digest of the whole view, and joined parts are
compared with the ledger only if they have that digest.
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
PART_BYTES: Final = 160_000  # JSON size of the items in one part


@overload
def in_parts(report: ExecutionReported, limit: int = PART_BYTES) -> tuple[ExecutionReported, ...]: ...
@overload
def in_parts(report: VenueViewReported, limit: int = PART_BYTES) -> tuple[VenueViewReported, ...]: ...
def in_parts(report: Report, limit: int = PART_BYTES) -> tuple[Report, ...]:
    """Return the report itself if it fits, else its parts, oldest facts first."""
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
    """Return the view that these parts make up, in any order. Raises ViewPartsError unless each part is there exactly once."""
    found = sorted(parts, key=lambda one: one.part)
    if not found or [one.part for one in found] != list(range(1, found[0].parts + 1)):
        of = found[0].parts if found else "several"
        raise ViewPartsError(f"expected each of {of} parts once, got parts {[one.part for one in found]}")
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
        raise ViewPartsError(
            f"{first.account}: the parts are not one view of {first.asked_at}: a part was changed or belongs to another view"
        )
    return made


def digest(view: VenueViewReported) -> str:
    """Return the identity of a whole view: 128 bits of a hash of its content."""
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
