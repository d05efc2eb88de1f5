"""`signalbox data import`: the files that people have, in their true forms, become a lake; what is ambiguous is refused."""

from __future__ import annotations

import gzip
import hashlib
import json
import tracemalloc
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from local.cli.data.importing.columns import ColumnOptions
from local.cli.data.importing.names import facts_of_name, split_pair
from local.cli.data.importing.numbers import number_texts
from local.cli.data.importing.request import ImportRequest
from local.cli.data.importing.run import ImportEnding, ImportResult, run_import
from local.errors import DataError
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.stores import FolderStore, LakeStorageError
from signalbox.market.candles import Symbol, to_ms
from signalbox.market.lake import DayKey, SeriesKey
from tests.examples import examples

START = datetime(2024, 3, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
START_MS = to_ms(START)
Row = tuple[int, str, str, str, str, str]


class Told:
    """An ImportView that keeps what it was told."""

    def __init__(self) -> None:
        self.refusals: list[tuple[str, str]] = []
        self.read: list[str] = []

    def recognised(self, found: Any) -> None:
        self.read.append(f"{found.kind} {found.series.venue} {found.series.symbol}; {found.plan.shown}; {found.shown_time}")

    def refused(self, name: str, reason: str) -> None:
        self.refusals.append((name, reason))

    def begin(self, total_bytes: int) -> None: ...

    def progress(self, done_bytes: int, name: str, rows_per_second: float) -> None: ...


def rows(count: int = 60, start: int = START_MS) -> list[Row]:
    """Bars whose prices have more digits than a float keeps exactly in text."""
    return [
        (
            start + i * 60_000,
            f"{61_000 + i}.12345678",
            f"{61_010 + i}.5",
            f"{60_990 + i}.25",
            f"{61_001 + i}.00000001",
            f"0.{i + 1:07d}1",
        )
        for i in range(count)
    ]


def binance_csv(of: Sequence[Row], unit: int = 1, *, header: bool = False) -> str:
    head = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n"
    body = "".join(
        f"{t * unit},{o}0000,{h}000000,{low}000000,{c},{v},{(t + 60_000) * unit - 1},1830.37,8,0.5,915.18,0\n"
        for t, o, h, low, c, v in of
    )
    return head * header + body


def zipped(path: Path, name: str, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return path


def imported(*paths: Path, out: Path, told: Told | None = None, **options: Any) -> ImportResult:
    options = {"now": NOW, **options}
    return run_import(ImportRequest(paths=paths, out=out, **options), Lake(FolderStore(out)), told or Told())


def held(out: Path, venue: str = "binance", symbol: str = "BTC-USDT", day: datetime = START) -> list[Row]:
    found = Lake(FolderStore(out)).stored(DayKey(SeriesKey(venue, Symbol(symbol)), day.date()))
    return [
        (to_ms(c.open_time), f"{c.open:f}", f"{c.high:f}", f"{c.low:f}", f"{c.close:f}", f"{c.volume:f}") for c in found.candles
    ]


# The forms


@pytest.mark.parametrize("unit", [1, 1_000])
def test_binance_zips_are_read_exactly_in_milliseconds_and_microseconds(tmp_path: Path, unit: int) -> None:
    path = zipped(tmp_path / "BTCUSDT-1m-2024-03-01.zip", "BTCUSDT-1m-2024-03-01.csv", binance_csv(rows(), unit))
    path.with_name(f"{path.name}.CHECKSUM").write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    told = Told()
    result = imported(tmp_path, out=tmp_path / "lake", told=told)
    assert (result.ending, result.refused, result.rows) == (ImportEnding.OK, (), 60)
    assert held(tmp_path / "lake") == [(t, *(f"{float(x):f}".rstrip("0") if "." not in x else x for x in r)) for t, *r in rows()]
    unit_name = "milliseconds" if unit == 1 else "microseconds"
    assert told.read == [
        "Binance public data binance BTC-USDT; open_time as open time, open, high, low, close, "
        f"volume as volume in base currency; {unit_name} since 1970"
    ]


def test_units_may_change_within_a_file_and_both_are_named(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m-2024-03.csv"
    path.write_text(binance_csv(rows(30)) + binance_csv(rows(30, START_MS + 30 * 60_000), 1_000))
    result = imported(path, out=tmp_path / "lake")
    assert len(held(tmp_path / "lake")) == 60
    assert result.series[0].times == {"milliseconds since 1970": 30, "microseconds since 1970": 30}


def test_a_binance_file_with_a_header_is_spot_or_futures_when_told(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m-2024-03.csv"
    path.write_text(binance_csv(rows(), header=True))
    with pytest.raises(DataError, match="may be of spot or of USD-M futures; give --venue binance or --venue binanceusdm"):
        imported(path, out=tmp_path / "lake")
    assert imported(path, out=tmp_path / "lake", venue="binance").series[0].series.venue == "binance"
    futures = tmp_path / "data/futures/um/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03.csv"
    futures.parent.mkdir(parents=True)
    futures.write_text(path.read_text())
    assert imported(futures, out=tmp_path / "lake").series[0].series.venue == "binanceusdm"


def test_a_wrong_checksum_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    first = zipped(tmp_path / "BTCUSDT-1m-2024-03-01.zip", "BTCUSDT-1m-2024-03-01.csv", binance_csv(rows()))
    zipped(tmp_path / "ETHUSDT-1m-2024-03-01.zip", "ETHUSDT-1m-2024-03-01.csv", binance_csv(rows()))
    first.with_name(f"{first.name}.CHECKSUM").write_text(f"{'0' * 64}  {first.name}\n")
    result = imported(tmp_path, out=tmp_path / "lake")
    assert result.ending is ImportEnding.REFUSED
    assert [one.series.symbol for one in result.series] == ["ETH-USDT"]
    assert "download it again" in result.refused[0][1]


@pytest.mark.parametrize("factor", [0.001, 1])
def test_crypto_data_download_is_newest_first_below_a_url(tmp_path: Path, factor: float) -> None:
    lines = ["https://www.CryptoDataDownload.com", "unix,date,symbol,open,high,low,close,Volume BTC,Volume USD"]
    for t, *numbers, volume in reversed(rows()):
        when = datetime.fromtimestamp(t / 1000, UTC)
        lines.append(f"{int(t * factor)},{when:%Y-%m-%d %H:%M:%S},BTC/USD,{','.join(numbers)},{volume},99.5")
    (tmp_path / "Coinbase_BTCUSD_2024_minute.csv").write_text("\n".join(lines) + "\n")
    told = Told()
    imported(tmp_path, out=tmp_path / "lake", told=told)
    assert [t for t, *_ in held(tmp_path / "lake", "coinbase", "BTC-USD")] == [t for t, *_ in rows()]
    assert "CryptoDataDownload coinbase BTC-USD; unix as open time" in told.read[0]
    assert "Volume BTC as volume in base currency" in told.read[0]


FLOAT = pa.float64()


def frame(of: Sequence[Row], kind: pa.DataType = FLOAT, zone: str | None = "UTC", unit: str = "ms") -> pa.Table:
    columns = list(zip(*of, strict=True))
    times = pa.array(np.array(columns[0]), pa.timestamp("ms")).cast(pa.timestamp(unit)).cast(pa.timestamp(unit, tz=zone))
    numbers = {
        n: pa.array([float(x) for x in columns[i]]).cast(kind)
        for i, n in enumerate(("open", "high", "low", "close", "volume"), 1)
    }
    return pa.table({"date": times, **numbers})


def write_feather(path: Path, table: pa.Table) -> None:
    feather.write_feather(table, path, compression="lz4", compression_level=9)


def write_json(path: Path, table: pa.Table) -> None:
    lists = [list(row.values()) for row in table.to_pylist()]
    content = json.dumps([[int(t.timestamp() * 1000), *numbers] for t, *numbers in lists], separators=(", ", ": "))
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())


@pytest.mark.parametrize(
    ("ending", "write"),
    [
        ("feather", write_feather),
        ("parquet", lambda path, table: pq.write_table(table, path)),
        ("json.gz", write_json),
        ("json", write_json),
    ],
)
def test_freqtrade_files_are_read_by_their_names(tmp_path: Path, ending: str, write: Callable[[Path, pa.Table], None]) -> None:
    folder = tmp_path / "user_data/data/binance"
    folder.mkdir(parents=True)
    write(folder / f"BTC_USDT-1m.{ending}", frame(rows()))
    write(folder / f"BTC_USDT-1h.{ending}", frame(rows()))
    result = imported(tmp_path / "user_data", out=tmp_path / "lake")
    assert [float(row[4]) for row in held(tmp_path / "lake")] == [float(row[4]) for row in rows()]
    assert result.refused == (
        (f"data/binance/BTC_USDT-1h.{ending}", "holds 1h candles; Signalbox computes with 1-minute candles"),
    )


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_arrays_of_json_come_through_pieces_of_any_size(size: int) -> None:
    from local.cli.data.importing.tables import _JsonRows  # noqa: PLC0415 - its pieces are not seen from outside

    class Pieces:
        def __init__(self, content: bytes) -> None:
            self.content = content

        def read(self, _: int) -> bytes:
            piece, self.content = self.content[:size], self.content[size:]
            return piece

    text = json.dumps([[i, 1.5, -2e-7] for i in range(50)], indent=1).encode()
    assert _JsonRows(Pieces(text)).read() == b"".join(b"%d,1.5,-2e-07\n" % i for i in range(50))  # type: ignore[arg-type]


def test_named_columns_with_short_floats_and_whole_volumes_are_read(tmp_path: Path) -> None:
    table = frame(rows(), pa.float32(), zone=None, unit="ns").rename_columns(
        ["open_time", "open", "high", "low", "close", "volume"]
    )
    table = table.set_column(5, "volume", pa.array(np.arange(60) + 1, pa.uint16()))
    table = table.append_column("quote_asset_volume", pa.array(np.arange(60), pa.uint32()))
    pq.write_table(table, tmp_path / "BTC-USDT.parquet")
    with pytest.raises(DataError, match=r"times without a zone; give --time-zone UTC"):
        imported(tmp_path, out=tmp_path / "lake", venue="binance")
    imported(tmp_path, out=tmp_path / "lake", venue="binance", time_zone="UTC")
    first = held(tmp_path / "lake")[0]
    assert first[0] == START_MS
    assert (first[1], first[5]) == ("61000.125", "1")  # the shortest decimal of the float32


def test_volume_without_a_currency_is_refused_until_told(tmp_path: Path) -> None:
    path = tmp_path / "btcusd_1-min_data.csv"
    path.write_text("Timestamp,Open,High,Low,Close,Volume\n" + "".join(f"{t / 1000},{','.join(r)}\n" for t, *r in rows()))
    with pytest.raises(DataError, match="whether Volume is in base or in quote currency; give --base-volume COLUMN"):
        imported(path, out=tmp_path / "lake", venue="bitstamp")
    with pytest.raises(DataError, match="give --venue NAME"):
        imported(path, out=tmp_path / "lake", columns=ColumnOptions(base_volume="Volume"))
    imported(path, out=tmp_path / "lake", venue="bitstamp", columns=ColumnOptions(base_volume="volume"))
    assert held(tmp_path / "lake", "bitstamp", "BTC-USD")[0][5] == "0.00000011"


def test_volume_in_quote_currency_is_divided_and_told(tmp_path: Path) -> None:
    path = tmp_path / "BTC-USD_1min.csv"
    path.write_text("time,open,high,low,close,turnover\n" + f"{START_MS},100,120,80,100,500\n")
    told = Told()
    imported(path, out=tmp_path / "lake", venue="kraken", columns=ColumnOptions(quote_volume="turnover"), told=told)
    assert held(tmp_path / "lake", "kraken", "BTC-USD")[0][5] == "5"
    assert "turnover as volume in quote currency, divided by the mean of high, low and close" in told.read[0]


def test_the_two_volumes_of_kaggles_file_are_told_apart_and_empty_rows_left_out(tmp_path: Path) -> None:
    lines = [
        "Timestamp,Open,High,Low,Close,Volume_(BTC),Volume_(Currency),Weighted_Price",
        "1325317920,4.39,4.39,4.39,4.39,0.45,2.0,4.39",
    ]
    lines += ["1325317980,NaN,NaN,NaN,NaN,NaN,NaN,NaN", "1325318040,4.4,4.4,4.4,4.4,0.5,2.2,4.4"]
    path = tmp_path / "bitstampUSD_BTCUSD_1-min_data.csv"
    path.write_text("\n".join(lines))
    result = imported(path, out=tmp_path / "lake", venue="bitstamp")
    assert len(held(tmp_path / "lake", "bitstamp", "BTC-USD", datetime(2011, 12, 31, tzinfo=UTC))) == 2
    assert result.series[0].faults["not a number"][0] == 1
    assert [gap.minutes for gap in result.series[0].gaps] == [1]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("2024-03-01T00:{:02d}:00Z", START_MS), ("2024-03-01 00:{:02d}:00+00:00", START_MS),
        ("2024-03-01 00:{:02d} UTC", START_MS),
        ("2024-03-01 00:{:02d}:00.000 GMT", START_MS), ("2024-03-01T01:{:02d}:00+01:00", START_MS),
    ],
)  # fmt: skip
def test_every_spelling_of_an_instant_is_the_instant(tmp_path: Path, text: str, first: int) -> None:
    path = tmp_path / "BTC-USD.csv"
    path.write_text(
        "time,open,high,low,close,base volume\n"
        + "".join(f"{text.format(i)},{','.join(r)}\n" for i, (_, *r) in enumerate(rows(10)))
    )
    imported(path, out=tmp_path / "lake", venue="kraken")
    assert [t for t, *_ in held(tmp_path / "lake", "kraken", "BTC-USD")] == [first + 60_000 * i for i in range(10)]


def test_local_time_needs_a_zone_and_the_hour_that_comes_twice_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "BTC-USD.csv"
    times = [f"2023-10-29 {h:02d}:{m:02d}:00" for h in (1, 2, 3) for m in range(60)]  # in Berlin 02:00 to 02:59 come twice
    path.write_text("time,open,high,low,close,base volume\n" + "".join(f"{t},1,2,0.5,1,3\n" for t in times))
    with pytest.raises(DataError, match="give --time-zone UTC, or the zone of the clock"):
        imported(path, out=tmp_path / "lake", venue="kraken")
    result = imported(path, out=tmp_path / "lake", venue="kraken", time_zone="Europe/Berlin")
    assert result.series[0].faults["without a time that can be read"][0] == 60
    found = held(tmp_path / "lake", "kraken", "BTC-USD", datetime(2023, 10, 29, tzinfo=UTC))
    assert found[0][0] == to_ms(datetime(2023, 10, 29, 2, tzinfo=UTC))


def test_microseconds_that_a_file_calls_milliseconds_are_recognised_and_named(tmp_path: Path) -> None:
    wrong = frame([(row[0] * 1_000, *row[1:]) for row in rows()])  # the year 56183
    write_feather(tmp_path / "BTC_USDT-1m.feather", wrong)
    told = Told()
    imported(tmp_path, out=tmp_path / "lake", venue="binance", told=told)
    assert "microseconds that the file calls milliseconds" in told.read[0]
    assert held(tmp_path / "lake")[0][0] == START_MS


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "x_BTC-USD.csv",
            "time,open,high,low,close,base volume\n1/2/2024 00:00,1,1,1,1,1\n",
            "day and month are ambiguous",
        ),
        ("x_BTC-USD.csv", "time,open,high,low\n1,1,1,1\n", "no column for close"),
        ("x_BTC-USD.csv", "time,open,high,low,close\n1709251200,1,1,1,1\n", "no column for volume"),
        ("x_BTC-USD.csv", "1709251200,1,1,1,1,1\n", "has no header and 6 columns .*name them with --columns"),
        ("x.csv", "time,open,high,low,close,base volume\n1709251200,1,1,1,1,1\n", "give --symbol BTC-USD"),
        ("x_BTC-USD.csv", "time,open,high,low,close,Close,base volume\n1709251200,1,1,1,1,1,1\n", "2 columns may be the close"),
        (
            "x_BTC-USD.csv",
            "time,symbol,open,high,low,close,base volume\n1709251200,A-USD,1,1,1,1,1\n1709251260,B-USD,1,1,1,1,1\n",
            "holds 2 symbols",
        ),
        ("x_BTC-USD.csv", "", "holds no rows"),
        ("x_BTC-USD.csv", "\x00\x01\x02", "NUL bytes"),
        ("x_BTC-USD.json", '{"a": 1}', "expected an array of arrays"),
        ("BTC_USDT-1m.feather", "FEA1 and no more", "Feather of version 1"),
        ("BTC_USDT-1m.parquet", "PAR1 and no more", "cannot be read as Parquet"),
        ("BTC_USDT-1m.zip", "PK and no more", "not a zip archive"),
        ("BTC_USDT_USDT-1m-futures.json", "[[1709251200000,1,1,1,1,1]]", "perpetual future"),
        ("BTC_USDT_USDT-1h-funding_rate.feather", "x", "funding_rate prices"),
        ("BTCUSD_PERP-1m-2024-03.csv", "x", "settled in coins"),
        ("notes.pdf", "x", "not a kind of file"),
    ],
)
def test_what_cannot_be_read_is_one_line_that_says_what_to_do(tmp_path: Path, name: str, content: str, reason: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=reason):
        imported(tmp_path, out=tmp_path / "lake", venue=None if "USDT_USDT" in name else "kraken")
    assert not (tmp_path / "lake").exists()


