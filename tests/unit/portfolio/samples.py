"""Small, valid entries of an account; each argument is what the test is about."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from signalbox.orders.terms import Side
from signalbox.portfolio.entries import Entry, Fill, FundingPayment, Transfer
from tests.builders import BTC, ETH, NOON

ACCOUNT = "paper-1"


def day(number: int) -> datetime:
    """Noon, `number` days after the first."""
    return NOON + timedelta(days=number)


def buy(number: int, quantity: str, price: str, fee: str = "0", symbol: str = BTC, key: str | None = None) -> Fill:
    """A buy at noon of day `number`."""
    return _fill(Side.BUY, number, quantity, price, fee, symbol, key)


def sell(number: int, quantity: str, price: str, fee: str = "0", symbol: str = BTC, key: str | None = None) -> Fill:
    """A sale at noon of day `number`."""
    return _fill(Side.SELL, number, quantity, price, fee, symbol, key)


def _fill(side: Side, number: int, quantity: str, price: str, fee: str, symbol: str, key: str | None) -> Fill:
    return Fill(
        account=ACCOUNT,
        key=key or f"t-{number}",
        at=day(number),
        symbol=symbol,
        side=side,
        quantity=Decimal(quantity),
        price=Decimal(price),
        fee=Decimal(fee),
    )


def funding(number: int, amount: str, symbol: str = BTC) -> FundingPayment:
    return FundingPayment(account=ACCOUNT, key=f"f-{number}", at=day(number), symbol=symbol, amount=Decimal(amount))


def transfer(number: int, amount: str) -> Transfer:
    return Transfer(account=ACCOUNT, key=f"m-{number}", at=day(number), amount=Decimal(amount))


_QUANTITIES = st.decimals("0.00000001", "1000000", places=8)
_PRICES = st.decimals("0.00000001", "1000000", places=8)
_MONEY = st.decimals("-1000", "1000", places=8)


@st.composite
def entries(draw: st.DrawFn, max_size: int = 10, symbols: tuple[str, ...] = (BTC, ETH)) -> list[Entry]:
    """Any history of an account: sides, sizes and prices of every kind, several at one instant."""
    found: list[Entry] = []
    for number in range(draw(st.integers(0, max_size))):
        when = day(draw(st.integers(0, 4)))
        symbol = draw(st.sampled_from(symbols))
        kind = draw(st.integers(0, 9))
        if kind == 0:
            found.append(FundingPayment(account=ACCOUNT, key=f"f-{number}", at=when, symbol=symbol, amount=draw(_MONEY)))
        elif kind == 1:
            found.append(Transfer(account=ACCOUNT, key=f"m-{number}", at=when, amount=draw(_MONEY)))
        else:
            quantity = draw(st.one_of(st.integers(1, 4).map(Decimal), _QUANTITIES))
            found.append(
                Fill(
                    account=ACCOUNT,
                    key=f"t-{number}",
                    at=when,
                    symbol=symbol,
                    side=draw(st.sampled_from(Side)),
                    quantity=quantity,
                    price=draw(_PRICES),
                    fee=draw(_MONEY),
                )
            )
    return found
