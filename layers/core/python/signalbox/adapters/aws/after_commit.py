"""After a commit: publish the outbox, at once or by the relay, and announce accounts that missed their turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from aws_lambda_powertools.metrics import MetricUnit

from signalbox.contracts import Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_lambda_powertools import Logger, Metrics


class Missed(Protocol):
    """An account that could not take what concerned every account."""

    @property
    def account(self) -> str:
        """Whose turn it was."""

    @property
    def error(self) -> Exception:
        """Why."""

    @property
    def is_final(self) -> bool:
        """Whether it will not get it again."""


class Turns(Protocol):
    """Who gives accounts their turns."""

    def take_missed(self) -> Sequence[Missed]:
        """Return the turns that were missed since the last call."""


def publish_or_leave(publish: Callable[[], int], *, logger: Logger, metrics: Metrics) -> None:
    """Publish the outbox and count it. A failure is logged and never raised: what is committed must not be done again for it."""
    try:
        metrics.add_metric(Metric.OUTBOX_PUBLISHED, MetricUnit.Count, publish())
    except Exception:
        # what is committed stays in the outbox, and the relay publishes it within a minute
        logger.exception("outbox_not_published")


def report_missed(turns: Turns, logger: Logger, metrics: Metrics) -> None:
    """Log and count each account that missed its turn: refused for good, or to be taken again."""
    for one in turns.take_missed():
        name = "turn_refused" if one.is_final else "turn_missed"
        logger.error(name, account=one.account, reason=f"{type(one.error).__name__}: {one.error}", exc_info=one.error)
        metrics.add_metric(Metric.EVENTS_REFUSED if one.is_final else Metric.TURNS_MISSED, MetricUnit.Count, 1)
