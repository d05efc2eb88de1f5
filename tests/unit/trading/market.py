"""A small market, accounts and signals for the tests of trading; each argument is what the test is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from signalbox.events import SignalGenerated
from signalbox.market.candles import ONE_MINUTE, Bars, Candle, Symbol
from signalbox.orders.terms import Leg, OrderTerms
from signalbox.orders.venue_view import VenueInstrument
from signalbox.trading.account import DIR60_STANDARD, TradingAccount, account_named
from signalbox.trading.at_venue import AtVenue
from signalbox.trading.bars import apply_bars
from signalbox.trading.changes import NO_CHANGES, ChangeSet
from signalbox.trading.instruments import INSTRUMENTS
from signalbox.trading.state import AccountState, opened

BTC, ETH, SOL = Symbol("BTC-USD"), Symbol("ETH-USD"), Symbol("SOL-USD")
START = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
BASE = {BTC: Decimal(60_000), ETH: Decimal(3_000), SOL: Decimal(100)}
AT_VENUE = AtVenue(
    instruments=tuple(VenueInstrument(one.symbol, one.tick, one.step, one.min_quantity) for one in INSTRUMENTS.values())
)  # what a venue tells that trades in the steps of the paper one
Market = Mapping[Symbol, Sequence[Candle]]


def bar(symbol: Symbol, open_time: datetime, first: str | Decimal, **changes: str | Decimal) -> Candle:
    """A bar that opens at `first` and stays there unless told otherwise."""
    prices = {name: Decimal(changes.get(name, first)) for name in ("open", "high", "low", "close")}
    prices["high"] = max(prices.values())
    prices["low"] = min(prices.values())
    return Candle(symbol, open_time, prices["open"], prices["high"], prices["low"], prices["close"], Decimal(10))


def wave(symbol: Symbol, since: datetime, count: int) -> list[Candle]:
    """`count` bars from `since`, each a small deterministic move: about 0.05 % a minute."""
    return list(_wave(symbol, since, count))


@cache  # hundreds of tests and examples begin with the same hours
def _wave(symbol: Symbol, since: datetime, count: int) -> tuple[Candle, ...]:
    found = []
    for i in range(count):
        at = since + ONE_MINUTE * i
        minute = int(at.timestamp()) // 60 + len(symbol)
        first, last = (_price(symbol, minute + k) for k in (0, 1))
        span = first / 4_000
        found.append(Candle(symbol, at, first, max(first, last) + span, min(first, last) - span, last, Decimal(5 + minute % 7)))
    return tuple(found)


def _price(symbol: Symbol, minute: int) -> Decimal:
    steps_up = (minute * 7919 % 13) - 6 + (minute // 5) % 9
    return (BASE[symbol] * (Decimal(1) + Decimal(steps_up) / 10_000)).quantize(Decimal("0.01"))


def flat(symbol: Symbol, since: datetime, count: int, price: str | Decimal) -> list[Candle]:
    """`count` bars that do not move."""
    return [bar(symbol, since + ONE_MINUTE * i, price) for i in range(count)]


def history(symbol: Symbol = BTC, until: datetime = START, count: int = 300) -> Bars:
    """The bars a volatility is measured on."""
    return Bars.from_candles(symbol, wave(symbol, until - ONE_MINUTE * count, count))


def paper(kind: str = "paper-100k", policy: Any = DIR60_STANDARD) -> TradingAccount:
    """An account by its name."""
    return account_named(kind, market="coinbase", policy=policy)


def state_at(account: TradingAccount, at: datetime = START, prices: Mapping[Symbol, Decimal] = BASE) -> AccountState:
    """A new account state to which one flat bar of every symbol was applied."""
    state = opened(account, at - timedelta(hours=1))
    seen = {symbol: [bar(symbol, at - ONE_MINUTE, price)] for symbol, price in prices.items()}
    return apply_bars(state, seen, at)[0]


def manual_terms(account: TradingAccount, number: int, symbol: Symbol, hundreds: int, **changes: Any) -> OrderTerms:
    """Return the terms of a person's order to buy at the market, worth about USD 100 times `hundreds`."""
    facts = {
        "account": account.account,
        "strategy": f"manual-{number}",
        "symbol": symbol,
        "decided_at": START,
        "leg": Leg.ENTRY,
        "side": "BUY",
        "type": "MARKET",
        "quantity": (Decimal(hundreds * 100) / BASE[symbol]).quantize(Decimal("0.01")) or Decimal("0.01"),
        "send_before": START + timedelta(minutes=5),
    }
    return OrderTerms.model_validate(facts | changes)


def signal(symbol: Symbol = BTC, at: datetime = START, direction: str = "BUY", **changes: Any) -> SignalGenerated:
    """An issued signal of an active model."""
    facts = {
        "symbol": symbol,
        "decided_at": at,
        "deployment": "starter-1",
        "stage": "active",
        "direction": direction,
        "tier": "HIGH",
        "issued": True,
        "late": False,
        "probability_up": 0.6 if direction == "BUY" else 0.4,
        "confidence": 0.6,
        "price": BASE[symbol],
        "horizon_minutes": 60,
        "schema_name": "s",
        "schema_hash": "h",
    }
    return SignalGenerated.model_validate(facts | changes)


def watched(state: AccountState, market: Market, until: datetime, every: int = 1) -> tuple[AccountState, ChangeSet]:
    """Watch a market up to an instant, `every` minutes at a time."""
    changes, at = NO_CHANGES, state.watched_until or START
    while at < until:
        at = min(at + ONE_MINUTE * every, until)
        state, more = apply_bars(state, since(market, state.watched_until, at), at)
        changes += more
    return state, changes


def since(market: Market, after: datetime | None, until: datetime) -> dict[Symbol, list[Candle]]:
    """What the ledger would give."""
    found = {
        symbol: [c for c in bars if (after is None or c.close_time > after) and c.close_time <= until]
        for symbol, bars in market.items()
    }
    return {symbol: bars for symbol, bars in found.items() if bars}
