"""A bundle whose files want gigabytes, other files, or no end: refused by name, at a small price, and nothing else is read."""

from __future__ import annotations

import contextlib
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from signalbox.inference import (
    BundleArchiveError,
    BundleError,
    BundleManifestError,
    Workspace,
    bundle,
    load_bundle,
    unpack_bundle,
)
from signalbox.inference.judged import GraphBudget, UnfitFileError, judge_graph, read_arrays
from signalbox.library.artifact import unpack_artifact
from signalbox.library.errors import ArtifactError
from signalbox.limits import MAX_BUNDLE_FIELDS, MAX_GRAPH_FIELDS, MAX_GRAPH_TENSOR_BYTES, MAX_MANIFEST_BYTES
from tests.fakes.memory import run_measured
from tests.unit.inference import hostile
from tests.unit.inference.tiny_bundle import expected, golden, linear_member, rows, write_bundle

STARTER = Path(__file__).parents[3] / "training" / "starter_bundle"
TENSORS_MIB = MAX_GRAPH_TENSOR_BYTES / 2**20
SPECIMENS = {"golden.npz": golden(rows(8), expected(rows(8))), "linear.onnx": linear_member(1)}


def test_hostile_files_are_refused_for_the_price_of_small_ones(tmp_path: Path) -> None:
    cases = {f"golden {name}": ("golden.npz", make()) for name, make in hostile.GOLDENS.items()}
    cases |= {f"graph {name}": ("linear-1.onnx", make()) for name, make in hostile.GRAPHS.items()}
    for number, (file, content) in enumerate(cases.values()):
        write_bundle(tmp_path / "bundles" / f"{number:02}", files={file: content})
    (tmp_path / hostile.EXTERNAL).write_bytes(bytes(4))  # where onnxruntime would look for it
    reported = run_measured(
        "from pathlib import Path\nfrom signalbox.inference import load_bundle\n"
        f"reported = [measured(load_bundle, Path({str(STARTER)!r}))]\n"
        f"reported += [measured(load_bundle, path) for path in sorted(Path({str(tmp_path / 'bundles')!r}).iterdir())]",
        tmp_path,
    )
    (output, _), *found = reported
    assert output.startswith("Ensemble(")
    assert [(name, output) for name, (output, _) in zip(cases, found, strict=True) if " < BundleError < " not in output] == []
    outside = [output for name, (output, _) in zip(cases, found, strict=True) if "outside" in name]
    assert len(outside) == sum("the graph has data outside the file" in output for output in outside) == 3
    assert [(name, mib) for name, (_, mib) in zip(cases, found, strict=True) if mib > TENSORS_MIB + 64] == []
    computed = ("doubl", "one number")  # these are let run, in the bounded workspace
    dear = [(name, mib) for name, (_, mib) in zip(cases, found, strict=True) if mib > 64 and not any(c in name for c in computed)]
    assert dear == []


def test_hostile_archives_are_refused_for_the_price_of_small_ones(tmp_path: Path) -> None:
    (tmp_path / "names.zip").write_bytes(hostile.zip_of_a_million_names())
    (tmp_path / "names.tar.gz").write_bytes(hostile.tar_of_names_in_names())
    reported = run_measured(
        "from pathlib import Path\nfrom signalbox.inference import unpack_bundle\n"
        "from signalbox.library.artifact import unpack_artifact\n"
        "contents = [Path(name).read_bytes() for name in ('names.zip', 'names.tar.gz')]\n"
        "reported = [measured(run, content, Path('out')) for run, content in zip((unpack_bundle, unpack_artifact), contents)]",
        tmp_path,
    )
    (zipped, zip_mib), (tarred, tar_mib) = reported
    assert zipped.startswith("BundleArchiveError")
    assert tarred.startswith("ArtifactError")
    assert max(zip_mib, tar_mib) < 64
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workspace", Workspace)
def test_sound_bundle_says_the_same_in_each_workspace(workspace: Workspace) -> None:
    seen = rows(4, seed=3)
    windows = np.repeat(seen[:, None, :], 60, axis=1)
    np.testing.assert_array_equal(load_bundle(STARTER, workspace).predict(windows), load_bundle(STARTER).predict(windows))


