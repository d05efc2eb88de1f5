"""What trading may rely on, whatever keeps the accounts: PostgreSQL, or the memory twin of the pure tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Protocol

import pytest

from signalbox.adapters.postgres.ledger import PostgresLedger
from signalbox.adapters.postgres.trading import PostgresTradingLedger
from signalbox.ledger_errors import LedgerRefusedError
from signalbox.market.candles import Candle
from signalbox.orders.events import OrderCanceled
from signalbox.orders.messages import VenueViewReported
from signalbox.orders.parts import in_parts
from signalbox.orders.reconciliation import VenueDifference
from signalbox.orders.terms import Leg, Side
from signalbox.orders.venue_view import VenueInstrument
from signalbox.portfolio.account import book
from signalbox.portfolio.entries import FundingPayment, Transfer
from signalbox.portfolio.lots import LotMethod, StandingOrder
from signalbox.risk.ftmo.headroom import StopLevel
from signalbox.risk.ftmo.monitor import FtmoRuleMonitor, FtmoRuleState
from signalbox.risk.ftmo.rules import FTMO_2STEP
from signalbox.risk.protections import EquityPoint, Exit
from signalbox.risk.snapshot import Lock, LossRule, Mark
from signalbox.signals.model import DeployedModel
from signalbox.signals.signal import DeploymentStage, Signal, Thresholds
from signalbox.trading.at_venue import AtVenue, Doubt, VanishedOrder
from signalbox.trading.attribution import attribute, others_of
from signalbox.trading.changes import NO_CHANGES, ChangeSet, RiskEvent, RiskEventKind
from signalbox.trading.errors import AccountError
from signalbox.trading.memory import ProtectionMemory
from signalbox.trading.ports import TradingLedger
from signalbox.trading.readiness import Confirmation, ModelQualification
from signalbox.trading.state import AccountState, TradeState, opened, pruned
from signalbox.trading.warnings import DepletionWarning, LimitWarning
from tests.builders import BTC, ETH, NOON, candle, candles, minutes
from tests.fakes.memory_trading import MemoryTradingDatabase, MemoryTradingLedger
from tests.fakes.postgres_server import app_source
from tests.integration.samples import SIGNAL, VENUE, DeliberateError
from tests.integration.trading_samples import (
    ACCOUNT,
    OTHER,
    SECOND,
    countable,
    denied,
    equity,
    filled,
    halted,
    sent,
    stepped,
    terms,
    trade_of,
)
from tests.unit.signals.test_cycle import FixedScorer

pytestmark = pytest.mark.integration


class TradingWorld(Protocol):
    """One database; every call gives the ledger of another worker."""

    def trading(self) -> TradingLedger: ...

    def add_candles(self, venue: str, candles: Sequence[Candle]) -> None: ...

    def add_signal(self, signal: Signal) -> None: ...

    def add_model(self, model: DeployedModel, decided_at: datetime) -> None: ...


class MemoryTradingWorld:
    def __init__(self) -> None:
        self._database = MemoryTradingDatabase()

    def trading(self) -> TradingLedger:
        return MemoryTradingLedger(self._database)

    def add_candles(self, venue: str, candles: Sequence[Candle]) -> None:
        self._database.add_candles(venue, candles)

    def add_signal(self, signal: Signal) -> None:
        self._database.signals.add((signal.symbol, signal.decided_at, signal.deployment))
        stage = "challenger" if signal.challenger else signal.stage.value
        self._database.decided[signal.decided_at, signal.deployment] = stage

    def add_model(self, model: DeployedModel, decided_at: datetime) -> None:
        self._database.add_model(model.deployment, model.stage.value, model.gates, decided_at)


class PostgresTradingWorld:
    def __init__(self, request: pytest.FixtureRequest, stack: ExitStack) -> None:
        self._server, self._name = request.getfixturevalue("postgres"), request.getfixturevalue("database")
        self._stack = stack

    def trading(self) -> TradingLedger:
        return PostgresTradingLedger(self._stack.enter_context(app_source(self._server, self._name)))

    def add_candles(self, venue: str, candles: Sequence[Candle]) -> None:
        with self._ledger().transaction() as tx:
            tx.add_candles(venue, candles)

    def add_signal(self, signal: Signal) -> None:
        with self._ledger().transaction() as tx:
            tx.add_signal(signal)

    def add_model(self, model: DeployedModel, decided_at: datetime) -> None:
        with self._ledger().transaction() as tx:
            tx.add_deployed_model(model, decided_at)

    def _ledger(self) -> PostgresLedger:
        return PostgresLedger(self._stack.enter_context(app_source(self._server, self._name)))


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[TradingWorld]:
    if request.param == "memory":
        yield MemoryTradingWorld()
        return
    with ExitStack() as stack:
        yield PostgresTradingWorld(request, stack)


@pytest.fixture
def ledger(world: TradingWorld) -> TradingLedger:
    """The ledger of one worker, with an account."""
    found = world.trading()
    assert found.open_account(ACCOUNT, NOON - minutes(60), "anna")
    return found


def loaded(ledger: TradingLedger, at: object = NOON, *named: str, account: str = ACCOUNT.account) -> AccountState:
    with ledger.transaction(account) as tx:
        return tx.load(at, named)  # type: ignore[arg-type]


def saved(ledger: TradingLedger, before: AccountState, after: AccountState, changes: ChangeSet = NO_CHANGES) -> None:
    with ledger.transaction(before.account.account) as tx:
        tx.save(before, after, changes)


def test_account_is_opened_once_with_its_capital(world: TradingWorld, ledger: TradingLedger) -> None:
    assert loaded(ledger) == opened(ACCOUNT, NOON - minutes(60))
    assert not world.trading().open_account(ACCOUNT, NOON, "bert")
    assert loaded(world.trading()).books.cash == ACCOUNT.capital


def test_account_that_exists_otherwise_is_refused(ledger: TradingLedger) -> None:
    with pytest.raises(AccountError, match=ACCOUNT.account):
        ledger.open_account(ACCOUNT.model_copy(update={"capital": Decimal(5)}), NOON, "anna")
    assert loaded(ledger).books.cash == ACCOUNT.capital


def test_accounts_come_by_name(ledger: TradingLedger) -> None:
    ledger.open_account(OTHER, NOON, "anna")
    assert ledger.accounts() == (OTHER, ACCOUNT)


def test_account_that_does_not_exist_is_named(ledger: TradingLedger) -> None:
    with pytest.raises(AccountError, match="paper-1k"), ledger.transaction("paper-1k"):
        raise AssertionError("unreachable")


def rule_state() -> FtmoRuleState:
    """Return the state of a monitor that has counted a day and seen a rule broken."""
    monitor = FtmoRuleMonitor(FTMO_2STEP, Decimal("100000.00"))
    monitor.observe(NOON, balance=Decimal("99000.10"), equity=Decimal("89999.999"), is_flat=False, opened_at=NOON)
    return monitor.state()


def everything(state: AccountState) -> tuple[AccountState, ChangeSet]:
    """A step that touches every part of a state: orders open, closed and denied, a trade, books with lots, a halt, locks."""
    entry, resting, refused = terms(quantity="0.30"), terms(NOON + SECOND, limit="99.500"), terms(NOON + SECOND, leg=Leg.EXIT)
    sale = terms(NOON + 2 * SECOND, side=Side.SELL, quantity="0.1", leg=Leg.TAKE_PROFIT)
    money = (
        Transfer(account=ACCOUNT.account, key="w1", at=NOON + SECOND, amount=Decimal("-1000.10")),
        FundingPayment(account=ACCOUNT.account, key="f1", at=NOON + SECOND, symbol=ETH, amount=Decimal("0.000000000000000001")),
    )
    after, changes = stepped(
        state,
        NOON + 10 * SECOND,
        *sent(entry),
        filled(entry, "t1", NOON + 3 * SECOND, quantity="0.2", price="100.10"),
        filled(entry, "t2", NOON + 4 * SECOND, quantity="0.10", price="1E+2", fee="-0.010"),
        *sent(resting),
        filled(resting, "t3", NOON + 5 * SECOND, quantity="0.1", price="99.5", fee="0"),
        *denied(refused),
        *sent(sale),
        filled(sale, "t4", NOON + 6 * SECOND, price="101", fee="0.3333"),
        entries=money,
    )
    trade = trade_of(entry, TradeState.OPEN, opened_at=NOON + 3 * SECOND, take_profit=Decimal("110.0"))
    moment = NOON + 10 * SECOND
    locks = (
        Lock("COOLDOWN_ACTIVE", BTC, moment, moment + minutes(5), Decimal(5), Decimal(1)),
        Lock("EQUITY_DRAWDOWN_OVER_LIMIT", None, NOON, moment + minutes(60), Decimal("0.04"), Decimal("0.0512")),
    )
    memory = ProtectionMemory((Exit(BTC, moment, Decimal("-5.10"), by_stop=True),), (EquityPoint(moment, Decimal("99000.5")),))
    halted_state, halt = halted(after, moment)
    full = replace(
        halted_state,
        trades=MappingProxyType({BTC: trade}),
        locks=locks,
        watched_until=NOON,
        loss_rules=rule_state(),
        warned=frozenset(
            {
                LimitWarning(LossRule.MAX_LOSS, StopLevel.ALERT, NOON.date()),
                DepletionWarning(LossRule.MAX_DAILY_LOSS, NOON.date()),
                DepletionWarning(LossRule.MAX_LOSS, None),
            }
        ),
        memory=memory,
        compared_at=NOON - minutes(1),
        at_venue=AtVenue(
            instruments=(VenueInstrument(BTC, Decimal("0.01"), Decimal("0.00010"), Decimal("0.0001"), None, Decimal(1), None),),
            doubts=(Doubt(VenueDifference.POSITION_DIFFERS, BTC, "1.0", "1.10", NOON, NOON - minutes(2)),),
            absent=(VanishedOrder("ab" * 16, NOON),),
            asked_at=NOON + minutes(1),
        ),
    )
    marks = {BTC: Decimal("101.2")}
    return full, changes + halt + equity(full, moment, {str(symbol): price for symbol, price in marks.items()}) + ChangeSet(
        trades=(trade,), locks=locks
    )


def test_desk_is_loaded_as_it_was_saved_to_the_last_digit(world: TradingWorld, ledger: TradingLedger) -> None:
    before = loaded(ledger)
    after, changes = everything(before)
    saved(ledger, before, after, changes)
    for moment in (NOON + 10 * SECOND, NOON + minutes(2)):
        assert loaded(world.trading(), moment) == countable(after, moment)


def test_step_after_a_step_is_loaded_as_it_was_saved(world: TradingWorld, ledger: TradingLedger) -> None:
    before = loaded(ledger)
    first, changes = everything(before)
    saved(ledger, before, first, changes)
    between = loaded(ledger, NOON + minutes(1))
    resting = terms(NOON + SECOND, limit="99.500")
    closing = terms(NOON + minutes(1), side=Side.SELL, quantity="0.3", leg=Leg.FLATTEN)
    at = NOON + minutes(2)
    second, more = stepped(
        between,
        at,
        OrderCanceled(client_order_id=resting.client_order_id, at=at, reason="FLATTEN"),
        *sent(closing, at),
        filled(closing, "t5", at + 2 * SECOND, price="90.000000000000000001"),
    )
    ended = replace(between.trades[BTC], state=TradeState.CLOSED, closed_at=at, realised=Decimal("-3.1"))
    second = replace(second, trades=MappingProxyType({}), halt=None, locks=between.locks[1:], warned=frozenset())
    saved(ledger, between, second, more + ChangeSet(trades=(ended,)))
    assert loaded(world.trading(), at) == countable(second, at)
    assert loaded(world.trading(), at).books.position(BTC).quantity == 0
    assert loaded(world.trading(), at).books.lots[BTC] == ()


def test_other_fills_in_the_symbol_of_an_open_trade_are_loaded_until_it_closes(
    world: TradingWorld, ledger: TradingLedger
) -> None:
    """A person's order that closed a part of a trade is over; what the trade earned cannot be told without it."""
    before = loaded(ledger)
    early = terms(NOON - minutes(30), quantity="0.2", leg=Leg.TAKE_PROFIT)
    entry, elsewhere = terms(quantity="0.3"), terms(NOON + SECOND, symbol=ETH, leg=Leg.EXIT)
    theirs = terms(NOON + minutes(2), side=Side.SELL, quantity="0.4", leg=Leg.EXIT)
    after, changes = stepped(
        before,
        NOON + minutes(3),
        *sent(early),
        filled(early, "t0", NOON - minutes(29)),
        *sent(entry),
        filled(entry, "t1", NOON + 3 * SECOND),
        *sent(elsewhere),
        filled(elsewhere, "t2", NOON + 4 * SECOND),
        *sent(theirs),
        filled(theirs, "t3", NOON + minutes(2) + SECOND, price="101", fee="0.4"),
    )
    trade = trade_of(entry, TradeState.OPEN, opened_at=NOON + 3 * SECOND)
    saved(ledger, before, replace(after, trades=MappingProxyType({BTC: trade})), changes + ChangeSet(trades=(trade,)))
    later = NOON + minutes(300)  # long after what is kept in memory alone
    state = loaded(world.trading(), later)
    assert set(state.orders) == {entry.client_order_id, theirs.client_order_id}
    assert set(pruned(state, later).orders) == set(state.orders)
    others = others_of(trade, [trade.entry], state.orders.values())
    found = attribute(trade, state.orders[trade.entry], [], others, state.books.position(BTC).quantity)
    assert [(part.order, part.quantity, part.fee) for part in found.closings] == [
        (theirs.client_order_id, Decimal("0.2"), Decimal("0.2"))  # the other 0.2 were there before the trade
    ]
    assert found.left == Decimal("0.1")


