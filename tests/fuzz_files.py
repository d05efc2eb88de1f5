"""A seeded fuzzer of every file that somebody else may have written: it is read, or refused with that reader's error alone.

`python -m tests.fuzz_files 1000000 [SEED]` changes valid files in what they say of themselves (headers, sizes, names, types,
fields) as well as in their bytes, and prints one line of JSON. The readers run in a process of their own with bounded memory:
what crashes it, takes more memory or more time than a file may, or raises anything undocumented is written into
tests/corpus/files, where a test keeps it.
"""

from __future__ import annotations

import gzip
import io
import json
import resource
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.feather as pa_feather
import pyarrow.parquet as pq
from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped] # onnx brings it without types

from local.cli.data.importing.request import ImportRequest
from local.cli.data.importing.run import run_import
from local.cli.ftmo.events import read_events
from local.errors import AccountFileError, DataError
from local.library.errors import PackageError
from local.library.package import open_package
from signalbox.adapters.lake import day_file
from signalbox.adapters.lake.day_file import decode, encode
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.recorded import RecordedFile
from signalbox.adapters.lake.stores import FolderStore
from signalbox.features import FeatureSchemaError, get_schema
from signalbox.features.stream import Bar, FeatureStream
from signalbox.inference import BundleArchiveError, BundleError, load_bundle, record_of, unpack_bundle
from signalbox.inference.errors import BundleIncompleteError, BundleManifestError
from signalbox.inference.judged import UnfitFileError, judge_graph, read_arrays
from signalbox.inference.manifest import MANIFEST_FILE, read_manifest
from signalbox.library.artifact import unpack_artifact
from signalbox.library.errors import ArtifactError
from signalbox.library.judgements import read_evaluation
from signalbox.limits import MAX_GRAPH_TENSOR_BYTES
from signalbox.market.candles import Bars, MarketDataError
from signalbox.market.lake import VALUES, DayFileError, DayKey, SeriesKey
from tests.builders import BTC, candles, minutes
from tests.fuzz_result import Fuzzed
from tests.fuzz_wire import STRANGE, _paths, strange
from tests.unit.inference.tiny_bundle import linear_member, window_member, write_bundle
from tests.unit.library.samples import FINISHED, evaluation
from tests.unit.local.library import signed

One = TypeVar("One")
Rng: TypeAlias = np.random.Generator
TarForm: TypeAlias = Literal[0, 1, 2]  # tarfile.USTAR_FORMAT, GNU_FORMAT, PAX_FORMAT
Changed: TypeAlias = Callable[[Rng], bytes]
Reader: TypeAlias = Callable[[bytes, Path], object]

CORPUS: Final = Path(__file__).parent / "corpus" / "files"
DAY: Final = DayKey(SeriesKey("coinbase", BTC), date(2024, 3, 1))
SCHEMA: Final = get_schema("v31")
BATCH: Final = 10_000  # inputs a process: what leaks does not add up, and a crash costs little
MEMORY: Final = 4 * 2**30  # bytes of address space of that process; libraries and their threads map two of them
PEAK_MIB: Final = MAX_GRAPH_TENSOR_BYTES / 2**20 + 256  # how far its resident memory may grow
CPU_SECONDS: Final = 5.0  # one input; at twice as much the kernel ends the process, whatever it is in
WALL_SECONDS: Final = 6 * 3600.0  # a batch that waits for something for so long hangs
ODD_NUMBERS: Final = (
    0,
    1,
    2,
    3,
    7,
    8,
    255,
    256,
    2**15,
    2**16 - 1,
    2**16,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**62,
    2**63 - 1,
    10**12,
)
ODD_NAMES: Final = (
    "", ".", "..", "../evil", "/etc/passwd", "a/b", "a\\b", "C:evil", "manifest.json", "MANIFEST.JSON", "linear-1.onnx",
    "golden.npz",     "x" * 100, "x" * 101, "a\x00b", "a\nb", "ü.onnx", "con", ".hidden", "-rf", "golden.npz/", "?",
)  # fmt: skip


def one_of(rng: Rng, choices: Sequence[One]) -> One:
    """Return one of them."""
    return choices[int(rng.integers(len(choices)))]


def often(rng: Rng, probability: float) -> bool:
    """Return True with this probability."""
    return bool(rng.random() < probability)


def damaged(rng: Rng, content: bytes, *, within: tuple[int, int] | None = None) -> bytes:
    """Return the bytes with a few places changed, cut, doubled, put in or ended; `within`: between these places alone."""
    found = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        low, high = within or (0, len(found))
        low, high = min(low, len(found)), min(high, len(found))
        at = low + int(rng.integers(max(1, high - low)))
        length = int(rng.integers(1, 9))
        match int(rng.integers(7)):
            case 0:
                found[at : at + 1] = bytes([int(rng.integers(256))])
            case 1:
                found[at : at + length] = rng.bytes(length)
            case 2:
                number = one_of(rng, ODD_NUMBERS)
                width = one_of(rng, (1, 2, 4, 8))
                found[at : at + width] = (number % 256**width).to_bytes(width, one_of(rng, ("little", "big")))
            case 3:
                del found[at : at + length]
            case 4:
                found[at:at] = found[at : at + length * 4]
            case 5:
                found[at:at] = rng.bytes(length)
            case _:
                if often(rng, 0.2):
                    del found[at:]
                elif found:
                    found[min(at, len(found) - 1)] ^= 1 << int(rng.integers(8))
    return bytes(found)


