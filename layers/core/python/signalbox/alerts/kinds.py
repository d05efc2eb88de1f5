"""The kinds of alerts that a chat's settings know, which of them are critical, and how long each is worth telling.

A critical alert is sent with sound, at once, to every chat and by e-mail, whatever the settings say.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Final


class AlertKind(StrEnum):
    """The kinds of alerts; each name is a key of a chat's settings."""

    SIGNAL = "signal"
    SIGNAL_OUTCOME = "signal_outcome"
    TRADE_OPENED = "trade_opened"
    TRADE_CLOSED = "trade_closed"
    ORDER_REFUSED = "order_refused"
    RISK_NOTICE = "risk_notice"  # a share of a loss limit is used, and nothing is stopped yet
    RISK_WARNING = "risk_warning"  # from the share on at which new risk is blocked
    RULE_BREACHED = "rule_breached"
    ACCOUNT_EXHAUSTED = "account_exhausted"
    TRADING_HALTED = "trading_halted"
    TRADING_RESUMED = "trading_resumed"
    TARGET_REACHED = "target_reached"
    EXIT_FAILED = "exit_failed"
    STOP_PASSED = "stop_passed"
    DATA_STALE = "data_stale"
    DATA_RECOVERED = "data_recovered"
    MODEL = "model"  # registered, not qualified, evaluated; training or evaluation failed
    MODEL_REFUSED = "model_refused"
    DEPLOYMENT = "deployment"  # healthy, failed or rolled back
    SUMMARY = "summary"  # of a day or a week of an account


CRITICAL: Final = frozenset(
    {
        AlertKind.RISK_WARNING,
        AlertKind.RULE_BREACHED,
        AlertKind.TRADING_HALTED,
        AlertKind.EXIT_FAILED,
        AlertKind.STOP_PASSED,
        AlertKind.MODEL_REFUSED,
    }
)
# An outage of the messenger is retried this long, by pauses that double from 5 s to 640 s: some twenty tries, far fewer than the
# deliveries after which the queue would give it up (cdk/stacks/alerts.py).
LIFETIME: Final = timedelta(hours=2)