def test_graph_that_fails_in_its_workspace_fails_in_every_one(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b", files={"linear-1.onnx": hostile.GRAPHS["rows that double while it runs"]()})
    with pytest.raises(BundleError):
        load_bundle(folder, Workspace.MACHINE)


@pytest.mark.parametrize("path", sorted(STARTER.glob("*.onnx")), ids=lambda path: path.stem)
def test_graphs_of_every_family_are_plain_ones(path: Path) -> None:
    judge_graph(path.read_bytes())


def test_manifest_that_is_too_long_or_too_deep_is_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b")
    for text in ('{"format": ' + "[" * 200_000, " " * (MAX_MANIFEST_BYTES + 1)):
        (folder / "manifest.json").write_text(text)
        with pytest.raises(BundleManifestError):
            load_bundle(folder)


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        for name in names:
            out.writestr(name, name)
    return buffer.getvalue()


def tarred(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as out:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = 1
            out.addfile(entry, io.BytesIO(b"x"))
    return buffer.getvalue()


@pytest.mark.parametrize("names", [("model.onnx", "MODEL.onnx"), ("manifest.json", "Manifest.json"), ("a", "b", "A")])
def test_names_that_differ_in_case_alone_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(BundleArchiveError, match="differ in more than case"):
        unpack_bundle(zipped(*names), tmp_path / "zip")
    with pytest.raises(ArtifactError, match="different names"):
        unpack_artifact(tarred(*names), tmp_path / "tar")

    def twice(content: dict[str, Any]) -> None:
        content["files"] = {**content["files"], **{name: {"sha256": "0" * 64, "size": 0} for name in names}}

    with pytest.raises(ValueError, match=r"differ in more than case|must not list itself"):
        write_bundle(tmp_path / "b", change=twice)


@pytest.mark.parametrize(
    "name", ["a.", "manifest.json.", "a..", "a ", "e\u0301", "\u00e9", "\uff41", "a\n", "a:b", "a\\b", "/a", "a" * 101]
)
def test_name_that_some_disk_writes_as_another_one_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleArchiveError):
        unpack_bundle(zipped("a", name), tmp_path / "zip")
    with pytest.raises(ArtifactError):
        unpack_artifact(tarred("a", name), tmp_path / "tar")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archive_packed_in_a_dear_way_is_refused(tmp_path: Path, packing: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as out:
        out.writestr("manifest.json", "{}")
    with pytest.raises(BundleArchiveError, match="stored or deflated"):
        unpack_bundle(buffer.getvalue(), tmp_path / "out")


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """A real file with bytes changed, cut out, doubled or put in."""
    content = bytearray(SPECIMENS[name])
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        length = draw(st.integers(1, 16))
        match draw(st.sampled_from(["change", "cut", "double", "insert", "end"])):
            case "change":
                content[at : at + length] = draw(st.binary(min_size=length, max_size=length))
            case "cut":
                del content[at : at + length]
            case "double":
                content[at:at] = content[at : at + length]
            case "insert":
                content[at:at] = draw(st.binary(min_size=1, max_size=8))
            case _:
                del content[at:]
    return bytes(content)


@given(content=damaged("golden.npz"))
def test_damaged_arrays_are_read_or_refused(content: bytes) -> None:
    try:
        found = read_arrays(content, {"features": (2, 3), "probability_up": (1,)})
    except UnfitFileError:
        return
    assert {name: array.dtype.kind for name, array in found.items()} == {"features": "f", "probability_up": "f"}


@given(content=damaged("linear.onnx") | st.binary(max_size=200))
def test_damaged_graph_is_judged_or_refused(content: bytes) -> None:
    with contextlib.suppress(UnfitFileError):
        judge_graph(content)


@given(
    place=st.sampled_from(["initializer", "constant", "sparse"]),
    location=st.text(min_size=1, max_size=30),
    nodes=st.integers(0, 5),
)
def test_data_outside_is_found_wherever_it_is(place: str, location: str, nodes: int) -> None:
    tensor = numpy_helper.from_array(np.zeros(1, np.float32), "t")
    tensor.external_data.add(key="location", value=location)
    before = [helper.make_node("Identity", ["features"], [f"i{n}"]) for n in range(nodes)]
    if place == "initializer":
        content = hostile.graph(before, [tensor])
    elif place == "constant":
        content = hostile.graph([*before, helper.make_node("Constant", [], ["t"], value=tensor)], [])
    else:
        sparse = helper.make_sparse_tensor(tensor, numpy_helper.from_array(np.zeros(1, np.int64), "i"), [1])
        content = hostile.graph([*before, helper.make_node("Constant", [], ["t"], sparse_value=sparse)], [])
    with pytest.raises(UnfitFileError, match="outside the file"):
        judge_graph(content)


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def part(number: int, content: bytes, bits: int = 0) -> bytes:
    """A protobuf field that has a length; `bits` go into its tag above the 32 that protobuf keeps."""
    return varint(bits << 32 | number << 3 | 2) + varint(len(content)) + content


def with_field(place: str, bits: int) -> bytes:
    """A sound graph with one more field, of a kind that no graph may have: protobuf puts both parts of a message together."""
    extra = {
        "data outside the file": part(7, part(5, part(13, b"", bits))),
        "a loop": part(7, part(1, part(5, part(6, b"", bits)))),
        "graphs of an attribute": part(7, part(1, part(5, part(11, b"", bits)))),
        "an operator of its own": part(7, part(1, part(7, b"its.own", bits))),
        "a graph beside the one that is judged": part(7, part(1, part(5, part(6, b""))), bits),
        "functions": part(25, b"", bits),
    }
    return SPECIMENS["linear.onnx"] + extra[place]


PLACES = (
    "data outside the file", "a loop", "graphs of an attribute", "an operator of its own",
    "a graph beside the one that is judged", "functions",
)  # fmt: skip


@given(place=st.sampled_from(PLACES), bits=st.just(0) | st.integers(1, 2**38 - 1))
def test_no_tag_hides_a_field_that_protobuf_reads(place: str, bits: int) -> None:
    with pytest.raises(UnfitFileError):
        judge_graph(with_field(place, bits))


def test_runtime_reads_a_tag_without_its_upper_bits() -> None:
    """Why the judge refuses such a tag: here it is the whole graph that has one."""
    sound = onnx.load_from_string(SPECIMENS["linear.onnx"])
    inner = sound.graph.SerializeToString()
    sound.ClearField("graph")
    content = sound.SerializeToString() + part(7, inner, bits=1)
    assert ort.InferenceSession(content, providers=["CPUExecutionProvider"]).get_inputs()
    with pytest.raises(UnfitFileError):
        judge_graph(content)


@pytest.mark.parametrize("tag", [b"\x02", b"\x80\x00", b"\xba\x80\x80\x80\x80\x00"], ids=["0", "0 in two bytes", "7 in six"])
def test_tag_that_protobuf_does_not_know_is_refused(tag: bytes) -> None:
    with pytest.raises(UnfitFileError):
        judge_graph(SPECIMENS["linear.onnx"] + tag + b"\x00")


def test_fields_are_bounded_over_all_messages() -> None:
    dimensions = b"\x08\x01" * (MAX_GRAPH_FIELDS // 2)  # of one tensor
    judge_graph(part(7, part(5, dimensions)))
    with pytest.raises(UnfitFileError, match=f"more than {MAX_GRAPH_FIELDS} protobuf fields"):
        judge_graph(part(7, part(5, dimensions) + part(5, dimensions)))


def test_fields_and_nodes_are_bounded_over_all_graphs_of_a_bundle() -> None:
    budget = GraphBudget(fields=25)
    graph = part(7, part(5, b"\x08\x01" * 10))
    judge_graph(graph, budget)
    assert budget.fields == 13
    judge_graph(graph, budget)
    with pytest.raises(UnfitFileError, match="more than 1 protobuf fields"):
        judge_graph(graph, budget)
    nodes = GraphBudget(nodes=5)
    judge_graph(part(7, part(1, b"") * 3), nodes)
    with pytest.raises(UnfitFileError, match="over 2 nodes"):
        judge_graph(part(7, part(1, b"") * 3), nodes)


def test_a_bundle_whose_graphs_together_are_too_much_is_refused_unloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_bundle(tmp_path / "two", "two")
    load_bundle(folder)
    one = GraphBudget()
    judge_graph((folder / "linear-1.onnx").read_bytes(), one)
    enough_for_one = MAX_BUNDLE_FIELDS - one.fields + 1
    monkeypatch.setattr(bundle, "GraphBudget", lambda: GraphBudget(fields=enough_for_one))
    monkeypatch.setattr(bundle, "_session", lambda *_: pytest.fail("expected no graph to be loaded"))
    with pytest.raises(BundleError, match=r"linear-2.onnx cannot be loaded as ONNX: the graph has more than 1 protobuf fields"):
        load_bundle(folder)


@given(shape=st.lists(st.integers(0, 2**40), max_size=4), numbers=st.binary(max_size=64))
def test_shape_is_never_more_than_the_numbers_that_are_there(shape: list[int], numbers: bytes) -> None:
    reported = "(" + "".join(f"{size}, " for size in shape) + ")"
    content = hostile.npz(features=hostile.npy_of(reported, "<f4", numbers))
    try:
        found = read_arrays(content, {"features": (1, 2, 3, 4)})["features"]
    except UnfitFileError:
        return
    assert (found.shape, found.nbytes) == (tuple(shape), len(numbers))
