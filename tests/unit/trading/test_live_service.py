"""Nothing that opens risk leaves a live account unless everything that live trading takes is in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.orders.events import OrderAccepted, OrderFilled, OrderSubmitted
from signalbox.orders.messages import (
    ExecutionReported,
    ExecutionRequested,
    OrderInstruction,
    VenueViewReported,
    ViewedInstrument,
    ViewedTrade,
)
from signalbox.orders.terms import Side
from signalbox.orders.transitions import OrderState
from signalbox.trading.account import TradingAccount, TradingMode
from signalbox.trading.changes import NO_CHANGES, RiskEventKind
from signalbox.trading.errors import CommandError
from signalbox.trading.readiness import LIVE_GATES, NotReady
from signalbox.trading.service import NOT_READY, AccountOutcome
from tests.unit.trading.market import AT_VENUE, BTC, START, paper, signal
from tests.unit.trading.test_service import Floor, command, cycle, order

NAME = "live-1"
FIRM = TradingAccount.model_validate(
    paper("ftmo-2step-100k").model_dump() | {"account": NAME, "mode": TradingMode.LIVE, "venue": "coinbase"}
)
assert FIRM.rules is not None
RULES = f"{FIRM.rules.name} {FIRM.rules.version}"
PASSED = dict.fromkeys(LIVE_GATES, "pass")
MODEL = "starter-1"  # of the signals of these tests
SECOND = timedelta(seconds=1)


def entries(handled: tuple[AccountOutcome, ...]) -> list[ExecutionRequested]:
    """What was sent to the venue and opens risk."""
    sent = [e for one in handled for e in one.changes.events if isinstance(e, ExecutionRequested)]
    return [e for e in sent if e.instruction is OrderInstruction.SUBMIT and not e.terms.reduce_only]


def view(at: datetime, **facts: object) -> VenueViewReported:
    return VenueViewReported.model_validate(
        {"account": NAME, "requested_at": at, "asked_at": at, "orders": (), "trades": (), "positions": {}}
        | {"instruments": [ViewedInstrument.of(one) for one in AT_VENUE.instruments], **facts}
    )


@dataclass
class World:
    """A floor with one live account under a firm's rules; every command has a request of its own."""

    floor: Floor = field(default_factory=lambda: Floor(FIRM))
    requests: int = 0

    def say(self, kind: str, at: datetime = START, **facts: object) -> AccountOutcome:
        self.requests += 1
        made = command(kind, at, NAME, **({"request_id": f"req-{self.requests:04}"} | facts))
        return self.floor.service.on_command(made, "ada")

    def ready(self) -> None:
        """Everything that it takes, as of START."""
        self.say("confirm", what="live")
        self.say("confirm", what=RULES)
        self.decided("active", PASSED)
        self.floor.deliver(cycle(), view(START))

    def accepted(self, **terms: object) -> str:
        """The id of an order of a person that the venue has accepted."""
        sent = self.floor.service.on_command(order(account=NAME, **terms), "ada").order
        assert sent is not None
        key = sent.client_order_id
        reported = (
            OrderSubmitted(client_order_id=key, at=START + SECOND),
            OrderAccepted(client_order_id=key, at=START + SECOND, venue_order_id="V1"),
        )
        self.floor.deliver(ExecutionReported(account=NAME, client_order_id=key, reported_at=START + SECOND, events=reported))
        return key

    def decided(self, stage: str, gates: dict[str, str], deployment: str = MODEL, at: datetime = START) -> None:
        self.floor.database.add_model(deployment, stage, gates, at)
        self.floor.database.decided[at, deployment] = stage

    def without_bars_since(self, at: datetime) -> None:
        for bars in self.floor.database.candles.values():
            for opened in [t for t in bars if t >= at]:
                del bars[opened]

    def reasons(self, at: datetime) -> list[NotReady]:
        return [reason.code for reason in self.floor.service.readiness_report(NAME, at).readiness.reasons]


def test_with_everything_in_the_ledger_a_signal_and_a_person_reach_the_venue() -> None:
    world = World()
    world.ready()
    assert world.reasons(START) == []
    assert [e.terms.symbol for e in entries(world.floor.deliver(signal(BTC)))] == [BTC]
    assert len(entries((world.floor.service.on_command(order(account=NAME), "ada"),))) == 1


