"""Files that want more than they weigh, other files, or another's code: what `load_bundle` and the unpackers must refuse."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.unit.inference.tiny_bundle import WIDTH, expected, golden, rows

HUGE = 10**12
EXTERNAL = "weights-outside.bin"


def npz(packing: int = zipfile.ZIP_STORED, **files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as out:
        for name, content in files.items():
            out.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def npy(header: str, numbers: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + numbers


def npy_of(shape: str, kind: str = "<f4", numbers: bytes = b"") -> bytes:
    return npy(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}", numbers)


def graph(nodes: list[Any], initializers: list[Any]) -> bytes:
    """A member of row features: `logit` is the sum of a row and of whatever the nodes make of it as `t`."""
    nodes = [
        *nodes,
        helper.make_node("ReduceSum", ["features", "axis"], ["r"], keepdims=0),
        helper.make_node("Add", ["r", "t"], ["logit"]),
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, WIDTH])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array([1]), "axis"), *initializers],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    content: bytes = helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString()
    return content


def doubling(start: str, times: int, first: list[Any], initializers: list[Any]) -> bytes:
    nodes, last = list(first), start
    for number in range(times):
        nodes.append(helper.make_node("Concat", [last, last], [f"c{number}"], axis=0))
        last = f"c{number}"
    return graph([*nodes, helper.make_node("ReduceSum", [last], ["t"], keepdims=0)], initializers)


def external_data(location: str = EXTERNAL) -> bytes:
    tensor = numpy_helper.from_array(np.zeros(1, np.float32), "t")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "4")):
        tensor.external_data.add(key=key, value=value)
    return graph([], [tensor])


def external_constant() -> bytes:
    tensor = numpy_helper.from_array(np.zeros(1, np.float32))
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=EXTERNAL)
    return graph([helper.make_node("Constant", [], ["t"], value=tensor)], [])


def endless_loop() -> bytes:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["x", "x"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    loop = helper.make_node("Loop", ["times", "yes", "x0"], ["t"], body=body)
    given = {"times": np.array(2**62), "yes": np.array(True), "x0": np.ones(1, np.float32)}
    return graph([loop], [numpy_helper.from_array(value, name) for name, value in given.items()])


ROWS = rows(8)
ONE = npy_of("(1,)", "<f8", bytes(8))
K = numpy_helper.from_array(np.ones(1000, np.float32), "k")
FLAT = [helper.make_node("Reshape", ["features", "flat"], ["f"])]
GOLDENS: dict[str, Callable[[], bytes]] = {
    "header of 10^12 rows": lambda: npz(features=npy_of(f"({HUGE}, {WIDTH})"), probability_up=npy_of(f"({HUGE},)", "<f8")),
    "rows of no width, 10^12 of them": lambda: npz(features=npy_of(f"({HUGE}, 0)"), probability_up=npy_of(f"({HUGE},)", "<f8")),
    "quarter of a gigabyte of zeros, deflated": lambda: npz(
        zipfile.ZIP_DEFLATED,
        features=npy_of(f"({2**26}, 1)", numbers=bytes(2**28)),
        probability_up=ONE,
    ),
    "LZMA": lambda: npz(zipfile.ZIP_LZMA, features=npy_of("(1, 1)", numbers=bytes(4)), probability_up=ONE),
    "negative shape": lambda: npz(features=npy_of("(-1, -4)", numbers=bytes(16)), probability_up=ONE),
    "text": lambda: npz(features=npy_of("(1, 1)", "<U9", bytes(36)), probability_up=ONE),
    "pickle": lambda: golden(np.array([{"a": 1}], dtype=object), np.zeros(1)),
    "header in brackets without end": lambda: npz(features=npy("(" * 9000), probability_up=npy("[" * 9000)),
    "header of a sum": lambda: npz(features=npy("-" * 9000 + "1"), probability_up=ONE),
    "nine thousand dimensions": lambda: npz(
        features=npy_of("(" + "1," * 4000 + ")", numbers=bytes(4)), probability_up=npy_of("(1,)")
    ),
    "too many arrays": lambda: npz(zipfile.ZIP_STORED, **{f"a{i}": npy_of("(0,)") for i in range(9)}),
    "NaN": lambda: golden(ROWS * np.nan, expected(ROWS)),
}
GRAPHS: dict[str, Callable[[], bytes]] = {
    "data outside the file": external_data,
    "data outside the folder": lambda: external_data("../../../../../../../../etc/hostname"),
    "constant outside the file": external_constant,
    "constants that double while it loads": lambda: doubling("k", 20, [], [K]),
    "rows that double while it runs": lambda: doubling("f", 26, FLAT, [numpy_helper.from_array(np.array([-1]), "flat")]),
    "gigabytes of one number": lambda: graph(
        [helper.make_node("ConstantOfShape", ["s"], ["b"]), helper.make_node("ReduceSum", ["b"], ["t"], keepdims=0)],
        [numpy_helper.from_array(np.array([2**30]), "s")],
    ),
    "loop without end": endless_loop,
    "operator of somebody": lambda: graph([helper.make_node("Gelu", ["k"], ["t"], domain="com.microsoft")], [K]),
    "nothing": lambda: b"",
    "half a message": lambda: b"\x3a\xff\xff\xff\xff\x0f",
    "number without end": lambda: b"\xff" * 40,
}


def zip_of_a_million_names() -> bytes:
    """An archive whose directory alone fills memory: 46 bytes an entry, all of one file."""
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * 1_000_000
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 60, 60, len(directory), len(local), 0)
    return local + directory + end


def tar_of_names_in_names(depth: int = 3000) -> bytes:
    """GNU long names, each of the next: tarfile follows them by calling itself."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.GNU_FORMAT) as out:
        for _ in range(depth):
            name = tarfile.TarInfo("././@LongLink")
            name.type, name.size = tarfile.GNUTYPE_LONGNAME, 2
            out.addfile(name, io.BytesIO(b"a\0"))
        out.addfile(tarfile.TarInfo("a"), io.BytesIO())
    return buffer.getvalue()
