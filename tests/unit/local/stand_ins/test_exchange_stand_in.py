"""The stand-in exchange, asked by the library that production uses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import ccxt
import httpx
import pytest

from local.cloud.processes import wait_until
from local.market.simulator import SimulatedSource
from local.stand_ins.exchange import PAGE, ExchangeStandIn
from local.stand_ins.faults import Fault, VenueFault
from signalbox.contracts import SYMBOLS
from signalbox.market.candles import Symbol, to_ms

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
ALL = tuple(Symbol(s) for s in SYMBOLS)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def exchange() -> Iterator[ExchangeStandIn]:
    stand_in = ExchangeStandIn(SimulatedSource(7), ALL, NOW, requests_per_second=1000, burst=1000)
    yield stand_in
    stand_in.close()


@pytest.fixture
def client(exchange: ExchangeStandIn) -> Iterator[Any]:
    made = ccxt.coinbaseexchange({"timeout": 20_000, "enableRateLimit": False})
    made.urls["api"] = dict.fromkeys(made.urls["api"], exchange.url)
    yield made
    made.session.close()


def candles(exchange: ExchangeStandIn, **query: str) -> httpx.Response:
    return httpx.get(f"{exchange.url}/products/BTC-USD/candles", params={"granularity": "60", **query}, trust_env=False)


def test_ccxt_reads_exactly_what_the_market_did(client: Any) -> None:
    since = NOW - 300 * MINUTE
    rows = client.fetch_ohlcv("BTC/USD", "1m", to_ms(since), PAGE)
    bars = SimulatedSource(7).bars(ALL[0], since, NOW)
    assert [row[0] for row in rows] == bars.open_time_ms.tolist()
    assert [row[4] for row in rows] == bars.close.tolist()
    assert [row[3] for row in rows] == bars.low.tolist()
    assert [row[5] for row in rows] == bars.volume.tolist()


def test_rows_come_newest_first_in_the_recorded_shape(exchange: ExchangeStandIn) -> None:
    rows = candles(exchange).json()
    assert len(rows) == PAGE - 1 or len(rows) == PAGE
    assert all(len(row) == 6 for row in rows)
    assert rows[0][0] == to_ms(NOW - MINUTE) // 1000
    assert [r[0] for r in rows] == sorted((r[0] for r in rows), reverse=True)
    assert all(low <= min(o, c) and max(o, c) <= high for _, low, high, o, c, _ in rows)


def test_bar_that_is_not_closed_is_not_there_until_it_is(exchange: ExchangeStandIn, client: Any) -> None:
    def newest() -> int:
        return int(client.fetch_ohlcv("ETH/USD", "1m", to_ms(NOW - 5 * MINUTE), 10)[-1][0])

    assert newest() == to_ms(NOW - MINUTE)
    exchange.set_time(NOW + timedelta(seconds=59))
    assert newest() == to_ms(NOW - MINUTE)
    exchange.set_time(NOW + MINUTE)
    assert newest() == to_ms(NOW)


def test_more_than_a_page_is_refused_as_the_real_one_does(exchange: ExchangeStandIn) -> None:
    start = NOW - 400 * MINUTE
    answer = candles(exchange, start=start.isoformat(), end=NOW.isoformat())
    assert answer.status_code == 400
    assert "Count of aggregations requested exceeds 300" in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/products/DOGE-USD/candles", 404), ("/nothing", 404), ("/time", 200), ("/currencies", 200), ("/products/SOL-USD", 200)],
)
def test_other_paths(exchange: ExchangeStandIn, path: str, status: int) -> None:
    assert httpx.get(exchange.url + path, trust_env=False).status_code == status


def test_rate_limit_answers_429_with_a_message() -> None:
    exchange = ExchangeStandIn(SimulatedSource(7), ALL, NOW, requests_per_second=0.001, burst=2)
    try:
        answers = [httpx.get(exchange.url + "/time", trust_env=False) for _ in range(3)]
        assert [a.status_code for a in answers] == [200, 200, 429]
        assert answers[-1].json() == {"message": "Public rate limit exceeded"}
        assert exchange.limited == 1
    finally:
        exchange.close()


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (VenueFault.SERVER_ERROR, ccxt.ExchangeNotAvailable),
        (VenueFault.RATE_LIMITED, ccxt.RateLimitExceeded),
        (VenueFault.TIMEOUT, ccxt.RequestTimeout),
    ],
)
def test_faults_that_ccxt_raises(exchange: ExchangeStandIn, client: Any, kind: VenueFault, error: type[Exception]) -> None:
    client.load_markets()
    if error is ccxt.RequestTimeout:
        client.timeout = 300
    fault = exchange.faults.add(Fault(kind, "BTC-USD", times=1))
    with pytest.raises(error):
        client.fetch_ohlcv("BTC/USD", "1m", to_ms(NOW - 5 * MINUTE), 5)
    wait_until(lambda: fault.hits == 1 or None, what="the request that the client gave up", seconds=20)
    client.timeout = 20_000
    assert len(client.fetch_ohlcv("BTC/USD", "1m", to_ms(NOW - 5 * MINUTE), 5)) == 5


@pytest.mark.parametrize("kind", [VenueFault.UNSORTED, VenueFault.DUPLICATE, VenueFault.OVERLAPPING, VenueFault.FUTURE])
def test_faults_spoil_one_symbol_only(exchange: ExchangeStandIn, kind: VenueFault) -> None:
    clean = candles(exchange, start=(NOW - 9 * MINUTE).isoformat(), end=NOW.isoformat()).json()
    exchange.faults.add(Fault(kind, "BTC-USD", times=1))
    spoilt = candles(exchange, start=(NOW - 9 * MINUTE).isoformat(), end=NOW.isoformat()).json()
    assert spoilt != clean
    assert candles(exchange, start=(NOW - 9 * MINUTE).isoformat(), end=NOW.isoformat()).json() == clean


def test_faults_of_values_and_absence(exchange: ExchangeStandIn) -> None:
    def spoilt(kind: VenueFault, **more: Any) -> list[list[Any]]:
        exchange.faults.add(Fault(kind, "BTC-USD", times=1, **more))
        rows: list[list[Any]] = candles(exchange, start=(NOW - 9 * MINUTE).isoformat(), end=NOW.isoformat()).json()
        return rows

    assert spoilt(VenueFault.NEGATIVE)[0][1] < 0
    assert spoilt(VenueFault.NAN)[0][4] == "NaN"
    assert spoilt(VenueFault.EMPTY) == []
    assert len(spoilt(VenueFault.DROPPED, since=NOW - 5 * MINUTE, until=NOW - 3 * MINUTE)) == 7
    assert spoilt(VenueFault.UNFINISHED)[0][0] == to_ms(NOW) // 1000