def test_save_again_changes_nothing(world: TradingWorld, ledger: TradingLedger) -> None:
    before = loaded(ledger)
    after, changes = everything(before)
    saved(ledger, before, after, changes)
    saved(ledger, before, after, changes)
    with ledger.transaction(ACCOUNT.account) as tx:
        assert tx.load(NOON + minutes(1)) == countable(after, NOON + minutes(1))
        assert len(tx.entries()) == 1 + len(changes.entries)


def test_block_that_raises_leaves_nothing(world: TradingWorld, ledger: TradingLedger) -> None:
    before = loaded(ledger)
    after, changes = everything(before)

    def fail() -> None:
        with ledger.transaction(ACCOUNT.account) as tx:
            tx.save(before, after, changes)
            assert tx.load(NOON + minutes(1)).trades
            raise DeliberateError

    with pytest.raises(DeliberateError):
        fail()
    assert loaded(world.trading()) == before
    saved(ledger, before, after, changes)
    assert loaded(world.trading(), NOON + minutes(1)) == countable(after, NOON + minutes(1))


def test_closed_order_comes_when_it_is_named_or_its_trade_is_open(ledger: TradingLedger) -> None:
    before = loaded(ledger)
    done, refused, unknown = terms(), terms(NOON + SECOND), terms(NOON + 2 * SECOND)
    after, changes = stepped(before, NOON, *sent(done), filled(done, "t1", NOON + SECOND), *denied(refused))
    saved(ledger, before, after, changes)
    late = NOON + timedelta(days=30)
    assert loaded(ledger, late).orders == {}
    named = loaded(ledger, late, done.client_order_id, refused.client_order_id, unknown.client_order_id)
    assert named.orders == after.orders
    with ledger.transaction(ACCOUNT.account) as tx:
        assert tx.order(done.client_order_id) == after.orders[done.client_order_id]
        assert tx.order(unknown.client_order_id) is None
        traded = replace(after, trades=MappingProxyType({BTC: trade_of(done, TradeState.OPEN)}))
        tx.save(after, traded, ChangeSet(trades=tuple(traded.trades.values())))
    assert loaded(ledger, late).orders == {done.client_order_id: after.orders[done.client_order_id]}