MISSING: dict[str, tuple[Callable[[World], object], list[NotReady]]] = {
    "nobody may trade it": (lambda w: w.say("confirm", what="paper"), [NotReady.MODE_NOT_CONFIRMED]),
    "everything was taken back": (
        lambda w: w.say("confirm", what="withdrawn"),
        [NotReady.MODE_NOT_CONFIRMED, NotReady.RULES_NOT_CONFIRMED],
    ),
    "the model of the signal is another bundle too": (
        lambda w: w.decided("active", PASSED | {"G4": "fail"}),
        [NotReady.GATE_NOT_PASSED],
    ),
    "a gate was not judged": (lambda w: w.decided("active", PASSED | {"G2": "not evaluated"}), [NotReady.GATE_NOT_PASSED]),
    "somebody halted it": (lambda w: w.say("halt", why="news"), [NotReady.HALTED]),
    "the venue has what nobody explains yet": (
        lambda w: w.floor.deliver(view(START + SECOND, positions={"BTC-USD": "1"})),
        [NotReady.DIFFERENCE],
    ),
}


@pytest.mark.parametrize("missing", MISSING)
def test_each_thing_that_is_missing_is_named_and_holds_back_signals_and_people(missing: str) -> None:
    world = World()
    world.ready()
    unmake, expected = MISSING[missing]
    unmake(world)
    assert world.reasons(START + SECOND) == expected
    (handled,) = world.floor.deliver(signal(BTC))
    assert entries((handled,)) == []
    (line,) = handled.changes.risk
    assert (line.kind, line.code) == (RiskEventKind.SIGNAL_HELD_BACK, NOT_READY)
    assert all(code in line.detail for code in expected)
    with pytest.raises(CommandError, match="may not trade live"):
        world.floor.service.on_command(order(account=NAME), "ada")


def test_an_old_comparison_counts_for_nothing_and_proves_no_credentials() -> None:
    world = World()
    world.ready()
    at = START + timedelta(minutes=16)
    world.floor.deliver(cycle(at))
    assert world.reasons(at) == [NotReady.COMPARISON_OLD, NotReady.SECRETS_MISSING]


def test_without_new_bars_of_what_is_to_be_traded_nothing_is_sent() -> None:
    world = World()
    world.without_bars_since(START - timedelta(minutes=12))
    world.ready()
    assert world.reasons(START) == [NotReady.DATA_STALE]
    assert entries(world.floor.deliver(signal(BTC))) == []


def test_bars_of_another_symbol_do_not_make_up_for_those_of_the_signals() -> None:
    world = World()
    bars = world.floor.database.candles["coinbase", BTC]
    for opened in [t for t in bars if t >= START - timedelta(minutes=12)]:
        del bars[opened]
    world.ready()
    assert world.reasons(START) == []
    (handled,) = world.floor.deliver(signal(BTC))
    assert entries((handled,)) == []
    assert NotReady.DATA_STALE in handled.changes.risk[0].detail


def test_a_signal_is_judged_by_the_model_that_made_it_and_a_person_by_the_newest() -> None:
    world = World()
    world.ready()
    world.decided("active", PASSED | {"G1": "fail"}, deployment="newer", at=START)
    (handled,) = world.floor.deliver(signal(BTC, deployment="newer"))
    assert (entries((handled,)), "GATE_NOT_PASSED: newer: gate G1" in handled.changes.risk[0].detail) == ([], True)
    (handled,) = world.floor.deliver(signal(BTC, deployment="nobody-knows"))
    assert (entries((handled,)), "MODEL_NOT_ACTIVE" in handled.changes.risk[0].detail) == ([], True)
    assert len(entries(world.floor.deliver(signal(BTC)))) == 1
    with pytest.raises(CommandError, match="newer"):
        world.floor.service.on_command(order(account=NAME), "ada")


def test_a_difference_takes_a_resume_and_then_a_clean_comparison() -> None:
    world = World()
    world.ready()
    differing = {"positions": {"BTC-USD": "1"}}
    world.floor.deliver(view(START + SECOND, **differing), view(START + 31 * SECOND, **differing))
    assert world.reasons(START + 31 * SECOND) == [NotReady.HALTED, NotReady.DIFFERENCE]
    world.say("resume", START + 32 * SECOND, why="sold it by hand")
    assert world.reasons(START + 32 * SECOND) == [NotReady.DIFFERENCE]
    world.floor.deliver(view(START + 33 * SECOND))
    assert world.reasons(START + 33 * SECOND) == []


def test_an_old_view_that_comes_late_or_the_same_again_compares_nothing() -> None:
    world = World()
    world.ready()
    world.floor.deliver(view(START + 10 * SECOND))
    before = world.floor.state(NAME)
    world.floor.deliver(
        view(START + 5 * SECOND, positions={"BTC-USD": "1"}), view(START + 10 * SECOND, positions={"BTC-USD": "1"})
    )
    assert world.floor.state(NAME) == before
    assert before.compared_at == START + 10 * SECOND


