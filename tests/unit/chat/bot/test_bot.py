"""The bot on a real trading service: who gets an answer, what a button does, and that each does it once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from local.cli.telegram.simulate import KeptCommands
from signalbox.access import Role
from signalbox.application.manage_orders import ManageOrders
from signalbox.chat.bot.bot import Bot
from signalbox.chat.bot.confirmation import Confirmations
from signalbox.chat.bot.conversation import MAX_DATA, Answer, ButtonPress, ChatMessage
from signalbox.chat.bot.ports import BotLedger, BotLedgerError, BotLedgerSilentError
from signalbox.chat.bot.registry import BY_NAME, COMMANDS
from signalbox.chat.words import in_zone
from signalbox.errors import SignalboxError
from signalbox.portfolio.account import EquitySnapshot
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Tier
from signalbox.trading.access import Access, AccessControl
from signalbox.trading.commands import AnyCommand, OpenAccount, SubmitOrder
from signalbox.trading.documents import AccountDocument, ConfigurationDocument, MarkDocument, OrderDocument, ReadinessDocument
from signalbox.trading.questions import BarRow
from signalbox.trading.service import TradingService
from signalbox.trading.state import Trade
from signalbox.trading.view import account_view, configuration_view, readiness_view
from tests.fakes.bot_library import BotLibrary
from tests.fakes.memory_access import MemoryAccessBook
from tests.fakes.memory_ledger import MemoryDatabase, MemoryOutbox
from tests.fakes.memory_trading import MemoryTradingLedger
from tests.unit.trading.market import BASE, BTC, ETH, START

T = TypeVar("T")
ANNA, BEN, STRANGER = 11, 22, 99
CHAT = 5
OWNER = "arn:aws:iam::123456789012:user/ada"
ACCOUNTS = ("ftmo-2step-100k", "paper-25k")


def decided(symbol: str = BTC, direction: Direction = Direction.BUY, at: datetime = START) -> Signal:
    return Signal(
        BTC if symbol == BTC else ETH, at, "starter-1", DeploymentStage.SHADOW, direction, Tier.HIGH, 0.61, BASE[BTC],
        late=False, schema_name="v50", schema_hash="h", features=(1.0,),
    )  # fmt: skip


class ServiceLedger(BotLedger):
    """The ledger as a person of Telegram may see it: their own name goes through the same access control as anybody's."""

    def __init__(self, app: ManageOrders, user: int, models: BotLibrary | None = None) -> None:
        self.app, self.who = app, f"telegram:{user}"
        self.is_silent = False
        self.models = models or BotLibrary()
        self.rows: Sequence[BarRow] = ()
        self.found: list[Signal] = [decided(BTC), decided(ETH, Direction.HOLD)]

    @override
    def accounts(self) -> Sequence[ConfigurationDocument]:
        return [configuration_view(one) for one in self._asked(lambda: self.app.listed(START, self.who))]

    @override
    def account(self, name: str) -> AccountDocument:
        return account_view(self._asked(lambda: self.app.query(name, START, self.who)))

    @override
    def readiness(self, name: str) -> ReadinessDocument:
        return readiness_view(self._asked(lambda: self.app.readiness_report(name, START, self.who)))

    @override
    def order(self, account: str, order: str) -> OrderDocument:
        raise BotLedgerError(f"account {account} has no order {order}")

    @override
    def bars(self, symbol: str, start: datetime, end: datetime) -> Sequence[BarRow]:
        return self.rows

    @override
    def signals(self, start: datetime, end: datetime) -> Sequence[Signal]:
        return [one for one in self.found if start < one.decided_at <= end]

    @override
    def trades(self, account: str, start: datetime, end: datetime) -> Sequence[Trade]:
        return ()

    @override
    def equity(self, account: str, start: datetime, end: datetime) -> Sequence[EquitySnapshot]:
        return ()

    @override
    def require(self, account: str, action: str) -> None:
        gate = self.app.gate
        self._asked(lambda: gate.require(self.who, account, action))

    @override
    def command(self, command: AnyCommand) -> AccountDocument:
        found = account_view(self._asked(lambda: self.app.command(command, self.who)).state)
        if self.is_silent:
            raise BotLedgerSilentError("The ledger did not answer.")
        return found

    @override
    def library(self, verb: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        found = self.models.ask(self.who, verb, facts)
        if self.is_silent and "request_id" in facts:
            raise BotLedgerSilentError
        return found

    @staticmethod
    def _asked(ask: Callable[[], T]) -> T:
        try:
            return ask()
        except SignalboxError as error:
            raise BotLedgerError(str(error)) from error


class World:
    """A bot of two people: Anna, an operator of both accounts, and Ben, a viewer of one."""

    def __init__(self) -> None:
        ledger = MemoryTradingLedger()
        self.access = book = MemoryAccessBook(ledger.database.accounts)
        self.app = ManageOrders(
            TradingService(ledger, "coinbase"), MemoryOutbox(MemoryDatabase()), self, gate=AccessControl(book, (OWNER,)),
            clock=lambda: START,
        )  # fmt: skip
        for name in ACCOUNTS:
            self.app.command(OpenAccount(account=name, request_id="open-1", requested_at=START - timedelta(hours=1)), OWNER)
            book.change(name, Access(f"telegram:{ANNA}", Role.OPERATOR, OWNER, START, "grant-1"))
        book.change(ACCOUNTS[0], Access(f"telegram:{BEN}", Role.VIEWER, OWNER, START, "grant-2"))
        self.roles = {ANNA: Role.OPERATOR, BEN: Role.VIEWER}
        self.models = BotLibrary({f"telegram:{ANNA}": Role.OWNER, f"telegram:{BEN}": Role.VIEWER})
        self.ledgers = {user: ServiceLedger(self.app, user, self.models) for user in self.roles}
        numbers = count(1)
        self.two_people: set[str] = set()
        self.confirmations = Confirmations(
            self.roles.get, lambda user: self.ledgers[user], KeptCommands(), self.two_people.__contains__,
            lambda: f"{next(numbers):016x}",
        )  # fmt: skip
        self.bot = Bot(self.roles.get, lambda user: self.ledgers[user], self.confirmations)

    def grant(self, user: int, account: str, role: Role) -> None:
        self.access.change(account, Access(f"telegram:{user}", role, OWNER, START, f"grant-{user}-{role}"))

    def publish(self, _events: object) -> None:
        """A bus that takes everything."""

    def type(self, text: str, user: int = ANNA, chat: int = CHAT, at: datetime = START) -> Answer | None:
        return self.bot.on_message(ChatMessage(user, chat, text, at))

    def press(self, data: str, user: int = ANNA, chat: int = CHAT, at: datetime = START, update: int = 0) -> Answer | None:
        return self.bot.on_button(ButtonPress(user, chat, data, at, update))

    def halt(self, account: str = ACCOUNTS[0]) -> str | None:
        halt = account_view(self.app.query(account, START, OWNER))["halt"]
        return None if halt is None else halt["level"]


@pytest.fixture
def world() -> World:
    return World()


def text_of(answer: Answer | None) -> str:
    assert answer is not None
    return "\n".join(answer.parts)


def yes(answer: Answer | None) -> str:
    assert answer is not None
    assert [one.label for one in answer.buttons] == ["Yes", "No"]
    assert all(len(one.data.encode()) <= MAX_DATA for one in answer.buttons)
    return answer.buttons[0].data


@pytest.mark.parametrize("name", [one.name for one in COMMANDS if not one.asks])
def test_every_reading_command_answers_its_own_example(world: World, name: str) -> None:
    command = BY_NAME[name]
    typed = command.example if " " in command.example else f"/{name}"
    answer = text_of(world.type(typed, user=BEN))
    assert answer
    assert "not understood" not in answer


def test_a_halt_does_not_wait_for_the_signals_of_a_day(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_period: datetime) -> Sequence[Signal]:
        raise BotLedgerSilentError("no answer")

    monkeypatch.setattr(world.ledgers[ANNA], "signals", silent)
    assert "no answer" in text_of(world.type("/signal BTC"))
    yes(world.type(f"/halt {ACCOUNTS[0]} news at two"))


def test_status_says_what_it_has_and_what_is_missing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = world.ledgers[ANNA]
    whole, ask = text_of(world.type("/status")), ledger.account

    def silent(*_period: datetime) -> Sequence[Signal]:
        raise BotLedgerSilentError("No answer.")

    def first_alone(name: str) -> AccountDocument:
        if name == ACCOUNTS[1]:
            raise BotLedgerSilentError("Not read.")
        return ask(name)

    monkeypatch.setattr(ledger, "signals", silent)
    monkeypatch.setattr(ledger, "account", first_alone)
    assert text_of(world.type("/status")).splitlines() == [
        whole.splitlines()[0],
        f"⚠️ {ACCOUNTS[1]}: unknown now. Not read.",
        "⚠️ decisions: unknown now. No answer.",
    ]


def test_an_idle_stage_answers_every_question_with_words(world: World) -> None:
    world.ledgers[BEN].found = []  # a messenger refuses an empty message, and then nobody would be answered
    for command in (one for one in COMMANDS if not one.asks and not any(argument.is_required for argument in one.arguments)):
        assert text_of(world.type(f"/{command.name}", user=BEN)).strip(), command.name


@pytest.mark.parametrize("name", [one.name for one in COMMANDS])
def test_stranger_gets_no_answer_to_anything(world: World, name: str) -> None:
    assert world.type(BY_NAME[name].example, user=STRANGER) is None
    assert world.press("y:0000000000000001", user=STRANGER) is None


@pytest.mark.parametrize(("verb", "level"), [("halt", "HALT"), ("reduceonly", "REDUCE_ONLY"), ("flatten", "FLATTEN")])
def test_kill_switch_is_set_by_the_button_and_not_before(world: World, verb: str, level: str) -> None:
    asked = world.type(f"/{verb} {ACCOUNTS[0]} news at two")
    assert world.halt() is None
    done = text_of(world.press(yes(asked)))
    assert world.halt() == level
    assert f"{level} since" in done
    assert "news at two" in done
    assert f"telegram:{ANNA}" in done
    assert "Released" not in done
    assert world.halt(ACCOUNTS[1]) is None


def test_resume_releases_it(world: World) -> None:
    world.press(yes(world.type(f"/halt {ACCOUNTS[0]} news")))
    later = START + timedelta(seconds=5)
    assert "is not stopped" in text_of(world.press(yes(world.type(f"/resume {ACCOUNTS[0]} looked", at=later)), at=later))
    assert world.halt() is None


def test_button_works_once(world: World) -> None:
    data = yes(world.type(f"/halt {ACCOUNTS[0]} news"))
    world.press(data)
    later = START + timedelta(seconds=5)
    world.press(yes(world.type(f"/resume {ACCOUNTS[0]} looked", at=later)), at=later)
    assert "used up or expired" in text_of(world.press(data, at=later))
    assert world.halt() is None


def test_button_of_another_person_or_chat_does_nothing_and_stays_good(world: World) -> None:
    world.roles[BEN] = Role.OPERATOR
    data = yes(world.type(f"/halt {ACCOUNTS[0]} news"))
    for other in (world.press(data, user=BEN), world.press(data, chat=CHAT + 1)):
        assert "another person's, or of another chat" in text_of(other)
        assert other is not None
        assert not other.replaces  # the message with the button stays as it is
    assert world.halt() is None
    world.press(data)
    assert world.halt() == "HALT"


@pytest.mark.parametrize("data", ["y:\ud800", "r:\udfff", "\ud800" * 64, "y:" + "\x00" * 16, "y:", "", "y", "r:/halt", "x:1"])
def test_forged_data_of_a_button_is_an_expired_one_and_never_an_error(world: World, data: str) -> None:
    world.type(f"/halt {ACCOUNTS[0]} news")
    assert world.press(data) is None or text_of(world.press(data))
    assert world.halt() is None


@pytest.mark.parametrize(("seconds", "level"), [(60, "HALT"), (61, None)])
def test_button_expires_after_a_minute(world: World, seconds: int, level: str | None) -> None:
    world.press(yes(world.type(f"/halt {ACCOUNTS[0]} news")), at=START + timedelta(seconds=seconds))
    assert world.halt() == level


def test_no_changes_nothing_and_uses_the_button_up(world: World) -> None:
    asked = world.type(f"/flatten {ACCOUNTS[0]} leaving")
    assert asked is not None
    assert "Nothing was changed" in text_of(world.press(asked.buttons[1].data))
    assert "used up or expired" in text_of(world.press(asked.buttons[0].data))
    assert world.halt() is None


def test_button_after_the_role_was_taken_does_nothing(world: World) -> None:
    data = yes(world.type(f"/halt {ACCOUNTS[0]} news"))
    world.roles[ANNA] = Role.VIEWER
    assert "not do this any more" in text_of(world.press(data))
    assert world.halt() is None


def test_ledger_decides_last_who_may_command(world: World) -> None:
    world.roles[BEN] = Role.OPERATOR  # of the bot, but a viewer in the ledger
    answer = text_of(world.press(yes(world.type("/halt news is out", user=BEN)), user=BEN))
    assert answer.startswith("⛔")
    assert world.halt() is None


def test_command_whose_answer_is_lost_is_pressed_again_and_done_once(world: World) -> None:
    world.ledgers[ANNA].is_silent = True
    data = yes(world.type(f"/halt {ACCOUNTS[0]} news"))
    lost = world.press(data)
    assert "unknown" in text_of(lost)
    world.ledgers[ANNA].is_silent = False
    assert "HALT since" in text_of(world.press(yes(lost)))
    history = world.app.query(ACCOUNTS[0], START, OWNER)
    assert history.halt is not None
    assert "used up or expired" in text_of(world.press(data))


def test_viewer_is_shown_no_command_above_their_role_and_may_give_none(world: World) -> None:
    assert "/flatten" not in text_of(world.type("/help", user=BEN))
    assert "/flatten" in text_of(world.type("/help"))
    refused = world.type("/flatten now please", user=BEN)
    assert text_of(refused).startswith("There is no command /flatten")
    assert refused is not None
    assert refused.buttons == ()


def test_account_may_be_left_out_by_who_sees_one_and_is_asked_of_who_sees_two(world: World) -> None:
    assert ACCOUNTS[0] in text_of(world.type("/balance", user=BEN))
    asked = world.type("/balance")
    assert asked is not None
    assert [one.label for one in asked.buttons] == list(ACCOUNTS)
    assert ACCOUNTS[1] in text_of(world.press(asked.buttons[1].data))


def test_account_of_others_is_unknown(world: World) -> None:
    assert "not understood" in text_of(world.type(f"/balance {ACCOUNTS[1]}", user=BEN))
    assert ACCOUNTS[1] not in text_of(world.type("/status", user=BEN))


@pytest.mark.parametrize(
    ("typed", "part"),
    [
        ("/hlat ftmo-2step-100k news", "Did you mean /halt?"),
        ("/price DOGE", "'DOGE' is not understood. There is BTC-USD, ETH-USD."),
        ("/signal", "SYMBOL is missing: /signal SYMBOL"),
        ("/trades ftmo-2step-100k yesterday", "'yesterday' is not understood"),
        ("/halt ftmo-2step-100k", "Say why"),
        ("/halt ftmo-2step-100k " + "x" * 201, "Say why"),
        ("/ha\u200blt ftmo-2step-100k news", "invisible (U+200B)"),
        ("/halt ftmo-2step-100k \u202enews", "invisible (U+202E)"),
        ("/price " + "x" * 4097, "at most 4096"),
        ("/!", "not a command"),
        ("/cancel ftmo-2step-100k ../../x", "not understood"),
    ],
)
def test_bad_input_is_answered_with_what_to_type_and_changes_nothing(world: World, typed: str, part: str) -> None:
    answer = world.type(typed)
    assert part in text_of(answer)
    assert answer is not None
    assert answer.buttons == ()


@pytest.mark.parametrize("typed", ["hello", "", "  ", "/status@other_bot"])
def test_what_is_no_command_of_this_bot_gets_no_answer(world: World, typed: str) -> None:
    assert world.type(typed) is None


def test_command_addressed_to_this_bot_is_answered(world: World) -> None:
    assert world.type("/status@Signalbox_Bot", user=BEN) is not None


def test_decision_that_is_overdue_is_marked(world: World) -> None:
    fresh, late = (text_of(world.type("/health", at=START + timedelta(minutes=m))) for m in (7, 8))
    assert (fresh.count("✅"), late.count("⚠️")) == (2, 2)
    world.ledgers[ANNA].found = []
    assert "Nothing was decided" in text_of(world.type("/health"))


@given(st.text(max_size=200), st.sampled_from([ANNA, BEN]))
def test_any_text_is_answered_or_ignored_and_changes_nothing(text: str, user: int) -> None:
    world = _SHARED
    for typed in (text, f"/{text}", f"/halt {text}", f"/trades {text}"):
        answer = world.type(typed, user=user)
        assert answer is None or all(len(part) <= 4096 for part in answer.parts)
    world.press(text, user=user)
    assert [world.halt(name) for name in ACCOUNTS] == [None, None]


_SHARED = World()


def test_ledgers_refusal_is_shown_and_loses_no_account(world: World) -> None:
    order = "feedface" * 4
    answer = text_of(world.press(yes(world.type(f"/cancel {ACCOUNTS[0]} {order}"))))
    assert answer.startswith("⛔")
    assert order in answer


def test_close_without_a_position_says_so(world: World) -> None:
    found = world.type("/close paper-25k BTC")
    assert found is not None
    assert found.parts == ("paper-25k holds no BTC-USD: there is nothing to close.",)
    assert found.buttons == ()


def test_refresh_asks_again_and_replaces(world: World) -> None:
    found = world.type("/balance paper-25k")
    assert found is not None
    (button,) = found.buttons
    again = world.press(button.data)
    assert again is not None
    assert (again.parts, again.replaces) == (found.parts, True)


def test_mode_is_an_owners(world: World) -> None:
    found = world.type("/mode paper-25k live")
    assert found is not None
    assert found.parts[0].startswith("There is no command /mode.")


def test_times_are_told_in_the_zone_of_the_person(world: World) -> None:
    kept: list[str] = []
    world.bot.choose_zone = kept.append
    assert text_of(world.type("/timezone Europe/Prague")) == "Times are in Europe/Prague from now on."
    assert kept == ["Europe/Prague"]
    before = text_of(world.type("/signal BTC"))
    world.bot.zone = kept[0]
    after = text_of(world.type("/signal BTC"))
    assert f"{START:%H:%M} UTC" in before
    assert f"{START.astimezone(ZoneInfo('Europe/Prague')):%H:%M %Z}" in after
    assert "UTC" not in after


@pytest.mark.parametrize("zone", ["Nowhere/Else", "../../etc/passwd", "/etc/localtime", "x" * 200])
def test_a_zone_that_is_not_there_is_not_understood(world: World, zone: str) -> None:
    assert "is not understood" in text_of(world.type(f"/timezone {zone}"))


@given(st.text())
def test_any_text_can_be_told_in_a_zone(text: str) -> None:
    assert in_zone(text, ZoneInfo("UTC")) == text
    assert in_zone("2024-02-29 12:00 UTC", ZoneInfo("Europe/Prague")) == "2024-02-29 13:00 CET"
    for typed in ("2023-02-29 12:00 UTC", "9999-12-31 23:59 UTC", "2024-01-01 25:00 UTC"):
        assert in_zone(typed, ZoneInfo("Europe/Prague")) == typed


class Holding(ServiceLedger):
    """An account with a position; keeps the commands that it gets."""

    held = "-0.3736"

    def __init__(self, app: ManageOrders, user: int) -> None:
        super().__init__(app, user)
        self.commands: list[AnyCommand] = []

    @override
    def account(self, name: str) -> AccountDocument:
        mark: MarkDocument = {"price": "59900", "at": None}
        return {**super().account(name), "positions": [{"symbol": BTC, "quantity": self.held, "mark": mark}]}

    @override
    def command(self, command: AnyCommand) -> AccountDocument:
        self.commands.append(command)
        return self.account(command.account)


@pytest.mark.parametrize(("held", "side"), [("-0.3736", "BUY"), ("0.3736", "SELL")])
def test_close_shows_its_effect_and_sends_what_only_reduces(world: World, held: str, side: str) -> None:
    ledger = Holding(world.app, ANNA)
    ledger.held = held
    world.ledgers[ANNA] = ledger
    asked = world.type("/close paper-25k BTC")
    assert f"Close {held} BTC-USD of paper-25k (paper) at about 59,900, at the market" in text_of(asked)
    world.press(yes(asked))
    (sent,) = ledger.commands
    assert isinstance(sent, SubmitOrder)
    assert (sent.side, sent.quantity, sent.type, sent.reduce_only) == (side, Decimal("0.3736"), "MARKET", True)
