"""Cold starts of the functions: a fresh process imports each handler with the environment of its template.

What is measured is CPU time, in units of this machine (unit.py), because other work on its cores slows both alike. A function
has a share of a vCPU by its memory (1,769 MB: all of it), so its initialisation takes the CPU time by that share: the slow
end, as Lambda gives more at the start, and says nowhere how much. What is here and not on Lambda: this machine, its
Python and the wheels for it. What is on Lambda and not here: the runtime's own start, and reading the layers from a cold disk.

A package that is in no layer of the function is refused, as Lambda would not have it: here TA-Lib finds pandas, and loads it.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
RUNTIME: Final = frozenset(  # what Lambda brings
    {"boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3", "simplejson"}
)
_OWN: Final = frozenset({"signalbox", "handler"})
_START: Final = """
import sys
allowed, sys.path[:0] = {*sys.argv[1].split(",")}, sys.argv[2:]
class Shipped:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in allowed and top not in sys.stdlib_module_names and not top.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(f"{top} is in no layer of this function", name=top)
sys.meta_path.insert(0, Shipped())
before = {*sys.modules}
import handler
"""
_MODULES: Final = f"{_START}\nprint(*sorted({{*sys.modules}} - before))"


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
    layers: tuple[str, ...]  # the folders of `layers/`


def deployed_functions(settings: Settings) -> list[Deployed]:
    """Return the functions of the stage `local`, by name, with placeholders for values that only a deployment has."""
    stacks = read_stacks(synthesise(settings))
    return functions_of([json.loads(stack.template_file.read_text(encoding="utf-8")) for stack in stacks])


def functions_of(templates: Iterable[Mapping[str, Any]]) -> list[Deployed]:
    """Return the functions in the templates of the stage `local`, as `deployed_functions`."""
    found = []
    for template in templates:
        resources: dict[str, Any] = template["Resources"]
        for body in resources.values():
            name = body["Properties"].get("FunctionName") if body["Type"] == "AWS::Lambda::Function" else None
            if isinstance(name, str):
                variables = body["Properties"]["Environment"]["Variables"]
                texts = {key: _text(value) for key, value in variables.items()}
                function = Function(name.removeprefix(f"{PRODUCT}-local-").replace("-", "_"))
                layers = tuple(
                    resources[one["Ref"]]["Properties"]["Description"].removeprefix(f"{PRODUCT} ")
                    for one in body["Properties"]["Layers"]
                )
                memory, is_ledger = int(body["Properties"]["MemorySize"]), "VpcConfig" in body["Properties"]
                found.append(Deployed(function, memory, texts, is_ledger, layers))
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
            modules = len(_start(settings, one, compiled, _MODULES)[1].split())
            slow = min(_start(settings, one, plain, _START)[0] for _ in range(repeats))
            fast = min(_start(settings, one, compiled, _START)[0] for _ in range(repeats))
            unit = median(unit_sample_us() for _ in range(_UNIT_SAMPLES))
            scale = REFERENCE_UNIT_US / unit / min(one.megabytes / VCPU_MEGABYTES, 1.0)
            yield ColdStart(
                one.function.value, one.is_ledger, one.megabytes, modules, unit, slow, fast, slow * scale, fast * scale
            )


def loaded_modules(settings: Settings, function: Deployed, cache: Path) -> frozenset[str]:
    """Return the names of the modules that a cold start loads. cache: a folder for bytecode."""
    return frozenset(_start(settings, function, cache, _MODULES, writes=True)[1].split())


def shipped_modules(settings: Settings, layers: Sequence[str]) -> frozenset[str]:
    """Return the top-level modules that a function with these layers can import, beside the standard library."""
    pins = {
        _normal(name)
        for layer in layers
        for name in re.findall(
            r"^([A-Za-z0-9._-]+)==", (settings.repository / "layers" / layer / "requirements.txt").read_text(), re.MULTILINE
        )
    }
    found = importlib.metadata.packages_distributions()
    return RUNTIME | _OWN | {module for module, names in found.items() if pins & {_normal(name) for name in names}}


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


def _layers(settings: Settings) -> tuple[Path, ...]:
    """Return the folders that stand for layers: our library, and the packages of this environment."""
    return settings.repository / "layers" / "core" / "python", Path(sysconfig.get_paths()["purelib"])


def _start(settings: Settings, one: Deployed, cache: Path, script: str, *, writes: bool = False) -> tuple[float, str]:
    """Run a script that imports the handler in a fresh process; return its CPU seconds and what it printed."""
    flags = ["-I", "-S", "-X", f"pycache_prefix={cache}", *([] if writes else ["-B"])]
    paths = [str(settings.repository / "lambdas" / one.function.value), *map(str, _layers(settings))]
    environment = {**settings.base_env, **one.environment, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, *flags, "-c", script, ",".join(sorted(shipped_modules(settings, one.layers))), *paths]
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