def maybe_damaged(rng: Rng, content: bytes, probability: float = 0.4) -> bytes:
    """Return them damaged with this probability, else as they are."""
    return damaged(rng, content) if often(rng, probability) else content


# What the files are made of: one that every reader takes, made once.


@cache
def _bundle() -> tuple[dict[str, bytes], dict[str, Any], bytes]:
    """Return the files of a bundle, its manifest's content, and an evaluation of it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_bundle(Path(scratch) / "tiny")
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        return files, json.loads(files[MANIFEST_FILE]), evaluation(folder)


@cache
def _graphs() -> tuple[bytes, ...]:
    return (linear_member(1), window_member(2, 4))


@cache
def _state() -> bytes:
    stream = FeatureStream(SCHEMA)
    closes = 100.0 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 1e-3, 400)))
    times = np.arange(400, dtype=np.int64) * 60_000 + 1_700_000_040_000
    stream.replay(Bars(BTC, times, closes, closes, closes, closes, np.ones(400)))
    return stream.state()


@cache
def _day() -> pa.Table:
    content = encode(DAY, candles(BTC, DAY.start + minutes(40), 40), DAY.end)
    return pq.ParquetFile(pa.BufferReader(content)).read()


@cache
def _foreign() -> Mapping[str, bytes]:
    """Return files of others, by their names: each form that `signalbox data import` reads."""
    rows = [(1_709_251_200_000 + i * 60_000, 100 + i / 8, 101 + i / 8, 99 + i / 8, 100.5 + i / 8, 0.25 * i) for i in range(40)]
    klines = "".join(f"{','.join(map(repr, row))},{row[0] + 59_999},1,1,1,1,0\n" for row in rows).encode()
    named = b"unix,symbol,open,high,low,close,Volume BTC,Volume USDT\n"
    named += "".join(f"{row[0] // 1000},BTC/USDT,{','.join(map(repr, row[1:]))},1\n" for row in rows[::-1]).encode()
    times, *values = zip(*rows, strict=True)
    table = pa.table(
        {"date": pa.array(times).cast(pa.timestamp("ms", tz="UTC")), **dict(zip(VALUES, map(pa.array, values), strict=True))}
    )
    feather, parquet = io.BytesIO(), io.BytesIO()
    pa_feather.write_feather(table, feather, compression="lz4")
    pq.write_table(table, parquet)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("BTCUSDT-1m-2024-03.csv", klines)
    return {
        "BTCUSDT-1m-2024-03.csv": klines,
        "BTCUSDT-1m-2024-03.zip": archive.getvalue(),
        "Binance_BTCUSDT_minute.csv": b"https://www.CryptoDataDownload.com\n" + named,
        "BTC_USDT-1m.json": json.dumps(rows).encode(),
        "BTC_USDT-1m.json.gz": gzip.compress(json.dumps(rows).encode()),
        "BTC_USDT-1m.feather": feather.getvalue(),
        "BTC_USDT-1m.parquet": parquet.getvalue(),
    }


_CELLS: Final = (
    b"",
    b"NaN",
    b"-1",
    b"1e999",
    b"1_0",
    b"\x00",
    b"\xff\xfe",
    b'"',
    b"9" * 300,
    b"1e-200",
    b"2024-03-01 00:00",
    b"\xef\xbb\xbf",
)


def foreign(rng: Rng) -> bytes:
    """Return a file of others behind a line with its name: its cells, its name or its bytes changed."""
    name = one_of(rng, sorted(_foreign()))
    content = _foreign()[name]
    if name.endswith((".csv", ".json")) and often(rng, 0.6):
        cells = content.split(b",")
        for _ in range(int(rng.integers(1, 5))):
            cells[int(rng.integers(len(cells)))] = one_of(rng, _CELLS)
        content = one_of(rng, (b",", b",", b",", b";", b"\t")).join(cells)
    if often(rng, 0.1):
        name = one_of(rng, sorted(_foreign()))  # what it is not
    return name.encode() + b"\n" + maybe_damaged(rng, content, 0.5)


EVENTS: Final[tuple[dict[str, Any], ...]] = (
    {"type": "open", "time": "2024-03-05T10:00:00+01:00", "position": 7, "symbol": "BTC-USD", "side": "buy", "quantity": "0.5",
     "price": "61000.5", "commission": "1.2"},
    {"type": "mark", "time": "2024-03-05T10:01:00+01:00", "symbol": "BTC-USD", "price": 61001},
    {"type": "swap", "time": "2024-03-05T23:59:00+01:00", "position": 7, "amount": "-3.25"},
    {"type": "close", "time": "2024-03-06T10:00:00+01:00", "position": 7, "price": "6.2e4", "commission": "0"},
)  # fmt: skip


# How each kind of file is changed.


def manifest(rng: Rng) -> bytes:
    """Return a manifest.json with other values, keys or bytes."""
    content = _bundle()[1]
    return strange(rng, content, _paths_of("manifest", content))


def evaluation_file(rng: Rng) -> bytes:
    """Return an evaluation.json with other values or bytes."""
    content = json.loads(_bundle()[2])
    return strange(rng, content, _paths_of("evaluation", content))


_KNOWN_PATHS: Final[dict[str, list[tuple[Any, ...]]]] = {}


def _paths_of(name: str, content: Any) -> list[tuple[Any, ...]]:
    if name not in _KNOWN_PATHS:
        _KNOWN_PATHS[name] = _paths(content)
    return _KNOWN_PATHS[name]


def events(rng: Rng) -> bytes:
    """Return account events, one of them strange, in lines that are perhaps none."""
    lines = []
    for event in EVENTS:
        line = strange(rng, event, _paths(event)) if often(rng, 0.4) else json.dumps(event).encode()
        lines.append(line)
    if often(rng, 0.1):
        number = one_of(rng, ("1e999", "-0", "9" * 400, "1E+400", "0." + "0" * 60 + "1", "NaN", "Infinity", "1_000", "\u0663"))
        lines.append(b'{"type": "mark", "time": "2024-03-07T10:00:00Z", "symbol": "X", "price": ' + number.encode() + b"}")
    if often(rng, 0.1):
        lines[0] = b"\xef\xbb\xbf" + lines[0]
    return maybe_damaged(rng, one_of(rng, (b"\n", b"\n", b"\r\n", b"\r")).join(lines), 0.2)


def npy(rng: Rng, kind: str, shape: tuple[int, ...], body: bytes) -> bytes:
    """Return an array as npy, its header perhaps a lie."""
    reported: Any = shape
    if often(rng, 0.25):
        reported = one_of(rng, (
            tuple(one_of(rng, ODD_NUMBERS) for _ in range(int(rng.integers(5)))), (*shape, 0), (-1, *shape), shape[:-1], [*shape],
            (10**12,), (2**63, 2**63), (True, *shape), "x", None, (1.5,), shape * 9,
        ))  # fmt: skip
    written = (
        kind
        if often(rng, 0.85)
        else one_of(rng, ("<f8", "<f4", ">f8", "|O", "<i8", "|V8", "<U9", "<M8[s]", "<f2", "<c16", "", "f,f"))
    )
    header: Any = {
        "descr": written,
        "fortran_order": often(rng, 0.2) if often(rng, 0.9) else one_of(rng, (0, "x", None)),
        "shape": reported,
    }
    text = repr(header)
    if often(rng, 0.1):
        text = one_of(
            rng, ("", "{", "[" * 2000, "(" * 500, "1", "{'descr': '<f8'}", text + "0", "__import__('os')", "9" * 5000, "-" * 900)
        )
    encoded = (text + "\n").encode("latin-1", "replace")
    version = (1, 0) if often(rng, 0.9) else one_of(rng, ((2, 0), (3, 0), (0, 0), (255, 255)))
    length = len(encoded) if often(rng, 0.95) else one_of(rng, ODD_NUMBERS)
    packed = struct.pack("<H", length % 2**16) if version == (1, 0) else struct.pack("<I", length % 2**32)
    return b"\x93NUMPY" + bytes(version) + packed + encoded + body


def golden_file(rng: Rng) -> bytes:
    """Return a golden.npz whose zip, headers or numbers are changed."""
    count = int(rng.integers(0, 6))
    features, wanted = rng.normal(size=(count, len(SCHEMA.names))), rng.random(count)
    if often(rng, 0.2):
        features[rng.random(features.shape) < 0.1] = one_of(rng, (np.nan, np.inf, -1e308, 1e308, 1e39))
    arrays = {
        "features.npy": npy(rng, "<f8", features.shape, features.astype("<f8").tobytes()),
        "probability_up.npy": npy(rng, "<f8", wanted.shape, wanted.astype("<f8").tobytes()),
    }
    if often(rng, 0.1):
        arrays[one_of(rng, ODD_NAMES) or "x"] = rng.bytes(8)
    if often(rng, 0.05):
        arrays.pop(one_of(rng, list(arrays)))
    return zipped(rng, arrays)


_ENTRY_FIELDS: Final = ((4, 2), (6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (38, 4), (42, 4))
_LOCAL_FIELDS: Final = ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2))
_END_FIELDS: Final = ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2))


def zipped(rng: Rng, contents: Mapping[str, bytes], modes: Mapping[str, int] | None = None) -> bytes:
    """Return them as a zip, perhaps with other numbers in its records or other bytes anywhere."""
    buffer = io.BytesIO()
    packing = one_of(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    if often(rng, 0.02):
        packing = one_of(rng, (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(buffer, "w", packing, compresslevel=1) as out:
        for name, content in contents.items():
            entry = zipfile.ZipInfo("x", (1980, 1, 1, 0, 0, 0))
            entry.filename = name.replace("\x00", "\x01")  # zipfile cuts a name at NUL while it writes
            entry.compress_type, entry.external_attr = packing, (modes or {}).get(name, 0o644) << 16
            out.writestr(entry, content)
    found = bytearray(buffer.getvalue())
    for _ in range(int(rng.integers(1, 3)) if often(rng, 0.3) else 0):
        magic, fields = one_of(
            rng, ((b"PK\x01\x02", _ENTRY_FIELDS), (b"PK\x03\x04", _LOCAL_FIELDS), (b"PK\x05\x06", _END_FIELDS))
        )
        places = _places(found, magic)
        if places:
            offset, width = one_of(rng, fields)
            at = one_of(rng, places) + offset
            found[at : at + width] = (one_of(rng, ODD_NUMBERS) % 256**width).to_bytes(width, "little")
    return maybe_damaged(rng, bytes(found), 0.25)


def _places(content: bytes | bytearray, magic: bytes) -> list[int]:
    found, at = [], content.find(magic)
    while at >= 0:
        found.append(at)
        at = content.find(magic, at + 1)
    return found


def archive(rng: Rng) -> bytes:
    """Return a bundle's archive with other names, kinds of files, sizes or bytes."""
    contents = {name: content[:600] for name, content in _bundle()[0].items()}
    modes = {}
    for _ in range(int(rng.integers(4))):
        name = one_of(rng, ODD_NAMES) if often(rng, 0.7) else f"f{int(rng.integers(100))}"
        contents[name] = rng.bytes(int(rng.integers(20)))
        kind = one_of(rng, (0, stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK))
        modes[name] = kind | 0o777
    if often(rng, 0.02):
        contents |= {f"m{number}": b"" for number in range(int(rng.integers(50, 90)))}
    if often(rng, 0.02):
        contents["zeros"] = bytes(200_000)
    return zipped(rng, contents, modes)


