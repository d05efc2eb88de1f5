"""Work after a commit: publishes the outbox at once (or leaves that to the relay), and reports accounts that missed a turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from aws_lambda_powertools.metrics import MetricUnit

from signalbox.contracts import Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_lambda_powertools import Logger, Metrics


class Missed(Protocol):
    """An account that could not process an event meant for every account."""

    @property
    def account(self) -> str:
        """The account's name."""

    @property
    def error(self) -> Exception:
        """Why it could not process the event."""

    @property
    def is_final(self) -> bool:
        """Whether the account will not get the event again."""


class Turns(Protocol):
    """The service that gives accounts their turns."""

    def take_missed(self) -> Sequence[Missed]:
        """Return the turns that accounts missed since the last call."""


def publish_or_leave(publish: Callable[[], int], *, logger: Logger) -> None:
    """Publish the outbox and log how many went. An error is logged but not raised, so that committed work is not done again."""
    try:
        if published := publish():
            logger.info("outbox_published", published=published)
    except Exception:
        # committed events stay in the outbox, and the relay publishes them within a minute
        logger.exception("outbox_not_published")


def report_missed(turns: Turns, logger: Logger, metrics: Metrics) -> None:
    """Log and count each account that missed its turn, whether it was refused for good or will be retried."""
    for one in turns.take_missed():
        name = "turn_refused" if one.is_final else "turn_missed"
        logger.error(name, account=one.account, reason=f"{type(one.error).__name__}: {one.error}", exc_info=one.error)
        metrics.add_metric(Metric.EVENTS_REFUSED if one.is_final else Metric.TURNS_MISSED, MetricUnit.Count, 1)
