"""Every command is answered with a signature, and none is carried out that is older than its limit, whoever holds the queue."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from signalbox.adapters.venues.mt5_mailbox import COMMAND_AGE, EnvelopeError, Keys, MailboxDirection, open_envelope, seal
from signalbox.orders.agent_answers import CommandRefusal, CommandRefused, CommandTaken
from signalbox.orders.events import OrderCanceled
from signalbox.orders.messages import ExecutionReported, OrderInstruction
from signalbox_mt5.agent import GIVEN_UP, Agent
from signalbox_mt5.checked_clock import CLOCK_TOLERANCE, CheckedClock
from signalbox_mt5.config import read_keys
from signalbox_mt5.mailbox import SqsMailbox
from signalbox_mt5.venue import TerminalVenue
from tests.builders import BTC, NOON
from tests.unit.agents.world import ACCOUNT, KEY, World, asked, entry, exit_of, kinds, reasons, stop_of, viewed

MONTH = timedelta(days=30)
LONG = NOON + 2 * MONTH  # a person's order may say so: `send_before` alone does not make a command old


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.journal.close()


def lasting(**changes: Any) -> Any:
    return entry(send_before=LONG, **changes)


def refusals(world: World) -> list[CommandRefusal]:
    return [answer.reason for answer in world.box.answers if isinstance(answer, CommandRefused)]


def taken(world: World) -> list[int]:
    return [answer.command for answer in world.box.answers if isinstance(answer, CommandTaken)]


def last_report(world: World) -> ExecutionReported:
    found = world.last()
    assert isinstance(found, ExecutionReported)
    return found


class TestAcknowledgement:
    def test_each_command_is_answered_once_it_is_on_the_disk(self, world: World) -> None:
        of = entry()
        world.command(asked(of))
        world.command(viewed(of))
        world.command(asked(of, OrderInstruction.CANCEL))
        for _ in range(3):
            world.agent.step()
        assert taken(world) == [1, 2, 3]

    def test_what_was_acknowledged_is_carried_out_though_somebody_empties_the_queue(self, world: World) -> None:
        world.box.dies_at_report = True
        world.command(asked(entry()))
        with pytest.raises(SystemExit):
            world.agent.step()
        assert taken(world) == [1]
        world.box.waiting.clear()  # with the agent's credential, once the message is visible again
        world.box.dies_at_report = False
        world.restart()
        world.agent.step()
        assert kinds(last_report(world))[-1] == "OrderFilled"
        assert len(world.terminal.sends) == 1
        assert world.journal.kept == {}

    def test_a_command_that_waits_for_the_terminal_is_acknowledged_all_the_same(self, world: World) -> None:
        world.terminal.login = None
        world.wait(asked(entry()))
        assert taken(world) == [1]

    def test_cut_off_before_the_answer_it_is_answered_when_it_comes_again(self, world: World) -> None:
        world.box.dies_at_answer = True
        world.command(asked(entry()))
        with pytest.raises(SystemExit):
            world.agent.step()
        world.box.dies_at_answer = False
        world.restart()
        world.agent.step()
        assert (taken(world), world.box.waiting) == ([1], [])
        assert len(world.terminal.sends) == 1

    def test_a_command_of_another_key_or_account_is_neither_answered_nor_carried_out(self, world: World) -> None:
        world.command(asked(entry()), key=b"x" * 32)
        world.agent.step()
        world.box.waiting.clear()
        world.command(asked(entry()), account="ftmo-2")
        world.agent.step()
        assert (world.box.answers, world.box.reports, world.terminal.sends) == ([], [], [])


class TestAge:
    def test_an_entry_of_a_month_ago_with_the_highest_sequence_is_refused_and_said_so(self, world: World) -> None:
        world.command(asked(lasting()), sequence=9)
        world.pass_time(MONTH.total_seconds())
        world.agent.step()
        assert world.terminal.sends == []
        assert refusals(world) == [CommandRefusal.COMMAND_TOO_OLD]
        assert (kinds(last_report(world)), reasons(last_report(world))) == (["OrderExpired"], ["COMMAND_TOO_OLD"])
        assert world.box.waiting == []

    def test_a_cancel_of_a_month_ago_takes_no_stop_away(self, world: World) -> None:
        of = entry()
        world.submit(of)
        world.submit(stop_of(of))
        level = world.terminal.open_positions()[0].sl
        world.command(asked(stop_of(of), OrderInstruction.CANCEL))
        world.pass_time(MONTH.total_seconds())
        world.agent.step()
        assert world.terminal.open_positions()[0].sl == level != 0
        assert (kinds(last_report(world)), reasons(last_report(world))) == (["OrderCancelRejected"], ["COMMAND_TOO_OLD"])

    def test_a_replace_of_a_month_ago_moves_no_stop(self, world: World) -> None:
        of = entry()
        world.submit(of)
        world.submit(stop_of(of))
        level = world.terminal.open_positions()[0].sl
        world.command(asked(stop_of(of), OrderInstruction.REPLACE, stop_price="100"))
        world.pass_time(MONTH.total_seconds())
        world.agent.step()
        assert world.terminal.open_positions()[0].sl == level
        assert kinds(last_report(world)) == ["OrderUpdateRejected"]

    def test_an_exit_that_is_too_old_ends_so_that_the_ledger_sends_another(self, world: World) -> None:
        of = entry()
        world.submit(of)
        world.command(asked(exit_of(of, send_before=LONG)))
        world.pass_time(COMMAND_AGE.total_seconds() + 1)
        world.agent.step()
        assert reasons(last_report(world)) == ["COMMAND_TOO_OLD"]
        again = exit_of(of, send_before=LONG, attempt=2)
        assert kinds(world.submit(again))[-1] == "OrderFilled"
        assert world.terminal.positions_get() == ()

    def test_an_old_view_is_refused_and_nothing_is_owed(self, world: World) -> None:
        world.command(viewed())
        world.pass_time(MONTH.total_seconds())
        world.agent.step()
        assert (refusals(world), world.box.reports, world.box.waiting) == ([CommandRefusal.COMMAND_TOO_OLD], [], [])

    def test_one_just_within_the_limit_is_carried_out(self, world: World) -> None:
        world.command(asked(lasting()))
        world.pass_time(COMMAND_AGE.total_seconds())
        world.agent.step()
        assert kinds(last_report(world))[-1] == "OrderFilled"

    def test_an_old_command_about_an_order_that_was_begun_asks_what_became_of_it(self, world: World) -> None:
        of = lasting()
        world.submit(of)
        world.command(asked(of))
        world.pass_time(COMMAND_AGE.total_seconds() + 1)
        world.agent.step()
        assert kinds(last_report(world))[-1] == "OrderFilled"  # never "expired": it is there
        assert len(world.terminal.sends) == 1

    def test_cut_off_in_the_middle_of_a_refusal_it_is_refused_again(self, world: World) -> None:
        world.command(asked(lasting()))
        world.pass_time(MONTH.total_seconds())
        world.box.dies_at_report = True
        with pytest.raises(SystemExit):
            world.agent.step()
        world.box.dies_at_report = False
        world.restart()
        world.agent.step()
        assert (refusals(world), reasons(last_report(world))) == ([CommandRefusal.COMMAND_TOO_OLD], ["COMMAND_TOO_OLD"])
        assert (world.terminal.sends, world.box.waiting) == ([], [])

    def test_a_replay_is_refused_with_a_signature_and_reports_nothing(self, world: World) -> None:
        of = entry()
        first = world.command(asked(of))
        world.agent.step()
        world.submit(entry(strategy="second"))
        count = len(world.box.reports)
        world.box.waiting.append(first)
        world.agent.step()
        assert (refusals(world), len(world.box.reports)) == ([CommandRefusal.COMMAND_REPLAYED], count)

    def test_the_newest_again_a_month_later_does_nothing(self, world: World) -> None:
        of = entry()
        world.submit(of)
        world.submit(stop_of(of))
        text = world.command(asked(stop_of(of), OrderInstruction.CANCEL))
        world.agent.step()
        assert world.terminal.open_positions()[0].sl == 0
        world.terminal.person_moves(world.terminal.open_positions()[0].ticket, sl=48_000.0)
        world.pass_time(MONTH.total_seconds())
        world.box.waiting.append(text)
        world.agent.step()
        assert world.terminal.open_positions()[0].sl == 48_000.0
        assert world.box.waiting == []

    def test_a_command_ahead_of_its_time_opens_nothing_and_leaves_what_is_open(self, world: World) -> None:
        of = entry()
        world.submit(of)
        ahead = world.clock() + MONTH
        for sequence, request in ((7, asked(lasting(strategy="new"))), (8, asked(exit_of(of, send_before=LONG)))):
            text = seal(request, key=KEY, direction=MailboxDirection.COMMAND, account=ACCOUNT, sequence=sequence, sent_at=ahead)
            world.box.waiting.append(text)
            world.agent.step()
        assert refusals(world) == [CommandRefusal.COMMAND_AHEAD]
        assert world.terminal.positions_get() == ()


class TestKept:
    @pytest.mark.parametrize("instruction", [OrderInstruction.CANCEL, OrderInstruction.REPLACE])
    def test_a_change_that_waited_in_the_journal_for_a_month_is_given_up_without_a_try(
        self, world: World, instruction: OrderInstruction
    ) -> None:
        of = entry()
        world.submit(of)
        world.submit(stop_of(of))
        level = world.terminal.open_positions()[0].sl
        world.terminal.login = None
        changes = {"stop_price": "100"} if instruction is OrderInstruction.REPLACE else {}
        world.wait(asked(stop_of(of), instruction, **changes))
        world.terminal.login = 1
        world.pass_time(MONTH.total_seconds())
        world.restart()  # the machine was off: what its memory knew of tries is gone
        world.agent.step()
        assert world.terminal.open_positions()[0].sl == level
        assert reasons(last_report(world)) == [GIVEN_UP]
        assert world.journal.kept == {}

    def test_a_view_that_waited_for_a_month_is_forgotten(self, world: World) -> None:
        world.terminal.login = None
        world.wait(viewed())
        world.terminal.login = 1
        world.pass_time(MONTH.total_seconds())
        world.restart()
        world.agent.step()
        assert (world.journal.kept, world.box.reports) == ({}, [])


class TestClock:
    def test_a_clock_that_agrees_is_used_to_the_millisecond(self) -> None:
        own = NOON + timedelta(milliseconds=7)
        clock = CheckedClock(lambda: own)
        clock.hear(NOON)
        assert (clock(), clock.off) == (own, timedelta(milliseconds=7))

    @pytest.mark.parametrize("off", [-MONTH, timedelta(minutes=-6), timedelta(seconds=31), timedelta(hours=1), MONTH])
    def test_a_clock_that_is_off_follows_the_queues_and_says_so_once(
        self, off: timedelta, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock = CheckedClock(lambda: NOON + off)
        with caplog.at_level(logging.INFO):
            for _ in range(3):
                clock.hear(NOON)
        assert clock() == NOON
        assert [record.levelname for record in caplog.records] == ["ERROR"]

    @given(st.timedeltas(min_value=timedelta(days=-400), max_value=timedelta(days=400)))
    def test_it_is_never_further_off_than_the_tolerance(self, off: timedelta) -> None:
        clock = CheckedClock(lambda: NOON + off)
        clock.hear(NOON)
        assert abs(clock() - NOON) <= CLOCK_TOLERANCE

    @pytest.mark.parametrize("off", [-MONTH, MONTH])
    def test_after_a_clock_change_old_commands_are_not_executed_and_positions_close(self, world: World, off: timedelta) -> None:
        of = entry()
        world.submit(of)
        clock = CheckedClock(lambda: world.clock() + off)
        clock.hear(world.clock())
        venue = TerminalVenue(world.terminal, login=1, symbols={BTC: "BTCUSD"}, journal=world.journal, clock=clock)
        world.agent = Agent(venue, world.journal, world.box, account=ACCOUNT, key=KEY, clock=clock)
        stale = seal(
            asked(lasting(strategy="old")),
            key=KEY,
            direction=MailboxDirection.COMMAND,
            account=ACCOUNT,
            sequence=5,
            sent_at=world.clock() - MONTH,
        )
        world.box.waiting.append(stale)
        world.agent.step()
        assert refusals(world) == [CommandRefusal.COMMAND_TOO_OLD]
        world.sequence = 5
        assert kinds(world.submit(exit_of(of)))[-1] == "OrderFilled"
        assert world.terminal.positions_get() == ()

    def test_the_queues_time_comes_with_each_look_for_commands(self, aws: None) -> None:
        heard: list[datetime] = []
        with mock_aws():
            client = boto3.client("sqs", region_name="eu-central-1")
            url = client.create_queue(QueueName="q.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
            for operation in ("ReceiveMessage", "GetQueueAttributes"):
                client.meta.events.register(f"after-call.sqs.{operation}", _dated)
            mailbox = SqsMailbox(client, commands_url=url, reports_url=url, hear=heard.append)
            mailbox.ask_time()
            mailbox.receive(0)
        assert heard == [NOON, NOON]


def _dated(parsed: dict[str, Any], **_more: Any) -> None:
    parsed["ResponseMetadata"]["HTTPHeaders"]["date"] = NOON.strftime("%a, %d %b %Y %H:%M:%S GMT")


class TestKeys:
    def test_while_a_key_is_replaced_commands_of_both_are_taken_and_the_first_signs(self, world: World, tmp_path: Path) -> None:
        (tmp_path / "signing.key").write_text(f"{'n' * 32}\n{KEY.decode()}\n\n")
        keys = read_keys(tmp_path / "signing.key")
        assert keys == Keys(b"n" * 32, (KEY,))
        sent: list[str] = []
        world.box.report = lambda text, **_more: sent.append(text)  # type: ignore[method-assign]
        venue = TerminalVenue(world.terminal, login=1, symbols={BTC: "BTCUSD"}, journal=world.journal, clock=world.clock)
        world.agent = Agent(venue, world.journal, world.box, account=ACCOUNT, key=keys, clock=world.clock)
        for key, strategy in ((KEY, "before"), (b"n" * 32, "after")):
            world.command(asked(entry(strategy=strategy)), key=key)
            world.agent.step()
        assert len(world.terminal.sends) == 2
        output = [
            open_envelope(text, key=b"n" * 32, direction=MailboxDirection.REPORT, account=ACCOUNT).content() for text in sent
        ]
        assert sum(isinstance(one, CommandTaken) for one in output) == 2

    @pytest.mark.parametrize("text", ["", "\n", "short", f"{'k' * 32}\nshort"])
    def test_a_file_without_a_key_is_refused(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "signing.key").write_text(text)
        with pytest.raises(EnvelopeError, match="at least 32"):
            read_keys(tmp_path / "signing.key")


def test_an_answer_is_no_event_of_the_bus() -> None:
    answer = CommandTaken(command=1, at=NOON)
    text = seal(answer, key=KEY, direction=MailboxDirection.REPORT, account=ACCOUNT, sequence=1, sent_at=NOON)
    opened = open_envelope(text, key=KEY, direction=MailboxDirection.REPORT)
    assert opened.content() == answer
    with pytest.raises(EnvelopeError, match="CommandTaken"):
        opened.event()


@given(
    ages=st.lists(st.integers(min_value=0, max_value=1200), min_size=1, max_size=4),
    cuts=st.lists(st.sampled_from(["report", "answer", "none"]), min_size=1, max_size=6),
    opens=st.booleans(),
)
def test_after_any_interruption_every_command_is_answered_and_no_old_one_is_executed(
    tmp_path_factory: pytest.TempPathFactory, ages: list[int], cuts: list[str], opens: bool
) -> None:
    world = World(tmp_path_factory.mktemp("answers"))
    orders = [lasting(strategy=f"s{number}") for number in range(len(ages))]
    for of, age in zip(orders, ages, strict=True):
        world.sequence += 1
        sent_at = world.clock() - timedelta(seconds=age)
        request = asked(of) if opens else asked(of, OrderInstruction.CANCEL)
        world.box.waiting.append(
            seal(request, key=KEY, direction=MailboxDirection.COMMAND, account=ACCOUNT, sequence=world.sequence, sent_at=sent_at)
        )
    for cut in [*cuts, *["none"] * (2 * len(ages) + 2)]:
        world.box.dies_at_report, world.box.dies_at_answer = cut == "report", cut == "answer"
        try:
            world.agent.step()
        except SystemExit:
            world.restart()
    assert {answer.command for answer in world.box.answers} == set(range(1, len(ages) + 1))
    sent = {request["comment"] for request in world.terminal.sends}
    young = {of.client_order_id[:31] for of, age in zip(orders, ages, strict=True) if age <= COMMAND_AGE.total_seconds()}
    assert sent <= young
    if opens:
        assert sent == young
    assert world.box.waiting == []
    if opens:  # what became of a cancel of an order that nobody knows is asked for a minute
        assert world.journal.kept == {}
    assert not any(isinstance(event, OrderCanceled) for reported in world.reported() for event in getattr(reported, "events", ()))
    world.journal.close()
