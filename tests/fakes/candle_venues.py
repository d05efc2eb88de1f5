"""Ten exchanges' public candle interfaces, each as its own documentation describes it, over one made-up market.

Each form knows its venue's paths, names, units, order, page size, bounds and errors. Where the documentation does not say
whether a bound counts (`VenueForm.bounds_unsaid`), a test runs both readings. Sources: the REST references of Coinbase
Exchange, Binance, Kraken, OKX (API v5), Bybit (v5), KuCoin, Bitget (v2), Gate (v4) and HTX, as of 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlparse

from tests.fakes.http_server import Reply, Request

MINUTE = 60_000
KRAKEN_ROWS = 720


@dataclass
class Market:
    """One pair's minutes from `listed` on. `now` is the venue's clock, ms. Minutes in `quiet` had no trade."""

    now: int
    listed: int = 0
    quiet: frozenset[int] = frozenset()

    def opens(self, first: int, last: int) -> list[int]:
        """Return the minutes that have begun, of those that open in [first, last], oldest first; the newest is still open."""
        first = max(-(-first // MINUTE) * MINUTE, self.listed)
        return list(range(first, min(last, self.now - self.now % MINUTE) + 1, MINUTE))

    def bar(self, opened: int) -> tuple[str, str, str, str, str]:
        """Return open, high, low, close and volume as text. A quiet minute is flat at the close before it."""
        if opened in self.quiet:
            before = opened - MINUTE
            while before in self.quiet:
                before -= MINUTE
            close = self.bar(before)[3]
            return close, close, close, close, "0"
        price = Decimal(60_000) + Decimal(opened // MINUTE % 997) / 8
        return str(price), str(price + 2), str(price - 3), str(price + 1), f"{1 + opened // MINUTE % 7}.00000001"


@dataclass(frozen=True)
class Asked:
    """A request for candles in the venue's own words, and how its bounds are to be read."""

    query: Mapping[str, str]
    market: Market
    end_counts: bool

    def number(self, name: str, default: int) -> int:
        return int(self.query.get(name, default))

    def rows(self, first: int, last: int, *, omits_quiet: bool = False) -> list[int]:
        last = last if self.end_counts or last % MINUTE else last - 1
        found = self.market.opens(first, last)
        return [t for t in found if t not in self.market.quiet] if omits_quiet else found


@dataclass(frozen=True)
class VenueForm:
    """How one venue speaks.

    candles: answers a request for candles. markets: path to answer. refusals: what happens, as the venue says it. omits_quiet:
    it gives no bar of a minute without a trade. bounds_unsaid: its documentation leaves open whether the end counts.
    """

    name: str
    symbol: str
    path: str
    markets: Mapping[str, Any]
    candles: Callable[[Asked], Any]
    rate_limited: Reply
    maintenance: Reply
    omits_quiet: bool = False
    bounds_unsaid: bool = False
    trades_path: str = ""
    trades: Callable[[Sequence[int]], Any] | None = (
        None  # of those instants, ms, newest first; for venues that omit quiet minutes
    )


@dataclass
class CandleVenue:
    """A venue that answers; `failures` are given first, one a request for candles."""

    form: VenueForm
    market: Market
    end_counts: bool = True
    failures: list[Reply] = field(default_factory=list)
    asked: list[Mapping[str, str]] = field(default_factory=list)

    def __call__(self, request: Request) -> Reply:
        url = urlparse(request.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        for path, body in self.form.markets.items():
            if url.path == path:
                return Reply(200, body)
        if self.form.trades is not None and url.path == self.form.trades_path:
            now = self.market.now
            made = [t for t in range(now - now % 10_000, now - 20 * MINUTE, -10_000) if t - t % MINUTE not in self.market.quiet]
            return Reply(200, self.form.trades(made[:100]))
        if not url.path.startswith(self.form.path):
            return Reply(404, {"error": f"no such path {url.path}"})
        self.asked.append({"path": url.path, **query})
        if self.failures:
            return self.failures.pop(0)
        found = self.form.candles(Asked({"path": url.path, **query}, self.market, self.end_counts))
        return found if isinstance(found, Reply) else Reply(200, found)


def _iso_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)