def test_utf16_is_refused_by_name_and_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    text = "time,open,high,low,close,base volume\n" + "".join(f"{t},{','.join(r)}\n" for t, *r in rows())
    (tmp_path / "BTC-USD.csv").write_bytes(text.encode("utf-16"))
    with pytest.raises(DataError, match="UTF-16; save it as UTF-8"):
        imported(tmp_path, out=tmp_path / "lake", venue="kraken")
    (tmp_path / "BTC-USD.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert imported(tmp_path / "BTC-USD.csv", out=tmp_path / "lake", venue="kraken").rows == 60


# What files may do


def test_an_archive_that_unpacks_to_too_much_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import local.cli.data.importing.files as files  # noqa: PLC0415 - its limit

    monkeypatch.setattr(files, "MAX_IMPORT_TEXT_BYTES", 1 << 20)
    path = zipped(tmp_path / "BTCUSDT-1m-2024-03.zip", "../../BTCUSDT-1m-2024-03.csv", binance_csv(rows(20_000)))
    with pytest.raises(DataError, match="unpacks to more than 1 MiB"):
        imported(path, out=tmp_path / "lake")
    assert {one.name for one in tmp_path.iterdir()} <= {"lake", path.name}  # a name in an archive is only ever shown


def test_a_hostile_feather_buffer_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "BTC_USDT-1m.feather"
    write_feather(path, frame(rows(5_000)))
    content = bytearray(path.read_bytes())
    size = (5_000 * 8).to_bytes(8, "little")
    assert content.count(size) >= 1
    path.write_bytes(content.replace(size, (1 << 40).to_bytes(8, "little")))
    tracemalloc.start()
    with pytest.raises(DataError, match="unpacks to more than 1024 MiB"):
        imported(path, out=tmp_path / "lake", venue="binance")
    tracemalloc.stop()


def test_a_line_longer_than_a_block_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "BTC-USD.csv"
    path.write_text("time,open,high,low,close,base volume\n" + f"{START_MS},{'1' * 20_000_000},1,1,1,1\n")
    with pytest.raises(DataError, match="cannot be read as text"):
        imported(path, out=tmp_path / "lake", venue="kraken")


# Into the lake


def test_a_repeated_import_changes_nothing_and_parts_join(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m-2024-03.csv"
    path.write_text(binance_csv(rows(2_000)))
    first = imported(path, out=tmp_path / "lake")
    before = {p: p.read_bytes() for p in (tmp_path / "lake").rglob("*.parquet")}
    again = imported(path, out=tmp_path / "lake")
    assert (first.series[0].added, first.series[0].days_written) == (2_000, 2)
    assert (again.series[0].added, again.series[0].days_written, again.series[0].days_same) == (0, 0, 2)
    assert {p: p.read_bytes() for p in (tmp_path / "lake").rglob("*.parquet")} == before


def test_a_minute_that_differs_is_told_and_kept_until_replace_is_said(tmp_path: Path) -> None:
    path, out = tmp_path / "BTCUSDT-1m-2024-03.csv", tmp_path / "lake"
    path.write_text(binance_csv(rows()))
    imported(path, out=out)
    path.write_text(binance_csv(rows()).replace("61003.00000001", "61003.5"))
    result = imported(path, out=out)
    assert (result.ending, result.series[0].conflict_rows) == (ImportEnding.CONFLICTS, 1)
    (conflict,) = result.series[0].conflicts
    assert (conflict.held[3], conflict.fresh[3]) == ("61003.00000001", "61003.5")
    assert held(out)[2][4] == "61003.00000001"
    assert imported(path, out=out, replace=True).ending is ImportEnding.OK
    assert held(out)[2][4] == "61003.5"


def test_a_day_with_absent_minutes_stays_open_for_collect(tmp_path: Path) -> None:
    path, out = tmp_path / "BTCUSDT-1m-2024-03.csv", tmp_path / "lake"
    key = DayKey(SeriesKey("binance", Symbol("BTC-USDT")), START.date())
    path.write_text(binance_csv(rows(1_440)[:-1]))
    imported(path, out=out)
    assert Lake(FolderStore(out)).asked_until(key) == key.start
    path.write_text(binance_csv(rows(1_440)))
    imported(path, out=out)
    assert Lake(FolderStore(out)).asked_until(key) == key.end


def test_empty_minutes_by_the_operators_word_are_flat_bars_of_venues_that_omit_them(tmp_path: Path) -> None:
    thin = [row for i, row in enumerate(rows()) if i not in {5, 6, 30}]
    head = "unix,date,symbol,open,high,low,close,Volume BTC,Volume USD\n"
    text = head + "".join(f"{t},x,BTC/USD,{','.join(r)},1\n" for t, *r in thin)
    for venue in ("Coinbase", "Kraken"):
        (tmp_path / f"{venue}_BTCUSD_minute.csv").write_text("https://www.CryptoDataDownload.com\n" + text)
    result = imported(tmp_path, out=tmp_path / "lake", empty_minutes=True)
    assert {one.series.venue: (one.empty, len(one.gaps)) for one in result.series} == {"coinbase": (3, 0), "kraken": (0, 2)}
    flat = held(tmp_path / "lake", "coinbase", "BTC-USD")[6]
    close = rows()[4][4]
    assert flat[1:] == (close, close, close, close, "0")


def test_bad_rows_are_counted_by_reason_and_the_rest_is_read(tmp_path: Path) -> None:
    lines = binance_csv(rows()).splitlines()
    lines[3] = lines[3].replace(",60993.25000000,", ",-1,")
    lines[5] = lines[5].replace(str(START_MS + 5 * 60_000), str(START_MS + 5 * 60_000 + 17), 1)
    lines[7] = "a,b,c"
    lines[9] = lines[9].replace("61009.12345678", "1_000")
    lines.append(lines[11].replace("61012.00000001", "61012.5"))
    lines.append(lines[13])
    lines.append(binance_csv(rows(1, to_ms(NOW))).strip())
    path = tmp_path / "BTCUSDT-1m-2024-03.csv"
    path.write_text("\n".join(lines))
    result = imported(path, out=tmp_path / "lake")
    one = result.series[0]
    assert {words: rows for words, (rows, _) in one.faults.items()} == {
        "not positive": 1, "off the minute": 1, "lines with another number of columns": 1, "not a number": 1,
        "two rows of one minute that disagree": 2, "not over yet, or of the future": 1,
    }  # fmt: skip
    assert one.duplicates == 1
    assert len(held(tmp_path / "lake")) == 55


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m-2024-03.csv"
    path.write_text(binance_csv(rows()))
    assert imported(path, out=tmp_path / "lake", dry_run=True).rows == 60
    assert not (tmp_path / "lake").exists()


def test_ctrl_c_leaves_whole_days_and_the_next_run_goes_on(tmp_path: Path) -> None:
    class Stops(Told):
        @override
        def progress(self, done_bytes: int, name: str, rows_per_second: float) -> None:
            raise KeyboardInterrupt

    path, out = tmp_path / "BTCUSDT-1m-2024-03.csv", tmp_path / "lake"
    path.write_text(binance_csv(rows(10_000)))
    assert imported(path, out=out, told=Stops()).ending is ImportEnding.INTERRUPTED
    lake = Lake(FolderStore(out))
    assert all(len(lake.stored(key).candles) == 1_440 for key in lake.days())
    assert not list(out.rglob("*.part"))
    imported(path, out=out)
    assert sum(len(lake.stored(key).candles) for key in lake.days()) == 10_000


def test_a_storage_that_refuses_ends_the_run_in_its_words(tmp_path: Path) -> None:
    class Full(FolderStore):
        @override
        def write(self, path: str, content: bytes) -> None:
            raise LakeStorageError("the disk is full")

    path = tmp_path / "BTCUSDT-1m-2024-03.csv"
    path.write_text(binance_csv(rows(3_000)))
    request = ImportRequest(paths=(path,), out=tmp_path / "lake", now=NOW)
    result = run_import(request, Lake(Full(tmp_path / "lake")), Told())
    assert (result.ending, result.error) == (ImportEnding.STORAGE_FAILED, "the disk is full")


# Invariants


@settings(max_examples=examples(25), deadline=None)
@given(st.permutations(range(120)), st.integers(1, 60))
def test_the_lake_is_the_same_whatever_the_order_of_the_rows(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], parts: int
) -> None:
    """Each file holds neighbouring minutes in any order; a few rows with hours between them would be another timeframe's."""
    tmp_path = tmp_path_factory.mktemp("order")
    bars = rows(120, START_MS - 60 * 60_000)
    for number in range(0, 120, parts):
        block = sorted(range(number, min(number + parts, 120)), key=order.__getitem__)
        (tmp_path / f"BTCUSDT-1m-2024-03-{number:02d}.csv").write_text(binance_csv([bars[i] for i in block]))
    for number, file in enumerate(sorted(tmp_path.iterdir())):
        file.rename(tmp_path / f"BTCUSDT-1m-2024-{number // 30 + 1:02d}-{number % 30:02d}.csv")
    imported(tmp_path, out=tmp_path / "lake")
    found = held(tmp_path / "lake", day=datetime(2024, 2, 29, tzinfo=UTC)) + held(tmp_path / "lake")
    assert [t for t, *_ in found] == [t for t, *_ in bars]


@given(
    st.lists(
        st.one_of(st.decimals(allow_nan=True, allow_infinity=True).map(str), st.text(max_size=12), st.floats().map(repr)),
        max_size=20,
    )
)
def test_a_text_is_a_number_of_the_lake_or_none(texts: list[str]) -> None:
    from decimal import Decimal  # noqa: PLC0415 - of this test alone

    from signalbox.market.lake import decimal_text  # noqa: PLC0415 - as above

    found, values = number_texts(pa.array(texts, pa.string()))
    for text, canonical, value in zip(texts, found.to_pylist(), values.tolist(), strict=True):
        if canonical is None:
            assert np.isnan(value)
        else:
            assert Decimal(canonical) == Decimal(text.strip())
            assert decimal_text(Decimal(canonical)) == canonical
            assert value == float(canonical)


@pytest.mark.parametrize(
    ("pair", "symbol"),
    [
        ("BTCUSDT", "BTC-USDT"),
        ("BTC/USD", "BTC-USD"),
        ("btc_eur", "BTC-EUR"),
        ("BTCTUSD", None),
        ("BTC", None),
        ("ETHBTC", "ETH-BTC"),
    ],
)
def test_a_pair_that_can_be_read_in_two_ways_is_not_split(pair: str, symbol: str | None) -> None:
    assert split_pair(pair) == symbol


def test_names_say_symbol_timeframe_and_venue() -> None:
    found = facts_of_name(Path("data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03-01.zip"))
    assert (found.symbol, found.timeframe, found.venue) == ("BTC-USDT", "1m", "binance")
    found = facts_of_name(Path("kucoin/SOL_USDC-5m.feather"))
    assert (found.symbol, found.timeframe, found.venue) == ("SOL-USDC", "5m", "kucoin")
    found = facts_of_name(Path("Gemini_ETHUSD_2020_1min.csv"))
    assert (found.symbol, found.timeframe, found.venue) == ("ETH-USD", "1m", "gemini")
