"""Connects venue and lake, runs the collection and shows the result. EXIT_CODES has the exit codes; 2 is a bad request."""

from __future__ import annotations

import json
import sys
from typing import Final

from rich.console import Console

from local.cli.data.collection.request import CollectRequest
from local.cli.data.collection.run import CollectionEnding, CollectResult, run_collection, to_json
from local.cli.data.collection.view import ConsoleView, show_result
from local.errors import DataError
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.stores import FolderStore
from signalbox.adapters.venues.ccxt_candles import CcxtCandleSource
from signalbox.events import CollectionProblem
from signalbox.market.collection import VenueError

EXIT_CODES: Final = {
    CollectionEnding.OK: 0,
    CollectionEnding.DAMAGED: 1,
    CollectionEnding.VENUE_FAILED: 3,
    CollectionEnding.STORAGE_FAILED: 4,
    CollectionEnding.INTERRUPTED: 130,
}
ATTEMPTS: Final = 6  # half a minute of pauses, because a run of an hour meets short outages
DEADLINE_SECONDS: Final = 180.0  # for one day of one symbol
TIMEOUT_SECONDS: Final = 15.0


def venue_source(request: CollectRequest) -> CcxtCandleSource:
    """Return the exchange client, with enough patience for a long run."""
    return CcxtCandleSource(
        request.venue,
        url=request.venue_url,
        timeout_seconds=TIMEOUT_SECONDS,
        attempts=ATTEMPTS,
        deadline_seconds=DEADLINE_SECONDS,
    )


def run_collect(request: CollectRequest, source: CcxtCandleSource | None = None) -> int:
    """Collect and return the exit code. Raises DataError for an unknown venue or symbol."""
    console = Console(stderr=request.json_output)
    venue = source or venue_source(request)
    with ConsoleView(Console(stderr=True)) as view:
        try:
            view.phase(f"asking {request.venue} for its markets")
            for series in request.series:
                venue.require(series.symbol)
            result = run_collection(request, source=venue, lake=Lake(FolderStore(request.out)), view=view)
        except VenueError as error:
            if error.problem is CollectionProblem.VENUE_REFUSED:
                raise DataError(str(error)) from error
            result = _not_reached(request, error)
        except KeyboardInterrupt:
            result = CollectResult(request, (), (), 0, 0.0, CollectionEnding.INTERRUPTED, None)
    if request.json_output:
        sys.stdout.write(json.dumps(to_json(result), indent=2) + "\n")
    show_result(console, result)
    return EXIT_CODES[result.ending]


def _not_reached(request: CollectRequest, error: VenueError) -> CollectResult:
    return CollectResult(request, (), (), 0, 0.0, CollectionEnding.VENUE_FAILED, f"{error}; is there a network?")
