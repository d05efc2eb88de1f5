"""Bytecode in the layers: made by Lambda's Python where it is, left out where it is not, and read instead of the source."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from cdk import layer_build
from cdk.bytecode import BytecodeError, Compiler, compile_parts, find_compiler, missing_compiler, own_compiler
from cdk.layer_build import build_layer
from cdk.sources import SourceTree

pytestmark = pytest.mark.infra

HERE = ".".join(platform.python_version_tuple()[:2])


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    """The interpreter of the tests, under the name that a system gives it."""
    program(tmp_path, HERE, f'exec {sys.executable} "$@"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = find_compiler(HERE)
    assert found is not None
    return found


def program(folder: Path, version: str, line: str) -> None:
    path = folder / f"python{version}"
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def part(folder: Path, source: str) -> Path:
    (folder / "python").mkdir(parents=True)
    (folder / "python" / "answer.py").write_text(source)
    return folder


def imported(folder: Path) -> str:
    script = f"import sys; sys.path.insert(0, {str(folder / 'python')!r}); import answer; print(answer.VALUE)"
    return subprocess.run([sys.executable, "-B", "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def test_only_the_same_python_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: Compiler) -> None:
    assert compiler.version == f"cpython {platform.python_version()}"
    assert missing_compiler(HERE) is None
    program(tmp_path, "3.99", "echo cpython 3.98.1")
    assert find_compiler("3.99") is None
    program(tmp_path, "3.99", "echo pypy 3.99.1")
    assert find_compiler("3.99") is None
    program(tmp_path, "3.99", "exit 1")
    assert find_compiler("3.99") is None
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert find_compiler(HERE) is None
    assert missing_compiler(HERE) == (
        f"no python{HERE} on the path: the layers have no bytecode, and functions start cold in about twice the time"
    )


def test_bytecode_is_read_and_the_source_not_looked_at(tmp_path: Path, compiler: Compiler) -> None:
    ours = part(tmp_path / "ours", "VALUE = 1\n")
    layer = layer_build.BuiltLayer((ours,), "digest", 0, compile_parts("core", [ours], compiler, tmp_path / "cache"))
    layer.copy_to(tmp_path / "layer")
    (tmp_path / "layer" / "python" / "answer.py").write_text("VALUE = 2\n")
    assert imported(tmp_path / "layer") == "1"


def test_a_file_of_another_python_stays_without_bytecode(tmp_path: Path, compiler: Compiler) -> None:
    ours = part(tmp_path / "ours", "VALUE = 1\n")
    (ours / "python" / "template.py").write_text("this is {{ no }} Python\n")
    made = compile_parts("core", [ours], compiler, tmp_path / "cache")
    assert [path.name.split(".")[0] for path in made.rglob("*.pyc")] == ["answer"]


def test_an_interpreter_that_compiles_nothing_stops_the_synth(tmp_path: Path, compiler: Compiler) -> None:
    ours = part(tmp_path / "ours", "VALUE = \n")
    with pytest.raises(BytecodeError, match="compiled nothing of layer core"):
        compile_parts("core", [ours], compiler, tmp_path / "cache")


def test_a_layer_with_bytecode_is_another_layer_and_its_size_counts(tmp_path: Path, compiler: Compiler) -> None:
    part(tmp_path / "tree" / "layers" / "core", "VALUE = 1\n")
    (tmp_path / "tree" / "layers" / "core" / "requirements.txt").write_text("")
    sources = SourceTree(tmp_path / "tree")
    part(sources.layer_cache / f"core-{layer_build._key(sources.lock('core'))}", "OTHER = 1\n")
    plain = build_layer("core", sources, with_dependencies=True)
    compiled = build_layer("core", sources, with_dependencies=True, compiler=compiler)
    assert plain.bytecode is None
    assert compiled.bytecode is not None
    assert compiled.digest != plain.digest
    assert compiled.unzipped_bytes == plain.unzipped_bytes + sum(p.stat().st_size for p in compiled.bytecode.rglob("*.pyc"))
    assert build_layer("core", sources, with_dependencies=True, compiler=compiler) == compiled


def test_a_layer_of_packages_alone_has_no_bytecode_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "layers" / "chat").mkdir(parents=True)
    (tmp_path / "layers" / "chat" / "requirements.txt").write_text("")
    built = build_layer("chat", SourceTree(tmp_path), with_dependencies=False, compiler=own_compiler())
    assert built.bytecode is None
