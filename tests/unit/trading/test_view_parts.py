"""A comparison is made on a whole view alone, whatever the order in which its parts come."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.orders.errors import ViewPartsError
from signalbox.orders.messages import VenueViewReported
from signalbox.orders.parts import in_parts
from signalbox.orders.transitions import OrderState
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading import venue_reports
from signalbox.trading.changes import RiskEventKind
from tests.examples import examples
from tests.unit.trading.market import BTC, START, flat
from tests.unit.trading.test_live_service import NAME, SECOND, World, view
from tests.unit.trading.test_service import command

FILLS = 60
LIMIT = 2_000


def resting() -> tuple[World, str]:
    """A live account with a resting buy of BTC that the venue has accepted."""
    world = World()
    world.ready()
    return world, world.accepted(symbol=BTC, type="LIMIT", limit_price="60000", quantity="0.06")


def filled_view(key: str, at: datetime, fills: int = FILLS) -> VenueViewReported:
    """What the venue has once the order was filled in small trades."""
    return view(
        at,
        orders=[
            {"client_order_id": key, "venue_order_id": "V1", "symbol": BTC, "status": "OPEN" if fills < 60 else "FILLED"}
            | {"quantity": Decimal("0.060"), "filled": Decimal("0.001") * fills, "limit_price": Decimal(60000)}
        ],
        trades=[
            {"trade_id": f"t{i}", "client_order_id": key, "symbol": BTC, "side": "BUY", "quantity": Decimal("0.001")}
            | {"price": Decimal(60000), "executed_at": START + SECOND * 2 + timedelta(milliseconds=i)}
            for i in range(fills)
        ],
        positions={BTC: Decimal("0.001") * fills},
    )


@settings(max_examples=examples(30), deadline=None)
@given(st.data())
def test_parts_in_any_order_and_twice_leave_the_account_that_the_whole_view_leaves(data: st.DataObject) -> None:
    at = START + 40 * SECOND
    plain, key = resting()
    plain.floor.deliver(filled_view(key, at))
    world, key = resting()
    parts = list(in_parts(filled_view(key, at), LIMIT))
    assert len(parts) > 3
    order_of = data.draw(st.permutations(parts + data.draw(st.lists(st.sampled_from(parts), max_size=4))))
    world.floor.deliver(*order_of)
    mine, theirs = world.floor.rows(NAME), plain.floor.rows(NAME)
    assert (mine.state, mine.entries, mine.order_events, mine.risk) == (
        theirs.state,
        theirs.entries,
        theirs.order_events,
        theirs.risk,
    )
    assert mine.state.orders[key].state is OrderState.FILLED  # type: ignore[index]
    assert not mine.view_parts


def test_an_incomplete_view_is_not_compared_and_the_next_shows_what_was_lost() -> None:
    world, key = resting()
    before = world.floor.state(NAME)
    parts = in_parts(filled_view(key, START + 40 * SECOND, 50), LIMIT)
    assert world.floor.deliver(*parts[:-1]) == ()
    assert world.floor.state(NAME) == before  # not one fill, no halt, and no comparison that readiness could rely on
    world.floor.deliver(*in_parts(filled_view(key, START + 60 * SECOND), LIMIT))
    state = world.floor.state(NAME)
    assert (state.compared_at, state.books.position(BTC).quantity) == (START + 60 * SECOND, Decimal("0.060"))
    (line,) = [one for one in world.floor.rows(NAME).risk.values() if one.kind is RiskEventKind.VIEW_INCOMPLETE]
    assert (line.code, line.value, line.limit) == ("PART_MISSING", Decimal(len(parts) - 1), Decimal(len(parts)))
    world.floor.deliver(parts[-1])  # it comes after all, too late
    assert world.floor.state(NAME) == state
    assert not world.floor.rows(NAME).view_parts


def test_a_view_that_stays_incomplete_halts_an_account_with_exposure_and_says_why() -> None:
    world, key = resting()
    parts = in_parts(filled_view(key, START + 40 * SECOND), LIMIT)
    world.floor.deliver(*parts[1:])
    world.floor.database.add_candles("coinbase", flat(BTC, START, 20, "60000"))
    world.floor.service.on_minute(START + timedelta(minutes=16))
    halt = world.floor.state(NAME).halt
    assert halt is not None
    assert halt.level is HaltLevel.HALT
    assert halt.why.endswith(f"{len(parts) - 1} of {len(parts)} parts of its newest view arrived")


def test_a_part_is_never_compared_as_if_it_were_the_whole() -> None:
    world, key = resting()
    (part, *_) = in_parts(filled_view(key, START + 40 * SECOND), LIMIT)
    with pytest.raises(ViewPartsError, match="expected a whole view, got part 1"):
        venue_reports.compare(world.floor.state(NAME), part)


def test_a_part_that_says_something_else_than_its_digest_compares_nothing() -> None:
    world, key = resting()
    before = world.floor.state(NAME)
    first, *rest = in_parts(filled_view(key, START + 40 * SECOND), LIMIT)
    assert first.trades
    forged = first.model_copy(update={"trades": first.trades[1:]})
    with pytest.raises(ViewPartsError, match="the parts are not one view"):
        world.floor.deliver(forged, *rest)
    assert world.floor.state(NAME) == before
    assert world.floor.service.on_command(command("halt", START + 50 * SECOND, NAME, why="look"), "ada").state.halt is not None