def package(rng: Rng) -> bytes:
    """Return a signed package with other bytes, entries or facts; of those with other facts most are signed rightly again."""
    content = signed.tiny_package()
    if often(rng, 0.1):
        return content
    if often(rng, 0.4):
        return damaged(rng, content)
    contents = signed.entries(content)

    def change(manifest: dict[str, Any]) -> None:
        for _ in range(int(rng.integers(1, 4))):
            *above, last = one_of(rng, _paths(manifest)[1:])
            inner: Any = manifest
            for step in above:
                inner = inner[step]
            inner[last] = one_of(rng, STRANGE)
        if often(rng, 0.5):
            name = f"versions/1/bundle/{one_of(rng, ODD_NAMES)}"
            contents[name] = rng.bytes(int(rng.integers(20)))
            manifest["files"] = {**contents_of(manifest), name: json.loads(record_of(contents[name]).model_dump_json())}

    if often(rng, 0.5):
        contents = {**contents, **signed.signed_again(contents, change)}
    if often(rng, 0.7):
        return signed.zipped({name.replace("\x00", "\x01"): one for name, one in contents.items()})
    return zipped(rng, contents, {})


def contents_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the files of a manifest that may hold anything by now."""
    found = manifest.get("files")
    return found if isinstance(found, dict) else {}


def artifact(rng: Rng) -> bytes:
    """Return a model.tar.gz with other names, kinds of entries, headers, sizes or bytes."""
    buffer = io.BytesIO()
    forms: tuple[TarForm, ...] = (2, 1, 0)  # PAX, GNU, USTAR
    form = one_of(rng, forms)
    for name, content in _bundle()[0].items():
        _put(buffer, tarfile.TarInfo(name), content[:600], form)
    for _ in range(int(rng.integers(4))):
        entry = tarfile.TarInfo(one_of(rng, ODD_NAMES) or "x")
        entry.type = one_of(rng, (
            tarfile.REGTYPE, tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE,
            tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK, tarfile.GNUTYPE_SPARSE, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, b"?",
        ))  # fmt: skip
        entry.linkname = one_of(rng, ODD_NAMES)
        body = rng.bytes(int(rng.integers(40)))
        if form == tarfile.PAX_FORMAT and often(rng, 0.5):
            keys = (
                "size",
                "path",
                "linkpath",
                "GNU.sparse.map",
                "GNU.sparse.size",
                "GNU.sparse.major",
                "GNU.sparse.name",
                "mtime",
                "x",
            )
            values = ("0", "-1", "9" * 30, "a", "", "1e9", "1,2", "../x", "0x10", "\u0661")
            entry.pax_headers = {one_of(rng, keys): one_of(rng, values) for _ in range(int(rng.integers(1, 4)))}
        if often(rng, 0.1):
            body = b"%d path=%s\n" % (one_of(rng, ODD_NUMBERS), rng.bytes(6))
        _put(buffer, entry, body, form, size=one_of(rng, ODD_NUMBERS) % 8**11 if often(rng, 0.15) else None)
    buffer.write(bytes(1024))
    content = buffer.getvalue()
    if often(rng, 0.4):
        header = 512 * int(rng.integers(max(1, len(content) // 512)))
        content = damaged(rng, content, within=(header, header + 512))
        if often(rng, 0.7):
            content = _with_checksums(content)
    return maybe_damaged(rng, gzip.compress(content, compresslevel=1, mtime=0), 0.2)


def _put(buffer: io.BytesIO, entry: tarfile.TarInfo, content: bytes, form: TarForm, size: int | None = None) -> None:
    entry.size = len(content) if size is None else size
    try:
        head = entry.tobuf(form, errors="surrogateescape")
    except ValueError:  # a name or a number that this format has no place for
        entry.name, entry.linkname = entry.name[:90], entry.linkname[:90]
        entry.size = len(content)
        head = entry.tobuf(tarfile.GNU_FORMAT)
    buffer.write(head + content + bytes(-len(content) % 512))


def _with_checksums(content: bytes) -> bytes:
    """Return a tar whose headers have the sums that they should, so that what is odd in them is read at all."""
    found = bytearray(content)
    for at in range(0, len(found) - 511, 512):
        if found[at + 257 : at + 262] == b"ustar":
            total = sum(found[at : at + 148]) + 8 * 32 + sum(found[at + 156 : at + 512])
            found[at + 148 : at + 156] = b"%06o\0 " % total
    return bytes(found)


_STRANGE_TEXTS: Final = (
    "",
    "com.microsoft",
    "ai.onnx",
    "ai.onnx.ml",
    "../secret",
    "x" * 300,
    "features",
    "logit",
    "w",
    "Loop",
    "If",
    "Scan",
)


def graph(rng: Rng) -> bytes:
    """Return an ONNX graph with other operators, shapes, tensors, names or references to files, or other bytes."""
    model = onnx.ModelProto.FromString(one_of(rng, _graphs()))
    for _ in range(int(rng.integers(1, 5))):
        _change(rng, model)
    content: bytes = model.SerializeToString()
    return maybe_damaged(rng, content, 0.3)


def _change(rng: Rng, message: Any) -> None:
    """Change one field somewhere in a protobuf message."""
    while True:
        fields = message.DESCRIPTOR.fields
        present = [one for one, _ in message.ListFields() if one.type == FieldDescriptor.TYPE_MESSAGE]
        if present and often(rng, 0.8):
            chosen = one_of(rng, present)
            inner = getattr(message, chosen.name)
            if chosen.is_repeated:
                if often(rng, 0.1):
                    inner.add().CopyFrom(one_of(rng, inner))
                    return
                inner = one_of(rng, inner)
            message = inner
            continue
        chosen = one_of(rng, fields)
        if often(rng, 0.2):
            message.ClearField(chosen.name)
            return
        if chosen.type == FieldDescriptor.TYPE_MESSAGE:
            inner = getattr(message, chosen.name)
            if chosen.is_repeated:
                inner = inner.add()
            else:
                inner.SetInParent()
            message = inner
            if often(rng, 0.3):
                return
            continue
        value = _value(rng, chosen)
        if chosen.is_repeated:
            getattr(message, chosen.name).extend([value] * int(rng.integers(1, 4)))
        else:
            setattr(message, chosen.name, value)
        return


def _value(rng: Rng, chosen: FieldDescriptor) -> Any:
    kind = chosen.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        text = one_of(rng, _STRANGE_TEXTS)
        return text.encode() if chosen.type == FieldDescriptor.TYPE_BYTES else text
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return one_of(rng, chosen.enum_type.values).number
    if kind in {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}:
        return one_of(rng, (0.0, -1.0, float("nan"), float("inf"), 1e30))
    number = one_of(rng, (*ODD_NUMBERS, -1, -(2**31)))
    if kind in {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_ENUM}:
        return (number + 2**31) % 2**32 - 2**31
    if kind in {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}:
        return abs(number) % 2**32
    return number


def bundle(rng: Rng) -> bytes:
    """Return the manifest's and the files' changes of a whole bundle, as JSON of the kind and the bytes of the file."""
    kind = one_of(rng, ("golden", "graph", "graph", "manifest"))
    made = {"golden": golden_file, "graph": graph, "manifest": manifest}[kind](rng)
    return kind.encode() + b"\n" + made


def _day_facts(rng: Rng, count: int) -> dict[str, str]:
    facts = {
        "format": "1", "venue": "coinbase", "symbol": BTC, "timeframe": "1m", "date": DAY.day.isoformat(), "rows": str(count),
        "asked_until": str(int(DAY.end.timestamp() * 1000)),
    }  # fmt: skip
    if often(rng, 0.4):
        facts[one_of(rng, list(facts))] = one_of(rng, (
            "", "0", "-1", "9" * 20, "9" * 5000, "\u0663", "\u00b2", "1e3", "x", "\u0000", "1440", "8640000000000000",
            "99999999999999", " 40",
        ))  # fmt: skip
    return facts


_PRICES: Final = (
    "1",
    "0",
    "-1",
    "",
    "NaN",
    "inf",
    "1e400",
    "1e-400",
    "0" * 400 + "1",
    "1_0",
    " 1",
    "0x10",
    "1" * 500,
    "61000.123456789",
    "٣",
)
_MOMENTS: Final = (0, -1, 1, 60_000, 2**62, -(2**62), 2**63 - 1, -(2**63), 253402300800000, 1709251200001)


def day(rng: Rng) -> bytes:
    """Return the file of a day with other rows, facts, types, encodings or bytes; its checksum is often right all the same."""
    table = _day()
    times = np.array(table["open_time"].cast(pa.int64()).to_numpy())
    texts = [list(table[name].to_pylist()) for name in VALUES]
    count = int(rng.integers(len(times) + 1)) if often(rng, 0.3) else len(times)
    times, texts = times[:count].copy(), [column[:count] for column in texts]
    for _ in range(int(rng.integers(3)) if count and often(rng, 0.5) else 0):
        at = int(rng.integers(count))
        if often(rng, 0.4):
            times[at] = one_of(rng, _MOMENTS)
        else:
            one_of(rng, texts)[at] = one_of(rng, _PRICES)
    facts = _day_facts(rng, count)
    columns = [pa.array(column, pa.string()) for column in texts]
    facts["sha256"] = day_file._checksum(facts, times, columns) if often(rng, 0.8) else "0" * 64
    schema = day_file.SCHEMA
    arrays = [pa.array(times).cast(pa.timestamp("ms", tz="UTC")), *columns]
    if often(rng, 0.1):
        place = int(rng.integers(len(arrays)))
        other = one_of(
            rng, (pa.array([None] * count, pa.string()), pa.array([1.0] * count), pa.array([b"\xff"] * count, pa.binary()))
        )
        arrays[place] = other
        schema = pa.schema([pa.field(old.name, new.type) for old, new in zip(schema, arrays, strict=True)])
    return _parquet(rng, pa.Table.from_arrays(arrays, schema=schema), {f"signalbox.{name}": text for name, text in facts.items()})


def recorded(rng: Rng) -> bytes:
    """Return a recorded file of candles with other rows, types, row groups, encodings or bytes."""
    count = int(rng.integers(0, 60))
    times = 1_709_251_200_000 + 60_000 * np.arange(count, dtype=np.int64)
    close = 100.0 + rng.random(count)
    values = {name: close.copy() for name in VALUES}
    for _ in range(int(rng.integers(3)) if count and often(rng, 0.5) else 0):
        at = int(rng.integers(count))
        if often(rng, 0.5):
            times[at] = one_of(rng, _MOMENTS)
        else:
            values[one_of(rng, VALUES)][at] = one_of(rng, (np.nan, np.inf, 0.0, -1.0, 1e308, 5e-324))
    unit = "ms" if often(rng, 0.8) else one_of(rng, ("us", "ns"))
    stamps = pa.array(times, pa.int64())
    mask = rng.random(count) < 0.1 if often(rng, 0.1) else None
    columns: dict[str, Any] = {
        "open_time": pa.array(
            times, pa.timestamp(unit, tz=one_of(rng, ("UTC", "UTC", "UTC", "UTC", "Europe/Berlin", None))), mask=mask
        )
    }
    columns |= {name: pa.array(column, mask=mask) for name, column in values.items()}
    if often(rng, 0.1):
        columns[one_of(rng, list(columns))] = one_of(
            rng, (stamps, pa.array(["x"] * count), pa.array([[1.0]] * count, pa.list_(pa.float64())))
        )
    if often(rng, 0.05):
        columns.pop(one_of(rng, list(columns)))
    return _parquet(rng, pa.table(columns), {})


def _parquet(rng: Rng, table: pa.Table, facts: dict[str, str]) -> bytes:
    sink = pa.BufferOutputStream()
    options: dict[str, Any] = {
        "compression": one_of(rng, ("zstd", "zstd", "none", "snappy", "gzip")),
        "use_dictionary": often(rng, 0.3),
        "write_statistics": often(rng, 0.8),
        "data_page_version": one_of(rng, ("1.0", "1.0", "2.0")),
        "store_schema": often(rng, 0.2),
        "data_page_size": one_of(rng, (64, 2**20)),
    }
    with pq.ParquetWriter(sink, table.schema, **options) as writer:
        writer.write_table(table, row_group_size=one_of(rng, (7, 1440)))
        if facts:
            writer.add_key_value_metadata({name: text.replace("\u0000", "\x01") for name, text in facts.items()})
    content: bytes = sink.getvalue().to_pybytes()
    if often(rng, 0.5):
        footer = int.from_bytes(content[-8:-4], "little")
        within = (len(content) - 8 - footer, len(content)) if often(rng, 0.6) else (0, len(content) - footer)
        content = damaged(rng, content, within=within)
    return content


def state(rng: Rng) -> bytes:
    """Return a feature stream's state with other numbers, another head or other bytes; its checksum is often right."""
    first, _, body = _state().partition(b"\n")
    numbers = np.frombuffer(zlib.decompress(body), "<f8").copy()
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(4)) if often(rng, 0.3) else int(rng.integers(len(numbers)))
        numbers[at] = one_of(rng, (np.nan, np.inf, -np.inf, -1.0, 0.5, 1e300, -1e300, 2.0**53, 0.0, 1e9))
    if often(rng, 0.1):
        numbers = numbers[: int(rng.integers(len(numbers)))]
    body = zlib.compress(numbers.tobytes(), level=1)
    if often(rng, 0.1):
        body = damaged(rng, body)
    head = json.loads(first) | {"crc32": zlib.crc32(body)}
    line = strange(rng, head, _paths(head)) if often(rng, 0.2) else json.dumps(head).encode()
    return maybe_damaged(rng, line + b"\n" + body, 0.1)


