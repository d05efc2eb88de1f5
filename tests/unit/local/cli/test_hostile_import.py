"""`signalbox data import` of files that somebody made to do harm: each is refused with a reason, and the others are read."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from local.cli import command
from local.cli.data.importing.columns import ColumnOptions
from local.cli.data.importing.run import ImportEnding
from local.cli.data.importing.view import ImportConsole
from tests.fakes.memory import run_measured
from tests.unit.local.cli.test_data_import import START_MS, binance_csv, held, imported, rows

NAMES = ("open_time", "open", "high", "low", "close", "volume")
BASE: dict[str, Any] = {"venue": "binance", "columns": ColumnOptions(base_volume="volume")}
GOOD = "ETHUSDT-1m-2024-03-01.csv"


def good(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GOOD).write_text(binance_csv(rows()))


def columns(count: int = 60) -> dict[str, Any]:
    found = list(zip(*rows(count), strict=True))
    return {"open_time": pa.array(found[0], pa.int64()), **{name: pa.array(found[i]) for i, name in enumerate(NAMES) if i}}


def test_json_whose_last_bracket_is_far_away_takes_no_more_memory_than_a_piece(tmp_path: Path) -> None:
    """A megabyte of gzip with one bracket and a gigabyte of digits behind it was held whole, and copied at every piece."""
    with gzip.open(tmp_path / "BTC_USDT-1m.json.gz", "wb") as out:
        out.write(b"[[" + b"1,2,3,4,5,6]")
        for _ in range(384):
            out.write(b"0" * 2**20)
    reported = run_measured(
        "from pathlib import Path\nfrom local.cli.data.importing.files import find_files\n"
        "from local.cli.data.importing.tables import _JsonRows\n"
        "def read():\n"
        "    with find_files([Path('BTC_USDT-1m.json.gz')]).files[0].open() as stream:\n"
        "        lines, read = _JsonRows(stream), 0\n"
        "        while piece := lines.read(65536):\n"
        "            read += len(piece)\n"
        "        return read > 2**28\n"
        "reported = [measured(read)]",
        tmp_path,
    )
    assert reported[0][0] == "True"
    assert reported[0][1] < 64


def repeated(text: str, count: int) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([text]))


def test_parquet_whose_rows_all_share_one_long_text_is_refused_before_it_expands(tmp_path: Path) -> None:
    """A few kilobytes: 200,000 rows whose price is the same megabyte of zeros."""
    given = {name: repeated("0" * 2**20, 200_000) for name in NAMES[1:]}
    table = pa.table({"open_time": pa.array(range(START_MS, START_MS + 200_000 * 60_000, 60_000)), **given})
    path = tmp_path / "BTC-USDT-1m.parquet"
    pq.write_table(table, path, compression="zstd", dictionary_pagesize_limit=2**30, store_schema=False)
    assert path.stat().st_size < 2_000_000
    reported = run_measured(
        "from datetime import UTC, datetime\nfrom pathlib import Path\n"
        "from local.cli.data.importing.columns import ColumnOptions\n"
        "from local.cli.data.importing.request import ImportRequest\nfrom local.cli.data.importing.run import run_import\n"
        "from signalbox.adapters.lake.lake import Lake\nfrom signalbox.adapters.lake.stores import FolderStore\n"
        "from tests.unit.local.cli.test_data_import import Told\n"
        "request = ImportRequest(paths=(Path('BTC-USDT-1m.parquet'),), out=Path('lake'), now=datetime(2026, 1, 1, tzinfo=UTC),"
        " venue='binance', columns=ColumnOptions(base_volume='volume'))\n"
        "reported = [measured(run_import, request, Lake(FolderStore(Path('lake'))), Told())]",
        tmp_path,
    )
    assert "has texts of more than 335 characters a row" in reported[0][0], reported
    assert reported[0][1] < 128


@pytest.mark.parametrize("kept", [True, False])
def test_parquet_of_texts_is_read_with_a_dictionary_and_without(tmp_path: Path, *, kept: bool) -> None:
    pq.write_table(pa.table(columns()), tmp_path / "BTC-USDT-1m.parquet", use_dictionary=kept)
    assert imported(tmp_path / "BTC-USDT-1m.parquet", out=tmp_path / "lake", **BASE).rows == 60
    assert len(held(tmp_path / "lake")) == 60


def odd_number(folder: Path) -> None:
    (folder / "BTCUSDT-1m-2024-03-01.csv").write_text(",".join(["9" * 5_000] * 12) + "\n")


def odd_number_in_json(folder: Path) -> None:
    (folder / "BTC_USDT-1m.json").write_text(json.dumps([["9" * 5_000] * 12]))


def odd_text_in_parquet(folder: Path) -> None:
    texts = pa.array([b"\xff\xfe"] * 60).cast(pa.binary())
    table = pa.table({**columns(), "close": pa.Array.from_buffers(pa.string(), 60, texts.buffers())})
    pq.write_table(table, folder / "BTC-USDT-1m.parquet")


def odd_symbol_in_parquet(folder: Path) -> None:
    texts = pa.array([b"\xff\xfe"] * 60).cast(pa.binary())
    table = pa.table({**columns(), "symbol": pa.Array.from_buffers(pa.string(), 60, texts.buffers())})
    pq.write_table(table, folder / "BTC-USDT-1m.parquet")


def odd_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "BTCUSDT-1m-2024-03-01.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("../../escape.csv", binance_csv(rows()))


def odd_feather(folder: Path) -> None:
    """A file of a few hundred bytes whose batch says that it has 2^40 rows of nothing."""
    sink = io.BytesIO()
    feather.write_feather(pa.table({name: pa.nulls(1 << 24) for name in NAMES}), sink, compression="uncompressed")
    (folder / "BTC_USDT-1m.feather").write_bytes(sink.getvalue())


def odd_views_in_feather(folder: Path) -> None:
    """Less than a megabyte: every row refers to the same text, and each is checked to be UTF-8, 200 GB in minutes."""
    view = struct.pack("<i4sii", 2**20, b"0000", 0, 0)
    texts = pa.Array.from_buffers(pa.string_view(), 200_000, [None, pa.py_buffer(view * 200_000), pa.py_buffer(b"0" * 2**20)])
    times = pa.array(range(START_MS, START_MS + 200_000 * 60_000, 60_000))
    table = pa.table({"open_time": times, **dict.fromkeys(NAMES[1:], texts)})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(folder / "BTC_USDT-1m.feather", table.schema, options=options) as out:
        out.write_table(table)


def odd_zone_in_feather(folder: Path) -> None:
    times = pa.array([START_MS] * 60).cast(pa.timestamp("ms", tz="Nowhere/\x1b[2J"))
    feather.write_feather(pa.table({**columns(), "open_time": times}), str(folder / "BTC_USDT-1m.feather"))


def nothing_but_a_link(folder: Path) -> None:
    (folder / "BTC-USDT-1m.csv").symlink_to("/dev/zero")
    os.mkfifo(folder / "SOL-USDT-1m.csv")  # opened, it would wait for a writer for ever


@pytest.mark.parametrize(
    "harm",
    [
        odd_number, odd_number_in_json, odd_text_in_parquet, odd_symbol_in_parquet, odd_zip, odd_feather, odd_views_in_feather,
        odd_zone_in_feather, nothing_but_a_link,
    ],
    ids=lambda found: found.__name__,
)  # fmt: skip
def test_one_odd_file_keeps_no_other_out(tmp_path: Path, harm: Any) -> None:
    good(tmp_path / "files")
    harm(tmp_path / "files")
    result = imported(tmp_path / "files", out=tmp_path / "lake", **BASE)
    assert result.ending in {ImportEnding.REFUSED, ImportEnding.OK}
    assert len(held(tmp_path / "lake", symbol="ETH-USDT")) == 60
    assert all(len(reason) <= 300 for _, reason in result.refused)
    assert not (tmp_path / "escape.csv").exists()


def test_names_of_files_and_columns_move_no_cursor_and_are_no_markup(tmp_path: Path) -> None:
    good(tmp_path / "files")
    (tmp_path / "files" / "BTC-USD \x1b[2J[red]\u202egpj.csv").write_text("a\x1b]0;owned\x07,b\n1,2\n")
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=200)
    with ImportConsole(console) as view:
        imported(tmp_path / "files", out=tmp_path / "lake", told=view, venue="binance")  # type: ignore[arg-type]
        view.progress(1, "BTC-USD \x1b[2J[/red].csv", 1.0)
        console.print()
    for harm in ("\x1b[2J", "\x1b]0;", "\x07", "\u202e"):
        assert harm not in screen.getvalue()
    assert "\\u001b[2J[red]\\u202egpj.csv" in screen.getvalue()


def test_an_error_of_a_command_moves_no_cursor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x\x1b[2J.csv"
    path.write_text("a\x1b]0;owned\x07,b\n1,2\n")
    monkeypatch.setattr(sys, "argv", ["signalbox", "data", "import", str(path), "--out", str(tmp_path / "lake")])
    with pytest.raises(SystemExit):
        command.main()
    shown = capsys.readouterr().err
    assert "none of 1 files is read" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown
