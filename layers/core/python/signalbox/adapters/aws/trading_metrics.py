"""Counts events and risk entries of accounts as CloudWatch metrics, which alarms watch (docs/runbooks)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from signalbox.contracts import EventType, Metric
from signalbox.trading.changes import RiskEventKind
from signalbox.trading.service import AccountOutcome

_EVENTS: Final[Mapping[EventType, Metric]] = {
    EventType.ORDER_REFUSED: Metric.ORDERS_REFUSED,
    EventType.TRADE_OPENED: Metric.TRADES_OPENED,
    EventType.TRADE_CLOSED: Metric.TRADES_CLOSED,
    EventType.TRADING_HALTED: Metric.TRADING_HALTS,
    EventType.EXIT_FAILED: Metric.EXITS_FAILED,
    EventType.RULE_BREACHED: Metric.RULES_BREACHED,
}
_RISK: Final[Mapping[RiskEventKind, Metric]] = {
    RiskEventKind.EVENT_REFUSED: Metric.EVENTS_REFUSED,
    RiskEventKind.OVERFILL: Metric.VENUE_DIFFERENCES,
    RiskEventKind.DIFFERENCE: Metric.VENUE_DIFFERENCES,
    RiskEventKind.OTHERS_AT_VENUE: Metric.OTHERS_AT_VENUE,
    RiskEventKind.SIGNAL_HELD_BACK: Metric.SIGNALS_HELD_BACK,
}


def counted(handled: Iterable[AccountOutcome]) -> dict[Metric, int]:
    """Return the count of each metric that an operator watches, zeros included."""
    found = dict.fromkeys((*_EVENTS.values(), *_RISK.values()), 0)
    for one in handled:
        for event in one.changes.events:
            if event.type in _EVENTS:
                found[_EVENTS[event.type]] += 1
        for line in one.changes.risk:
            if line.kind in _RISK:
                found[_RISK[line.kind]] += 1
    return found
