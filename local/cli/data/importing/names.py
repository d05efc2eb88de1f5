"""Reads symbol, timeframe and venue from the name and the folders of a file. What they do not say stays None.

Sources: Binance's public data (BTCUSDT-1m-2024-03.zip below data/spot or data/futures/um), CryptoDataDownload
(Binance_BTCUSDT_2024_minute.csv), freqtrade (BTC_USDT-1m.feather in user_data/data/binance), Kaggle
(btcusd_1-min_data.csv).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

VENUES: Final = frozenset({
    "binance", "binanceus", "binanceusdm", "bitfinex", "bitget", "bitmex", "bitstamp", "bybit", "cexio", "coinbase", "cryptocom",
    "deribit", "exmo", "gate", "gateio", "gemini", "htx", "huobi", "kraken", "kucoin", "mexc", "okx", "poloniex",
})  # fmt: skip
ONE_MINUTE_NAMES: Final = frozenset({"1m", "1min", "minute", "1t", "1minute"})
_BINANCE_QUOTES: Final = (
    "FDUSD", "USDT", "BUSD", "USDC", "TUSD", "USDP", "USDS", "DAI", "BTC", "ETH", "BNB", "TRX", "XRP", "EUR", "GBP", "AUD", "BRL",
    "TRY", "RUB", "UAH", "NGN", "ZAR", "PLN", "RON", "ARS", "JPY", "MXN", "CZK", "COP", "IDRT", "BIDR", "BVND", "VAI", "PAX",
)  # fmt: skip
_QUOTES: Final = (*_BINANCE_QUOTES, "USD")
_BINANCE: Final = re.compile(r"([A-Z0-9]{5,24})-(\d{1,2}(?:s|m|h|d|w|mo))-\d{4}-\d\d(?:-\d\d)?")
_DELIVERY: Final = re.compile(r"[A-Z0-9]+_(?:PERP|\d{6})-\d")
_DOWNLOAD: Final = re.compile(
    r"([A-Za-z]+)[_ ]([A-Z0-9]{5,15})_(?:\d{4}_)?(minute|hour|1min|1hr|[a-z]|\d{1,2}[a-z]{1,3})", re.IGNORECASE
)
_FREQTRADE: Final = re.compile(r"([A-Z0-9]{1,20})_([A-Z0-9]{1,20})(_[A-Z0-9]+)?-(\d{1,2}(?:m|h|d|w|Mo))(?:-([a-z_]+))?")
_SEPARATED: Final = re.compile(r"(?<![A-Z0-9])([A-Z0-9]{2,12})[-_/](FDUSD|USDT|USDC|BUSD|TUSD|USD|EUR|GBP|BTC|ETH)(?![A-Z0-9])")
_JOINED: Final = re.compile(r"(?<![A-Z0-9])([A-Z0-9]{2,12})(FDUSD|USDT|USDC|BUSD|TUSD|USD|EUR|GBP)(?![A-Z0-9])")
_TIMEFRAME: Final = re.compile(r"(?<![A-Z0-9])(\d{1,2})[-_ ]?(S|SEC|M|MIN|T|H|HOUR|D|W)(?![A-Z0-9])")


@dataclass(frozen=True, slots=True)
class NameFacts:
    """The facts in a file's name.

    kind: the source whose naming scheme it follows; refusal: why its content cannot be imported.
    """

    kind: str
    symbol: str | None = None
    timeframe: str | None = None
    venue: str | None = None
    refusal: str | None = None
    is_futures: bool = False


def facts_of_name(path: PurePath) -> NameFacts:
    """Return the facts in a file's name and folders. path: includes the folders, because one may be named `futures`."""
    stem = _stem(path.name)
    folders = [part.lower() for part in path.parts[:-1]]
    venue = next((name for name in reversed(folders) if name in VENUES), None)
    if _DELIVERY.match(stem) or "cm" in folders:
        return NameFacts("Binance COIN-M futures", refusal="contracts settled in coins, whose volume is not in base currency")
    if match := _BINANCE.fullmatch(stem):
        futures = "um" in folders or "futures" in folders
        name = "binanceusdm" if futures else "binance" if "spot" in folders else venue
        return NameFacts("Binance public data", split_pair(match[1], _BINANCE_QUOTES), match[2], name, is_futures=futures)
    if match := _FREQTRADE.fullmatch(stem):
        base, quote, settle, frame, candles = match.groups()
        if candles not in (None, "futures"):
            return NameFacts("freqtrade", refusal=f"{candles} prices, which nobody traded at")
        return NameFacts("freqtrade", f"{base}-{quote}", frame, venue, is_futures=settle is not None)
    if (match := _DOWNLOAD.fullmatch(stem)) and match[1].lower() in VENUES:
        return NameFacts("CryptoDataDownload", split_pair(match[2].upper(), _QUOTES), _frame(match[3].lower()), match[1].lower())
    upper = stem.upper()
    pairs = (*_SEPARATED.finditer(upper), *_JOINED.finditer(upper))
    found = next((pair for pair in pairs if pair[1].lower() not in VENUES), None)  # bitstampUSD is no pair
    frame = _TIMEFRAME.search(upper)
    return NameFacts(
        "file",
        f"{found[1]}-{found[2]}" if found else None,
        f"{frame[1]}{frame[2][0].lower().replace('t', 'm')}" if frame else None,
        venue or next((name for name in VENUES if name.upper() in re.split(r"[^A-Z]+", upper)), None),
    )


def split_pair(pair: str, quotes: tuple[str, ...] = _QUOTES) -> str | None:
    """Return BTC-USDT for BTCUSDT, BTC/USDT or BTC-USDT; None if the quote currency is unknown or the pair is ambiguous."""
    upper = pair.strip().upper()
    if parts := re.fullmatch(r"([A-Z0-9]{1,20})[-/_:]([A-Z0-9]{1,20})", upper):
        return f"{parts[1]}-{parts[2]}"
    ends = [quote for quote in quotes if upper.endswith(quote) and len(upper) - len(quote) >= 2]
    # of USD and USDT at the end only one fits; TUSD and USD both do: BTCTUSD is BTC in TUSD, or BTCT in USD
    if len(ends) != 1 or not re.fullmatch(r"[A-Z0-9]+", upper):
        return None
    return f"{upper.removesuffix(ends[0])}-{ends[0]}"


def _stem(name: str) -> str:
    for end in (".gz", ".zip", ".csv", ".json", ".feather", ".parquet", ".txt"):
        name = name.removesuffix(end)
    return name


def _frame(text: str) -> str:
    return {"d": "1d", "h": "1h", "hour": "1h", "1hr": "1h"}.get(text, "1m" if text in ONE_MINUTE_NAMES else text)
