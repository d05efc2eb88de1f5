"""Assigns a meaning to each column. If a column has two possible meanings, the command requires an option that states it.

Two wrong guesses would cost money: whether a volume is in base or in quote currency, and the zone of a time that states none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from local.cli.data.importing.files import ImportFileError

PRICES: Final = ("open", "high", "low", "close")
BINANCE: Final = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count", "taker_buy_volume",
    "taker_buy_quote_volume", "ignore",
)  # fmt: skip
FREQTRADE: Final = ("date", "open", "high", "low", "close", "volume")  # also the rows of ccxt's fetch_ohlcv

_TIMES: Final = (  # the first of these that is there, exact ones before texts
    "unix", "unixtimestamp", "opentime", "opentimems", "timestamp", "timestampms", "ts", "t", "time", "starttime", "start",
    "begin", "opentimeutc", "timestamputc", "timeutc", "datetimeutc", "dateutc", "gmttime", "datetime", "date",
    "timeperiodstart",
)  # fmt: skip
_PRICE_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "open": ("open", "o", "openprice", "priceopen"),
    "high": ("high", "h", "highprice", "pricehigh", "max"),
    "low": ("low", "l", "lowprice", "pricelow", "min"),
    "close": ("close", "c", "closeprice", "priceclose"),
}
_BASE_NAMES: Final = frozenset({"basevolume", "volumebase", "volumebaseasset", "baseassetvolume", "volumecrypto"})
_QUOTE_NAMES: Final = frozenset(
    {"quotevolume", "quoteassetvolume", "volumequote", "volumecurrency", "turnover", "quoteav", "volumefiat", "amount"}
)
_PLAIN_NAMES: Final = frozenset({"volume", "vol", "v"})


@dataclass(frozen=True, slots=True)
class ColumnOptions:
    """The options that state the meaning of columns."""

    base_volume: str | None = None
    quote_volume: str | None = None
    names: tuple[str, ...] = ()  # of a file without a header


NO_COLUMN_OPTIONS: Final = ColumnOptions()


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """The meaning of each column, as column numbers of the file.

    quote_volume: the column of volume in quote currency; it is divided by the bar's typical price when there is no `volume`.
    """

    names: tuple[str, ...]
    time: int
    prices: tuple[int, int, int, int]
    volume: int | None
    quote_volume: int | None = None
    symbol: int | None = None
    is_utc: bool = False  # a time without a zone is UTC by the file's own word

    @property
    def shown(self) -> str:
        """The plan as text: `open_time as time, open, high, low, close, volume in base currency`."""
        parts = [f"{self.names[self.time]!s} as open time"]
        parts += [_as(self.names[place], what) for place, what in zip(self.prices, PRICES, strict=True)]
        if self.volume is not None:
            parts.append(f"{self.names[self.volume]} as volume in base currency")
        elif self.quote_volume is not None:
            parts.append(
                f"{self.names[self.quote_volume]} as volume in quote currency, divided by the mean of high, low and close"
            )
        return ", ".join(parts)


def _as(name: str, what: str) -> str:
    return name if name.lower() == what else f"{name} as {what}"


def plan_columns(names: Sequence[str], symbol: str | None, options: ColumnOptions, *, knows_volume: bool) -> ColumnPlan:
    """Return the meaning of each column. Raises ImportFileError that names the missing column, or the option that decides.

    symbol: BTC-USD, by whose currencies a volume's name is read. knows_volume: the form says that `volume` is in base currency.
    """
    plain = [_plain(name) for name in names]
    places: dict[str, int] = {}
    for what, known in _PRICE_NAMES.items():
        found = [place for place, name in enumerate(plain) if name in known]
        if len(found) > 1:
            raise ImportFileError(f"{len(found)} columns may be the {what} ({', '.join(names[i] for i in found)}); keep one")
        if found:
            places[what] = found[0]
    when = next((plain.index(name) for name in _TIMES if name in plain), None)
    missing = [what for what in PRICES if what not in places]
    if missing or when is None:
        missing += [] if when is not None else ["open time"]
        raise ImportFileError(f"no column for {', '.join(missing)}; it has {_listed(names)}")
    volume, quote = _volumes(names, plain, symbol, options, knows_volume=knows_volume)
    return ColumnPlan(
        tuple(names),
        when,
        (places["open"], places["high"], places["low"], places["close"]),
        volume,
        quote,
        next((plain.index(name) for name in ("symbol", "pair", "ticker", "assetid") if name in plain), None),
        "utc" in plain[when] or "gmt" in plain[when],
    )


def _volumes(
    names: Sequence[str], plain: Sequence[str], symbol: str | None, options: ColumnOptions, *, knows_volume: bool
) -> tuple[int | None, int | None]:
    """Return the columns of base and quote volume. Raises ImportFileError when neither is certain."""
    if options.base_volume is not None:
        return _named(names, options.base_volume, "--base-volume"), None
    if options.quote_volume is not None:
        return None, _named(names, options.quote_volume, "--quote-volume")
    kinds = [_volume_kind(name, symbol) for name in plain]
    base, quote = [i for i, kind in enumerate(kinds) if kind == "base"], [i for i, kind in enumerate(kinds) if kind == "quote"]
    plainly = [i for i, kind in enumerate(kinds) if kind == "plain"]
    if len(base) == 1:
        return base[0], quote[0] if len(quote) == 1 else None
    if len(plainly) == 1 and not base and (knows_volume or len(quote) == 1):
        return plainly[0], quote[0] if len(quote) == 1 else None
    if not (base or plainly or quote):
        raise ImportFileError(f"no column for volume; it has {_listed(names)}")
    candidates = ", ".join(names[i] for i in (*base, *plainly, *quote))
    raise ImportFileError(
        f"the file does not say whether {candidates} is in base or in quote currency; "
        "give --base-volume COLUMN or --quote-volume COLUMN (quote is divided by the bar's mean price)"
    )


def _volume_kind(name: str, symbol: str | None) -> str | None:
    """Return base, quote or plain for a column's plain name, None for a column that is no volume of the whole bar."""
    if "taker" in name or name.startswith(("tb", "count")):
        return None
    for kind, names in (("quote", _QUOTE_NAMES), ("base", _BASE_NAMES), ("plain", _PLAIN_NAMES)):
        if name in names:
            return kind
    currency = name.replace("volume", "", 1)
    if currency == name:
        return None
    base, _, quote = (symbol or "").lower().partition("-")
    if currency == base:
        return "base"
    return "quote" if currency == quote or currency.startswith("usd") else "plain"


def _named(names: Sequence[str], wanted: str, option: str) -> int:
    for place, name in enumerate(names):
        if name.strip().lower() == wanted.strip().lower():
            return place
    raise ImportFileError(f"{option}: no column {wanted}; it has {_listed(names)}")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:30]) for name in names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown
