"""`signalbox collect`: resumable to the byte, verified, and every failure has its exit code and one clear line."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from rich.console import Console
from typing_extensions import override

from local.cli.data.collection.command import run_collect, venue_source
from local.cli.data.collection.request import CollectRequest, parse_request
from local.cli.data.collection.run import CollectionEnding, run_collection, to_json
from local.cli.data.collection.view import ConsoleView, show_result
from local.errors import DataError
from local.market.simulator import SimulatedSource
from local.settings import REPOSITORY
from local.stand_ins.exchange import ExchangeStandIn, LoadedBars
from signalbox.adapters.lake.day_file import DayFile
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.stores import FolderStore
from signalbox.adapters.venues.ccxt_candles import CcxtCandleSource
from signalbox.events import CollectionProblem
from signalbox.market.acceptance import RawRow
from signalbox.market.candles import MarketDataError, Symbol, to_ms
from signalbox.market.collection import VenueError
from signalbox.market.lake import DayKey, SeriesKey
from tests.builders import BTC, ETH, candles, minutes
from tests.fakes.http_server import Reply, Request, serving

RECORDED = Path(__file__).parents[5] / "shared" / "data" / "coinbase" / "rest-candles.json"
NOW = datetime(2024, 3, 4, 12, 0, 30, tzinfo=UTC)
SINCE = datetime(2024, 3, 1, tzinfo=UTC)


def request(out: Path, **changes: str | None) -> CollectRequest:
    asked = {
        "symbols": "BTC-USD,ETH-USD",
        "venue": "coinbase",
        "start": "2024-03-01",
        "end": "2024-03-03T06:00",
        "venue_url": "",
    }
    return parse_request(out=out, json_output=False, now=NOW, **(asked | changes))  # type: ignore[arg-type]


class Venue:
    """A venue in memory; `plan` gives what the n-th answer raises, if anything."""

    venue = "coinbase"

    def __init__(self, **plan: BaseException) -> None:
        self.plan = {int(key[1:]): error for key, error in plan.items()}
        self.asked = 0
        self.missing: tuple[datetime, ...] = ()

    def require(self, symbol: Symbol) -> None:
        if symbol not in {BTC, ETH}:
            raise VenueError(CollectionProblem.VENUE_REFUSED, f"coinbase {symbol}: no such market")

    def fetch(self, symbol: Symbol, since: datetime, until: datetime) -> Sequence[RawRow]:
        self.asked += 1
        if (error := self.plan.get(self.asked)) is not None:
            raise error
        found = candles(symbol, until, (until - since) // minutes(1), missing=self.missing)
        return [(to_ms(c.open_time), c.open, c.high, c.low, c.close, c.volume) for c in found]


@pytest.fixture
def view() -> Iterator[ConsoleView]:
    with ConsoleView(Console(file=io.StringIO())) as found:
        yield found


def contents(root: Path) -> dict[str, str]:
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()}


def test_days_rows_and_gaps_are_told(tmp_path: Path, view: ConsoleView) -> None:
    venue = Venue()
    venue.missing = tuple(SINCE + minutes(600 + i) for i in range(80))
    result = run_collection(request(tmp_path), source=venue, lake=Lake(FolderStore(tmp_path)), view=view)
    reported = to_json(result)
    assert (reported["ending"], reported["rows_fetched"]) == ("ok", 2 * (2 * 1440 + 360 - 80))
    btc = reported["symbols"]["BTC-USD"]
    assert (btc["days"], btc["days_fetched"], btc["days_kept"], btc["rows"], btc["missing_minutes"]) == (3, 3, 0, 3160, 80)
    assert reported["outages"] == [{"first": "2024-03-01T10:00:00+00:00", "last": "2024-03-01T11:19:00+00:00", "minutes": 80}]
    assert len(contents(tmp_path)) == 6


@pytest.mark.parametrize("failing", [1, 2, 3, 4, 6])
def test_a_run_that_died_is_continued_to_the_very_same_bytes(tmp_path: Path, view: ConsoleView, failing: int) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run_collection(request(whole), source=Venue(), lake=Lake(FolderStore(whole)), view=view)
    died = Venue(**{f"n{failing}": KeyboardInterrupt()})
    result = run_collection(request(broken), source=died, lake=Lake(FolderStore(broken)), view=view)
    assert result.ending is CollectionEnding.INTERRUPTED
    assert len(contents(broken)) == failing - 1
    venue = Venue()
    again = run_collection(request(broken), source=venue, lake=Lake(FolderStore(broken)), view=view)
    assert (again.ending, venue.asked) == (CollectionEnding.OK, 6 - (failing - 1))
    assert contents(broken) == contents(whole)


def test_newest_days_are_asked_for_again_on_demand(tmp_path: Path, view: ConsoleView) -> None:
    lake, first = Lake(FolderStore(tmp_path)), Venue()
    run_collection(request(tmp_path), source=first, lake=lake, view=view)
    again = Venue()
    asked = replace(request(tmp_path), refresh_days=1)
    result = run_collection(asked, source=again, lake=lake, view=view)
    assert again.asked == 2 * 2  # of each symbol the day that is not over, and the one before
    assert to_json(result)["symbols"]["BTC-USD"]["days_kept"] == 1


def test_a_crash_inside_a_write_leaves_no_day_and_a_half_file_is_made_again(
    tmp_path: Path, view: ConsoleView, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run_collection(request(whole), source=Venue(), lake=Lake(FolderStore(whole)), view=view)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        run_collection(request(broken), source=Venue(), lake=Lake(FolderStore(broken)), view=view)
    assert contents(broken) == {}
    run_collection(request(broken), source=Venue(), lake=Lake(FolderStore(broken)), view=view)
    (one, *_) = sorted((broken / "candles").rglob("*.parquet"))
    one.write_bytes(one.read_bytes()[:1000])  # a disk that lost the end of a file
    venue = Venue()
    run_collection(request(broken), source=venue, lake=Lake(FolderStore(broken)), view=view)
    assert venue.asked == 1
    assert {k: v for k, v in contents(broken).items() if k.startswith("candles/")} == contents(whole)


@pytest.mark.parametrize(
    ("error", "output"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "cannot write"),
    ],
)
def test_a_disk_that_takes_no_more_ends_the_run_with_its_own_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: int, output: str
) -> None:
    def refuse(_: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fsync", refuse)
    assert run_collect(request(tmp_path), Venue()) == 4  # type: ignore[arg-type]
    assert output in capsys.readouterr().out
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("place", [1, 4])
def test_a_venue_that_goes_away_keeps_what_is_there_and_says_to_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: int
) -> None:
    gone = Venue(**{f"n{place}": VenueError(CollectionProblem.VENUE_UNAVAILABLE, "coinbase ETH-USD: no answer")})
    assert run_collect(request(tmp_path), gone) == 3  # type: ignore[arg-type]
    output = capsys.readouterr().out
    assert "coinbase ETH-USD: no answer" in output
    assert "it continues where it stopped" in output
    assert len(contents(tmp_path)) == place - 1


def test_an_interrupt_has_its_own_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_collect(request(tmp_path), Venue(n2=KeyboardInterrupt())) == 130  # type: ignore[arg-type]
    assert "interrupted; run the same command again" in capsys.readouterr().out


def test_no_network_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = request(tmp_path, venue_url="http://127.0.0.1:9")
    nobody = CcxtCandleSource("coinbase", url="http://127.0.0.1:9", timeout_seconds=0.2, attempts=2, pause=lambda _: None)
    assert run_collect(asked, nobody) == 3
    assert "is there a network?" in capsys.readouterr().out


def test_a_venue_or_symbol_there_is_not_is_a_request_that_cannot_be_met(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ccxt knows no exchange named nosuch"):
        run_collect(request(tmp_path, venue="nosuch"))
    with pytest.raises(DataError, match="DOGE-USD: no such market"):
        run_collect(request(tmp_path, symbols="DOGE-USD"), Venue())  # type: ignore[arg-type]
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "yesterday"}, "expected ISO 8601 such as 2024-03-01T12:00, or an age"),
        ({"start": "2024-03-03T06:00"}, "expected an instant before"),
        ({"end": "2024-03-05"}, "expected a time in the past"),
        ({"start": "99y"}, "expected 2009-01-01 or later"),
        ({"symbols": " , "}, "--symbols is empty"),
        ({"symbols": "BTC"}, "expected a symbol such as BTC-USD"),
        ({"venue": "../etc"}, "expected a venue such as coinbase"),
    ],
)
def test_a_request_that_makes_no_sense_says_what_was_expected(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises((DataError, MarketDataError), match=message):
        request(tmp_path, **changes)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("")
    with pytest.raises(DataError, match="is a file"):
        request(tmp_path / "lake")


@pytest.mark.parametrize(
    ("since", "start"),
    [
        ("30d", NOW - timedelta(days=30)),
        ("2y", NOW - timedelta(days=730)),
        ("1w", NOW - timedelta(days=7)),
        ("12h", NOW - timedelta(hours=12)),
    ],
)
def test_a_period_may_be_told_as_an_age_and_begins_with_a_whole_day(tmp_path: Path, since: str, start: datetime) -> None:
    got = request(tmp_path, start=since, end=None, symbols="btc-usd, eth/usd,BTC-USD")
    assert got.since == start.replace(hour=0, minute=0, second=0)
    assert got.until == NOW.replace(second=0)
    assert [s.symbol for s in got.series] == [BTC, ETH]


def test_the_stand_in_exchange_is_collected_through_ccxt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    end = SINCE + timedelta(hours=20)
    market = SimulatedSource(7)
    bars = {symbol: market.bars(symbol, SINCE, end) for symbol in (BTC, ETH)}
    exchange = ExchangeStandIn(LoadedBars(bars), (BTC, ETH), end, requests_per_second=1000, burst=1000)
    try:
        asked = request(tmp_path, end=end.isoformat(), venue_url=exchange.url)
        assert run_collect(asked, venue_source(asked)) == 0
    finally:
        exchange.close()
    assert "2,400 rows in" in capsys.readouterr().out
    got = Lake(FolderStore(tmp_path)).read(asked.series[1]).bars
    assert got.close.tolist() == bars[ETH].close.tolist()
    assert got.volume.tolist() == bars[ETH].volume.tolist()


def _coinbase(rows: dict[int, list[float]]) -> Any:
    """A server over rows by their second, with the products and the window of Coinbase Exchange."""

    def answer(request: Request) -> Reply:
        url = urlparse(request.path)
        if url.path == "/products":
            product = {"id": "BTC-USD", "base_currency": "BTC", "quote_currency": "USD", "quote_increment": "0.01"}
            more = {"base_increment": "0.00000001", "display_name": "BTC-USD", "min_market_funds": "1", "status": "online"}
            return Reply(200, [product | more | {"trading_disabled": False}])
        if url.path == "/currencies":
            return Reply(200, [])
        query = parse_qs(url.query)
        first, last = (int(datetime.fromisoformat(query[k][0]).timestamp()) for k in ("start", "end"))
        return Reply(200, [[t, *rows[t]] for t in sorted(rows, reverse=True) if first <= t <= last])

    return answer


@pytest.mark.skipif(not RECORDED.exists(), reason="needs the recorded Coinbase answers beside the project")
def test_recorded_answers_of_coinbase_reach_the_lake_to_the_last_digit(tmp_path: Path) -> None:
    recorded = json.loads(RECORDED.read_text(), parse_float=str, parse_int=str)
    start = int(SINCE.timestamp())
    numbers = json.loads(RECORDED.read_text())[::-1]  # hourly, oldest first: served as the minutes of one morning
    with serving(_coinbase({start + 60 * i: row[1:] for i, row in enumerate(numbers)})) as server:
        asked = request(tmp_path, symbols="BTC-USD", end="2024-03-01T03:00", venue_url=server.url)
        assert run_collect(asked) == 0
    day = Lake(FolderStore(tmp_path)).read_day(DayKey(SeriesKey("coinbase", BTC), SINCE.date()))
    assert isinstance(day, DayFile)
    got = [tuple(map(str, (c.low, c.high, c.open, c.close, c.volume))) for c in day.candles]
    assert got == [tuple(f"{Decimal(x):f}" for x in row[1:]) for row in recorded[::-1]]


@pytest.mark.skipif(not RECORDED.exists(), reason="needs the recorded Coinbase answers beside the project")
def test_hourly_answers_are_not_taken_for_minutes(tmp_path: Path) -> None:
    rows = {row[0]: row[1:] for row in json.loads(RECORDED.read_text())}
    first = datetime.fromtimestamp(min(rows), UTC)
    with serving(_coinbase(rows)) as server:
        until = (first.replace(hour=0) + timedelta(days=2)).isoformat()
        asked = request(tmp_path, symbols="BTC-USD", start=first.date().isoformat(), end=until, venue_url=server.url)
        with pytest.raises(MarketDataError, match="holds 60-minute candles; expected 1-minute"):
            run_collect(asked)
    assert contents(tmp_path) == {}


def test_json_is_one_document_and_the_rest_goes_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = parse_request(
        symbols="BTC-USD",
        venue="coinbase",
        start="2024-03-01",
        end="2024-03-02",
        out=tmp_path,
        venue_url="",
        json_output=True,
        now=NOW,
    )
    assert run_collect(asked, Venue()) == 0  # type: ignore[arg-type]
    captured = capsys.readouterr()
    assert json.loads(captured.out)["symbols"]["BTC-USD"]["rows"] == 1440
    assert "1/1 days" in captured.err


def test_a_refused_row_is_named_in_the_table(tmp_path: Path, view: ConsoleView) -> None:
    class Wrong(Venue):
        @override
        def fetch(self, symbol: Symbol, since: datetime, until: datetime) -> Sequence[RawRow]:
            rows = list(super().fetch(symbol, since, until))
            rows[5] = (rows[5][0], Decimal(-1), *rows[5][2:])
            return rows

    result = run_collection(request(tmp_path), source=Wrong(), lake=Lake(FolderStore(tmp_path)), view=view)
    assert [one.refused for one in result.symbols] == [3, 3]
    screen = io.StringIO()
    show_result(Console(file=screen, width=120), result)
    assert "expected finite prices above 0" in screen.getvalue()


def test_a_process_that_is_killed_is_continued_to_the_very_same_bytes(tmp_path: Path) -> None:
    """SIGKILL while the venue answers: no chance to clean up, as after a power cut."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    start = int(SINCE.timestamp())
    rows = {start + 60 * i: [9.5, 30.5, 10.25 + i % 5, 11.75, 1.5 + i / 8] for i in range(2 * 1440)}
    answer: Callable[[Request], Reply] = _coinbase(rows)
    asked = 0
    victim: subprocess.Popen[bytes] | None = None

    def deadly(request: Request) -> Reply:
        nonlocal asked
        asked += "/candles" in request.path
        if victim is not None and asked == 8:
            victim.kill()
        return answer(request)

    with serving(deadly) as server:
        arguments = ["--symbols", "BTC-USD", "--start", "2024-03-01", "--end", "2024-03-03", "--venue-url", server.url]
        command = [sys.executable, "-m", "local.cli.command", "collect", *arguments, "--out"]
        victim = subprocess.Popen([*command, str(broken)], stdout=subprocess.DEVNULL, cwd=REPOSITORY)
        assert victim.wait(60) == -signal.SIGKILL
        assert [name.rpartition("/")[2] for name in contents(broken)] == ["date=2024-03-01.parquet"]
        victim = None
        half = broken / DayKey(SeriesKey("coinbase", BTC), SINCE.date() + timedelta(days=1)).path
        half.with_name(f".{half.name}.999999999.part").write_bytes(b"what a kill inside a write leaves")
        for out in (broken, whole):
            asked_for = request(out, symbols="BTC-USD", end="2024-03-03", venue_url=server.url)
            assert run_collect(asked_for) == 0
    assert contents(broken) == contents(whole)


def test_a_terminal_shows_a_bar_with_the_rate_and_the_time_left(tmp_path: Path) -> None:
    screen = io.StringIO()
    with ConsoleView(Console(file=screen, force_terminal=True, width=140)) as bar:
        run_collection(request(tmp_path), source=Venue(), lake=Lake(FolderStore(tmp_path)), view=bar)
    shown = screen.getvalue()
    assert "rows/s" in shown
    assert "left" in shown
    assert "6/6" in shown