def test_order_of_another_account_is_not_there(ledger: TradingLedger) -> None:
    ledger.open_account(OTHER, NOON, "anna")
    before = loaded(ledger)
    after, changes = stepped(before, NOON, *sent(terms()))
    saved(ledger, before, after, changes)
    assert loaded(ledger, NOON, terms().client_order_id, account=OTHER.account).orders == {}
    with ledger.transaction(OTHER.account) as tx:
        assert tx.order(terms().client_order_id) is None


def test_events_of_an_order_that_left_the_desk_are_kept(ledger: TradingLedger) -> None:
    before = loaded(ledger)
    after, changes = stepped(before, NOON, *denied(terms()))
    saved(ledger, before, replace(after, orders=MappingProxyType({})), changes)
    with ledger.transaction(ACCOUNT.account) as tx:
        assert tx.order(terms().client_order_id) == after.orders[terms().client_order_id]


def test_order_times_are_those_of_the_throttles_window(ledger: TradingLedger) -> None:
    before = loaded(ledger)
    window = timedelta(seconds=ACCOUNT.limits.throttle_window_seconds)
    after, changes = stepped(before, NOON, *sent(terms()), *sent(terms(NOON + SECOND)))
    saved(ledger, before, after, changes)
    assert loaded(ledger, NOON + SECOND).order_times == (NOON, NOON + SECOND)
    assert loaded(ledger, NOON + window).order_times == (NOON + SECOND,)
    assert loaded(ledger, NOON + window + SECOND).order_times == ()


