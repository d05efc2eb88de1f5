"""Writes docs/orders.md from the transition table, so that the page cannot differ from the table."""

from __future__ import annotations

from typing import Final

from signalbox.orders.transitions import ROWS, TRANSITIONS, Derived, OrderState, Row

_INTRODUCTION: Final = """\
# Orders

Made by `python -m tools.order_states` from `signalbox.orders.transitions`; a test fails when this page is older.

An order is what its events say: `order_events` is the truth, and replaying it gives the order again, to the last digit.
`apply(order, event)` is the only way an order changes. It is pure, and it is strict:

* **What is not in the table below is an error.** The event is refused whole, the order stays as it was, an alarm is raised.
* **A second delivery changes nothing.** Every event has a natural key; a fill has its venue trade id.
* **The same trade id with other data** is refused (`TradeConflictError`), whatever the venue says it means.
* **An overfill is a fact.** What the venue filled beyond the quantity is money that moved: it is recorded and booked, and it
  stops the account. While an update is on its way the larger of both quantities may be filled, because either may be in force.
* **Unknown is not failed.** A send, cancel or update without an answer leaves the order where it is, marked ambiguous.
  So does "not found": a venue may not show yet what it was sent. Reconciliation asks the venue; only what it does not show
  after the settling time of the newest attempt is given up (`OrderLost`, or `OrderCanceled` where a confirmed order is forgotten
  once it ended without a fill), and even then a late fill is recorded. Nothing is ever sent again.
* **Nobody sends an order at or after its `send_before`.** An order that waited in the queue past it expires.

A client order id is 32 hexadecimal characters of SHA-256 over account, strategy, symbol, instant of decision and leg. The
same decision is the same order, however often it is made.

## Moves

"As it stands" is the first that is true: FILLED when everything that may be filled is, PENDING_CANCEL or PENDING_UPDATE
when such a request has no answer, PARTIALLY_FILLED when something is filled, ACCEPTED, SUBMITTED, RELEASED.
"""


def state_page() -> str:
    """Return the text of docs/orders.md."""
    lines = [_INTRODUCTION, "| from | event | to | why, where it is not the plain course |", "|---|---|---|---|"]
    lines += [f"| {row.before} | {row.trigger} | {_after(row)} | {row.why or ''} |" for row in _sorted()]
    pairs = len(OrderState) * len({row.trigger for row in ROWS})
    lines += ["", f"{len(TRANSITIONS)} of {pairs} pairs of state and event are legal; a test tries every one.", ""]
    return "\n".join(lines)


def _sorted() -> list[Row]:
    states, triggers = list(OrderState), list(type(ROWS[0].trigger))
    return sorted(ROWS, key=lambda row: (states.index(row.before), triggers.index(row.trigger)))


def _after(row: Row) -> str:
    if isinstance(row.after, Derived):
        return row.after.value
    return "(stays)" if row.after is row.before else row.after.value
