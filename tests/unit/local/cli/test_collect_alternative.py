"""`signalbox collect alt` fills a lake, and `signalbox data report` shows what is there."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local.cli.command import main
from signalbox.market.candles import to_ms
from tests.fakes.alternative_venues import AlternativeVenue, Statistics
from tests.fakes.http_server import Reply, serving

RELEASES = "scheduled_at,name,importance\n2031-12-10T13:30:00Z,CPI,3\n"


def called(*words: str) -> int:
    """Return the exit code of a command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["signalbox", *words])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    capsys.readouterr()
    code = called(*words, "--json")
    told = capsys.readouterr()
    return code, json.loads(told.out), told.err


@pytest.fixture
def okx() -> AlternativeVenue:
    return AlternativeVenue("okx", Statistics(to_ms(datetime.now(UTC))))


def test_a_lake_is_filled_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str], okx: AlternativeVenue) -> None:
    (tmp_path / "releases.csv").write_text(RELEASES)
    lake = tmp_path / "lake"
    words = ("collect", "alt", "--sources", "okx", "--symbols", "BTC-USD", "--calendar", str(tmp_path / "releases.csv"))
    with serving(okx) as server:
        code, found, _ = run(capsys, *words, "--source-url", server.url, "--out", str(lake))
    added = {f"{one['source']} {one['kind']}": one["added"] for one in found["series"]}
    assert code == 0
    assert added["okx open_interest"] in {576, 577}
    assert added["calendar economic_event"] == 1
    code, report, shown = run(capsys, "data", "report", "--data", str(lake))
    assert code == 0
    assert {one["kind"]: one["missing"] for one in report["alternative"]["series"]} == {
        "funding_rate": 0, "open_interest": 0, "long_short_ratio": 0, "economic_event": 0,
    }  # fmt: skip
    assert "alternative data" in shown
    file = next((lake / "alt/source=okx/kind=open_interest").glob("*.jsonl.gz"))
    file.write_bytes(b"damaged")
    code, report, _ = run(capsys, "data", "report", "--data", str(lake))
    assert code == 1
    assert len(report["alternative"]["bad_files"]) == 1
    assert file.read_bytes() == b"damaged"  # a report changes nothing


def test_no_answer_at_all_is_exit_3_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], okx: AlternativeVenue
) -> None:
    okx.failures = [Reply(503, {"message": "maintenance"})] * 9
    with serving(okx) as server:
        words = ("collect", "alt", "--sources", "okx", "--source-url", server.url, "--out", str(tmp_path / "lake"))
        code, found, told = run(capsys, *words)
    assert code == 3
    assert {one["problem"] for one in found["series"]} == {"VENUE_UNAVAILABLE"}
    assert "no answer for 12 of 12 series: okx: HTTP 503: okx " in told  # one line, however many series
    assert "Error" not in told


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--sources", "mtgox"), "--sources: expected one of binanceusdm, bybit, okx, got mtgox, or alternativeme"),
        (("--sources", ""), "--sources is empty"),
        (("--symbols", "nothing at all"), "--symbols: expected names such as BTC-USD"),
        (("--source-url", "file:///etc/passwd"), "--source-url: expected an address"),
        (("--calendar", "nowhere"), "--calendar: nowhere cannot be read"),
    ],
)
def test_bad_words_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str) -> None:
    assert called("collect", "alt", "--out", str(tmp_path / "lake"), *words) == 2
    assert says in capsys.readouterr().err


def test_candles_still_need_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert called("collect", "--symbols", "BTC-USD") == 2
    assert "--out is missing" in capsys.readouterr().err