def test_marks_are_of_the_newest_bars_closed_and_watched(world: TradingWorld, ledger: TradingLedger) -> None:
    world.add_candles(VENUE, [*candles(BTC, NOON, 3), candle(BTC, NOON, "123.40"), candle(ETH, NOON - minutes(3), "7")])
    world.add_candles("elsewhere", [candle(BTC, NOON - minutes(1), "1")])
    at_noon = loaded(ledger, NOON).marks
    assert at_noon == {BTC: Mark(candles(BTC, NOON, 1)[0].close, NOON), ETH: Mark(Decimal(7), NOON - minutes(2))}
    assert loaded(ledger, NOON + minutes(1)).marks[BTC] == Mark(Decimal("123.40"), NOON + minutes(1))
    before = loaded(ledger, NOON)
    saved(ledger, before, replace(before, watched_until=NOON))
    assert loaded(ledger, NOON + minutes(5)).marks == at_noon


def test_what_is_held_has_its_mark_however_old(world: TradingWorld, ledger: TradingLedger) -> None:
    world.add_candles(VENUE, [candle(BTC, NOON - timedelta(days=200), "50"), candle(ETH, NOON - minutes(1), "5")])
    before = loaded(ledger)
    bought = terms()
    after, changes = stepped(before, NOON, *sent(bought), filled(bought, "t1", NOON))
    saved(ledger, before, after, changes)
    assert loaded(ledger, NOON).marks[BTC] == Mark(Decimal(50), NOON - timedelta(days=200) + minutes(1))


