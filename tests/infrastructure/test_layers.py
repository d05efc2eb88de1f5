"""What the layers hold: the versions that were tested, nothing that is not used, and not too much of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.markers import Marker

from cdk.constructs.function import FunctionTooLargeError, require_size
from cdk.constructs.layers import RUNTIME, LayerName
from cdk.layer_build import VENUES, IndexUnreachableError, build_layer, strip_packages
from cdk.sources import REPOSITORY, SourceTree
from cdk.stage import PYTHON_VERSION
from signalbox.adapters.venues.ccxt_alternative import KINDS
from signalbox.adapters.venues.ccxt_candles import CCXT_IDS
from signalbox.contracts import Function
from tests.fakes.candle_venues import FORMS

pytestmark = pytest.mark.infra

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)(?: ; ([^\\]+))?", re.MULTILINE)
LAMBDA = {
    "python_version": PYTHON_VERSION,
    "python_full_version": f"{PYTHON_VERSION}.0",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "os_name": "posix",
}
USES = {
    Function.COLLECT_CANDLES: (LayerName.CORE, LayerName.EXCHANGE),
    Function.EXECUTE_ORDERS: (LayerName.CORE, LayerName.EXCHANGE),
    Function.GENERATE_SIGNALS: (LayerName.CORE, LayerName.INFERENCE),
    Function.COMPACT_CANDLES: (LayerName.CORE, LayerName.DATA),
    Function.SEND_ALERTS: (LayerName.CORE, LayerName.CHARTS),
    Function.COLLECT_ALTERNATIVE: (LayerName.CORE, LayerName.EXCHANGE),
    Function.TELEGRAM_BOT: (LayerName.CORE, LayerName.CHAT, LayerName.CHARTS),
}


def _pins(text: str) -> dict[str, str]:
    """The versions a lock gives to the Lambda platform."""
    return {
        name: version for name, version, marker in _PIN.findall(text) if not marker or Marker(marker.strip()).evaluate(LAMBDA)
    }


@pytest.mark.parametrize("layer", LayerName)
def test_versions_are_those_of_the_tested_lock(layer: LayerName) -> None:
    tested = _pins((REPOSITORY / "requirements" / "run.lock").read_text())
    locked = _pins(SourceTree().lock(layer).read_text())
    assert locked
    assert {name: tested.get(name) for name in locked} == locked


@pytest.mark.parametrize("layer", LayerName)
def test_lock_has_hashes_and_no_address(layer: LayerName) -> None:
    text = SourceTree().lock(layer).read_text()
    assert "://" not in text
    assert "--index" not in text
    for block in re.split(r"\n(?=[a-zA-Z])", text.strip()):
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_boto3_is_the_runtimes() -> None:
    assert not {"boto3", "botocore"} & {name for layer in LayerName for name in _pins(SourceTree().lock(layer).read_text())}


def test_runtime_and_wheels_are_of_one_python() -> None:
    assert RUNTIME.name == f"python{PYTHON_VERSION}"


def test_a_layer_without_dependencies_is_the_library_alone() -> None:
    built = build_layer(LayerName.CORE, SourceTree(), with_dependencies=False)
    assert [part.name for part in built.parts] == ["core"]
    assert (built.parts[0] / "python" / "signalbox" / "contracts.py").exists()
    assert built.unzipped_bytes < 5_000_000


@pytest.fixture(scope="module")
def built_sizes() -> dict[LayerName, int]:
    try:
        return {layer: build_layer(layer, SourceTree(), with_dependencies=True).unzipped_bytes for layer in LayerName}
    except IndexUnreachableError as error:
        pytest.skip(f"the wheels of the layers are not in .signalbox/layers and no package index answers: {error}")


@pytest.mark.parametrize("function", USES)
def test_functions_fit_with_their_layers(built_sizes: dict[LayerName, int], function: Function) -> None:
    assert sum(built_sizes[layer] for layer in USES[function]) <= 200_000_000


def test_built_layers_hold_lambda_wheels_and_no_leftovers(built_sizes: dict[LayerName, int]) -> None:
    for layer in LayerName:
        python = build_layer(layer, SourceTree(), with_dependencies=True).parts[1] / "python"
        natives = {path.name for path in python.rglob("*.so")}
        assert natives or layer is LayerName.CHAT  # which is Python alone
        assert not [name for name in natives if "cpython-" in name and "cpython-314-x86_64" not in name]
        assert not [*python.rglob("tests"), *python.rglob("__pycache__"), *python.rglob("*.pyi")]


def test_the_core_layer_knows_the_days_of_prague_without_the_machine(built_sizes: dict[LayerName, int]) -> None:
    assert built_sizes[LayerName.CORE] > 0
    python = build_layer(LayerName.CORE, SourceTree(), with_dependencies=True).parts[1] / "python"
    code = "import zoneinfo; print(len(zoneinfo.TZPATH), zoneinfo.ZoneInfo('Europe/Prague').key)"
    script = f"import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p] + [{str(python)!r}]; {code}"
    command = [sys.executable, "-S", "-B", "-c", script]  # -B: the folder is what is deployed, and the next run looks at it
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONTZPATH": ""})
    assert (done.returncode, done.stdout.split()) == (0, ["0", "Europe/Prague"]), done.stderr


def test_a_function_that_is_too_large_stops_the_synth_with_its_sizes() -> None:
    with pytest.raises(
        FunctionTooLargeError, match=r"collect_candles: expected at most 1 MB unzipped, got layer core 2\.0 MB, code"
    ):
        require_size(Function.COLLECT_CANDLES, {"layer core": 2_000_000, "code": 1}, megabytes=1)


def _copied(tmp_path: Path, *packages: str) -> Path:
    for package in packages:
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        folder = Path(spec.origin).parent
        shutil.copytree(folder, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
        for libraries in folder.parent.glob("*.libs"):  # where auditwheel puts the shared libraries of a wheel
            if not (tmp_path / libraries.name).exists():
                shutil.copytree(libraries, tmp_path / libraries.name)
    strip_packages(tmp_path)
    return tmp_path


def _run(target: Path, code: str) -> str:
    script = f"import sys; sys.path.insert(0, {str(target)!r}); {code}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_venue_that_the_pages_promise_is_in_the_layer() -> None:
    promised = {CCXT_IDS.get(form.name, form.name) for form in FORMS} | set(KINDS)
    assert promised <= VENUES


def test_stripped_ccxt_imports_and_has_its_venues(tmp_path: Path) -> None:
    target = _copied(tmp_path, "ccxt")
    found = _run(target, "import ccxt; print(ccxt.__file__, *sorted(ccxt.exchanges))").split()
    assert Path(found[0]).is_relative_to(target)
    assert set(found[1:]) == VENUES
    for venue in sorted(VENUES):
        assert _run(target, f"import ccxt; print(ccxt.{venue}().id)") == venue
    assert not (target / "ccxt" / "pro").exists()


def test_stripped_pyarrow_reads_and_writes_the_lakes_files(tmp_path: Path) -> None:
    target = _copied(tmp_path, "numpy", "pyarrow")
    library = REPOSITORY / "layers" / "core" / "python"
    code = f"""
sys.path.insert(0, {str(library)!r})
import datetime, pyarrow
from signalbox.adapters.lake.day_file import decode, encode
from signalbox.market.lake import DayKey, SeriesKey
key = DayKey(SeriesKey('coinbase', 'BTC-USD'), datetime.date(2024, 3, 1))
print(pyarrow.__file__, len(decode(key, encode(key, [], key.end))))"""
    file, rows = _run(target, code).split()
    assert Path(file).is_relative_to(target)
    assert rows == "0"
    assert not (target / "pyarrow" / "include").exists()


def test_parquet_and_inference_never_meet() -> None:
    assert not [function for function, layers in USES.items() if {LayerName.DATA, LayerName.INFERENCE} <= set(layers)]


def test_stripped_packages_of_inference_still_work(tmp_path: Path) -> None:
    target = _copied(tmp_path, "numpy", "talib", "onnxruntime")
    code = "import numpy, talib, onnxruntime; print(numpy.__file__, talib.RSI(numpy.arange(40.0), 14)[-1])"
    file, value = _run(target, code).split()
    assert Path(file).is_relative_to(target)
    assert float(value) == pytest.approx(100.0)
