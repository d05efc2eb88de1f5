"""Checks of a bundle's files by what they declare, before they are read: zip directories, npz headers, ONNX graphs.

No number that a file declares is trusted: it is compared with the bytes that exist, or with a limit.
Formats: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (4.3.16), numpy.lib.format, and onnx.proto of ONNX 1.x.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from signalbox.errors import SignalboxError
from signalbox.limits import (
    MAX_ARRAY_BYTES,
    MAX_ARRAY_FILES,
    MAX_BUNDLE_FIELDS,
    MAX_BUNDLE_NODES,
    MAX_GRAPH_BYTES,
    MAX_GRAPH_DEPTH,
    MAX_GRAPH_FIELDS,
    MAX_GRAPH_NODES,
    MAX_ZIP_DIRECTORY_BYTES,
)

_END: Final = struct.Struct("<4sHHHHIIH")  # end of central directory, without a comment
_PACKINGS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})  # LZMA may allocate gigabytes at its start
_NUMBERS: Final = frozenset({"<f4", "<f8"})
MAX_DIMENSIONS: Final = 4
_NPY_VERSIONS: Final = frozenset({(1, 0), (2, 0)})
Floats: TypeAlias = NDArray[np.float64] | NDArray[np.float32]


class UnfitFileError(SignalboxError):
    """A file is not of the expected kind, or declares more than the limits allow."""


def open_zip(content: bytes, *, files: int) -> zipfile.ZipFile:
    """Return an open zip of at most `files` entries. Raises UnfitFileError, and zipfile's own errors if it is damaged.

    The zip directory at the end is checked first, because zipfile reads all of it, whatever its length.
    """
    end = content[-_END.size :]
    if len(end) < _END.size or not end.startswith(b"PK\x05\x06"):
        raise zipfile.BadZipFile("the data is not a zip archive, is cut short, or has a comment")
    _, _, _, here, total, length, _, comment = _END.unpack(end)
    if comment or here != total or total > files:
        raise UnfitFileError(f"expected a zip of at most {files} files, got {total}, in one part and without a comment")
    if length > MAX_ZIP_DIRECTORY_BYTES:
        raise UnfitFileError(f"expected a zip directory (its file list) of at most {MAX_ZIP_DIRECTORY_BYTES} bytes, got {length}")
    opened = zipfile.ZipFile(io.BytesIO(content))
    if len(opened.infolist()) > files:
        raise UnfitFileError(f"expected a zip of at most {files} files, got {len(opened.infolist())}")
    if odd := [entry.filename for entry in opened.infolist() if entry.compress_type not in _PACKINGS or entry.flag_bits & 1]:
        raise UnfitFileError(f"expected files stored or deflated and not encrypted, but {odd[0]!r} is not")
    return opened


def read_arrays(content: bytes, dimensions: Mapping[str, tuple[int, ...]]) -> dict[str, Floats]:
    """Return arrays of an npz, all little-endian float32 or float64.

    dimensions: for each array's name, the allowed numbers of dimensions. Raises UnfitFileError for anything else, before more
    than MAX_ARRAY_BYTES are unpacked.
    """
    try:
        with open_zip(content, files=MAX_ARRAY_FILES) as opened:
            sizes = _array_sizes(opened)
            return {name: _array(opened, name, sizes, allowed) for name, allowed in dimensions.items()}
    except UnfitFileError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise a dozen error classes for damaged bytes
        raise UnfitFileError(f"not an npz with {', '.join(dimensions)}: {type(error).__name__}: {error}") from error


def require_plain_arrays(content: bytes, name: str) -> None:
    """Raise UnfitFileError unless a file is an npz of numbers alone: an array of objects is a pickle."""
    try:
        with open_zip(content, files=MAX_ARRAY_FILES) as opened:
            sizes = _array_sizes(opened)
            for file in sizes:
                _array(opened, file.removesuffix(".npy"), sizes, tuple(range(MAX_DIMENSIONS + 1)))
    except UnfitFileError as error:
        raise UnfitFileError(f"{name}: {error}") from error
    except Exception as error:  # as in read_arrays
        raise UnfitFileError(f"{name}: not an npz of numbers: {type(error).__name__}: {error}") from error


def _array_sizes(opened: zipfile.ZipFile) -> dict[str, int]:
    sizes = {entry.filename: entry.file_size for entry in opened.infolist()}
    if sum(sizes.values()) > MAX_ARRAY_BYTES:
        raise UnfitFileError(f"expected arrays of at most {MAX_ARRAY_BYTES} bytes in total, got {sum(sizes.values())}")
    return sizes


def _array(opened: zipfile.ZipFile, name: str, sizes: Mapping[str, int], allowed: tuple[int, ...]) -> Floats:
    file = f"{name}.npy"
    if file not in sizes:
        raise UnfitFileError(f"no array {name} among {', '.join(sorted(sizes))}")
    with opened.open(file) as stream:
        body = stream.read(sizes[file] + 1)  # never more than the declared size, which was checked
    shape, is_fortran, kind, rest = _npy_header(name, body)
    if len(shape) not in allowed:
        raise UnfitFileError(f"{name}: expected {' or '.join(map(str, allowed))} dimensions, got shape {shape}")
    if kind.str not in _NUMBERS:
        raise UnfitFileError(f"{name}: expected float32 or float64, got {kind}")
    if math.prod(shape) * kind.itemsize != len(rest):
        raise UnfitFileError(f"{name}: its data of {len(rest)} bytes does not fit shape {shape} of {kind}")
    return np.frombuffer(rest, kind).reshape(shape, order="F" if is_fortran else "C")


def _npy_header(name: str, body: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], bytes]:
    stream = io.BytesIO(body)
    version = np.lib.format.read_magic(stream)
    if version not in _NPY_VERSIONS:
        raise UnfitFileError(f"{name}: expected npy version 1.0 or 2.0, got {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, kind = read(stream)
    if any(size < 0 for size in shape):
        raise UnfitFileError(f"{name}: expected a shape without negative sizes, got {shape}")
    return shape, is_fortran, kind, body[stream.tell() :]


# Which fields of onnx.proto are messages that are checked too, by field number. Other fields are skipped.
_INSIDE: Final[Mapping[str, Mapping[int, str]]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 10: "tensor", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_REFUSED: Final[Mapping[str, Mapping[int, str]]] = {
    "model": {20: "training information", 25: "functions of its own"},
    "graph": {},
    "node": {},
    "attribute": {6: "a graph inside a node", 11: "a graph inside a node"},  # such a loop may run for ever
    "sparse tensor": {},
    "tensor": {13: "data outside the file"},
}
_DOMAIN: Final = 7  # of a node
_DATA_LOCATION: Final = 14  # of a tensor: 0 for data in the file, 1 for data outside
_DOMAINS: Final = frozenset({b"", b"ai.onnx", b"ai.onnx.ml"})
_TAG_BYTES, _NUMBER_BYTES = 5, 10  # longest varint; protobuf keeps 32 bits of a tag and 64 of a number


@dataclass
class GraphBudget:
    """What is left of the limits that all graphs of one bundle share.

    With limits of their own, sixty graphs could use sixty times as much.
    """

    fields: int = MAX_BUNDLE_FIELDS
    nodes: int = MAX_BUNDLE_NODES


def judge_graph(content: bytes, budget: GraphBudget | None = None) -> None:
    """Raise UnfitFileError for an ONNX file that reads other files, runs other code, loops, or is too large.

    onnxruntime would read external data from the working directory. Whether the graph is valid is left to onnxruntime.
    budget: what is left for the bundle; the graph's nodes and fields are taken from it. None: only the limits of one graph hold.
    """
    if len(content) > MAX_GRAPH_BYTES:
        raise UnfitFileError(f"expected a graph of at most {MAX_GRAPH_BYTES} bytes, got {len(content)}")
    left = budget or GraphBudget()
    most_fields, most_nodes = min(MAX_GRAPH_FIELDS, left.fields), min(MAX_GRAPH_NODES, left.nodes)
    nodes = fields = 0
    waiting = [("model", memoryview(content), 1)]
    while waiting:
        kind, message, depth = waiting.pop()
        nodes += kind == "node"
        if nodes > most_nodes or depth > MAX_GRAPH_DEPTH:
            raise UnfitFileError(f"the graph has over {most_nodes} nodes, or is nested over {MAX_GRAPH_DEPTH} levels deep")
        for field, value in _fields(message):
            fields += 1
            if fields > most_fields:
                raise UnfitFileError(f"the graph has more than {most_fields} protobuf fields")
            if field in _REFUSED[kind]:
                raise UnfitFileError(f"the graph has {_REFUSED[kind][field]}, which is not allowed")
            if kind == "tensor" and field == _DATA_LOCATION and value != 0:
                raise UnfitFileError("the graph has data outside the file, which is not allowed")
            if kind == "node" and field == _DOMAIN and bytes(_message(value)) not in _DOMAINS:
                raise UnfitFileError(f"expected operators of ONNX only, got one of domain {bytes(_message(value))[:40]!r}")
            if field in _INSIDE[kind]:
                waiting.append((_INSIDE[kind][field], _message(value), depth + 1))
    left.fields -= fields
    left.nodes -= nodes


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise UnfitFileError("not an ONNX file")
    return value


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of a protobuf message, each with its number or its bytes.

    A tag of more than 32 bits is refused: protobuf drops its upper bits and would read another field than the one checked here.
    """
    place = 0
    while place < len(message):
        tag, place = _varint(message, place, _TAG_BYTES)
        field, wire = tag >> 3, tag & 7
        if field == 0 or tag >> 32:
            raise UnfitFileError("not an ONNX file")
        if wire == 0:
            number, place = _varint(message, place)
            yield field, number
            continue
        if wire == 2:
            length, place = _varint(message, place)
        elif wire in {1, 5}:
            length = 8 if wire == 1 else 4
        else:
            raise UnfitFileError("not an ONNX file")
        if length > len(message) - place:
            raise UnfitFileError("the ONNX file is cut short")
        yield field, message[place : place + length]
        place += length


def _varint(message: memoryview, place: int, longest: int = _NUMBER_BYTES) -> tuple[int, int]:
    number = 0
    for shift in range(0, 7 * longest, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return number, place
    raise UnfitFileError("not an ONNX file")