def test_candles_are_of_the_bars_closed_in_between(world: TradingWorld, ledger: TradingLedger) -> None:
    kept = [*candles(BTC, NOON, 5), *candles(ETH, NOON, 2)]
    world.add_candles(VENUE, kept)
    with ledger.transaction(ACCOUNT.account) as tx:
        found = tx.candles(NOON - minutes(3), NOON - minutes(1))
        assert {symbol: [c.close_time for c in of] for symbol, of in found.items()} == {
            BTC: [NOON - minutes(2), NOON - minutes(1)],
            ETH: [NOON - minutes(1)],
        }
        assert tx.candles(None, NOON) == {BTC: (kept[4],), ETH: (kept[6],)}
        assert len(tx.bars(BTC, NOON, 3)) == 3


def test_late_fill_is_booked_again_and_its_disposals_replace_the_others(world: TradingWorld, ledger: TradingLedger) -> None:
    before = loaded(ledger)
    one, two = terms(quantity="1"), terms(NOON + SECOND, side=Side.SELL, quantity="1", leg=Leg.EXIT)
    late = terms(NOON - SECOND, quantity="1")
    first, changes = stepped(
        before,
        NOON + 9 * SECOND,
        *sent(one),
        filled(one, "t1", NOON + 2 * SECOND, price="100"),
        *sent(two),
        filled(two, "t2", NOON + 4 * SECOND, price="110"),
        *sent(late, NOON - SECOND),
    )
    saved(ledger, before, first, changes)
    with ledger.transaction(ACCOUNT.account) as tx:
        between = tx.load(NOON + minutes(1), [t.client_order_id for t in (one, two, late)])
        fill = filled(late, "t3", NOON, price="90")
        applied, more = stepped(replace(between, books=opened(ACCOUNT, NOON - minutes(60)).books), NOON + minutes(1), fill)
        booked = book(ACCOUNT.account, (*tx.entries(), *more.entries))
        after = replace(applied, books=booked.books)
        tx.save(between, after, replace(more, disposals=booked.disposals, rebooked=True))
    assert [d.open_price for d in booked.disposals] == [Decimal(90)]
    found = loaded(world.trading(), NOON + minutes(1))
    assert found == countable(after, NOON + minutes(1))
    assert found.books.lots[BTC][0].price == Decimal(100)


