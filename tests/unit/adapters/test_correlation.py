"""What log lines say they belong to, written by the real logger."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from aws_lambda_powertools import Logger
from hypothesis import given
from hypothesis import strategies as st

from signalbox.adapters.aws.correlation import followed
from signalbox.events import BusEvent, CandlesClosed, CycleDecided, MarketDataStale, correlation_id_of
from signalbox.orders.terms import Side
from signalbox.trading.events import TradeOpened, TurnMissed
from tests.builders import NOON

CYCLE = "2024-03-01T12:00:00+00:00"
DECIDED = CycleDecided(venue="coinbase", cycle_at=NOON, symbols=("BTC-USD",), late=False)
STALE = MarketDataStale(symbol="BTC-USD", since=NOON, reason="GAP", newest_close=None)


def opened(decided_at: datetime | None) -> TradeOpened:
    return TradeOpened(
        account="a", mode="paper", entry="ab" * 16, symbol="BTC-USD", side=Side.BUY, at=NOON + timedelta(minutes=1),
        quantity=Decimal(1), price=Decimal(1), stop_loss=Decimal(1), take_profit=None, deadline=NOON + timedelta(hours=1),
        decided_at=decided_at,
    )  # fmt: skip


def test_every_event_of_a_cycle_has_the_cycles_id() -> None:
    closed = CandlesClosed(venue="coinbase", cycle_at=NOON, part=1, parts=1, symbols=())
    missed = TurnMissed(account="a", missed=DECIDED, why="no price")
    events: tuple[BusEvent, ...] = (closed, DECIDED, STALE, missed, opened(NOON))
    assert {event.correlation_id for event in events} == {CYCLE}
    assert opened(None).correlation_id is None


def test_an_event_of_before_the_field_is_read_and_keeps_its_key() -> None:
    old = opened(NOON).to_detail()
    del old["decided_at"], old["event_id"]
    assert TradeOpened.model_validate(old) == opened(None)
    assert opened(None).event_id == opened(NOON).event_id


@given(st.integers(-12, 12))
def test_the_id_is_the_instant_whatever_the_zone_it_was_written_in(hours: int) -> None:
    assert correlation_id_of(NOON.astimezone(timezone(timedelta(hours=hours)))) == CYCLE


def test_a_records_ids_are_on_its_lines_and_not_on_the_next_records() -> None:
    stream = io.StringIO()
    logger = Logger(service="correlation-test", stream=stream)
    for event in (DECIDED, opened(None), None):
        with followed(logger) as follow:
            logger.info("before")
            if event is not None:
                follow.event(event)
            logger.info("after")
    lines: list[dict[str, Any]] = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line.get("correlation_id"), line.get("event_id")) for line in lines] == [
        (None, None), (CYCLE, DECIDED.event_id), (None, None), (None, opened(None).event_id), (None, None), (None, None),
    ]  # fmt: skip


def test_a_command_and_what_it_starts_share_the_instant() -> None:
    stream = io.StringIO()
    logger = Logger(service="correlation-test-command", stream=stream)
    with followed(logger) as follow:
        follow.command("req-0001", datetime(2024, 3, 1, 12, 0, 7, tzinfo=UTC))
        logger.info("message_handled")
    (line,) = (json.loads(text) for text in stream.getvalue().splitlines())
    assert (line["correlation_id"], line["request"]) == ("2024-03-01T12:00:07+00:00", "req-0001")
