"""Which events become alerts: one alert an event."""

from __future__ import annotations

from typing import get_args

from signalbox.alerts.accounts import AccountEvent, account_alert
from signalbox.alerts.alert import Alert
from signalbox.alerts.conditions import ConditionEvent, LibraryEvent, condition_alert, library_alert
from signalbox.alerts.signals import outcome_alert, signal_alert
from signalbox.alerts.summaries import summary_alert
from signalbox.events import Event, SignalGenerated, SignalResolved
from signalbox.trading.events import AccountSummarised


def alert_of(event: Event) -> Alert | None:
    """Return the alert of an event, or None if nobody needs to know of it."""
    if isinstance(event, SignalGenerated):
        return signal_alert(event)
    if isinstance(event, SignalResolved):
        return outcome_alert(event)
    if isinstance(event, AccountSummarised):
        return summary_alert(event)
    if isinstance(event, get_args(AccountEvent)):
        return account_alert(event)
    if isinstance(event, get_args(LibraryEvent)):
        return library_alert(event)
    return condition_alert(event) if isinstance(event, get_args(ConditionEvent)) else None