# How each is read, in a folder that is empty before. What is checked afterwards must hold for every file that is taken.


def _in_file(name: str, read: Callable[[Path], object]) -> Reader:
    def reader(content: bytes, folder: Path) -> None:
        path = folder / name
        path.write_bytes(content)
        read(path)

    return reader


def _read_golden(content: bytes, _folder: Path) -> None:
    found = read_arrays(content, {"features": (2, 3), "probability_up": (1,)})
    assert {array.dtype.kind for array in found.values()} == {"f"}


def _unpack(unpack: Callable[[bytes, Path], Path], content: bytes, folder: Path) -> None:
    target = folder / "out"
    try:
        unpack(content, target)
    except Exception:
        assert not target.exists(), "something was written of an archive that was refused"
        raise
    assert all(path.is_file() and not path.is_symlink() and path.parent == target for path in target.rglob("*"))
    assert {path.name for path in folder.iterdir()} == {"out"}


def _read_bundle(content: bytes, folder: Path) -> None:
    kind, _, changed = content.partition(b"\n")
    name = {b"golden": "golden.npz", b"graph": "linear-1.onnx", b"manifest": MANIFEST_FILE}[kind]
    files, facts, _ = _bundle()
    if name != MANIFEST_FILE:
        record = record_of(changed).model_dump()
        reported = json.dumps({**facts, "files": {**facts["files"], name: record}}).encode()
        files = {**files, MANIFEST_FILE: reported}
    for file, held in {**files, name: changed}.items():
        (folder / file).write_bytes(held)
    load_bundle(folder)


