"""Fetches the fear-and-greed index of alternative.me: one value a UTC day, published some time after the day began.

The answer states the day and not when its value appeared, so `published_at` is the day's start, and a value is used from the
instant at which it was fetched on (`known_at`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import requests
from requests.adapters import BaseAdapter

from signalbox.adapters.venues.ccxt_answers import MAX_ANSWER_BYTES, UNREADABLE, BoundedAdapter, problem_of_status
from signalbox.alternative.collection import RawObservation
from signalbox.alternative.observations import ObservationKind
from signalbox.events import CollectionProblem
from signalbox.market.candles import from_ms
from signalbox.market.collection import VenueError
from signalbox.wire import parse

URL: Final = "https://api.alternative.me"
TIMEOUT_SECONDS: Final = 5.0
_OK: Final = 200
_HIGHEST: Final = 100


class FearAndGreedSource:
    """ObservationSource of the index. url: replaces the address (test server). inner: sends the requests instead."""

    name = "alternativeme"
    kinds: Sequence[ObservationKind] = (ObservationKind.FEAR_AND_GREED,)

    def __init__(self, *, url: str = "", inner: BaseAdapter | None = None) -> None:
        self._url = url or URL
        self._session = requests.Session()
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, BoundedAdapter(2 * TIMEOUT_SECONDS, inner=inner))

    def fetch(self, kind: ObservationKind, subject: str, since: datetime, until: datetime) -> Sequence[RawObservation]:  # noqa: ARG002 - it has one series
        """Return the values of the days that began within [since, until]. Raises VenueError."""
        days = max((until - since) // timedelta(days=1), 0) + 2  # counted back from today
        try:
            answer = self._session.get(
                f"{self._url}/fng/", params={"limit": str(days)}, timeout=TIMEOUT_SECONDS, allow_redirects=False
            )
        except requests.Timeout as error:
            raise VenueError(CollectionProblem.VENUE_TIMEOUT, f"{self.name}: no answer in time: GET {self._url}/fng/") from error
        except requests.RequestException as error:
            raise VenueError(CollectionProblem.VENUE_UNAVAILABLE, f"{self.name}: no connection: GET {self._url}/fng/") from error
        if answer.status_code != _OK:
            problem = problem_of_status(answer.status_code) or CollectionProblem.VENUE_REFUSED
            raise VenueError(problem, f"{self.name}: HTTP {answer.status_code}")
        try:
            rows = parse(answer.text, max_bytes=MAX_ANSWER_BYTES, numbers=str)["data"]
            found = [RawObservation(from_ms(int(row["timestamp"]) * 1000), _level(row["value"])) for row in rows]
        except UNREADABLE as error:
            raise VenueError(
                CollectionProblem.ANSWER_MALFORMED, f"{self.name}: expected values with timestamps, got {answer.text[:120]!r}"
            ) from error
        return [one for one in found if since <= one.observed_at <= until]


def _level(text: str) -> Decimal:
    found = Decimal(text)
    if not 0 <= found <= _HIGHEST:
        raise ValueError(f"expected 0 to {_HIGHEST}, got {text[:40]}")
    return found
