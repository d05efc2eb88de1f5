"""monitor_risk, composed: the same trading service as manage_orders, run by the clock."""

from __future__ import annotations

from functools import partial

from signalbox.bootstrap.manage_orders import ManageOrders
from signalbox.bootstrap.manage_orders import compose as compose_room
from signalbox.contracts import Function

compose = partial(compose_room, function=Function.MONITOR_RISK)
__all__ = ["ManageOrders", "compose"]
