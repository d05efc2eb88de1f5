"""What rows keep as text comes back as the value it was."""

import json
from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.adapters.postgres.trading_rows import event_rows, rule_state_of, rule_state_text, warning_texts, warnings_of
from signalbox.orders.events import OrderEvent, OrderReleased, parse_order_events
from signalbox.risk.ftmo.headroom import StopLevel
from signalbox.risk.ftmo.monitor import FtmoRuleMonitor
from signalbox.risk.ftmo.rules import RULES
from signalbox.risk.snapshot import LossRule
from signalbox.trading.warnings import DepletionWarning, IssuedWarning, LimitWarning
from tests.builders import NOON, minutes
from tests.integration.trading_samples import denied, filled, sent, terms

RULE = st.sampled_from(LossRule)
WARNINGS = st.one_of(
    st.builds(LimitWarning, RULE, st.sampled_from(StopLevel), st.dates()),
    st.builds(DepletionWarning, RULE, st.none() | st.dates()),
)


@given(warned=st.frozensets(WARNINGS))
def test_warnings_come_back_as_they_were_written(warned: frozenset[IssuedWarning]) -> None:
    texts = warning_texts(warned)
    assert (warnings_of(texts), len(texts)) == (warned, len(warned))


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("max_loss:ALERT:2024-03-01", LimitWarning(LossRule.MAX_LOSS, StopLevel.ALERT, date(2024, 3, 1))),
        ("EXHAUSTED:max_daily_loss:2024-03-01", DepletionWarning(LossRule.MAX_DAILY_LOSS, date(2024, 3, 1))),
        ("EXHAUSTED:max_loss", DepletionWarning(LossRule.MAX_LOSS, None)),
    ],
)
def test_texts_of_rows_that_are_in_the_ledger_already_are_read(text: str, warning: IssuedWarning) -> None:
    assert warnings_of([text]) == {warning}
    assert warning_texts([warning]) == [text]


@pytest.mark.parametrize("text", ["", "b", "max_loss:LOUD:2024-03-01", "EXHAUSTED:nothing", "max_loss:ALERT:soon", "a:b:c:d"])
def test_a_text_that_is_no_warning_is_left_out_so_that_it_is_told_again(text: str) -> None:
    assert warnings_of([text, "EXHAUSTED:max_loss"]) == {DepletionWarning(LossRule.MAX_LOSS, None)}


MONEY = st.decimals("-100000", "200000", places=8)


@given(
    name=st.sampled_from(sorted(RULES)),
    observed=st.lists(st.tuples(st.integers(0, 3_000), MONEY, MONEY, st.booleans()), max_size=5),
)
def test_rule_state_comes_back_to_the_last_digit(name: str, observed: list[tuple[int, Decimal, Decimal, bool]]) -> None:
    monitor, at = FtmoRuleMonitor(RULES[name], Decimal("100000.00")), NOON
    for later, balance, equity, opens in observed:
        at += minutes(later)
        monitor.observe(at, balance=balance, equity=equity, is_flat=not opens, opened_at=at if opens else None)
    state = monitor.state()
    text = rule_state_text(state)
    found = rule_state_of(text)
    assert found == state
    assert rule_state_text(found) == text
    assert found is not None
    assert FtmoRuleMonitor.restore(RULES[name], found).state() == state


@st.composite
def saved_together(draw: st.DrawFn) -> list[OrderEvent]:
    """Events of several orders as a save has them: those of one order in their order, whatever the orders and instants."""
    ways: list[list[OrderEvent]] = []
    for number in range(draw(st.integers(1, 4))):
        order = terms(NOON + minutes(number))
        whole = [*sent(order), filled(order, f"t{number}", NOON), filled(order, f"u{number}", NOON + minutes(9))]
        of_order: list[OrderEvent] = draw(st.sampled_from([whole, list(denied(order))]))
        first = draw(st.integers(0, len(of_order) - 1))
        cut = of_order[first : draw(st.integers(first + 1, len(of_order)))]
        later = draw(st.lists(st.integers(-3, 3), min_size=len(cut), max_size=len(cut)))
        ways.append([event.model_copy(update={"at": event.at + minutes(by)}) for event, by in zip(cut, later, strict=True)])
    turns = draw(st.permutations([place for place, way in enumerate(ways) for _ in way]))
    return [ways[place].pop(0) for place in turns]


@given(events=saved_together())
def test_rows_of_events_hold_each_once_and_cover_their_instants(events: list[OrderEvent]) -> None:
    rows = [{name: str(value) for name, value in row.items() if value is not None} for row in event_rows(events, "paper-100k")]
    held = [parse_order_events([row["payload"]]) for row in rows]
    for row, of_row in zip(rows, held, strict=True):
        assert {event.client_order_id for event in of_row} == {row["client_order_id"]}
        assert (row["event_id"], row["kind"]) == (of_row[0].event_id, of_row[-1].kind)
        covered = datetime.fromisoformat(row.get("first_at", row["at"])), datetime.fromisoformat(row["at"])
        assert covered == (min(event.at for event in of_row), max(event.at for event in of_row))
        for event in of_row:
            if isinstance(event, OrderReleased):
                assert (row["kind"], datetime.fromisoformat(row["at"])) == (event.kind, event.at)
    assert len({row["event_id"] for row in rows}) == len(rows)
    assert all(json.loads(f"[{row['payload']}]") for row in rows)
    offered, found = defaultdict[str, list[OrderEvent]](list), defaultdict[str, list[OrderEvent]](list)
    for event in events:
        offered[event.client_order_id].append(event)
    for of_row in held:
        found[of_row[0].client_order_id] += of_row
    assert found == offered
    assert len(rows) <= 3 * len(offered)  # what was decided; a release before it by its instant; what came after it