def _read_recorded(path: Path) -> None:
    file = RecordedFile(BTC, path)
    first, last = file.ends()
    assert first.tzinfo is not None
    assert last.tzinfo is not None
    file.bars()
    file.bars(datetime(2024, 3, 1, 0, 10, tzinfo=UTC), datetime(2024, 3, 1, 0, 20, tzinfo=UTC))


def _read_day(content: bytes, _folder: Path) -> None:
    found = decode(DAY, content)
    assert len(found.candles) == len(found)
    assert all(isinstance(candle.close, Decimal) for candle in found.candles)
    assert found.bars.close.dtype == np.float64


def _read_state(content: bytes, _folder: Path) -> None:
    with np.errstate(all="ignore"):
        again = FeatureStream.restore(SCHEMA, content)
        assert FeatureStream.restore(SCHEMA, again.state()).state() == again.state()
        newest = again.newest_open_time_ms
        again.update(Bar(60_000 if newest is None else newest + 60_000, 100.0, 100.0, 100.0, 100.0, 1.0))


class _Silent:
    """An ImportView that says nothing."""

    def recognised(self, found: Any) -> None: ...

    def refused(self, name: str, reason: str) -> None: ...

    def begin(self, total_bytes: int) -> None: ...

    def progress(self, done_bytes: int, name: str, rows_per_second: float) -> None: ...


