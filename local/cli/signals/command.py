"""`signalbox signals`: the decided signals and their outcomes. It only reads the ledger.

An outcome is the price move from the decision to a later minute, before costs. If that minute was not recorded, or the exchange
skipped it, the outcome is unknown and counts as neither right nor wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeAlias

from local.cli.accounts.ledger import ledger
from local.cli.rows import print_rows
from local.cli.signals.page import write_signal
from local.errors import DataError
from local.settings import VENUE, Settings
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.reading import LedgerReader
from signalbox.adapters.postgres.trading_reading import TradingReader
from signalbox.exact import exactly
from signalbox.features import SCHEMAS
from signalbox.market.candles import ONE_MINUTE, Symbol
from signalbox.signals.signal import Direction, Signal, was_right

Where: TypeAlias = tuple[str | None, str | None, Settings]  # --stage, --database
RIGHT, WRONG, UNKNOWN = "right", "wrong", "unknown"
_BPS: Final = Decimal(10_000)


def run_list(start: datetime, end: datetime, symbol: str | None, where: Where, *, is_issued: bool, as_json: bool) -> None:
    """Print the signals with start < decided_at <= end."""
    with ledger(*where) as source:
        found = _signals(source, start, end, symbol)
    rows = [_row(one) for one in found if one.issued or not is_issued]
    print_rows("signals", rows, {"start": start, "end": end}, as_json=as_json)


def run_show(symbol: str, at: datetime, where: Where, *, as_json: bool, out: Path | None = None) -> None:
    """Print the signals of a symbol at an instant, with features and trades. Raises DataError if there is none.

    out: folder for a page and a picture of the candles around it; None writes neither.
    """
    with ledger(*where) as source:
        found = _signals(source, at - timedelta(microseconds=1), at, symbol)
        if not found:
            raise DataError(
                f"no signal of {symbol} was decided at {at:%Y-%m-%dT%H:%M:%S} UTC; `signalbox signals list` lists signals"
            )
        trades = _trades(source, symbol, at)
        written = [] if out is None else write_signal(source, found[0], out)
    about = {"symbol": symbol, "decided_at": at}
    if as_json:
        signals = [{**_row(one), "features": _features(one)} for one in found]
        print_rows("signals", signals, {**about, "trades": trades, "written": written}, as_json=True)
        return
    print_rows("signals", [_row(one) for one in found], about, as_json=False)
    for one in found:
        rows = [{"feature": name, "value": f"{value:.6g}"} for name, value in _features(one).items()]
        print_rows("features", rows, {"deployment": one.deployment}, as_json=False)
    print_rows("trades", trades, about, as_json=False)
    for path in written:
        print(f"written: {path}")


def run_outcome(start: datetime, end: datetime, symbol: str | None, where: Where, *, minutes: int, as_json: bool) -> None:
    """Print the price move after each issued signal of (start, end], and how many were right."""
    with ledger(*where) as source:
        issued = [one for one in _signals(source, start, end, symbol) if one.issued]
        rows = outcomes(issued, LedgerReader(source), timedelta(minutes=minutes))
    counts = {what: sum(row["outcome"] == what for row in rows) for what in (RIGHT, WRONG, UNKNOWN)}
    print_rows("outcomes", rows, {"start": start, "end": end, "minutes": minutes, **counts}, as_json=as_json)
    if rows and not as_json:
        print(f"{counts[RIGHT]} right, {counts[WRONG]} wrong, {counts[UNKNOWN]} unknown, before costs")


def outcomes(issued: Sequence[Signal], reader: LedgerReader, horizon: timedelta) -> list[dict[str, Any]]:
    """Return a row per signal: prices at the decision and `horizon` later, the move between them, and whether it was right."""
    last_minutes = [(one.symbol, one.decided_at + horizon - ONE_MINUTE) for one in issued]
    minutes_of: defaultdict[str | None, set[tuple[Symbol, datetime]]] = defaultdict(set)
    for one, minute in zip(issued, last_minutes, strict=True):
        minutes_of[one.market].add(minute)
    closes = {market: reader.closes(market or VENUE, minutes) for market, minutes in minutes_of.items()}
    found = []
    for one, minute in zip(issued, last_minutes, strict=True):
        after = closes[one.market].get(minute)
        move = None if after is None else _bps(one.price, after)
        found.append(
            {
                "decided_at": one.decided_at,
                "symbol": one.symbol,
                "direction": one.direction.value,
                "tier": one.tier.value,
                "price": one.price,
                "price_after": after,
                "move_bps": move,
                "outcome": _outcome(one.direction, move),
            }
        )
    return found


def _outcome(direction: Direction, move: Decimal | None) -> str:
    if move is None:
        return UNKNOWN
    return RIGHT if was_right(direction, move) else WRONG


@exactly
def _bps(before: Decimal, after: Decimal) -> Decimal:
    return round((after - before) / before * _BPS, 2)


def _signals(source: ConnectionSource, start: datetime, end: datetime, symbol: str | None) -> tuple[Signal, ...]:
    found = LedgerReader(source).signals(start, end)
    return tuple(one for one in found if symbol is None or one.symbol == Symbol(symbol.upper()))


def _trades(source: ConnectionSource, symbol: str, at: datetime) -> list[dict[str, Any]]:
    reader = TradingReader(source)
    return [
        {
            "account": account.account,
            "side": trade.side.value,
            "state": trade.state.value,
            "exit": None if trade.exit_leg is None else trade.exit_leg.value,
            "realised_after_fees": trade.realised,
        }
        for account in reader.accounts()
        for trade in reader.trades(account.account, at - timedelta(microseconds=1), at)
        if trade.symbol == symbol
    ]


def signal_row(one: Signal) -> dict[str, Any]:
    """Return a signal as a row, without its features."""
    return {
        "decided_at": one.decided_at,
        "known_at": one.known_at,
        "late": one.late,
        "symbol": one.symbol,
        "direction": one.direction.value,
        "tier": one.tier.value,
        "probability_up": one.probability_up,
        "price": one.price,
        "stage": one.stage.value,
        "market": one.market,
        "deployment": one.deployment,
        "overridden": one.overridden,
        "challenger": one.challenger,
        "issued": one.issued,
        "held_back": one.held_back,
    }


def _row(one: Signal) -> dict[str, Any]:
    yes_or_no = {name: "yes" if flag else "no" for name, flag in (("issued", one.issued), ("late", one.late))}
    override = {"overridden": "override" if one.overridden else None, "challenger": "beside" if one.challenger else None}
    return signal_row(one) | {"probability_up": round(one.probability_up, 4), **yes_or_no} | override


def _features(one: Signal) -> dict[str, float]:
    schema = SCHEMAS.get(one.schema_name)
    names = schema.names if schema is not None and len(schema.names) == len(one.features) else range(1, len(one.features) + 1)
    return {str(name): value for name, value in zip(names, one.features, strict=True)}