def test_a_clean_comparison_alone_releases_nothing() -> None:
    world = World()
    world.ready()
    differing = {"positions": {"BTC-USD": "1"}}
    world.floor.deliver(view(START + SECOND, **differing), view(START + 31 * SECOND, **differing), view(START + 32 * SECOND))
    assert world.reasons(START + 32 * SECOND) == [NotReady.HALTED]


def test_a_word_that_waited_in_a_queue_does_not_undo_a_later_one() -> None:
    world = World()
    world.ready()
    world.say("confirm", START + 2 * SECOND, what="withdrawn")
    world.say("confirm", START + SECOND, what="live")
    assert world.reasons(START + 2 * SECOND) == [NotReady.MODE_NOT_CONFIRMED, NotReady.RULES_NOT_CONFIRMED]


def test_a_confirmation_is_in_the_compliance_record_with_who_and_once() -> None:
    world = World()
    lines = [world.say("confirm", what="live", request_id="req-same").changes for _ in range(2)]
    (line,) = lines[0].risk
    assert (line.kind, line.code, line.who, line.detail) == (RiskEventKind.OVERRIDE, "CONFIRM", "ada", "live")
    assert lines[1] == NO_CHANGES


def test_words_that_are_not_of_this_account_are_refused_with_those_that_are() -> None:
    world = World()
    for what in ("ftmo-2step 2019-01.1", "yes", "LIVE"):
        with pytest.raises(CommandError, match="expected one of 'live', 'paper', 'withdrawn', 'ftmo-2step"):
            world.say("confirm", what=what)
    floor = Floor()
    with pytest.raises(CommandError, match="expected one of 'paper', 'withdrawn'"):
        floor.service.on_command(command("confirm", what="live"), "ada")


def test_a_working_order_may_shrink_or_end_but_not_grow_once_readiness_is_lost() -> None:
    world = World()
    world.ready()
    key = world.accepted(type="LIMIT", limit_price="99", quantity="2")
    world.say("confirm", START + SECOND, what="paper")
    for change in ({"quantity": "3"}, {"limit_price": "98"}, {"quantity": "1", "limit_price": "98"}):
        with pytest.raises(CommandError, match="MODE_NOT_CONFIRMED"):
            world.say("replace", START + SECOND, client_order_id=key, **change)
    assert world.say("replace", START + SECOND, client_order_id=key, quantity="1").changes.events


def test_trades_of_a_long_closed_order_are_known_when_the_venue_lists_them_again() -> None:
    world = World()
    world.ready()
    (request,) = entries((world.floor.service.on_command(order(account=NAME), "ada"),))
    key, terms, at = request.client_order_id, request.terms, START + SECOND
    reported = (
        OrderSubmitted(client_order_id=key, at=at),
        OrderAccepted(client_order_id=key, at=at, venue_order_id="V1"),
        OrderFilled(
            client_order_id=key, at=at, account=NAME, symbol=terms.symbol, trade_id="t1", quantity=terms.quantity, price="100"
        ),
    )
    world.floor.deliver(ExecutionReported(account=NAME, client_order_id=key, reported_at=at, events=reported))
    hours = START + timedelta(hours=2)
    world.floor.deliver(cycle(hours))
    with world.floor.service.ledger.transaction(NAME) as tx:
        assert tx.load(hours).orders == {}
    held = {terms.symbol: str(terms.quantity)}
    trade = ViewedTrade(
        trade_id="t1",
        client_order_id=key,
        symbol=terms.symbol,
        side=Side.BUY,
        quantity=terms.quantity,
        price="100",
        executed_at=at,
    )
    (handled,) = world.floor.deliver(view(hours, trades=(trade,), positions=held))
    assert handled.state.halt is None
    with world.floor.service.ledger.transaction(NAME) as tx:
        known = tx.order(key)
    assert known is not None
    assert (known.state, len(known.trades)) == (OrderState.FILLED, 1)
    stranger = trade.model_copy(update={"client_order_id": "ab" * 16, "trade_id": "t2"})
    (handled,) = world.floor.deliver(view(hours + SECOND, trades=(stranger,), positions=held))
    assert [line.code for line in handled.changes.risk if line.kind is RiskEventKind.DOUBTED] == ["TRADE_UNKNOWN"]