def _import(content: bytes, folder: Path) -> None:
    name, _, changed = content.partition(b"\n")
    path = folder / name.decode()
    path.write_bytes(changed)
    request = ImportRequest(paths=(path,), out=folder / "lake", now=DAY.end, venue="binance", time_zone="UTC")
    result = run_import(request, Lake(FolderStore(folder / "lake")), _Silent())
    assert {one.name for one in folder.iterdir()} <= {path.name, "lake"}
    if result.refused:
        raise DataError(result.refused[0][1])
    for key in (lake := Lake(FolderStore(folder / "lake"))).days():
        assert lake.stored(key).fault is None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file: how it is changed, how it is read, how it is refused."""

    change: Changed
    read: Reader
    refusals: tuple[type[Exception], ...]
    share: int = 10  # of each hundred-odd inputs


KINDS: Final[Mapping[str, Kind]] = {
    "manifest": Kind(
        manifest, _in_file(MANIFEST_FILE, lambda path: read_manifest(path.parent)), (BundleManifestError, BundleIncompleteError)
    ),
    "golden": Kind(golden_file, _read_golden, (UnfitFileError,)),
    "graph": Kind(graph, lambda content, _: judge_graph(content), (UnfitFileError,)),
    "bundle": Kind(bundle, _read_bundle, (BundleError,), share=5),
    "archive": Kind(archive, partial(_unpack, unpack_bundle), (BundleArchiveError, BundleIncompleteError)),
    "package": Kind(package, lambda content, _: open_package(content, signed.TRUST), (PackageError,), share=5),
    "artifact": Kind(artifact, partial(_unpack, unpack_artifact), (ArtifactError,)),
    "day": Kind(day, _read_day, (DayFileError,)),
    "recorded": Kind(recorded, _in_file("BTC-USDT-1m.parquet", _read_recorded), (MarketDataError,)),
    "import": Kind(foreign, _import, (DataError,), share=5),
    "state": Kind(state, _read_state, (FeatureSchemaError,), share=5),
    "events": Kind(events, _in_file("events.jsonl", lambda path: list(read_events(path))), (AccountFileError,)),
    "evaluation": Kind(
        evaluation_file,
        lambda content, _: read_evaluation(content, "evaluation.json", source="job", at=FINISHED),
        (ArtifactError,),
    ),
}  # fmt: skip
ORDER: Final = tuple(name for turn in range(10) for name, kind in KINDS.items() if turn < kind.share)


def changed(number: int, seed: int) -> tuple[str, bytes]:
    """Return the input of a number: its kind and its bytes. The same for the same seed, whatever came before it."""
    name = ORDER[number % len(ORDER)]
    return name, KINDS[name].change(np.random.default_rng([seed, number]))


def taken(name: str, content: bytes, folder: Path) -> bool:
    """Return whether a reader took it; anything but its own refusal, or more time than a file may take, is raised."""
    kind = KINDS[name]
    began = time.process_time()
    try:
        kind.read(content, folder)
    except kind.refusals:
        return False
    finally:
        if (used := time.process_time() - began) > CPU_SECONDS:
            raise TimeoutError(f"expected at most {CPU_SECONDS} s, got {used:.1f} s")
        _emptied(folder)
    return True


def _emptied(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def fuzz(numbers: range, seed: int, *, begun: Callable[[int], None] = lambda _: None) -> Fuzzed:
    """Give the inputs of these numbers to their readers, one after the other, in this process."""
    found = Fuzzed()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for number in numbers:
            name, content = changed(number, seed)
            found.inputs += 1
            begun(number)
            try:
                outcome = found.read if taken(name, content, folder) else found.refused
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                found.escaped.append((number, name, f"{type(error).__name__}: {error}"[:200]))
                _emptied(folder)
                continue
            outcome[name] += 1
    return found


def _resident_mib(what: str) -> float:
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith(what)) / 1024


def _batch(first: int, count: int, seed: int, place: Path) -> None:
    """Run one batch in this process, under a limit of memory; `place` gets the number of the input in hand, and the result."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as scratch:
        _read_bundle(b"graph\n" + _graphs()[0], Path(scratch))  # what is loaded and made once
    for name in KINDS:
        KINDS[name].change(np.random.default_rng(0))
    before = _resident_mib("VmRSS")
    with place.open("r+b", buffering=0) as reported:

        def begun(number: int) -> None:
            reported.seek(0)
            reported.write(b"%020d" % number)
            signal.setitimer(signal.ITIMER_PROF, 2 * CPU_SECONDS)  # of computing, so that a busy machine fails nothing

        found = fuzz(range(first, first + count), seed, begun=begun)
        signal.setitimer(signal.ITIMER_PROF, 0.0)
    grown = _resident_mib("VmHWM") - before
    if grown > PEAK_MIB:
        found.escaped.append((first, "a batch", f"expected at most {PEAK_MIB:.0f} MiB, got {grown:.0f} MiB"))
    print(json.dumps([found.inputs, found.read, found.refused, found.escaped, grown]))  # noqa: T201 - to the parent