def _coinbase(asked: Asked) -> Any:
    first, last = _iso_ms(asked.query["start"]), _iso_ms(asked.query["end"])
    if (last - first) // MINUTE >= 300:
        return Reply(400, {"message": "granularity too small for the requested time range"})
    found = []
    for t in reversed(asked.rows(first, last, omits_quiet=True)):
        o, h, low, c, v = (float(x) for x in asked.market.bar(t))
        found.append([t // 1000, low, h, o, c, v])
    return found


def _binance(asked: Asked) -> Any:
    limit = asked.number("limit", 500)
    rows = asked.rows(asked.number("startTime", 0), asked.number("endTime", asked.market.now))[: min(limit, 1000)]
    return [[t, *asked.market.bar(t), t + MINUTE - 1, "0", 1, "0", "0", "0"] for t in rows]


def _kraken(asked: Asked) -> Any:
    """The newest 720 whatever is asked for; the last one, still open, always."""
    market = asked.market
    newest = market.opens(market.now - KRAKEN_ROWS * MINUTE + 1, market.now)[-KRAKEN_ROWS:]
    since = asked.number("since", 0) * 1000
    rows = [t for t in newest if t > since] or newest[-1:]
    found = []
    for t in rows:
        o, h, low, c, v = market.bar(t)
        found.append([t // 1000, o, h, low, c, c, v, 5])
    return {"error": [], "result": {"XXBTZUSD": found, "last": (rows[-1] - MINUTE) // 1000}}


def _okx(asked: Asked) -> Any:
    """`after`: records earlier than; `before`: records newer than; neither counts itself. Newest first, 300 or 100 of them."""
    is_history = asked.query["path"].endswith("history-candles")
    most = 100 if is_history else 300
    limit = min(asked.number("limit", 100), most)
    first = asked.number("before", -1) + 1
    last = asked.number("after", asked.market.now + MINUTE) - 1
    if not is_history:
        first = max(first, asked.market.now - 1_440 * MINUTE)
    rows = asked.market.opens(first, last)[::-1][:limit]
    newest = asked.market.now - asked.market.now % MINUTE
    bars = [(t, asked.market.bar(t)) for t in rows]
    return {"code": "0", "msg": "", "data": [[str(t), *bar, "0", "0", "0" if t == newest else "1"] for t, bar in bars]}


def _bybit(asked: Asked) -> Any:
    rows = asked.rows(asked.number("start", 0), asked.number("end", asked.market.now))
    rows = rows[::-1][: min(asked.number("limit", 200), 1000)]  # the newest of the range, newest first
    found = [[str(t), *asked.market.bar(t), "0"] for t in rows]
    return {"retCode": 0, "retMsg": "OK", "result": {"category": "spot", "symbol": "BTCUSDT", "list": found}}


def _kucoin(asked: Asked) -> Any:
    rows = asked.rows(asked.number("startAt", 0) * 1000, asked.number("endAt", 0) * 1000, omits_quiet=True)[::-1][:1500]
    found = []
    for t in rows:
        o, h, low, c, v = asked.market.bar(t)
        found.append([str(t // 1000), o, c, h, low, v, "0"])
    return {"code": "200000", "data": found}


def _bitget(asked: Asked) -> Any:
    is_history = asked.query["path"].endswith("history-candles")
    first, last = asked.number("startTime", 0), asked.number("endTime", asked.market.now)
    rows = asked.rows(first, last)[-min(asked.number("limit", 100), 200 if is_history else 1000) :]
    return {
        "code": "00000",
        "msg": "success",
        "requestTime": asked.market.now,
        "data": [[str(t), *asked.market.bar(t), "0", "0"] for t in rows],
    }


def _gate(asked: Asked) -> Any:
    first, last = asked.number("from", 0) * 1000, asked.number("to", 0) * 1000
    if asked.market.now - first > 10_000 * MINUTE:
        return Reply(400, {"label": "INVALID_PARAM_VALUE", "message": "Candlestick too long ago"})
    if (last - first) // MINUTE >= 1000:
        return Reply(400, {"label": "INVALID_PARAM_VALUE", "message": "Candlestick range too broad"})
    found = []
    newest = asked.market.now - asked.market.now % MINUTE
    for t in asked.rows(first, last):
        o, h, low, c, v = asked.market.bar(t)
        found.append([str(t // 1000), "0", c, h, low, o, v, "false" if t == newest else "true"])
    return found


def _coinbase_trades(times: Sequence[int]) -> Any:
    told = [f"{datetime.fromtimestamp(t / 1000, UTC):%Y-%m-%dT%H:%M:%S.%fZ}" for t in times]
    return [{"trade_id": n, "side": "sell", "size": "0.1", "price": "60000", "time": time} for n, time in enumerate(told)]


def _kucoin_trades(times: Sequence[int]) -> Any:
    rows = [{"sequence": str(t), "price": "60000", "size": "0.1", "side": "sell", "time": t * 1_000_000} for t in times]
    return {"code": "200000", "data": rows}


def _htx(asked: Asked) -> Any:
    first, last = asked.number("from", 0) * 1000, asked.number("to", asked.market.now // 1000) * 1000
    found = []
    for t in asked.rows(first, last)[::-1][: min(asked.number("size", 150), 1000)]:
        o, h, low, c, v = (float(x) for x in asked.market.bar(t))
        found.append({"id": t // 1000, "open": o, "close": c, "low": low, "high": h, "amount": v, "vol": 0.0, "count": 5})
    return {"ch": "market.btcusdt.kline.1min", "status": "ok", "ts": asked.market.now, "data": found}


def _binance_form(name: str, limited: int, message: str) -> VenueForm:
    """Return the form of a Binance exchange that answers `limited` to too many requests."""
    return VenueForm(
        name,
        "BTC-USDT",
        "/klines",
        {"/exchangeInfo": _binance_markets()},
        _binance,
        Reply(limited, {"code": -1003, "msg": message}, headers={"Retry-After": "2"}),
        Reply(503, {"code": -1016, "msg": "This service is no longer available."}),
    )


def _binance_markets() -> dict[str, Any]:
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
        {"filterType": "NOTIONAL", "minNotional": "5.0"},
    ]
    one = {
        "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "baseAssetPrecision": 8, "quoteAsset": "USDT",
        "quotePrecision": 8, "quoteAssetPrecision": 8, "orderTypes": ["LIMIT", "MARKET"], "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False, "filters": filters, "permissions": [], "permissionSets": [["SPOT"]],
    }  # fmt: skip
    return {"timezone": "UTC", "serverTime": 0, "rateLimits": [], "exchangeFilters": [], "symbols": [one]}


FORMS: Sequence[VenueForm] = (
    VenueForm(
        "coinbase",
        "BTC-USD",
        "/products/BTC-USD/candles",
        {
            "/products": [
                {
                    "id": "BTC-USD", "base_currency": "BTC", "quote_currency": "USD", "quote_increment": "0.01",
                    "base_increment": "0.00000001", "display_name": "BTC-USD", "min_market_funds": "1", "status": "online",
                    "trading_disabled": False,
                }
            ]
        },
        _coinbase,
        Reply(429, {"message": "Public rate limit exceeded"}),
        Reply(503, {"message": "Service Unavailable"}),
        omits_quiet=True,
        trades_path="/products/BTC-USD/trades",
        trades=_coinbase_trades,
    ),
    _binance_form("binance", 429, "Too much request weight used"),
    _binance_form("binanceus", 418, "Way too much request weight used; IP banned"),
    VenueForm(
        "kraken",
        "BTC-USD",
        "/0/public/OHLC",
        {
            "/0/public/AssetPairs": {
                "error": [],
                "result": {
                    "XXBTZUSD": {
                        "altname": "XBTUSD", "wsname": "XBT/USD", "aclass_base": "currency", "base": "XXBT",
                        "aclass_quote": "currency", "quote": "ZUSD", "lot": "unit", "cost_decimals": 5, "pair_decimals": 1,
                        "lot_decimals": 8, "lot_multiplier": 1, "leverage_buy": [2, 3], "leverage_sell": [2, 3],
                        "fees": [[0, 0.4]], "fees_maker": [[0, 0.25]], "fee_volume_currency": "ZUSD", "margin_call": 80,
                        "margin_stop": 40, "ordermin": "0.00005", "costmin": "0.5", "tick_size": "0.1", "status": "online",
                    }
                },
            }
        },
        _kraken,
        Reply(200, {"error": ["EGeneral:Too many requests"]}),
        Reply(200, {"error": ["EService:Unavailable"]}),
    ),
    VenueForm(
        "okx",
        "BTC-USDT",
        "/api/v5/market/",
        {
            "/api/v5/public/instruments": {
                "code": "0",
                "msg": "",
                "data": [
                    {
                        "instType": "SPOT", "instId": "BTC-USDT", "instFamily": "", "uly": "",
                        "baseCcy": "BTC", "quoteCcy": "USDT",
                        "settleCcy": "", "ctVal": "", "ctMult": "", "ctValCcy": "", "optType": "", "stk": "",
                        "listTime": "1548133413000",
                        "expTime": "", "lever": "10", "tickSz": "0.1", "lotSz": "0.00000001", "minSz": "0.00001", "ctType": "",
                        "alias": "", "state": "live", "maxLmtSz": "9999999999", "maxMktSz": "1000000",
                    }
                ],
            }
        },
        _okx,
        Reply(429, {"code": "50011", "msg": "Rate limit reached", "data": []}),
        Reply(503, {"code": "50001", "msg": "Service temporarily unavailable", "data": []}),
    ),
    VenueForm(
        "bybit",
        "BTC-USDT",
        "/v5/market/kline",
        {
            "/v5/market/instruments-info": {
                "retCode": 0,
                "retMsg": "OK",
                "result": {
                    "category": "spot",
                    "list": [
                        {
                            "symbol": "BTCUSDT", "baseCoin": "BTC", "quoteCoin": "USDT", "innovation": "0", "status": "Trading",
                            "marginTrading": "both",
                            "lotSizeFilter": {
                                "basePrecision": "0.000001", "quotePrecision": "0.00000001", "minOrderQty": "0.000048",
                                "maxOrderQty": "71.7", "minOrderAmt": "1", "maxOrderAmt": "4000000",
                            },
                            "priceFilter": {"tickSize": "0.01"},
                        }
                    ],
                },
                "time": 0,
            }
        },
        _bybit,
        Reply(200, {"retCode": 10006, "retMsg": "Too many visits!", "result": {}}),
        Reply(200, {"retCode": 10016, "retMsg": "Server error.", "result": {}}),
    ),
    VenueForm(
        "kucoin",
        "BTC-USDT",
        "/api/v1/market/candles",
        {
            "/api/v2/symbols": {
                "code": "200000",
                "data": [
                    {
                        "symbol": "BTC-USDT", "name": "BTC-USDT", "baseCurrency": "BTC", "quoteCurrency": "USDT",
                        "feeCurrency": "USDT",
                        "market": "USDS", "baseMinSize": "0.00001", "quoteMinSize": "0.1", "baseMaxSize": "10000000000",
                        "quoteMaxSize": "99999999", "baseIncrement": "0.00000001", "quoteIncrement": "0.000001",
                        "priceIncrement": "0.1", "priceLimitRate": "0.1", "minFunds": "0.1", "isMarginEnabled": True,
                        "enableTrading": True,
                    }
                ],
            }
        },
        _kucoin,
        Reply(429, {"code": "429000", "msg": "Too Many Requests"}),
        Reply(503, {"code": "503000", "msg": "Service Unavailable"}),
        omits_quiet=True,
        trades_path="/api/v1/market/histories",
        trades=_kucoin_trades,
        bounds_unsaid=True,
    ),
    VenueForm(
        "bitget",
        "BTC-USDT",
        "/api/v2/spot/market/",
        {
            "/api/v2/margin/currencies": {"code": "00000", "msg": "success", "data": []},
            "/api/v2/spot/public/symbols": {
                "code": "00000",
                "msg": "success",
                "data": [
                    {
                        "symbol": "BTCUSDT", "baseCoin": "BTC", "quoteCoin": "USDT", "minTradeAmount": "0",
                        "maxTradeAmount": "10000000000", "takerFeeRate": "0.002", "makerFeeRate": "0.002", "pricePrecision": "2",
                        "quantityPrecision": "6", "quotePrecision": "8", "minTradeUSDT": "1", "status": "online",
                    }
                ],
            }
        },
        _bitget,
        Reply(429, {"code": "429", "msg": "Too Many Requests", "data": None}),
        Reply(503, {"code": "40015", "msg": "System is abnormal, please try again later", "data": None}),
        bounds_unsaid=True,
    ),
    VenueForm(
        "gate",
        "BTC-USDT",
        "/spot/candlesticks",
        {
            "/spot/currency_pairs": [
                {
                    "id": "BTC_USDT", "base": "BTC", "base_name": "Bitcoin", "quote": "USDT", "fee": "0.2",
                    "min_base_amount": "0.000001",
                    "min_quote_amount": "3", "amount_precision": 6, "precision": 1, "trade_status": "tradable", "sell_start": 0,
                    "buy_start": 0, "type": "normal",
                }
            ],
            "/margin/currency_pairs": [],
        },
        _gate,
        Reply(429, {"label": "TOO_MANY_REQUESTS", "message": "Request Rate Limit Exceeded"}),
        Reply(500, {"label": "SERVER_ERROR", "message": "Internal server error"}),
    ),
    VenueForm(
        "htx",
        "BTC-USDT",
        "/market/history/candles",
        {
            "/v1/common/symbols": {
                "status": "ok",
                "data": [
                    {
                        "base-currency": "btc", "quote-currency": "usdt", "price-precision": 2, "amount-precision": 6,
                        "symbol-partition": "main", "symbol": "btcusdt", "state": "online", "value-precision": 8,
                        "min-order-amt": 0.0001, "max-order-amt": 1000, "min-order-value": 10, "api-trading": "enabled",
                        "limit-order-min-order-amt": 0.0001, "limit-order-max-order-amt": 1000, "leverage-ratio": 5,
                    }
                ],
            }
        },
        _htx,
        Reply(429, {"status": "error", "err-code": "api-request-too-frequent", "err-msg": "too many requests", "data": None}),
        Reply(503, {"status": "error", "err-code": "gateway-internal-error", "err-msg": "Server internal error", "data": None}),
        bounds_unsaid=True,
    ),
)  # fmt: skip
