"""Public derivative statistics of three exchanges and the fear-and-greed index, each in its own documented REST form.

Sources: Binance USDS-M futures (Get-Funding-Rate-History, Open-Interest-Statistics, Long-Short-Ratio), Bybit v5
(market/history-fund-rate, open-interest, long-short-ratio), OKX API v5 (funding-rate-history, contracts open-interest-history,
long-short-account-ratio-contract, liquidation-orders), alternative.me (fng), as of 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlparse

from tests.fakes.http_server import Reply, Request

HOUR = 3_600_000
FIVE_MINUTES = 300_000
DAY = 86_400_000


@dataclass
class Statistics:
    """What is true of one perpetual. `revised`: values that replace those of an instant; `absent`: instants without a value."""

    now: int
    revised: dict[int, str] = field(default_factory=dict)
    absent: frozenset[int] = frozenset()
    liquidations: Sequence[tuple[int, str, str, str]] = ()  # instant, side of the position, price, contracts

    def instants(self, step: int, first: int, last: int) -> list[int]:
        """Return the instants of [first, last] that have passed, oldest first."""
        begin = -(-first // step) * step
        return [t for t in range(begin, min(last, self.now) + 1, step) if t not in self.absent]

    def value(self, at: int, name: str) -> str:
        """Return a value as text, different for each instant and name."""
        if at in self.revised:
            return self.revised[at]
        number = (at // FIVE_MINUTES * 7 + len(name)) % 997
        return {"funding": f"0.0000{number:03d}", "interest": f"{70_000 + number}.125", "ratio": f"1.{number:03d}"}[name]


Asked = Mapping[str, str]


def _number(asked: Asked, name: str, default: int) -> int:
    return int(asked.get(name, default))


def _binance(path: str, asked: Asked, facts: Statistics) -> Any:
    if path == "/exchangeInfo":
        return {
            "timezone": "UTC", "serverTime": facts.now, "rateLimits": [], "exchangeFilters": [], "assets": [],
            "symbols": [
                {
                    "symbol": "BTCUSDT", "pair": "BTCUSDT", "contractType": "PERPETUAL", "deliveryDate": 4133404800000,
                    "onboardDate": 1569398400000, "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT",
                    "marginAsset": "USDT", "pricePrecision": 2, "quantityPrecision": 3, "baseAssetPrecision": 8,
                    "quotePrecision": 8, "underlyingType": "COIN", "underlyingSubType": [], "settlePlan": 0,
                    "triggerProtect": "0.0500", "OrderType": ["LIMIT"], "timeInForce": ["GTC"],
                    "filters": [{"filterType": "PRICE_FILTER", "maxPrice": "4529764", "minPrice": "556.80", "tickSize": "0.10"}],
                }
            ],
        }  # fmt: skip
    limit = _number(asked, "limit", 30)
    first, last = _number(asked, "startTime", 0), _number(asked, "endTime", facts.now)
    if path == "/fundingRate":
        rows = facts.instants(8 * HOUR, first, last)[:limit]
        return [
            {"symbol": "BTCUSDT", "fundingTime": t, "fundingRate": facts.value(t, "funding"), "markPrice": "1.0"} for t in rows
        ]
    rows = facts.instants(FIVE_MINUTES, first, last)[-min(limit, 500) :]
    if path == "/openInterestHist":
        return [
            {"symbol": "BTCUSDT", "sumOpenInterest": facts.value(t, "interest"), "sumOpenInterestValue": "1", "timestamp": t}
            for t in rows
        ]
    if path == "/globalLongShortAccountRatio":
        return [
            {"symbol": "BTCUSDT", "longShortRatio": facts.value(t, "ratio"), "longAccount": "0.5", "shortAccount": "0.5",
             "timestamp": t} for t in rows
        ]  # fmt: skip
    return None


def _bybit(path: str, asked: Asked, facts: Statistics) -> Any:
    def answer(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {"retCode": 0, "retMsg": "OK", "result": {"category": "linear", "list": rows}, "time": facts.now}

    if path == "/v5/market/instruments-info":
        return answer(
            [
                {
                    "symbol": "BTCUSDT",
                    "contractType": "LinearPerpetual",
                    "status": "Trading",
                    "baseCoin": "BTC",
                    "quoteCoin": "USDT",
                    "settleCoin": "USDT",
                    "launchTime": "1585526400000",
                    "deliveryTime": "0",
                    "deliveryFeeRate": "",
                    "priceScale": "2",
                    "fundingInterval": 480,
                    "unifiedMarginTrade": True,
                    "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
                    "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
                    "lotSizeFilter": {"maxOrderQty": "1190.000", "minOrderQty": "0.001", "qtyStep": "0.001"},
                }
            ]
        )
    limit = min(_number(asked, "limit", 50), 200)
    first, last = _number(asked, "startTime", 0), _number(asked, "endTime", facts.now)
    if path == "/v5/market/funding/history":
        rows = facts.instants(8 * HOUR, first, last)[::-1][:limit]  # newest first
        return answer(
            [{"symbol": "BTCUSDT", "fundingRate": facts.value(t, "funding"), "fundingRateTimestamp": str(t)} for t in rows]
        )
    rows = facts.instants(FIVE_MINUTES, first, last)[::-1][:limit]
    if path == "/v5/market/open-interest":
        return answer([{"openInterest": facts.value(t, "interest"), "timestamp": str(t)} for t in rows])
    if path == "/v5/market/account-ratio":
        return answer(
            [
                # the two shares, from which ccxt computes the ratio
                {"symbol": "BTCUSDT", "buyRatio": facts.value(t, "ratio"), "sellRatio": "1", "timestamp": str(t)}
                for t in rows
            ]
        )
    return None


def _okx(path: str, asked: Asked, facts: Statistics) -> Any:
    def answer(rows: Sequence[Any]) -> dict[str, Any]:
        return {"code": "0", "msg": "", "data": rows}

    if path == "/api/v5/public/instruments":
        return answer(
            [
                {
                    "instType": "SWAP",
                    "instId": "BTC-USDT-SWAP",
                    "uly": "BTC-USDT",
                    "instFamily": "BTC-USDT",
                    "category": "1",
                    "baseCcy": "",
                    "quoteCcy": "",
                    "settleCcy": "USDT",
                    "ctVal": "0.01",
                    "ctMult": "1",
                    "ctValCcy": "BTC",
                    "optType": "",
                    "stk": "",
                    "listTime": "1573557408000",
                    "expTime": "",
                    "lever": "100",
                    "tickSz": "0.1",
                    "lotSz": "0.01",
                    "minSz": "0.01",
                    "ctType": "linear",
                    "alias": "",
                    "state": "live",
                }
            ]
        )
    limit = min(_number(asked, "limit", 100), 100)
    if path == "/api/v5/public/funding-rate-history":
        first, last = _number(asked, "before", -1) + 1, _number(asked, "after", facts.now + 1) - 1
        rows = facts.instants(8 * HOUR, first, last)[::-1][:limit]
        return answer(
            [
                {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "fundingRate": facts.value(t, "funding"),
                 "realizedRate": facts.value(t, "funding"), "fundingTime": str(t)} for t in rows
            ]
        )  # fmt: skip
    if path == "/api/v5/public/liquidation-orders":
        last = _number(asked, "after", facts.now + 1) - 1
        found = sorted((row for row in facts.liquidations if row[0] <= last), reverse=True)[:limit]
        details = [
            {"bkLoss": "0", "bkPx": price, "ccy": "", "posSide": side, "side": "sell" if side == "long" else "buy", "sz": size,
             "ts": str(t), "time": str(t)} for t, side, price, size in found
        ]  # fmt: skip
        return answer([{"instType": "SWAP", "instId": "BTC-USDT-SWAP", "uly": "BTC-USDT", "details": details}])
    first, last = _number(asked, "begin", -1) + 1, _number(asked, "end", facts.now + 1) - 1  # neither bound counts
    rows = facts.instants(FIVE_MINUTES, first, last)[::-1][:limit]
    if path == "/api/v5/rubik/stat/contracts/open-interest-history":
        return answer([[str(t), facts.value(t, "interest"), "1", "1"] for t in rows])
    if path == "/api/v5/rubik/stat/contracts/long-short-account-ratio-contract":
        return answer([[str(t), facts.value(t, "ratio")] for t in rows])
    return None


def _fear_and_greed(path: str, asked: Asked, facts: Statistics) -> Any:
    if path != "/fng/":
        return None
    limit = _number(asked, "limit", 1)
    days = facts.instants(DAY, 0 if limit == 0 else facts.now - limit * DAY + 1, facts.now)[::-1]
    rows = [
        {"value": facts.revised.get(t, str(t // DAY % 101)), "value_classification": "Neutral", "timestamp": str(t // 1000)}
        for t in days
    ]
    return {"name": "Fear and Greed Index", "data": rows, "metadata": {"error": None}}


ANSWERS: Mapping[str, Callable[[str, Asked, Statistics], Any]] = {
    "binanceusdm": _binance,
    "bybit": _bybit,
    "okx": _okx,
    "alternativeme": _fear_and_greed,
}


@dataclass
class AlternativeVenue:
    """A source that answers; `failures` are given first, one a request."""

    name: str
    facts: Statistics
    failures: list[Reply] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> Reply:
        url = urlparse(request.path)
        self.asked.append(request.path)
        if self.failures:
            return self.failures.pop(0)
        body = ANSWERS[self.name](url.path, {name: values[0] for name, values in parse_qs(url.query).items()}, self.facts)
        return Reply(404, {"error": f"no such path {url.path}"}) if body is None else Reply(200, body)
