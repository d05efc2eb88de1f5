"""What holds for every history of an account."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from signalbox.market.candles import Symbol
from signalbox.orders.terms import Side
from signalbox.risk import LossRule
from signalbox.risk.ftmo import FTMO_1STEP, FTMO_2STEP, Closed, FtmoAccount, FtmoEvent, FtmoRules, Marked, Opened, Swapped
from signalbox.risk.ftmo.monitor import FtmoRuleMonitor
from signalbox.risk.ftmo.state import AccountBreach
from tests.builders import BTC, ETH, SOL
from tests.unit.risk.accounts import PRAGUE, D, account, histories

RULE_SETS = st.sampled_from([FTMO_1STEP, FTMO_2STEP])


def run(rules: FtmoRules, events: list[FtmoEvent]) -> FtmoAccount:
    return account(rules, "10000", *events)


def equities(events: list[FtmoEvent]) -> list[Decimal]:
    """Equity after each event, the long way round: from all that happened so far."""
    found = []
    for stop in range(1, len(events) + 1):
        balance, marks = D(10_000), dict[Symbol, Decimal]()
        alive, swaps = dict[str, Opened](), dict[str, Decimal]()
        for event in events[:stop]:
            match event:
                case Opened():
                    alive[event.position], marks[event.symbol] = event, event.price
                    swaps[event.position] = D(0)
                    balance -= event.commission
                case Closed():
                    was = alive.pop(event.position)
                    marks[was.symbol] = event.price
                    sign = 1 if was.side is Side.BUY else -1
                    balance += sign * was.quantity * (event.price - was.price) + swaps.pop(event.position) - event.commission
                case Marked():
                    marks.update(event.prices)
                case Swapped():
                    swaps[event.position] += event.amount
        floating = sum(
            ((1 if p.side is Side.BUY else -1) * p.quantity * (marks[p.symbol] - p.price) for p in alive.values()), D(0)
        )
        found.append(balance + floating + sum(swaps.values()))
    return found


@given(events=histories(), rules=RULE_SETS)
def test_equity_is_balance_and_floating_profit_and_swaps(events: list[FtmoEvent], rules: FtmoRules) -> None:
    found = FtmoAccount(rules, D(10_000))
    expected = equities(events)
    for event, equity in zip(events, expected, strict=True):
        found.apply(event)
        assert found.equity == equity
        assert found.days[-1].worst_equity <= equity
    assert found.days[0].date == events[0].time.astimezone(PRAGUE).date()
    assert found.days[-1].date == events[-1].time.astimezone(PRAGUE).date()
    assert all((later.date - earlier.date).days == 1 for earlier, later in zip(found.days, found.days[1:], strict=False))
    assert all(later.baseline == earlier.closing_balance for earlier, later in zip(found.days, found.days[1:], strict=False))


@given(events=histories(), rules=RULE_SETS)
def test_a_breach_is_found_exactly_when_some_moments_equity_is_below_a_limit(events: list[FtmoEvent], rules: FtmoRules) -> None:
    found = run(rules, events)
    below = any(d.worst_equity < d.daily_limit for d in found.days)
    assert below == any(b.rule is LossRule.MAX_DAILY_LOSS for b in found.breaches)
    assert all(b.equity < b.limit for b in found.breaches)


@given(events=histories(), rules=RULE_SETS)
def test_a_breach_never_unbreaches(events: list[FtmoEvent], rules: FtmoRules) -> None:
    found = FtmoAccount(rules, D(10_000))
    known: tuple[AccountBreach, ...] = ()
    for event in events:
        new = found.apply(event)
        assert found.breaches == known + new
        known = found.breaches


@given(events=histories(), rules=RULE_SETS, data=st.data())
def test_replaying_is_the_same_as_going_on_from_a_stored_state(
    events: list[FtmoEvent], rules: FtmoRules, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(events)))
    first = run(rules, events[:cut])
    second = FtmoAccount.restore(rules, first.state())
    for event in events[cut:]:
        assert second.apply(event) == first.apply(event)
    assert second.state() == first.state()
    assert second.headroom() == first.headroom()
    assert FtmoRuleMonitor.restore(rules, first.state().rules).floors == first.headroom().floors
    assert second.days == first.days[len(first.days) - len(second.days) :]
    assert first.state() == run(rules, events).state()


@given(events=histories(), rules=RULE_SETS, data=st.data())
def test_favourable_marks_never_create_a_breach(events: list[FtmoEvent], rules: FtmoRules, data: st.DataObject) -> None:
    where = data.draw(st.integers(1, len(events)))
    symbol, move = data.draw(st.sampled_from([BTC, ETH, SOL])), D(data.draw(st.integers(1, 50)))
    before = run(rules, events[:where]).state().totals.get(symbol)
    if before is None:
        return
    better = before.mark + move if before.quantity >= 0 else before.mark - min(move, before.mark - 1)
    kinder = [*events[:where], Marked(events[where - 1].time, {symbol: better}), *events[where:]]
    plain, kind = run(rules, events).breaches, run(rules, kinder).breaches
    when = {b.rule: b.time for b in plain}
    assert all(b.rule in when and b.time >= when[b.rule] for b in kind)


@given(events=histories(), rules=RULE_SETS)
def test_the_order_of_marks_of_one_instant_means_nothing(events: list[FtmoEvent], rules: FtmoRules) -> None:
    swapped = [replace(e, prices=dict(reversed(list(e.prices.items())))) if isinstance(e, Marked) else e for e in events]
    mine, theirs = run(rules, events), run(rules, swapped)
    assert (mine.breaches, mine.days, mine.status) == (theirs.breaches, theirs.days, theirs.status)


@given(events=histories(), rules=RULE_SETS, data=st.data())
def test_a_finer_path_of_marks_never_hides_a_breach(events: list[FtmoEvent], rules: FtmoRules, data: st.DataObject) -> None:
    finer: list[FtmoEvent] = []
    for event in events:
        if isinstance(event, Marked) and finer:
            symbol = next(iter(event.prices))
            finer.append(Marked(event.time, {symbol: D(data.draw(st.integers(80, 120)))}))
        finer.append(event)
    coarse, fine = run(rules, events), run(rules, finer)
    when = {b.rule: b.time for b in fine.breaches}
    assert all(b.rule in when and when[b.rule] <= b.time for b in coarse.breaches)


@given(events=histories(), rules=RULE_SETS)
def test_a_day_is_never_skipped_however_time_passes(events: list[FtmoEvent], rules: FtmoRules) -> None:
    """Looking every few hours, as a monitor does, sees what the events alone would."""
    watched = FtmoAccount(rules, D(10_000))
    for event, after in zip(events, [*events[1:], None], strict=True):
        watched.apply(event)
        time = event.time
        while after is not None and (time := time + timedelta(hours=5)) < after.time:
            watched.advance(time)
    assert watched.state() == run(rules, events).state()
    assert watched.days == run(rules, events).days
