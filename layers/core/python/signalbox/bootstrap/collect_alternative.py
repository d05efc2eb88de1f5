"""Composes collect_alternative: the configured sources, the calendar in the bucket, and the lake."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

import boto3

from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.lake.alternative import StoredObservations
from signalbox.adapters.lake.s3 import S3Store
from signalbox.adapters.lake.stores import LakeStore
from signalbox.adapters.venues.ccxt_alternative import CcxtObservationSource
from signalbox.adapters.venues.fear_and_greed import FearAndGreedSource
from signalbox.alternative.calendar import CALENDAR_PATH, CalendarSource
from signalbox.alternative.collection import ObservationSource, SeriesOutcome, collect_observations
from signalbox.bootstrap.settings import CollectAlternativeSettings


def compose(settings: CollectAlternativeSettings | None = None) -> Callable[[datetime], Sequence[SeriesOutcome]]:
    """Return the function that runs a collection. A fetched value counts as known from the instant of its arrival."""
    found = settings or CollectAlternativeSettings.read()
    store = S3Store(boto3.client("s3", config=QUICK), found.market_data_bucket)
    sources = [observation_source(name, found.venue_url) for name in found.alternative_sources]
    return partial(_run, sources=sources, symbols=found.symbols, store=store)


def observation_source(name: str, url: str = "") -> ObservationSource:
    """Return a source by its name. Raises VenueError for an unknown one."""
    return FearAndGreedSource(url=url) if name == FearAndGreedSource.name else CcxtObservationSource(name, url=url)


def _run(
    _scheduled_at: datetime, *, sources: Sequence[ObservationSource], symbols: Sequence[str], store: LakeStore
) -> Sequence[SeriesOutcome]:
    wanted = [*sources]
    if sources and (calendar := store.read(CALENDAR_PATH)) is not None:
        wanted.append(CalendarSource(calendar.decode("utf-8", "replace"), datetime.now(UTC)))
    return collect_observations(wanted, symbols, lake=StoredObservations(store), clock=lambda: datetime.now(UTC))