def batches(count: int, seed: int, first: int = 0) -> Iterator[Fuzzed]:
    """Yield what became of each batch; a process that ends or hangs is an escape of the input in hand, and the rest goes on."""
    end = first + count
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "number"
        while first < end:
            size = min(BATCH, end - first)
            place.write_bytes(b"%020d" % first)
            command = [sys.executable, "-m", "tests.fuzz_files", "batch", str(first), str(size), str(seed), str(place)]
            try:
                done = subprocess.run(
                    command, cwd=CORPUS.parents[2], capture_output=True, text=True, timeout=WALL_SECONDS, check=False
                )
                how = "" if done.returncode == 0 else _ended(done)
            except subprocess.TimeoutExpired:
                done, how = None, f"nothing came back for {WALL_SECONDS:.0f} s"
            if done is not None and not how:
                inputs, read, refused, escaped, grown = json.loads(done.stdout.splitlines()[-1])
                yield Fuzzed(inputs, Counter(read), Counter(refused), [(n, k, e) for n, k, e in escaped], grown)
                first += size
                continue
            at = int(place.read_bytes())
            # what came before it went well, or is found again: it is run again without the one that ended the process
            yield from batches(at - first, seed, first) if at > first else ()
            yield Fuzzed(1, escaped=[(at, ORDER[at % len(ORDER)], how)])
            first = at + 1