def test_standing_orders_of_the_tax_method_are_kept_in_order_of_effect(ledger: TradingLedger) -> None:
    before = loaded(ledger)
    given = (StandingOrder(LotMethod.HIFO, NOON, NOON), StandingOrder(LotMethod.LIFO, NOON, NOON + minutes(5)))
    for count in (1, 2):
        after = replace(before, books=replace(before.books, standing_orders=given[:count]))
        saved(ledger, before, after)
        assert loaded(ledger) == after


def test_a_trade_may_end_and_the_next_of_its_symbol_begin_in_one_step(ledger: TradingLedger) -> None:
    before = loaded(ledger)
    first, second = trade_of(terms()), trade_of(terms(NOON + SECOND))
    one = replace(before, trades=MappingProxyType({BTC: first}))
    saved(ledger, before, one, ChangeSet(trades=(first,)))
    two = replace(before, trades=MappingProxyType({BTC: second}))
    ended = replace(first, state=TradeState.ABANDONED)
    saved(ledger, one, two, ChangeSet(trades=(replace(first, stop_loss=Decimal(1)), second, ended)))
    assert loaded(ledger).trades == two.trades


def model_of(deployment: str, stage: str, bundle: str, gates: Mapping[str, str]) -> DeployedModel:
    return DeployedModel(deployment, DeploymentStage(stage), FixedScorer(), Thresholds(0.03, 0.08), 60, bundle, gates)


def qualification(ledger: TradingLedger, at: datetime, decided_by: tuple[str, str] | None = None) -> ModelQualification | None:
    with ledger.transaction(ACCOUNT.account) as tx:
        return tx.model_qualification(at, decided_by)


def test_what_people_confirm_is_kept_by_its_own_instant_once_a_request(ledger: TradingLedger) -> None:
    state = loaded(ledger)
    late, early = Confirmation("bo", NOON, "withdrawn", "req-1"), Confirmation("anna", NOON - minutes(5), "live", "req-2")
    for output in (late, early, late):
        saved(ledger, state, state, ChangeSet(confirmations=(output,)))
    with ledger.transaction(ACCOUNT.account) as tx:
        assert tx.confirmations() == (early, late)
    with pytest.raises(LedgerRefusedError, match="req-1"):
        saved(ledger, state, state, ChangeSet(confirmations=(replace(late, what="live"),)))
    ledger.open_account(OTHER, NOON, "anna")
    with ledger.transaction(OTHER.account) as tx:
        assert tx.confirmations() == ()


