"""Composes monitor_risk: the same trading service as manage_orders, run by a schedule."""

from __future__ import annotations

from functools import partial

from signalbox.bootstrap.manage_orders import compose as compose_trading
from signalbox.contracts import Function

compose = partial(compose_trading, function=Function.MONITOR_RISK)
