"""Cold starts of the functions: a fresh process imports each handler with the environment of its template.

What is measured is CPU time, in units of this machine (unit.py), because other work on its cores slows both alike. A function
has a share of a vCPU by its memory (1,769 MB: all of it), so its initialisation takes the CPU time by that share: the slow
end, as Lambda gives more at the start, and says nowhere how much. What is here and not on Lambda: this machine, its
Python and the wheels for it. What is on Lambda and not here: the runtime's own start, and reading the layers from a cold disk.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from local.bench.unit import unit_sample_us
from local.cloud.assembly import read_stacks, synthesise
from local.errors import WorkbenchError
from local.settings import REGION, Settings, load_settings
from signalbox.contracts import PRODUCT, Function

VCPU_MEGABYTES: Final = 1769
REFERENCE_UNIT_US: Final = 3.4  # the unit on the machine of docs/performance.md when it is idle: stands for a vCPU
_UNIT_SAMPLES: Final = 300
GOAL_SECONDS: Final = 2.0  # of a ledger function, at its memory
_START: Final = "import sys; sys.path[:0] = sys.argv[1:]; import handler"
_HEAVY: Final = (
    "import sys; sys.path[:0] = sys.argv[1:]\nbefore = set(sys.modules)\nimport handler\nprint(len(set(sys.modules) - before))"
)


@dataclass(frozen=True, slots=True)
class ColdStart:
    """A function's cold start in seconds. cpu: on this machine; init: at the function's memory; plain: without bytecode."""

    function: str
    is_ledger: bool
    megabytes: int
    modules: int
    unit_us: float  # of this machine while it was measured, see unit.py
    cpu_plain: float
    cpu_compiled: float
    init_plain: float
    init_compiled: float


@dataclass(frozen=True, slots=True)
class Deployed:
    """The settings of a function in its template."""

    function: Function
    megabytes: int
    environment: Mapping[str, str]
    is_ledger: bool


def deployed_functions(settings: Settings) -> list[Deployed]:
    """Return the functions of the stage `local`, by name, with placeholders for values that only a deployment has."""
    found = []
    for stack in read_stacks(synthesise(settings)):
        resources: dict[str, Any] = json.loads(stack.template_file.read_text(encoding="utf-8"))["Resources"]
        for body in resources.values():
            name = body["Properties"].get("FunctionName") if body["Type"] == "AWS::Lambda::Function" else None
            if isinstance(name, str):
                variables = body["Properties"]["Environment"]["Variables"]
                texts = {key: _text(value) for key, value in variables.items()}
                function = Function(name.removeprefix(f"{PRODUCT}-local-").replace("-", "_"))
                found.append(Deployed(function, int(body["Properties"]["MemorySize"]), texts, "VpcConfig" in body["Properties"]))
    return sorted(found, key=lambda one: one.function)


def _text(value: Any) -> str:
    """Return a value of a template as text, with a placeholder for each part that only a deployment knows."""
    match value:
        case str():
            return value
        case {"Fn::Join": [joint, parts]}:
            return str(joint).join(map(_text, parts))
        case {"Fn::GetAtt": [_, "Arn"]}:
            return "arn:aws:iam::000000000000:role/placeholder"
        case _:
            return "placeholder"


def measure(settings: Settings, functions: Sequence[Function], repeats: int) -> Iterator[ColdStart]:
    """Yield the start of each function, the fastest of `repeats`. Raises WorkbenchError if one cannot be imported."""
    wanted = [one for one in deployed_functions(settings) if one.function in functions]
    with tempfile.TemporaryDirectory() as folder:
        compiled, plain = Path(folder) / "compiled", Path(folder) / "plain"
        for one in wanted:  # everything is compiled once, as a layer with bytecode would have it
            _start(settings, one, compiled, _START, writes=True)
        shutil.copytree(compiled, plain)
        for shipped in _layers(settings):  # the runtime's own library has its bytecode in any case
            shutil.rmtree(plain / shipped.relative_to("/"), ignore_errors=True)
        for one in wanted:
            modules = int(_start(settings, one, compiled, _HEAVY)[1])
            slow = min(_start(settings, one, plain, _START)[0] for _ in range(repeats))
            fast = min(_start(settings, one, compiled, _START)[0] for _ in range(repeats))
            unit = median(unit_sample_us() for _ in range(_UNIT_SAMPLES))
            scale = REFERENCE_UNIT_US / unit / min(one.megabytes / VCPU_MEGABYTES, 1.0)
            yield ColdStart(
                one.function.value, one.is_ledger, one.megabytes, modules, unit, slow, fast, slow * scale, fast * scale
            )


def _layers(settings: Settings) -> tuple[Path, ...]:
    """Return the folders that stand for layers: our library, and the packages of this environment."""
    return settings.repository / "layers" / "core" / "python", Path(sysconfig.get_paths()["purelib"])


def _start(settings: Settings, one: Deployed, cache: Path, script: str, *, writes: bool = False) -> tuple[float, str]:
    """Run a script that imports the handler in a fresh process; return its CPU seconds and what it printed."""
    flags = ["-I", "-S", "-X", f"pycache_prefix={cache}", *([] if writes else ["-B"])]
    paths = [str(settings.repository / "lambdas" / one.function.value), *map(str, _layers(settings))]
    environment = {**settings.base_env, **one.environment, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, *flags, "-c", script, *paths]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise WorkbenchError(f"{one.function.value} cannot be imported: {done.stderr.strip().splitlines()[-1]}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, done.stdout


def run_cold_start_bench(functions: Sequence[Function], repeats: int, *, json_output: bool) -> bool:
    """Measure and print; return whether every ledger function meets the goal with the shipped package."""
    found = list(measure(load_settings(), functions or tuple(Function), repeats))
    if json_output:
        print(json.dumps({"goal_seconds": GOAL_SECONDS, "functions": [asdict(one) for one in found]}, indent=2))
    else:
        print(f"{'function':<18} {'MB':>5} {'modules':>8} {'CPU, plain':>11} {'bytecode':>9} {'init, plain':>12} {'bytecode':>9}")
        for one in found:
            print(
                f"{one.function:<18} {one.megabytes:>5} {one.modules:>8} {one.cpu_plain:>9.2f} s {one.cpu_compiled:>7.2f} s"
                f" {one.init_plain:>10.2f} s {one.init_compiled:>7.2f} s"
            )
    return all(one.init_plain <= GOAL_SECONDS for one in found if one.is_ledger)
