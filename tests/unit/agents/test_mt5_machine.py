"""Agent and terminal under anything: commands, refusals, lost answers, restarts, lost journals, and people in between.

What holds in every state: a position or order of somebody else is never touched; an id is never sent for more than it asks; an
order that reduces never opens, never turns a position around. What holds when everything is mended and quiet: every deal of the
account is told once, under the order it belongs to; and a position has the stop that the ledger wants, or a report says why not.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from typing_extensions import override

from local.stand_ins.mt5 import TerminalFault, TerminalStandIn
from signalbox.orders.messages import ExecutionReported, OrderInstruction, VenueViewReported
from signalbox.orders.terms import Leg, OrderTerms, Side
from signalbox.orders.venue_view import VenueStatus, VenueView
from signalbox_mt5.book import is_ours, magic_of
from signalbox_mt5.terminal import DealEntry, DealKind, DealReason, Holding, MarginMode, OrderKind
from tests.builders import NOON
from tests.unit.agents.world import World, asked, exit_of, of_account, stop_of, target_of, viewed

ENDS = {"OrderRejected", "OrderCanceled", "OrderExpired"}
WHYS = ENDS | {"OrderUnconfirmed", "OrderUpdateRejected", "OrderCancelRejected"}
LOTS = st.sampled_from(["0.01", "0.05", "0.1", "0.13"])


class Watched(TerminalStandIn):
    """A terminal that notices what a request does to people who did not ask for it."""

    trespasses: list[str]

    @override
    def order_send(self, request: Mapping[str, Any]) -> Any:
        named = [p for p in self.open_positions() if p.ticket == request.get("position")]
        resting = [o for o in self.all_orders() if o.ticket == request.get("order")]
        before = self.belongings()
        found = super().order_send(request)
        if any(not is_ours(one.magic) for one in resting) or (
            self.margin_mode == MarginMode.HEDGING and any(not is_ours(one.magic) for one in named)
        ):
            self.trespasses.append(f"named what is not ours: {request}")
        if self.belongings() != before:
            self.trespasses.append(f"changed what is not ours: {request}")
        return found

    def belongings(self) -> set[Any]:
        """What other people have, where the terminal keeps it apart."""
        orders = {(o.ticket, o.price_open, o.volume_current, o.state) for o in self.all_orders() if not is_ours(o.magic)}
        if self.margin_mode != MarginMode.HEDGING:
            return orders
        return orders | {(p.ticket, p.volume, p.sl, p.tp) for p in self.open_positions() if not is_ours(p.magic)}


class AgentMachine(RuleBasedStateMachine):
    """The ledger's part is played by rules: it sends what it likes, and remembers what it was told."""

    margin_mode = MarginMode.HEDGING

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.world = World(self.folder, margin_mode=self.margin_mode)
        self.terminal = Watched(NOON, dict(self.world.terminal.prices), margin_mode=self.margin_mode)
        self.terminal.trespasses = []
        self.world.terminal = self.terminal
        self.world.restart()
        self.sent: dict[str, OrderTerms] = {}
        self.entries: list[OrderTerms] = []
        self.levels: dict[str, list[OrderTerms]] = {}  # of an entry
        self.wanted: dict[str, Decimal] = {}  # prices of stops, by id
        self.lost_journal = False

    @initialize()
    def begin(self) -> None:
        self.step()

    # The ledger

    @rule(lots=LOTS, side=st.sampled_from(Side), sl=st.booleans(), limit=st.booleans())
    def enter(self, lots: str, side: Side, sl: bool, limit: bool) -> None:
        bid, _ = self.world.terminal.prices["BTCUSD"]
        away = Decimal(1000) * side.sign
        made = self.terms(
            strategy=f"n{len(self.entries)}",
            quantity=lots,
            side=side,
            **({"price": Decimal(str(bid)) - away / 2} if limit else {}),
        )
        self.entries.append(made)
        self.levels[made.client_order_id] = []
        self.send(made, stop_loss=Decimal(str(bid)) - away if sl else None)

    @precondition(lambda self: self.entries)
    @rule(which=st.integers(0, 9), distance=st.sampled_from([300, 1000, 3000]), is_target=st.booleans())
    def protect(self, which: int, distance: int, is_target: bool) -> None:
        of = self.entries[which % len(self.entries)]
        bid, _ = self.world.terminal.prices["BTCUSD"]
        price = Decimal(str(bid)) - distance * of.side.sign * (-1 if is_target else 1)
        kinds = [one for one in self.levels[of.client_order_id] if (one.leg is Leg.TAKE_PROFIT) == is_target]
        facts = {"attempt": len(kinds), "send_before": self.world.clock.now + timedelta(minutes=5)}
        made = target_of(of, str(price), **facts) if is_target else stop_of(of, str(price), **facts)
        self.levels[of.client_order_id].append(made)
        self.wanted[made.client_order_id] = price
        self.send(made)

    @precondition(lambda self: any(self.levels.values()))
    @rule(which=st.integers(0, 9), cancel=st.booleans(), distance=st.sampled_from([200, 2000]))
    def change_level(self, which: int, cancel: bool, distance: int) -> None:
        every = [one for levels in self.levels.values() for one in levels]
        of = every[which % len(every)]
        if cancel:
            self.command(asked(of, OrderInstruction.CANCEL, request_id=self.request_id()))
            return
        bid, _ = self.world.terminal.prices["BTCUSD"]
        up = of.side is Side.BUY if of.leg is Leg.STOP_LOSS else of.side is Side.SELL
        price = Decimal(str(bid)) + (distance if up else -distance)
        changed = {"stop_price": price} if of.leg is Leg.STOP_LOSS else {"limit_price": price}
        self.wanted[of.client_order_id] = price
        self.command(asked(of, OrderInstruction.REPLACE, request_id=self.request_id(), **changed))

    @precondition(lambda self: self.entries)
    @rule(which=st.integers(0, 9), cancel=st.booleans(), lots=LOTS)
    def change_entry(self, which: int, cancel: bool, lots: str) -> None:
        of = self.entries[which % len(self.entries)]
        if cancel:
            self.command(asked(of, OrderInstruction.CANCEL, request_id=self.request_id()))
        elif of.limit_price is not None and Decimal(lots) > of.quantity:
            self.sent[of.client_order_id] = of.model_copy(update={"quantity": Decimal(lots)})
            self.command(asked(of, OrderInstruction.REPLACE, request_id=self.request_id(), quantity=Decimal(lots)))

    @precondition(lambda self: self.entries)
    @rule(which=st.integers(0, 9), attempt=st.integers(0, 5), odd=st.booleans())
    def leave(self, which: int, attempt: int, odd: bool) -> None:
        of = self.entries[which % len(self.entries)]
        quantity = of.quantity - Decimal("0.0037") if odd else of.quantity
        made = exit_of(of, attempt=attempt, quantity=quantity, send_before=self.world.clock.now + timedelta(minutes=5))
        if made.client_order_id not in self.sent:
            self.send(made)

    @rule(lots=LOTS, side=st.sampled_from(Side))
    def flatten_rest(self, lots: str, side: Side) -> None:
        name = f"kill-{len(self.sent)}"
        self.send(self.terms(strategy=name, leg=Leg.FLATTEN, side=side, quantity=lots, reduce_only=True), entry=None)

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(0, 30))
    def deliver_again(self, which: int) -> None:
        of = list(self.sent.values())[which % len(self.sent)]
        self.command(asked(of) if of.leg is not Leg.FLATTEN else asked(of, entry=None))

    # People, the market, the machine

    @rule(
        lots=st.sampled_from([0.02, 0.3]), side=st.sampled_from([OrderKind.BUY, OrderKind.SELL]), magic=st.sampled_from([0, 77])
    )
    def person_trades(self, lots: float, side: OrderKind, magic: int) -> None:
        self.world.terminal.person_trades("BTCUSD", side, lots, magic)

    @precondition(lambda self: self.world.terminal.open_positions())
    @rule(which=st.integers(0, 9), part=st.booleans(), copies=st.booleans())
    def person_closes(self, which: int, part: bool, copies: bool) -> None:
        positions = self.world.terminal.open_positions()
        position = positions[which % len(positions)]
        self.world.terminal.copies_magic = copies
        self.world.terminal.person_closes(position.ticket, 0.01 if part else None)

    @precondition(lambda self: self.world.terminal.open_positions())
    @rule(which=st.integers(0, 9), removes=st.booleans())
    def person_moves_a_stop(self, which: int, removes: bool) -> None:
        positions = self.world.terminal.open_positions()
        position = positions[which % len(positions)]
        far = 10_000.0 if position.type == Holding.BUY else 90_000.0
        self.world.terminal.person_moves(position.ticket, sl=0.0 if removes else far)

    @rule(side=st.sampled_from([OrderKind.BUY_LIMIT, OrderKind.SELL_LIMIT]))
    def person_rests(self, side: OrderKind) -> None:
        self.world.terminal.person_rests("BTCUSD", side, 0.05, 30_000.0 if side is OrderKind.BUY_LIMIT else 80_000.0)

    @rule(move=st.sampled_from([-1500, -400, 300, 1200]))
    def price_moves(self, move: int) -> None:
        bid, ask = self.world.terminal.prices["BTCUSD"]
        if 35_000 < bid + move < 75_000 and self.world.terminal.is_open:
            self.world.terminal.quote("BTCUSD", bid + move, ask + move)

    @rule(
        faults=st.lists(
            st.sampled_from([f for f in TerminalFault if f is not TerminalFault.LOGOUT_AFTER]), min_size=1, max_size=3
        )
    )
    def trouble(self, faults: list[TerminalFault]) -> None:
        self.world.terminal.faults.extend(faults)

    @rule(
        what=st.sampled_from(["is_running", "is_connected", "is_open", "algo_trading", "deals_lag", "login"]),
        is_well=st.booleans(),
    )
    def state(self, what: str, is_well: bool) -> None:
        if what == "login":
            self.world.terminal.login = 1 if is_well else None
        else:
            setattr(self.world.terminal, what, is_well if what != "deals_lag" else not is_well)

    @rule(freeze=st.sampled_from([0, 5_000]), stops=st.sampled_from([0, 2_000]))
    def broker_changes_levels(self, freeze: int, stops: int) -> None:
        rules = self.world.terminal.of("BTCUSD")
        rules.freeze_level, rules.stops_level = freeze, stops

    @rule(loses=st.booleans())
    def starts_again(self, loses: bool) -> None:
        self.restart(loses)

    def restart(self, loses: bool) -> None:
        self.lost_journal |= loses
        self.world.restart(lose_journal=loses)

    @rule(lots=LOTS, loses=st.booleans(), leaves=st.booleans())
    def power_cut(self, lots: str, loses: bool, leaves: bool) -> None:
        """The process dies where it would have reported, perhaps with its disk; the command comes again."""
        of = self.terms(strategy=f"n{len(self.entries)}", quantity=lots)
        if leaves and self.entries:
            of = exit_of(self.entries[-1], attempt=len(self.sent) + 10, send_before=self.world.clock.now + timedelta(minutes=5))
        else:
            self.entries.append(of)
            self.levels[of.client_order_id] = []
        self.sent[of.client_order_id] = of
        self.world.command(asked(of))
        self.world.box.dies_at_report = True
        try:
            self.world.agent.step()
        except SystemExit:
            self.restart(loses)
        self.world.box.dies_at_report = False
        self.step()

    @rule(seconds=st.sampled_from([1, 7, 40]))
    def time_passes(self, seconds: int) -> None:
        self.world.pass_time(seconds)
        self.step()

    @rule()
    def look(self) -> None:
        self.command(self.view_request())

    # What has to hold

    @invariant()
    def nobody_else_is_touched(self) -> None:
        assert self.terminal.trespasses == []

    @invariant()
    def no_id_trades_more_than_it_asks_and_reductions_only_reduce(self) -> None:
        done: dict[int, Decimal] = {}
        for deal in self.deals():
            if deal.reason == DealReason.EXPERT:
                done[deal.magic] = done.get(deal.magic, Decimal(0)) + Decimal(str(deal.volume))
        for name, of in self.sent.items():
            assert done.get(magic_of(name), Decimal(0)) <= of.quantity, of
        reducing = {magic_of(name) for name, of in self.sent.items() if of.reduce_only}
        turned = [d for d in self.deals() if d.magic in reducing and d.entry != DealEntry.OUT]
        assert turned == []

    @override
    def teardown(self) -> None:
        try:
            self.quiet()
            self.every_deal_is_told_once_and_rightly()
            self.what_is_held_is_under_its_stop_or_it_was_said_why()
        finally:
            self.world.journal.close()
            shutil.rmtree(self.folder)

    def quiet(self) -> None:
        terminal = self.world.terminal
        terminal.is_running = terminal.is_connected = terminal.is_open = terminal.algo_trading = True
        terminal.login, terminal.deals_lag = 1, False
        terminal.faults.clear()
        terminal.of("BTCUSD").freeze_level = 0
        for _ in range(40):
            self.world.pass_time(20)
            self.step()
        assert self.world.journal.kept == {}
        assert self.world.box.waiting == []

    def every_deal_is_told_once_and_rightly(self) -> None:
        view = self.viewed()
        reported = {trade.trade_id: trade for trade in view.trades}
        assert len(reported) == len(view.trades)
        assert set(reported) == {str(deal.ticket) for deal in self.deals()}
        for deal in self.deals():
            trade = reported[str(deal.ticket)]
            assert (trade.quantity, trade.price) == (Decimal(str(deal.volume)), Decimal(str(deal.price)))
            rightly = self.names_of(deal)
            assert trade.client_order_id in (rightly | {None} if self.lost_journal else rightly), (deal, trade)
        for event in self.events():
            if event.kind == "OrderFilled":
                (deal,) = [d for d in self.deals() if str(d.ticket) == event.trade_id]
                assert event.client_order_id in self.names_of(deal)
                assert event.quantity == Decimal(str(deal.volume))

    def what_is_held_is_under_its_stop_or_it_was_said_why(self) -> None:
        view = {order.client_order_id: order for order in self.viewed().orders}
        for of in self.entries:
            stops = [one for one in self.levels[of.client_order_id] if one.leg is Leg.STOP_LOSS]
            held = [p for p in self.world.terminal.open_positions() if p.magic == magic_of(of.client_order_id)]
            if not stops or not held or self.lost_journal:
                continue
            name = stops[-1].client_order_id
            shown = view.get(name)
            if shown is not None and shown.status is VenueStatus.OPEN:
                assert any(Decimal(str(p.sl)) == shown.stop_price for p in held), (of, shown, held)
            elif not all(Decimal(str(p.sl)) == self.wanted[name] for p in held):
                output = {event.kind for event in self.events() if event.client_order_id == name}
                assert output & WHYS or shown is not None, (of, output, held)

    # How it is done

    def terms(self, **changes: Any) -> OrderTerms:
        now = self.world.clock.now
        return of_account(**{"decided_at": now, "send_before": now + timedelta(minutes=5)} | changes)

    def send(self, of: OrderTerms, **changes: Any) -> None:
        self.sent[of.client_order_id] = of
        self.command(asked(of, **{name: value for name, value in changes.items() if value is not None or name == "entry"}))

    def command(self, event: Any) -> None:
        self.world.command(event)
        self.step()

    def step(self) -> None:
        while True:
            self.world.agent.step()
            if not self.world.box.waiting:
                return

    def request_id(self) -> str:
        return f"r{self.world.sequence}"

    def view_request(self) -> Any:
        orders = [of for of in self.sent.values() if of.type.value != "MARKET" or not self.lost_journal]
        return viewed(*orders, since=NOON - timedelta(hours=1))

    def viewed(self) -> VenueView:
        count = len(self.world.box.reports)
        self.command(self.view_request())
        for _ in range(10):
            if len(self.world.box.reports) > count:
                break
            self.world.pass_time(15)
            self.step()
        found = self.world.last()
        assert isinstance(found, VenueViewReported)
        return found.as_view()

    def events(self) -> list[Any]:
        return [
            event for reported in self.world.reported() if isinstance(reported, ExecutionReported) for event in reported.events
        ]

    def deals(self) -> list[Any]:
        return [deal for deal in self.world.terminal.deals() if deal.type in {DealKind.BUY, DealKind.SELL}]

    def names_of(self, deal: Any) -> set[str | None]:
        """Return the orders that a deal may be told of: by its magic, or, of a level, any that stood for it."""
        if deal.reason == DealReason.CLIENT:
            return {None}
        if deal.reason in {DealReason.SL, DealReason.TP}:
            opened = {d.magic for d in self.deals() if d.position_id == deal.position_id}
            leg = Leg.STOP_LOSS if deal.reason == DealReason.SL else Leg.TAKE_PROFIT
            of = [e for e in self.entries if magic_of(e.client_order_id) in opened]
            names = {one.client_order_id for e in of for one in self.levels[e.client_order_id] if one.leg is leg}
            return names | {None}
        return {name for name in self.sent if magic_of(name) == deal.magic}


class NettingMachine(AgentMachine):
    margin_mode = MarginMode.NETTING


TestHedging = AgentMachine.TestCase
TestHedging.settings = settings(stateful_step_count=30)
TestNetting = NettingMachine.TestCase
TestNetting.settings = settings(stateful_step_count=30)
