"""The agent as it is installed on its Windows machine: one wheel with its part of the library, and what its lock names."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
AGENT = ROOT / "agents" / "mt5"
LOADED = """
import json, sys
sys.path[:0] = sys.argv[1:]
import signalbox_mt5.__main__
print(json.dumps({name: str(module.__file__) for name, module in sys.modules.items() if name.startswith("signalbox")}))
"""
HELP = """
import sys
sys.path[:0] = sys.argv[1:]
from signalbox_mt5.__main__ import main
main(["--help"])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    library = Path("layers", "core", "python", "signalbox")
    rubbish = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")  # a folder of an earlier build would be packed too
    shutil.copytree(AGENT, folder / "agents" / "mt5", ignore=rubbish)
    shutil.copytree(ROOT / library, folder / library, ignore=rubbish)
    built = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*built, "--wheel-dir", str(folder), str(folder / "agents" / "mt5")], check=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def machine(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two folders: the wheel unpacked, and of this environment what the lock names for every system, nothing else."""
    folder = tmp_path_factory.mktemp("machine")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "agent")
    (folder / "locked").mkdir()
    for line in (AGENT / "requirements.lock").read_text().splitlines():
        if "==" not in line or "sys_platform == 'win32'" in line:
            continue
        found = distribution(line.split("==")[0])
        for top in {Path(str(file)).parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            (folder / "locked" / top).symlink_to(Path(str(found.locate_file(top))))
    return [str(folder / "agent"), str(folder / "locked")]


def test_the_wheel_runs_with_nothing_but_what_its_lock_names(machine: list[str]) -> None:
    output = subprocess.run([sys.executable, "-I", "-S", "-c", HELP, *machine], check=True, capture_output=True, text=True)
    assert "--check" in output.stdout


def test_the_wheel_has_every_module_it_imports_of_the_library_and_no_other(machine: list[str], wheel: Path) -> None:
    output = subprocess.run([sys.executable, "-I", "-S", "-c", LOADED, *machine], check=True, capture_output=True, text=True)
    loaded = json.loads(output.stdout)
    assert all(file.startswith(machine[0]) for file in loaded.values())
    packed = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in zipfile.ZipFile(wheel).namelist()}
    shipped = {name for name in packed if name.split(".")[0] == "signalbox"}
    assert shipped == {name for name in loaded if name.split(".")[0] == "signalbox"}


def test_the_lock_pins_the_terminals_package_for_windows_with_its_hashes() -> None:
    lines = (AGENT / "requirements.lock").read_text().splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("metatrader5==")]
    assert "sys_platform == 'win32'" in lines[at]
    assert "--hash=sha256:" in lines[at + 1]


def test_nothing_of_the_library_knows_the_agent() -> None:
    found = [file for file in (ROOT / "layers").rglob("*.py") if "signalbox_mt5" in file.read_text(encoding="utf-8")]
    assert found == []


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_lock_is_audited_with_all_that_it_pins_for_any_machine(audit: ModuleType) -> None:
    assert "agents/mt5/requirements.lock" in audit.LOCKS
    for name in audit.LOCKS:
        lock = (ROOT / name).read_text(encoding="utf-8")
        pinned = sorted(re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*\])?==([^ ;\\]+)", lock, re.MULTILINE))
        audited = [re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE) for text in audit.unconditional(lock)]
        assert sorted(pair for file in audited for pair in file) == pinned, name
        for file in audited:
            assert len({package for package, _ in file}) == len(file)
    agent = "".join(audit.unconditional((AGENT / "requirements.lock").read_text(encoding="utf-8")))
    assert "metatrader5==" in agent
    assert "sys_platform" not in agent


@pytest.mark.parametrize("line", ["boto3>=1", "boto3==1.0", "boto3==1.0 \\\n    --hash=md5:00"])
def test_a_lock_that_pins_nothing_is_not_audited_as_if_it_did(audit: ModuleType, line: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        audit.unconditional(line)
