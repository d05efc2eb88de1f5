"""The wash-sale window as the rule is read: every fill is looked at for every loss. The twin of `portfolio.tax`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from signalbox.portfolio.entries import Fill
from signalbox.portfolio.lots import Disposal
from signalbox.portfolio.tax import WASH_WINDOW


def in_wash_sale_window(disposal: Disposal, fills: Sequence[Fill], zone: tzinfo) -> bool:
    """Whether it is a loss, and another fill of the opening direction lies within 30 days of the closing day."""
    closed = disposal.closed_at.astimezone(zone).date()
    return disposal.gain < 0 and any(
        fill.symbol == disposal.symbol
        and (fill.signed_quantity > 0) == (disposal.quantity > 0)
        and fill.entry_id not in {disposal.lot_id, disposal.fill_id}
        and abs(fill.at.astimezone(zone).date() - closed) <= WASH_WINDOW
        for fill in fills
    )
