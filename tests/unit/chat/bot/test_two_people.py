"""What starts trading again needs two people where an owner says so: two who may, in time, and it happens once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from local.cli.telegram.simulate import KeptCommands
from signalbox.access import Role
from signalbox.application.manage_orders import ManageOrders
from signalbox.chat.bot.confirmation import APPROVE_WITHIN, CONFIRM_WITHIN, Confirmations, starts_trading, two_people_of
from signalbox.chat.bot.conversation import Answer
from signalbox.chat.bot.ports import BotLedgerError, PendingCommand
from signalbox.chat.bot.words import WORDS
from signalbox.trading.commands import MAX_BEHIND, AnyCommand, ConfirmAccount
from signalbox.trading.documents import AccountDocument
from tests.examples import examples
from tests.fakes.bot_library import BotLibrary
from tests.unit.chat.bot.test_bot import ACCOUNTS, ANNA, BEN, CHAT, ServiceLedger, World, text_of, yes
from tests.unit.trading.market import START

CARL, DORA = 33, 44  # an operator of the bot who is a viewer in the ledger; a viewer of the bot who is an operator in the ledger
ACCOUNT = ACCOUNTS[0]


class Recording(ServiceLedger):
    """Keeps who sent which command."""

    def __init__(self, app: ManageOrders, user: int, sent: list[tuple[str, AnyCommand]], models: BotLibrary) -> None:
        super().__init__(app, user, models)
        self.sent = sent

    @override
    def command(self, command: AnyCommand) -> AccountDocument:
        self.sent.append((self.who, command))
        return super().command(command)


@dataclass
class Team:
    """Anna and Ben are operators, Carl and Dora each lack one of the two roles. The account is halted."""

    world: World = field(default_factory=World)
    sent: list[tuple[str, AnyCommand]] = field(default_factory=list)

    def __post_init__(self) -> None:
        world = self.world
        for user, role, held in (
            (BEN, Role.OPERATOR, Role.OPERATOR), (CARL, Role.OPERATOR, Role.VIEWER), (DORA, Role.VIEWER, Role.OPERATOR)
        ):  # fmt: skip
            world.roles[user] = role
            world.grant(user, ACCOUNT, held)
        for user in world.roles:
            world.ledgers[user] = Recording(world.app, user, self.sent, world.models)
        world.press(yes(world.type(f"/halt {ACCOUNT} news")))
        assert world.halt() == "HALT"
        self.sent.clear()
        world.two_people.add(ACCOUNT)

    def asked(self, at: datetime = START, *, user: int = ANNA) -> Answer:
        """Ask for a resume and confirm it as one person."""
        first = self.world.press(yes(self.world.type(f"/resume {ACCOUNT} looked at it", user=user, at=at)), user=user, at=at)
        assert first is not None
        assert [one.label for one in first.buttons] == ["Approve", "Refuse"]
        return first


@pytest.fixture
def team() -> Team:
    return Team()


def test_the_second_person_resumes_and_both_are_on_record(team: Team) -> None:
    waiting = team.asked()
    assert "Resume ftmo-2step-100k (paper): looked at it" in text_of(waiting)  # its effect
    assert "Nothing has happened yet" in text_of(waiting)
    assert team.world.halt() == "HALT"
    done = team.world.press(waiting.buttons[0].data, user=BEN, chat=CHAT + 1)
    assert team.world.halt() is None
    assert f"Asked for by telegram:{ANNA}, approved by telegram:{BEN}." in text_of(done)
    ((who, command),) = team.sent
    assert (who, command.request_id) == (f"telegram:{ANNA}", f"tg-0000000000000002-by-{BEN}")
    assert done is not None
    assert done.approval is not None
    assert (done.approval.asked_by, done.approval.approved_by) == (ANNA, BEN)
    assert "used up or expired" in text_of(team.world.press(waiting.buttons[0].data, user=BEN))
    assert len(team.sent) == 1


@pytest.mark.parametrize(
    ("user", "part"),
    [(ANNA, "another person has to approve it"), (CARL, "⛔"), (DORA, "may not approve this")],
)
def test_who_may_not_approve_changes_nothing_and_the_button_stays(team: Team, user: int, part: str) -> None:
    waiting = team.asked()
    for button in waiting.buttons:
        refused = team.world.press(button.data, user=user)
        assert part in text_of(refused)
        assert refused is not None
        assert not refused.replaces
    assert team.world.halt() == "HALT"
    team.world.press(waiting.buttons[0].data, user=BEN)
    assert team.world.halt() is None


def test_it_is_approved_by_its_code_in_another_chat_with_the_effect_shown(team: Team) -> None:
    waiting = team.asked()
    typed = text_of(waiting).rpartition("\n")[2]
    assert typed.startswith("/approve ")
    assert "another person has to approve it" in text_of(team.world.type(typed))
    assert text_of(team.world.type(typed, user=CARL)).startswith("⛔")
    assert "no command /approve" in text_of(team.world.type(typed, user=DORA))
    shown = team.world.type(typed, user=BEN, chat=BEN)
    assert f"Asked for by telegram:{ANNA}" in text_of(shown)
    assert "Resume ftmo-2step-100k" in text_of(shown)
    assert shown is not None
    team.world.press(shown.buttons[0].data, user=BEN, chat=BEN)
    assert team.world.halt() is None
    assert "Nothing waits for an approval" in text_of(team.world.type("/approve 0123456789abcdef", user=BEN))


def test_the_second_person_refuses(team: Team) -> None:
    waiting = team.asked()
    assert "Nothing was changed" in text_of(team.world.press(waiting.buttons[1].data, user=BEN))
    assert "used up or expired" in text_of(team.world.press(waiting.buttons[0].data, user=BEN))
    assert team.sent == []


@pytest.mark.parametrize("late", [timedelta(), timedelta(seconds=1)])
def test_an_approval_lapses(team: Team, late: timedelta) -> None:
    waiting = team.asked()
    pressed = team.world.press(waiting.buttons[0].data, user=BEN, at=START + APPROVE_WITHIN + late)
    assert (team.world.halt() is None) == (not late)
    assert ("used up or expired" in text_of(pressed)) == bool(late)


def test_both_presses_together_come_before_the_ledger_calls_it_old() -> None:
    assert CONFIRM_WITHIN + APPROVE_WITHIN < MAX_BEHIND


def test_a_halt_after_it_was_asked_for_is_not_released(team: Team) -> None:
    waiting = team.asked()
    team.world.press(yes(team.world.type(f"/resume {ACCOUNT} looked", user=BEN)), user=BEN)
    later = START + timedelta(seconds=20)
    team.world.press(yes(team.world.type(f"/flatten {ACCOUNT} worse news", at=later)), at=later)
    assert team.world.halt() == "FLATTEN"
    answer = team.world.press(waiting.buttons[0].data, user=BEN, at=later + timedelta(seconds=1))
    assert "is newer than this resume" in text_of(answer)
    assert team.world.halt() == "FLATTEN"


def test_the_first_press_delivered_again_opens_the_same_approval(team: Team) -> None:
    data = yes(team.world.type(f"/resume {ACCOUNT} looked"))
    first, again = (team.world.press(data, update=7) for _ in range(2))
    assert first == again
    assert first is not None
    team.world.press(first.buttons[0].data, user=BEN)
    third = team.world.press(data, update=7)
    assert third == first
    assert "used up or expired" in text_of(team.world.press(first.buttons[0].data, user=BEN))
    assert len(team.sent) == 1


def test_a_lost_answer_is_pressed_again_by_who_approved_and_by_nobody_else(team: Team) -> None:
    team.world.grant(CARL, ACCOUNT, Role.OPERATOR)
    waiting = team.asked()
    team.world.ledgers[ANNA].is_silent = True
    lost = team.world.press(waiting.buttons[0].data, user=BEN)
    assert "Whether it was done is unknown" in text_of(lost)
    team.world.ledgers[ANNA].is_silent = False
    for data in (yes(lost), waiting.buttons[0].data):
        assert "another person's" in text_of(team.world.press(yes(lost), user=CARL)), data
    assert "Done" in text_of(team.world.press(yes(lost), user=BEN))
    assert {command.request_id for _, command in team.sent} == {f"tg-0000000000000002-by-{BEN}"}


def test_no_after_a_lost_answer_does_not_say_that_nothing_changed(team: Team) -> None:
    team.world.two_people.clear()
    data = yes(team.world.type(f"/resume {ACCOUNT} looked"))
    team.world.ledgers[ANNA].is_silent = True
    lost = team.world.press(data)
    assert lost is not None
    assert "Whether it was done is unknown" in text_of(team.world.press(lost.buttons[1].data))


def test_who_asked_and_was_removed_since_is_not_served(team: Team) -> None:
    waiting = team.asked()
    del team.world.roles[ANNA]
    assert "may not do this any more" in text_of(team.world.press(waiting.buttons[0].data, user=BEN))
    assert team.world.halt() == "HALT"


@pytest.mark.parametrize("verb", ["halt", "reduceonly", "flatten"])
def test_what_stops_never_waits_for_a_second_person(team: Team, verb: str) -> None:
    assert "Done" in text_of(team.world.press(yes(team.world.type(f"/{verb} {ACCOUNT} news"))))


@pytest.mark.parametrize(("mode", "takes_two"), [("live", True), ("paper", False)])
def test_the_live_mode_takes_two_and_leaving_it_takes_one(mode: str, takes_two: bool) -> None:
    assert starts_trading(ConfirmAccount(account="a", request_id="r-11", requested_at=START, what=mode)) == takes_two


def test_the_second_person_of_the_live_mode_is_an_owner() -> None:
    kept = KeptCommands()
    roles = {ANNA: Role.OWNER, BEN: Role.OPERATOR}
    world = World()
    waiting = Confirmations(roles.get, lambda user: world.ledgers[user], kept, lambda _: True)
    command = ConfirmAccount(account=ACCOUNT, request_id="tg-1", requested_at=START, what="live")
    kept.put(PendingCommand("a" * 16, ANNA, CHAT, command, START, waits_for_second=True))
    from signalbox.chat.bot.conversation import ButtonPress  # noqa: PLC0415 - of this test alone

    pressed = waiting.press(ButtonPress(BEN, CHAT, "y:" + "a" * 16, START), Role.OPERATOR, WORDS)
    assert "may not approve this" in text_of(pressed)


@pytest.mark.parametrize("typed", ["off", "off now please", "OFF"])
@pytest.mark.parametrize("verb", ["halt", "reduceonly", "flatten"])
def test_a_halt_called_off_is_not_set(team: Team, verb: str, typed: str) -> None:
    answer = team.world.type(f"/{verb} {ACCOUNT} {typed}")
    assert f"/resume {ACCOUNT} REASON" in text_of(answer)
    assert answer is not None
    assert answer.buttons == ()


@pytest.mark.parametrize("wrong", ["ftmo", 5, True, {"a": 1}, ["UPPER"], [1], [None], "*"])
def test_a_setting_that_is_wrong_asks_for_two_people_everywhere(wrong: Any) -> None:
    assert two_people_of(wrong)("any-account")


@pytest.mark.parametrize(("setting", "expected"), [(None, False), ([], False), (["b"], False), (["a"], True), (["*"], True)])
def test_a_setting_names_accounts_or_all(setting: Any, expected: bool) -> None:
    assert two_people_of(setting)("a") == expected


_PEOPLE = st.sampled_from([ANNA, BEN, CARL, DORA, 99])
_STEPS = st.one_of(
    st.tuples(st.just("ask"), _PEOPLE, st.just(0)),
    st.tuples(st.just("yes"), _PEOPLE, st.integers(0, 5)),
    st.tuples(st.just("no"), _PEOPLE, st.integers(0, 5)),
    st.tuples(st.just("wait"), st.sampled_from([1, 30, 61, 100, 181]), st.just(0)),
)


@given(st.lists(_STEPS, min_size=3, max_size=14))
@settings(max_examples=examples(60), deadline=None)
def test_nothing_is_sent_without_two_who_may_in_time_and_each_is_sent_once(steps: list[tuple[str, int, int]]) -> None:
    team, now = Team(), START
    buttons: list[str] = []
    asked: dict[str, datetime] = {}  # request id: when
    for verb, who, which in steps:
        answer = None
        if verb == "wait":
            now += timedelta(seconds=who)
        elif verb == "ask":
            answer = team.world.type(f"/resume {ACCOUNT} looked at it", user=who, at=now)
        elif buttons:
            prefix = "y:" if verb == "yes" else "n:"
            answer = team.world.press(prefix + buttons[-1 - which % len(buttons)], user=who, at=now)
        for one in () if answer is None else answer.buttons[:1]:
            buttons.append(one.data[2:])
            asked.setdefault(one.data[2:], now)
    allowed = {ANNA, BEN}
    for sender, command in team.sent:
        token, _, approver = command.request_id.removeprefix("tg-").partition("-by-")
        first = int(sender.removeprefix("telegram:"))
        assert first != int(approver)
        assert int(approver) in allowed  # the sender's own role the ledger judges
        assert asked[token] <= now
    ids = [command.request_id for _, command in team.sent]
    assert len(ids) == len(set(ids)) == len({one.partition("-by-")[0] for one in ids})


def test_the_errors_of_the_ledger_reach_the_person(team: Team) -> None:
    with pytest.raises(BotLedgerError):
        team.world.ledgers[CARL].require(ACCOUNT, "resume")
