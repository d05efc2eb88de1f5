"""A model of facts that are valid already is the one that validating them makes, to the byte."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from signalbox import signing
from signalbox.adapters.postgres.outbox import event_detail
from signalbox.frozen import FrozenModel, instant_text, quoted
from signalbox.orders.events import (
    Liquidity,
    OrderAccepted,
    OrderDenied,
    OrderEvent,
    OrderFilled,
    OrderInitialized,
    OrderLost,
    OrderReleased,
    OrderSubmitted,
    parse_order_events,
)
from signalbox.orders.messages import ExecutionReported, ExecutionRequested, OrderInstruction
from signalbox.orders.sealing import REQUEST_LIFE, RequestSealer
from signalbox.orders.terms import Leg, OrderTerms, OrderType, Side, TimeInForce
from signalbox.portfolio.entries import Fill
from signalbox.signing import SigningKey
from signalbox.trading.events import AccountReviewDue
from tests.builders import NOON

TERMS = OrderTerms(
    account="live-1",
    strategy="dir60",
    symbol="BTC-USD",
    decided_at=NOON,
    leg=Leg.ENTRY,
    side=Side.BUY,
    type=OrderType.LIMIT,
    quantity=Decimal("0.10"),
    limit_price=Decimal("60000.50"),
    send_before=NOON + timedelta(minutes=5),
)
KEY = TERMS.client_order_id
REQUEST = {
    "account": "live-1", "venue": "exchange", "instruction": OrderInstruction.SUBMIT, "client_order_id": KEY, "terms": TERMS,
    "at": NOON, "snapshot_id": "f" * 64, "entry": None, "stop_loss": None, "take_profit": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        (OrderInitialized, {"client_order_id": KEY, "at": NOON, "terms": TERMS}),
        (OrderReleased, {"client_order_id": KEY, "at": NOON}),
        (OrderSubmitted, {"client_order_id": KEY, "at": NOON}),
        (OrderDenied, {"client_order_id": KEY, "at": NOON, "reason": "ACCOUNT_HALTED"}),
        (OrderAccepted, {"client_order_id": KEY, "at": NOON, "venue_order_id": f"P{KEY}"}),
        (AccountReviewDue, {"account": "live-1", "at": NOON, "due": NOON + timedelta(seconds=5)}),
        (ExecutionRequested, REQUEST),
    ],
)
def test_trusted_facts_make_the_validated_model(kind: type[FrozenModel], facts: dict[str, object]) -> None:
    trusted, validated = kind.trusted(**facts), kind(**facts)
    assert trusted == validated
    assert trusted.model_dump_json() == validated.model_dump_json()
    assert trusted.model_fields_set == validated.model_fields_set
    assert hash(trusted) == hash(validated)
    with pytest.raises(Exception, match="frozen"):
        trusted.at = NOON  # type: ignore[attr-defined]


def filled(trade_id: str, quantity: str) -> OrderFilled:
    return OrderFilled(
        client_order_id=KEY,
        at=NOON,
        account="live-1",
        symbol="BTC-USD",
        trade_id=trade_id,
        quantity=Decimal(quantity),
        price=Decimal(6),
    )


def test_fill_of_an_order_is_the_entry_that_is_read_from_its_text() -> None:
    event = filled("t1", "0.10")
    fill = Fill.of(TERMS, event)
    assert Fill.model_validate_json(fill.model_dump_json()) == fill
    assert fill.model_dump_json() == Fill(**fill.model_dump()).model_dump_json()
    assert parse_order_events([event.model_dump_json()]) == [event]


def test_fill_with_a_trade_id_that_is_no_key_is_refused() -> None:
    event = filled("t" * 129, "1")
    with pytest.raises(ValueError, match="at most 128"):
        Fill.of(TERMS, event)


TEXTS = st.text(min_size=1, max_size=20).filter(lambda text: not any("\ud800" <= letter <= "\udfff" for letter in text))
ZONES = st.sampled_from((UTC, timezone(timedelta(hours=5))))
INSTANTS = st.builds(
    lambda past, zone: (NOON + past).astimezone(zone), st.timedeltas(-timedelta(days=9_000), timedelta(days=9_000)), ZONES
)
SOON = timedelta(minutes=5)
NUMBERS = st.none() | st.decimals(min_value="0.000001", max_value="1e9", places=6)


@given(text=TEXTS, instant=INSTANTS)
def test_parts_of_a_text_are_written_as_pydantic_writes_them(text: str, instant: datetime) -> None:
    assert quoted(text) == TypeAdapter(str).dump_json(text).decode()
    assert f'"{instant_text(instant)}"' == TypeAdapter(datetime).dump_json(instant).decode()


@given(account=TEXTS, strategy=TEXTS, at=INSTANTS, numbers=st.tuples(NUMBERS, NUMBERS, NUMBERS), named=st.none() | TEXTS)
def test_text_of_terms_is_shared_and_what_has_them_is_written_as_pydantic_writes_it(
    account: str, strategy: str, at: datetime, numbers: tuple[Decimal | None, ...], named: str | None
) -> None:
    terms = TERMS.model_copy(update={"account": account, "strategy": strategy, "decided_at": at, "send_before": at + SOON})
    begun = OrderInitialized(client_order_id=terms.client_order_id, at=at, terms=terms)
    assert begun.to_text() == begun.model_dump_json()
    assert parse_order_events([begun.to_text()]) == [begun]
    request = ExecutionRequested.trusted(
        **REQUEST
        | {"account": account, "venue": strategy, "terms": terms, "at": at, "request_id": named, "entry": named}
        | {"quantity": numbers[0], "stop_loss": numbers[1], "take_profit": numbers[2]}
    )
    assert event_detail(request).startswith(request.model_dump_json(ensure_ascii=True)[:-1])


@given(
    texts=st.tuples(TEXTS, TEXTS, TEXTS),
    at=INSTANTS,
    amounts=st.tuples(*[st.decimals(min_value="1e-18", max_value="1e17", places=18)] * 2),
    fee=st.decimals(min_value=-1_000, max_value=1_000, places=9) | st.sampled_from([Decimal("-0"), Decimal("1E+3")]),
    liquidity=st.sampled_from(Liquidity),
)
def test_events_of_every_order_are_written_as_pydantic_writes_them(
    texts: tuple[str, str, str], at: datetime, amounts: tuple[Decimal, Decimal], fee: Decimal, liquidity: Liquidity
) -> None:
    account, symbol, trade_id = texts
    facts = {"account": account, "symbol": symbol, "trade_id": trade_id, "fee": fee, "liquidity": liquidity}
    events: list[OrderEvent] = [
        OrderReleased(client_order_id=KEY, at=at),
        OrderSubmitted(client_order_id=KEY, at=at),
        OrderLost(client_order_id=KEY, at=at),
        OrderAccepted(client_order_id=KEY, at=at, venue_order_id=trade_id),
        OrderFilled.trusted(client_order_id=KEY, at=at, quantity=amounts[0], price=amounts[1], **facts),
    ]
    for event in events:
        assert event.to_text() == event.model_dump_json()


OF_ANY_SCALE = st.none() | st.decimals(min_value="1e-18", max_value="1e17", allow_nan=False) | st.just(Decimal("1E+3"))


@given(
    texts=st.tuples(TEXTS, TEXTS, TEXTS),
    at=INSTANTS,
    numbers=st.tuples(OF_ANY_SCALE, OF_ANY_SCALE, OF_ANY_SCALE, OF_ANY_SCALE, OF_ANY_SCALE),
    named=st.none() | TEXTS,
    of_terms=st.fixed_dictionaries(
        {
            "attempt": st.integers(0, 10**6),
            "reduce_only": st.booleans(),
            "side": st.sampled_from(Side),
            "type": st.sampled_from(OrderType),
            "leg": st.sampled_from(Leg),
            "time_in_force": st.sampled_from(TimeInForce),
            "expires_at": st.none() | INSTANTS,
            "limit_price": OF_ANY_SCALE,
            "stop_price": OF_ANY_SCALE,
            "quantity": OF_ANY_SCALE.filter(lambda quantity: quantity is not None),
        }
    ),
    instruction=st.sampled_from(OrderInstruction),
)
def test_sealed_request_is_written_as_any_sealed_event_is(
    texts: tuple[str, str, str],
    at: datetime,
    numbers: tuple[Decimal | None, ...],
    named: str | None,
    of_terms: dict[str, object],
    instruction: OrderInstruction,
) -> None:
    account, strategy, venue = texts
    terms = TERMS.model_copy(
        update={"account": account, "strategy": strategy, "symbol": venue, "decided_at": at, "send_before": at + SOON} | of_terms
    )
    request = ExecutionRequested.trusted(
        account=account,
        venue=venue,
        instruction=instruction,
        client_order_id=KEY,
        terms=terms,
        at=at,
        snapshot_id=named,
        venue_order_id=named,
        request_id=named,
        entry=named,
        **dict(zip(("quantity", "limit_price", "stop_price", "stop_loss", "take_profit"), numbers, strict=True)),
    )
    key = SigningKey.of("k" * 32)
    found = RequestSealer(lambda: key, lambda: at).detail(request, 7)
    end = at + REQUEST_LIFE
    assert found == signing.sealed(request.type.value, request.to_detail(), key, sequence=7, expires_at=end)


def test_what_is_made_of_facts_is_no_fact() -> None:
    """Ids are kept with the value that they are made of: neither equality, hash and text see them, nor another value's copy."""
    plain, asked = (OrderReleased(client_order_id=KEY, at=NOON) for _ in range(2))
    terms = TERMS.model_copy()
    before = (terms.client_order_id, terms.text, asked.event_id)
    assert before == (TERMS.client_order_id, TERMS.model_dump_json(), f"OrderReleased:{KEY}")
    assert asked == plain
    assert hash(asked) == hash(plain)
    assert asked.model_dump_json() == plain.model_dump_json()
    assert asked.model_dump() == plain.model_dump()
    assert repr(asked) == repr(plain)
    reported = ExecutionReported(account="live-1", client_order_id=KEY, reported_at=NOON, events=(asked,))
    assert reported.to_detail() == ExecutionReported(**reported.model_dump()).to_detail()
    other = terms.model_copy(update={"attempt": 1})
    assert other.client_order_id == OrderTerms(**TERMS.model_dump() | {"attempt": 1}).client_order_id != terms.client_order_id
    assert other.text == other.model_dump_json() != terms.text
    deep = terms.model_copy(update={"attempt": 1}, deep=True)
    assert (deep.client_order_id, deep.text) == (other.client_order_id, other.text)
    assert terms.client_order_id is terms.client_order_id


@pytest.mark.parametrize("deep", [False, True])
def test_a_copy_changes_fields_only(deep: bool) -> None:
    with pytest.raises(TypeError, match="OrderTerms: no such field: reduce_onyl"):
        TERMS.model_copy(update={"attempt": 1, "reduce_onyl": True}, deep=deep)