@dataclass
class Known:
    """What an onlooker would have to know before an entry may leave; kept apart from the code under test."""

    words: list[tuple[datetime, str]] = field(default_factory=list)
    models: dict[tuple[str, str], list[dict[str, str]]] = field(default_factory=dict)
    newest: tuple[str, str] | None = None
    viewed_at: datetime | None = None
    is_clean: bool = False
    is_halted: bool = False
    differs_since: datetime | None = None

    def viewed(self, at: datetime, *, is_clean: bool) -> None:
        """A difference that is still there half a minute later halts."""
        self.viewed_at, self.is_clean = at, is_clean
        self.differs_since = None if is_clean else self.differs_since or at
        self.is_halted |= self.differs_since is not None and at - self.differs_since >= timedelta(seconds=30)

    def newest_word(self, *of: str) -> str:
        return max(((at, what not in {"live", RULES}, what) for at, what in self.words if what in of), default=("", "", ""))[2]

    def allows(self, at: datetime, decided_by: tuple[str, str] | None, bars_until: datetime) -> bool:
        model = decided_by or self.newest
        bundles = self.models.get(model, []) if model is not None else []
        return (
            self.newest_word("live", "paper", "withdrawn") == "live"
            and self.newest_word(RULES, "withdrawn") == RULES
            and model is not None
            and model[1] == "active"
            and bool(bundles)
            and all(gates.get(gate) == "pass" for gates in bundles for gate in LIVE_GATES)
            and self.viewed_at is not None
            and self.is_clean
            and at - self.viewed_at <= timedelta(minutes=15)
            and at - bars_until <= timedelta(minutes=10)
            and not self.is_halted
        )


ACTIONS = st.one_of(
    st.tuples(st.just("confirm"), st.sampled_from(["live", "paper", "withdrawn", RULES]), st.integers(0, 3)),
    st.tuples(st.just("model"), st.sampled_from(["active", "shadow"]), st.sampled_from([None, *LIVE_GATES])),
    st.tuples(st.just("view"), st.booleans(), st.none()),
    st.tuples(st.just("halt"), st.none(), st.none()),
    st.tuples(st.just("resume"), st.none(), st.none()),
    st.tuples(st.just("wait"), st.integers(1, 9), st.none()),
    st.tuples(st.just("signal"), st.sampled_from([MODEL, "other"]), st.sampled_from(["active", "shadow"])),
    st.tuples(st.just("order"), st.none(), st.none()),
)


@given(begins_ready=st.booleans(), actions=st.lists(ACTIONS, max_size=25), bars=st.integers(0, 60))
def test_no_sequence_of_events_and_commands_sends_an_entry_before_readiness(  # noqa: C901 - a case an action
    *, begins_ready: bool, actions: list[tuple[str, object, object]], bars: int
) -> None:
    world, known, now = World(), Known(), START
    bars_until = START + timedelta(minutes=bars)
    world.without_bars_since(bars_until)
    if begins_ready:
        world.ready()
        known.words += [(START, "live"), (START, RULES)]
        known.models[MODEL, "active"] = [PASSED]
        known.newest, known.viewed_at, known.is_clean = (MODEL, "active"), START, True
    for what, one, two in actions:
        handled: tuple[AccountOutcome, ...] = ()
        decided_by = None
        now += SECOND
        try:
            match what:
                case "confirm":
                    given_at = now - timedelta(seconds=2 * int(str(two)))
                    handled = (world.say("confirm", given_at, what=one),)
                    known.words.append((given_at, str(one)))
                case "model":
                    gates = PASSED if two is None else PASSED | {str(two): "fail"}
                    world.decided(str(one), gates, at=now)
                    known.models.setdefault((MODEL, str(one)), []).append(gates)
                    known.newest = MODEL, str(one)
                case "view":
                    handled = world.floor.deliver(view(now, positions={} if one else {"ETH-USD": "1"}))
                    known.viewed(now, is_clean=bool(one))
                case "halt":
                    handled = (world.say("halt", now, why="news"),)
                    known.is_halted = True
                case "resume":
                    handled = (world.say("resume", now, why="looked"),)
                    known.is_halted = False
                case "wait":
                    now += timedelta(minutes=int(str(one)))
                    handled = world.floor.deliver(cycle(now))
                case "signal":
                    decided_by = str(one), str(two)
                    handled = world.floor.deliver(signal(BTC, now, deployment=one, stage=two))
                case "order":
                    world.requests += 1
                    handled = (world.floor.service.on_command(order(now, NAME, request_id=f"req-{world.requests:04}"), "ada"),)
                case _:
                    pytest.fail(f"no action {what}")
        except CommandError:
            continue
        if entries(handled):
            assert known.allows(now, decided_by, min(bars_until, now)), (what, one, two)
        world.requests += 1
        try:
            tried = world.floor.service.on_command(order(now, NAME, quantity="0.1", request_id=f"try-{world.requests:04}"), "ada")
        except CommandError:
            continue
        if entries((tried,)):
            assert known.allows(now, None, min(bars_until, now)), (what, one, two)
