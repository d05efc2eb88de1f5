"""`signalbox library serve`: the scoring API of one bundle on 127.0.0.1, through the handler that a function would run."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from typing_extensions import override

from local.errors import DataError
from local.stand_ins.server import Reply, Request, StandInServer
from signalbox.adapters.aws.scoring_api import MAX_BODY, scoring_api
from signalbox.adapters.lake.series import CandleSeries, find_series
from signalbox.application.score_signals import ScoreSignals
from signalbox.inference import load_bundle
from signalbox.market.candles import ONE_MINUTE, Bars, Symbol

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class FolderBars:
    """The candles of a lake or of a folder of recorded files. It is read at each question, so a lake may grow."""

    series: tuple[CandleSeries, ...]

    def newest(self, symbols: Collection[Symbol], until: datetime, count: int) -> dict[Symbol, Bars]:
        """Return the newest bars closed at `until`; none for a symbol that the folder does not have."""
        return {symbol: self._bars(symbol, until, count) for symbol in symbols}

    def _bars(self, symbol: Symbol, until: datetime, count: int) -> Bars:
        found = next((one for one in self.series if one.symbol == symbol), None)
        if found is None:
            return Bars.from_candles(symbol, ())
        # bars are counted, not minutes: half as long again covers outages
        return found.bars(until - (count + count // 2) * ONE_MINUTE, until).until(until).last(count)


class ScoringServer(StandInServer):
    """Serves a scoring API. Requests of pages, and of names that are not this machine's, are refused before it sees them."""

    def __init__(self, service: ScoreSignals, port: int = 0) -> None:
        self._service = service
        super().__init__(port, max_body=MAX_BODY)

    @override
    def answer(self, request: Request) -> Reply:
        if request.body and request.content_type != JSON:
            return Reply(415, b"refused: expected a body of application/json\n", "text/plain; charset=utf-8")
        # a resolver keeps the event in hand in itself, so each thread's request has one of its own; making one takes 0.1 ms
        found = respond(scoring_api(lambda: self._service), request)
        return Reply(found["statusCode"], found["body"].encode(), _content_type(found))


def respond(api: APIGatewayHttpResolver, request: Request) -> dict[str, Any]:
    """Return the answer of a resolver to a request, given to it as API Gateway does (payload 2.0)."""
    path = urlsplit(request.target or request.path).path
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": dict(request.headers),
        "requestContext": {
            "http": {"method": request.method, "path": path},
            "requestId": str(uuid.uuid4()),
            "stage": "$default",
            "timeEpoch": int(time.time() * 1000),
        },
        "body": base64.b64encode(request.body).decode(),
        "isBase64Encoded": True,
    }
    return api.resolve(event, None)  # type: ignore[arg-type] # no route asks for Lambda's context


def _content_type(found: dict[str, Any]) -> str:
    headers = found.get("headers") or {name: values[0] for name, values in found["multiValueHeaders"].items()}
    return str(headers.get("Content-Type", JSON))


def run_serve(bundle: Path, data: Path | None, port: int, *, as_json: bool) -> None:
    """Serve a bundle until Ctrl-C. Raises BundleError, MarketDataError; DataError for a port that is in use."""
    bars = None if data is None else FolderBars(tuple(find_series(data)))
    service = ScoreSignals(load_bundle(bundle), bars)
    try:
        server = ScoringServer(service, port)
    except OSError as error:
        raise DataError(f"--port: cannot listen on {port} ({error.strerror}); choose another") from error
    try:
        facts = {"url": server.url, "model": service.ensemble.name, "schema_hash": service.ensemble.schema.hash}
        at = f"{datetime.now(UTC):%H:%M:%S} UTC"
        line = json.dumps(facts) if as_json else f"{facts['model']} answers at {facts['url']}/score since {at}; Ctrl-C ends it"
        print(line, flush=True)
        server.closing.wait()
    finally:
        server.close()
