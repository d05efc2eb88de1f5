"""Every constant is MetaQuotes', and every return code has one meaning that the agent acts on."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from local.stand_ins.mt5 import TerminalStandIn
from signalbox_mt5 import terminal
from signalbox_mt5.retcodes import ALARMS, LATER, LastError, Outcome, Retcode, code_of, outcome_of, outcome_of_silence
from tests.builders import NOON
from tests.unit.agents.metaquotes import DOCUMENTED, PACKAGE
from tests.unit.agents.world import World, asked, details, entry, exit_of, kinds, reasons

OURS: Mapping[str, type[IntEnum]] = {
    "TRADE_RETCODE": Retcode,
    "RES": LastError,
    "TRADE_ACTION": terminal.Action,
    "ORDER_TYPE": terminal.OrderKind,
    "ORDER_STATE": terminal.OrderStatus,
    "ORDER_FILLING": terminal.Filling,
    "ORDER_TIME": terminal.OrderTime,
    "DEAL_TYPE": terminal.DealKind,
    "DEAL_ENTRY": terminal.DealEntry,
    "DEAL_REASON": terminal.DealReason,
    "POSITION_TYPE": terminal.Holding,
    "ACCOUNT_MARGIN_MODE": terminal.MarginMode,
    "SYMBOL_TRADE_MODE": terminal.TradeMode,
    "SYMBOL_TRADE_EXECUTION": terminal.TradeExecution,
    "SYMBOL_FILLING": terminal.FillingFlag,  # type: ignore[dict-item]
    "SYMBOL_EXPIRATION": terminal.ExpirationFlag,  # type: ignore[dict-item]
}
EXPECTED = {
    Outcome.DONE: {10008, 10009, 10010, 10025},
    Outcome.LATER: {10004, 10018, 10020, 10021, 10023, 10024, 10028, 10029, 10031, 10039},
    Outcome.UNKNOWN: {10011, 10012},
}
RETCODES = PACKAGE["TRADE_RETCODE"] | DOCUMENTED["TRADE_RETCODE"]


@pytest.mark.parametrize("enumeration", OURS)
def test_our_constants_are_metaquotes(enumeration: str) -> None:
    theirs = PACKAGE.get(enumeration, {}) | DOCUMENTED.get(enumeration, {})
    short = {
        name.removeprefix("S_").removeprefix("E_").removeprefix("RETAIL_").replace("ONLY", ""): v for name, v in theirs.items()
    }
    ours = {m.name.replace("_ONLY", ""): int(m) for m in OURS[enumeration]}
    if enumeration == "TRADE_RETCODE":
        short = {name.replace("ONLY", ""): value for name, value in theirs.items()}
        ours = {m.name.replace("ONLY", ""): int(m) for m in Retcode}
        assert ours == short
    assert ours.items() <= short.items()


def test_no_documented_return_code_is_without_a_meaning() -> None:
    for code in RETCODES.values():
        expected = next((outcome for outcome, codes in EXPECTED.items() if code in codes), Outcome.REFUSED)
        assert outcome_of(code) is expected
        assert code_of(code)
    assert set(LATER) == {Retcode(code) for code in EXPECTED[Outcome.LATER]}
    assert {10017, 10026, 10027} == set(ALARMS)


@given(st.integers(-20_000, 20_000))
def test_what_metaquotes_adds_later_is_unknown_and_never_taken_for_a_refusal(code: int) -> None:
    if code not in RETCODES.values():
        assert outcome_of(code) is Outcome.UNKNOWN
    if code not in PACKAGE["RES"].values():
        assert outcome_of_silence(code) is Outcome.UNKNOWN


class Answering(TerminalStandIn):
    """A terminal that answers every request with one code, or with None and one last error, and does nothing."""

    code: int | None = None
    error: int | None = None

    @override
    def order_send(self, request: Mapping[str, Any]) -> Any:
        code, error = self.code, self.error
        if error is not None:
            self.last = (error, "Words of the terminal")
            return None
        if code is not None:
            return SimpleNamespace(retcode=code, order=0, deal=0, comment="Words of the terminal")
        return super().order_send(request)


def answering(folder: Path) -> tuple[World, Answering]:
    world = World(folder)
    terminal = Answering(NOON, dict(world.terminal.prices))
    world.terminal = terminal
    world.restart()
    return world, terminal


def acts_as(world: World, terminal: Answering, of: Any, outcome: Outcome) -> None:
    """An order that is answered so is found filled only where nothing or something was said to be done."""
    world.command(asked(of))
    world.agent.step()
    if outcome is Outcome.LATER:
        assert (world.box.waiting, len(world.journal.kept)) == ([], 1)
        assert "Words of the terminal" in world.words()[0]
        terminal.code = terminal.error = None
        world.pass_time(15)
        world.agent.step()
        assert kinds(world.last())[-1] == "OrderFilled"
        return
    terminal.code = terminal.error = None
    expected = {Outcome.REFUSED: "OrderRejected", Outcome.UNKNOWN: "OrderUnconfirmed", Outcome.DONE: "OrderUnconfirmed"}
    assert kinds(world.last())[-1] == expected[outcome]


@pytest.mark.parametrize("code", sorted({*RETCODES.values(), 10099}))
def test_the_agent_does_what_a_code_means_with_an_entry_and_an_exit(tmp_path: Path, code: int) -> None:
    world, terminal = answering(tmp_path)
    first = entry(strategy="first")
    world.submit(first)
    for of in (entry(), exit_of(first)):
        terminal.code = code
        acts_as(world, terminal, of, outcome_of(code))
    world.journal.close()


@pytest.mark.parametrize("error", sorted(PACKAGE["RES"].values()))
def test_the_agent_does_what_silence_means(tmp_path: Path, error: int) -> None:
    world, terminal = answering(tmp_path)
    terminal.error = error
    acts_as(world, terminal, entry(), outcome_of_silence(error))
    world.journal.close()


@pytest.mark.parametrize(
    ("code", "reason"),
    [(10017, "TRADE_DISABLED"), (10026, "AUTOTRADING_DISABLED"), (10027, "AUTOTRADING_DISABLED"), (10016, "INVALID_STOPS")],
)
def test_the_terminals_own_words_reach_the_order_event(
    tmp_path: Path, code: int, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    world, terminal = answering(tmp_path)
    terminal.code = code
    report = world.submit(entry())
    assert reasons(report) == [None, reason]
    assert f"{code} " in details(report)
    assert "Words of the terminal" in details(report)
    if code in ALARMS:
        assert any(record.levelname == "ERROR" for record in caplog.records)
    world.journal.close()


@pytest.mark.parametrize("error", [-10001, -10005])
def test_the_last_error_of_a_silent_terminal_reaches_the_order_event(tmp_path: Path, error: int) -> None:
    world, terminal = answering(tmp_path)
    terminal.error = error
    assert f"last error {error} Words of the terminal" in details(world.submit(entry()))
    world.journal.close()