def test_standing_is_of_the_model_that_decided_last_or_of_the_one_asked_about(world: TradingWorld, ledger: TradingLedger) -> None:
    assert qualification(ledger, NOON) is None
    world.add_model(model_of("old", "active", "b", {"G0": "pass", "G1": "fail", "G2": "not evaluated"}), NOON - minutes(10))
    world.add_model(model_of("new", "shadow", "b", {"G0": "pass"}), NOON)
    world.add_signal(replace(SIGNAL, deployment="old", stage=DeploymentStage.ACTIVE, decided_at=NOON - minutes(5)))
    world.add_signal(replace(SIGNAL, deployment="new"))
    old = ModelQualification("old", "active", {"G0": True, "G1": False})
    assert qualification(ledger, NOON) == ModelQualification("new", "shadow", {"G0": True})
    assert qualification(ledger, NOON - minutes(1)) == old
    assert qualification(ledger, NOON, ("old", "active")) == old
    assert qualification(ledger, NOON, ("new", "active")) is None  # it never decided in this stage
    assert qualification(ledger, NOON - minutes(1), ("new", "shadow")) is None
    assert qualification(ledger, NOON, ("nobody", "active")) is None


def test_a_name_given_to_several_bundles_passes_what_all_of_them_pass(world: TradingWorld, ledger: TradingLedger) -> None:
    passed = {"G0": "pass", "G1": "pass", "G2": "pass"}
    world.add_model(model_of("m", "active", "good", passed), NOON)
    world.add_model(model_of("m", "active", "bad", {"G0": "pass", "G1": "fail", "G2": "not evaluated"}), NOON)
    assert qualification(ledger, NOON, ("m", "active")) == ModelQualification("m", "active", {"G0": True, "G1": False})


def test_differences_are_those_of_the_account_since_an_instant(ledger: TradingLedger) -> None:
    state = loaded(ledger)
    lines = (
        RiskEvent(RiskEventKind.DIFFERENCE, "k1", NOON - minutes(1), "TRADE_UNKNOWN", detail="t0"),
        RiskEvent(RiskEventKind.DIFFERENCE, "k2", NOON, "POSITION_DIFFERS", detail="BTC-USD"),
        RiskEvent(RiskEventKind.EVENT_REFUSED, "k3", NOON + minutes(1), "OVERFILL", detail="order"),
        RiskEvent(RiskEventKind.RECONCILED, "k4", NOON + minutes(1), "OrderFilled", detail="order"),
    )
    saved(ledger, state, state, ChangeSet(risk=lines))
    with ledger.transaction(ACCOUNT.account) as tx:
        assert list(tx.differences(NOON)) == ["POSITION_DIFFERS BTC-USD", "OVERFILL order"]
        assert list(tx.differences(NOON + minutes(2))) == []
    ledger.open_account(OTHER, NOON, "anna")
    with ledger.transaction(OTHER.account) as tx:
        assert list(tx.differences(NOON)) == []


def test_every_deployment_that_decided_a_symbol_and_instant_is_named_with_its_stage(world: TradingWorld) -> None:
    of = replace(SIGNAL, deployment="b", stage=DeploymentStage.ACTIVE)
    later = replace(of, decided_at=of.decided_at + minutes(5), deployment="c")
    beside = replace(SIGNAL, deployment="d", challenger=True)
    for one in (SIGNAL, of, replace(of, deployment="A"), later, beside):
        world.add_signal(one)
    world.trading().open_account(ACCOUNT, NOON, "test")
    with world.trading().transaction(ACCOUNT.account) as tx:
        found = tx.deciders(SIGNAL.symbol, SIGNAL.decided_at)
        named = [("A", "active"), ("b", "active"), ("d", "challenger"), (SIGNAL.deployment, SIGNAL.stage.value)]
        assert list(found) == sorted(named)
        assert list(tx.deciders(SIGNAL.symbol, NOON - minutes(600))) == []