def _ended(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"the process ended by {signal.Signals(-done.returncode).name}"
    return f"the process ended: {done.stderr.strip()[-150:]}"


def keep(number: int, seed: int) -> Path:
    """Write an input into the corpus and return its place."""
    name, content = changed(number, seed)
    path = CORPUS / name / f"found-{sha256(content).hexdigest()[:12]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def corpus() -> list[tuple[str, Path]]:
    """Return every kept file with its kind."""
    return [(path.parent.name, path) for path in sorted(CORPUS.glob("*/*")) if path.is_file()]


def main() -> int:
    """Fuzz as the command line asks; 1 when something escaped."""
    if sys.argv[1] == "batch":
        _batch(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
        return 0
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    began = time.perf_counter()
    total, kept = Fuzzed(), set[str]()
    for found in batches(count, seed):
        total.inputs += found.inputs
        total.read.update(found.read)
        total.refused.update(found.refused)
        total.escaped += found.escaped
        total.peak_mib = max(total.peak_mib, found.peak_mib)
        print(f"{total.inputs} of {count} inputs, {len(total.escaped)} escaped", file=sys.stderr, flush=True)  # noqa: T201
        for number, name, error in found.escaped:
            if (what := f"{name} {error[:60]}") not in kept and name in KINDS and len(kept) < 50:
                kept.add(what)
                keep(number, seed)
    reported = {
        "inputs": total.inputs, "seed": seed, "read": total.read.total(), "refused": total.refused.total(),
        "escaped": len(total.escaped), "read_by_kind": total.read, "refused_by_kind": total.refused,
        "grown_mib": round(total.peak_mib), "seconds": round(time.perf_counter() - began, 1), "examples": total.escaped[:20],
    }  # fmt: skip
    print(json.dumps(reported))  # noqa: T201 - its output
    return 1 if total.escaped else 0


if __name__ == "__main__":
    sys.exit(main())
