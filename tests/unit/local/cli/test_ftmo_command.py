"""`signalbox ftmo simulate` as a person runs it: what it prints, what it writes, and one line for every wrong file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from local.cli.command import app
from local.cli.ftmo.app import ftmo_app
from local.cli.ftmo.command import run_simulate
from local.cli.ftmo.events import parse_event, read_events
from local.cli.ftmo.replay import replay_file, to_json
from local.errors import AccountFileError, WorkbenchError
from signalbox.risk.ftmo import FTMO_1STEP, FTMO_2STEP, FtmoRules, Marked, Opened

T = "2024-03-05T{}:00+01:00"


def line(kind: str, time: str = "09:00", **fields: Any) -> dict[str, Any]:
    return {"time": T.format(time) if len(time) == 5 else time, "type": kind, **fields}


def opening(time: str = "09:00", position: str = "p1", price: Any = "50000", **changes: Any) -> dict[str, Any]:
    facts = {"position": position, "symbol": "BTC-USD", "side": "buy", "quantity": 1, "price": price, "commission": "0"}
    return line("open", time, **(facts | changes))


def closing(time: str, price: Any, position: str = "p1") -> dict[str, Any]:
    return line("close", time, position=position, price=price, commission=0)


def marking(time: str, price: Any, symbol: str = "BTC-USD") -> dict[str, Any]:
    return line("mark", time, symbol=symbol, price=price)


WORKED = [
    opening(),
    closing("10:00", 54000.0),
    opening("11:00", "p2", 54000),
    marking("23:00", "41000"),
    marking("2024-03-06T07:00:00Z", "53000"),
]


def written(folder: Path, events: list[dict[str, Any]] | str) -> Path:
    path = folder / "events.jsonl"
    path.write_text(events if isinstance(events, str) else "".join(json.dumps(e) + "\n" for e in events))
    return path


def test_json_is_the_whole_answer_and_nothing_else(tmp_path: Path) -> None:
    arguments = ["--rules", "ftmo-2step", "--capital", "200000", "--events", str(written(tmp_path, WORKED)), "--json"]
    result = CliRunner().invoke(ftmo_app, ["simulate", *arguments])
    assert result.exit_code == 0
    day = {
        "date": "2024-03-05",
        "baseline": "200000",
        "daily_limit": "190000",
        "closing_balance": "204000",
        "worst_equity": "191000",
    }
    assert json.loads(result.stdout) == {
        "rules": "ftmo-2step",
        "status": "breached",
        "breaches": [{"rule": "max_daily_loss", "time": "2024-03-06T00:00:00+01:00", "limit": "194000", "equity": "191000"}],
        "trading_days": 1,
        "best_day_share": "1",
        "days": [day, day | {"date": "2024-03-06", "baseline": "204000", "daily_limit": "194000"}],
    }
    assert [p.name for p in tmp_path.iterdir()] == ["events.jsonl"]


def test_the_command_is_registered() -> None:
    assert "simulate" in CliRunner().invoke(app, ["ftmo", "--help"]).stdout


@pytest.mark.parametrize("rules", [FTMO_1STEP, FTMO_2STEP])
def test_without_json_there_is_a_table_and_a_chart(rules: FtmoRules, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_simulate(rules.name, "200000", written(tmp_path, WORKED), phase=None, out=tmp_path / "out", json_output=False)
    printed = capsys.readouterr().out
    assert "191,000.00" in printed
    assert "max_daily_loss broken" in printed
    assert (tmp_path / "out" / "account.png").read_bytes().startswith(b"\x89PNG")


def test_json_with_a_folder_also_writes_the_result_and_the_chart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_simulate("ftmo-1step", "200000", written(tmp_path, WORKED), phase=None, out=tmp_path / "out", json_output=True)
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "out" / "result.json").read_text())
    assert (tmp_path / "out" / "account.png").stat().st_size > 1_000


def test_an_account_nothing_happened_to_is_active(tmp_path: Path) -> None:
    replay = replay_file(FTMO_2STEP, Decimal(100_000), written(tmp_path, "\n"))
    assert to_json(replay)["status"] == "active"
    assert to_json(replay)["days"] == []
    run_simulate("ftmo-2step", "100000", written(tmp_path, ""), phase=None, out=tmp_path / "o", json_output=False)


def test_numbers_are_exact_whether_strings_or_json_numbers() -> None:
    as_number = parse_event('{"time":"2024-03-05T09:00:00Z","type":"mark","symbol":"X","price":0.100000000000000001}')
    as_text = parse_event('{"time":"2024-03-05T09:00:00Z","type":"mark","symbol":"X","price":"1.00000000000000001E-1"}')
    assert as_number == as_text == Marked(datetime(2024, 3, 5, 9, tzinfo=UTC), {"X": Decimal("0.100000000000000001")})  # type: ignore[dict-item]


def test_a_position_may_be_a_ticket_number() -> None:
    event = parse_event(json.dumps(opening(position=123456789)))  # type: ignore[arg-type]
    assert isinstance(event, Opened)
    assert event.position == "123456789"


def test_marks_of_one_instant_are_one_event_unless_a_symbol_repeats(tmp_path: Path) -> None:
    same = [marking("10:00", 1, "A"), marking("10:00", 2, "B"), marking("10:00", 3, "A"), marking("10:01", 4, "B")]
    lines = list(read_events(written(tmp_path, same)))
    assert [(n.number, {str(s): price for s, price in n.event.prices.items()}) for n in lines if isinstance(n.event, Marked)] == [
        (1, {"A": Decimal(1), "B": Decimal(2)}),
        (3, {"A": Decimal(3)}),
        (4, {"B": Decimal(4)}),
    ]


@given(order=st.permutations([("BTC-USD", "38000"), ("ETH-USD", "3500"), ("SOL-USD", "90")]))
def test_the_order_of_lines_with_marks_of_one_instant_changes_nothing(
    order: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """BTC alone would break the daily limit; ETH gains it back at the same instant."""
    events = [
        opening(),
        opening("09:01", "p2", "2500", symbol="ETH-USD", quantity=10),
        *(marking("10:00", price, symbol) for symbol, price in order),
    ]
    replay = replay_file(FTMO_2STEP, Decimal(200_000), written(tmp_path_factory.mktemp("f"), events))
    assert (replay.breaches, replay.days[0].worst_equity) == ((), Decimal(198000))


def test_a_low_and_a_high_at_one_instant_are_both_seen(tmp_path: Path) -> None:
    events = [opening(), marking("10:00", "39000"), marking("10:00", "60000")]
    replay = replay_file(FTMO_2STEP, Decimal(200_000), written(tmp_path, events))
    assert [b.equity for b in replay.breaches] == [189_000]


GOOD = json.dumps(opening())
BAD_LINES: list[tuple[str, str]] = [
    (json.dumps(marking("08:59", 1)), "not before"),
    (json.dumps(closing("10:00", 1, "p9")), "p9: expected an open position"),
    (json.dumps(opening("10:00")), "open already"),
    (json.dumps(marking("2024-03-05T10:00:00", 1)), "offset"),
    (json.dumps(marking("2024-03-05", 1)), "offset"),
    (json.dumps(marking("9999-12-31T23:59:59Z", 1)), "offset"),
    (json.dumps(marking("2099-03-05T10:00:00Z", 1)), "ten years"),
    (json.dumps(opening("10:00", "p2", quantity=-1)), "quantity: expected more than 0"),
    (json.dumps(opening("10:00", "p2", quantity="0")), "quantity: expected more than 0"),
    (json.dumps(opening("10:00", "p2", commission=-1)), "commission: expected 0 or more"),
    (json.dumps(opening("10:00", "p2", side="long")), "buy or sell"),
    (json.dumps(opening("10:00", "p2", price=True)), "price: expected a number"),
    (json.dumps(opening("10:00", "p2", price="1_000")), "price: expected a number"),
    (json.dumps(opening("10:00", "p2", price="1e400")), "price: expected less than"),
    (json.dumps(opening("10:00", "p2", price=None)), "price: expected a number"),
    (json.dumps(opening("10:00", "")), "position: expected a name"),
    (json.dumps(opening("10:00", "p2", note="hi")), "unknown 'note'"),
    (json.dumps({k: v for k, v in opening("10:00", "p2").items() if k != "commission"}), "lacks commission"),
    (json.dumps(marking("10:00", float("nan"))), "got NaN"),
    (json.dumps(marking("10:00", "NaN")), "price: expected a number"),
    (json.dumps(marking("10:00", float("inf"))), "got Infinity"),
    (json.dumps(line("deposit", "10:00")), "expected one of the types open, close, mark, swap"),
    ('{"type": "mark", "type": "mark"}', "each field once"),
    ("not json", "one JSON object"),
    ("[1]", "one JSON object"),
    ("[" * 100_000, "one JSON object"),
    ('{"a": ' + "9" * 5_000 + "}", "expected one of the types"),
]


@pytest.mark.parametrize(("bad", "words"), BAD_LINES, ids=[str(i) for i in range(len(BAD_LINES))])
def test_a_bad_line_is_one_short_error_with_its_number(
    bad: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, f"{GOOD}\n\n{bad}\n")
    with pytest.raises(AccountFileError, match=r"^line 3: ") as caught:
        run_simulate("ftmo-2step", "200000", path, phase=None, out=tmp_path / "out", json_output=True)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "out").exists()


def test_closing_twice_says_where_it_was_closed(tmp_path: Path) -> None:
    path = written(tmp_path, [opening(), closing("10:00", 1), closing("11:00", 1)])
    with pytest.raises(AccountFileError, match=r"line 3: position p1: .* \(closed at line 2\)"):
        replay_file(FTMO_2STEP, Decimal(100_000), path)


def test_bytes_that_are_no_text_are_an_error_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(GOOD.encode() + b"\n\xff\xfe\n")
    with pytest.raises(AccountFileError, match="line 2: expected UTF-8"):
        replay_file(FTMO_2STEP, Decimal(100_000), path)


@pytest.mark.parametrize(
    ("rules", "capital", "phase"),
    [
        ("ftmo-3step", "1", None),
        ("ftmo-2step", "0", None),
        ("ftmo-2step", "NaN", None),
        ("ftmo-2step", "x", None),
        ("ftmo-1step", "1", "verification"),
    ],
)
def test_wrong_options_are_one_line(rules: str, capital: str, phase: str | None, tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="expected"):
        run_simulate(rules, capital, written(tmp_path, ""), phase=phase, out=None, json_output=True)


def test_an_absent_file_and_a_folder_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="cannot be read"):
        run_simulate("ftmo-2step", "1", tmp_path / "none", phase=None, out=None, json_output=True)
    blocked = written(tmp_path, WORKED)
    with pytest.raises(WorkbenchError, match="cannot be written"):
        run_simulate("ftmo-2step", "1000000", blocked, phase=None, out=blocked / "x", json_output=True)