def test_parts_of_a_view_are_kept_until_it_is_whole_and_forgotten_with_what_is_older(world: TradingWorld) -> None:
    ledger = world.trading()
    ledger.open_account(ACCOUNT, NOON, "test")
    old, new = (view_parts(NOON + minutes(n), count) for n, count in ((1, 40), (2, 50)))
    with ledger.transaction(ACCOUNT.account) as tx:
        assert tx.keep_view_part(old[0]) == (old[0],)
    with ledger.transaction(ACCOUNT.account) as tx:
        assert [tx.keep_view_part(part) for part in (new[1], new[0], new[1])] == [(new[1],), new[:2], new[:2]]
        found = [(one.asked_at, one.came, one.parts) for one in tx.incomplete_views()]
        assert found == [(NOON + minutes(1), 1, len(old)), (NOON + minutes(2), 2, len(new))]
    with ledger.transaction(ACCOUNT.account) as tx:
        tx.drop_view_parts(NOON + minutes(1))
        assert [one.asked_at for one in tx.incomplete_views()] == [NOON + minutes(2)]
    with ledger.transaction(ACCOUNT.account) as tx:
        before = tx.load(NOON + minutes(3))
        tx.save(before, replace(before, compared_at=NOON + minutes(2)), NO_CHANGES)
        tx.drop_view_parts(NOON + minutes(2))
    with ledger.transaction(ACCOUNT.account) as tx:
        assert tx.keep_view_part(new[0]) == ()  # it, or a newer one, was compared
        assert tx.incomplete_views() == ()


def test_parts_of_a_view_are_gone_when_the_unit_of_work_fails(world: TradingWorld) -> None:
    ledger = world.trading()
    ledger.open_account(ACCOUNT, NOON, "test")

    def fail() -> None:
        with ledger.transaction(ACCOUNT.account) as tx:
            tx.keep_view_part(view_parts(NOON, 40)[0])
            raise DeliberateError

    with pytest.raises(DeliberateError):
        fail()
    with ledger.transaction(ACCOUNT.account) as tx:
        assert tx.incomplete_views() == ()


def view_parts(asked_at: datetime, trades: int) -> tuple[VenueViewReported, ...]:
    """A view of some trades in parts."""
    return in_parts(
        VenueViewReported.model_validate(
            {"account": ACCOUNT.account, "requested_at": asked_at, "asked_at": asked_at, "orders": (), "positions": {BTC: "0.10"}}
            | {
                "trades": [
                    {"trade_id": f"t{i}", "client_order_id": None, "symbol": BTC, "side": "BUY", "quantity": "0.10"}
                    | {"price": "100.50", "executed_at": asked_at}
                    for i in range(trades)
                ]
            }
        ),
        2_000,
    )


def test_a_line_of_the_record_is_found_by_its_natural_key_within_its_account(ledger: TradingLedger) -> None:
    state = loaded(ledger)
    line = RiskEvent(RiskEventKind.OVERRIDE, "halt:stop-1", NOON, "HALT", who="anna", detail="HALT: news", limit="5 %")
    saved(ledger, state, state, ChangeSet(risk=(line,)))
    ledger.open_account(OTHER, NOON, "anna")
    with ledger.transaction(ACCOUNT.account) as tx:
        assert tx.recorded(RiskEventKind.OVERRIDE, "halt:stop-1") == line
        assert tx.recorded(RiskEventKind.HALTED, "halt:stop-1") is None
        assert tx.recorded(RiskEventKind.OVERRIDE, "halt:stop-2") is None
    with ledger.transaction(OTHER.account) as tx:
        assert tx.recorded(RiskEventKind.OVERRIDE, "halt:stop-1") is None
