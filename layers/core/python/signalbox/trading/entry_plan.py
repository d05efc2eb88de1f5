"""Plans the order that follows a signal: volatility, exits and size, or the reason why no order follows.

The volatility is that of signalbox.labels: an exact decimal, and the same in training, in a backtest and in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from signalbox.events import SignalGenerated
from signalbox.exact import exactly, ratio, to_step
from signalbox.labels.volatility import ENTRY_BARS, LEAST_RETURNS, volatility
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side, TimeInForce
from signalbox.risk.numbers import exact
from signalbox.risk.order import Instrument
from signalbox.trading.account import SEND_WITHIN, EntryPolicy, TradingAccount, TradingMode
from signalbox.trading.paper import ROUND_TRIP

__all__ = [
    "ENTRY_BARS",
    "LEAST_RETURNS",
    "EntryPlan",
    "SignalSkipReason",
    "edge_is_below_cost",
    "first_objection",
    "plan",
    "volatility",
]


class SignalSkipReason(StrEnum):
    """Why a signal led to no order."""

    NOT_FOLLOWED = "NOT_FOLLOWED"  # another deployment decided the same symbol and instant, and the account follows that one
    NOT_ISSUED = "NOT_ISSUED"  # a HOLD, or a signal over the hourly rate limit
    LATE = "LATE"  # a newer cycle was decided before this signal
    TIER = "TIER"  # the policy does not trade its tier
    STAGE = "STAGE"  # a shadow model never trades a live account
    OTHER_MARKET = "OTHER_MARKET"  # decided on bars of a fallback venue, which do not price the account
    EXPIRED = "EXPIRED"  # send_before has passed
    POSITION_OPEN = "POSITION_OPEN"  # at most one trade per symbol
    VOLATILITY_UNKNOWN = "VOLATILITY_UNKNOWN"  # too few bars
    EDGE_BELOW_COST = "EDGE_BELOW_COST"
    BELOW_MINIMUM_SIZE = "BELOW_MINIMUM_SIZE"
    EXHAUSTED = "EXHAUSTED"  # so little is left above our own stop that no entry can pass (trading/headroom.py)
    NOT_COMPARED = "NOT_COMPARED"  # the last comparison of a live account with its venue is too old
    IN_DOUBT = "IN_DOUBT"  # ledger and venue differed in the newest view, and the venue is queried again
    NO_INSTRUMENT = "NO_INSTRUMENT"  # the venue has not described the symbol's instrument, or takes no new position in it
    EXIT_FAILING = "EXIT_FAILING"  # a position of the account has to be closed, and its exits are not filled
    DRY_RUN = "DRY_RUN"  # the account only records decisions


@dataclass(frozen=True, slots=True)
class EntryPlan:
    """An entry order and the exits that will protect its position."""

    terms: OrderTerms
    stop_loss: Decimal
    take_profit: Decimal | None
    deadline: datetime


def first_objection(  # noqa: PLR0911 - a reason each
    account: TradingAccount, signal: SignalGenerated, at: datetime, *, is_traded: bool
) -> SignalSkipReason | None:
    """Return the reason to skip a signal, as far as it shows without prices and the venue; None if there is none."""
    if not signal.issued or signal.direction == "HOLD":
        return SignalSkipReason.NOT_ISSUED
    if signal.late:
        return SignalSkipReason.LATE
    if signal.tier not in account.policy.tiers:
        return SignalSkipReason.TIER
    if signal.stage == "shadow" and account.mode is TradingMode.LIVE:
        return SignalSkipReason.STAGE
    if signal.market not in {None, account.market}:
        return SignalSkipReason.OTHER_MARKET  # its own venue is down, so nothing values what it would buy
    if at >= signal.decided_at + SEND_WITHIN:
        return SignalSkipReason.EXPIRED
    return SignalSkipReason.POSITION_OPEN if is_traded else None


@exactly
def edge_is_below_cost(policy: EntryPolicy, signal: SignalGenerated, move: Decimal) -> bool:
    """Return whether the expected move, `move` x (2p - 1), is below the policy's multiple of the cost of a round trip."""
    up = Decimal(repr(signal.probability_up))
    probability = up if signal.direction == "BUY" else 1 - up
    return move * (2 * probability - 1) < policy.minimum_edge_over_cost * ROUND_TRIP


@exactly
def plan(
    account: TradingAccount, signal: SignalGenerated, instrument: Instrument, move: Decimal, equity: Decimal
) -> EntryPlan | None:
    """Return the entry of a signal, sized by the policy. None when it is below the minimum size or has no valid stop."""
    policy, side, price = account.policy, Side(signal.direction), signal.price
    distance = to_step(price * move * policy.stop_volatilities, instrument.tick, upwards=True)
    stop = to_step(price - side.sign * distance, instrument.tick, upwards=side is Side.SELL)
    if not distance or stop <= 0 or equity <= 0:
        return None
    target = None
    if policy.target_volatilities is not None:
        target = to_step(price + side.sign * price * move * policy.target_volatilities, instrument.tick, upwards=side is Side.BUY)
        if target <= 0 or target == stop:
            return None
    by_risk = ratio(equity * policy.risk_fraction, distance, 18)
    by_notional = ratio(equity * policy.max_notional_fraction, price, 18)
    quantity = to_step(min(by_risk, by_notional), instrument.step, upwards=False)
    if quantity < instrument.min_quantity or quantity * price < instrument.min_notional:
        return None
    send_before = signal.decided_at + SEND_WITHIN
    is_live = account.mode is TradingMode.LIVE
    return EntryPlan(
        terms=OrderTerms.trusted(
            account=account.account,
            strategy=account.strategy,
            symbol=signal.symbol,
            decided_at=signal.decided_at,
            leg=Leg.ENTRY,
            side=side,
            type=OrderType.MARKET,
            quantity=exact(quantity, "quantity"),
            time_in_force=TimeInForce.IOC if is_live else TimeInForce.GTD,
            expires_at=None if is_live else send_before,
            send_before=send_before,
        ),
        stop_loss=exact(stop, "stop"),
        take_profit=None if target is None else exact(target, "target"),
        deadline=signal.decided_at + timedelta(minutes=signal.horizon_minutes),
    )
