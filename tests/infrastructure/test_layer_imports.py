"""A function finds what it imports in its layers and the Lambda runtime, and its cold start loads no heavy package for nothing.

Counts hold it, no times: what a package costs is in docs/performance.md, cold starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from cdk.constructs.function import WHOLE_VCPU
from local.bench.cold_start import VCPU_MEGABYTES, Deployed, functions_of, loaded_modules, shipped_modules
from local.errors import WorkbenchError
from local.settings import load_settings
from signalbox.contracts import Function
from tests.infrastructure.assembly import Assembly

pytestmark = pytest.mark.infra

# Each is a tenth of a second of CPU or more. pydantic and Powertools are in every function.
HEAVY: Final = (
    "PIL", "boto3", "ccxt", "httpx", "jinja2", "matplotlib", "numpy", "onnxruntime", "pandas", "psycopg", "pyarrow", "talib",
    "telegram",
)  # fmt: skip
LEDGER: Final = {"boto3", "psycopg"}
SCORING: Final = {"numpy", "onnxruntime", "talib"}
EXPECTED: Final[dict[Function, set[str]]] = {
    **{function: {"boto3"} for function in Function},
    Function.MANAGE_ORDERS: LEDGER,
    Function.MONITOR_RISK: LEDGER,
    Function.RELAY_OUTBOX: LEDGER,
    Function.DUMP_DATABASE: LEDGER,
    Function.RESTORE_DATABASE: LEDGER,
    Function.QUERY_LEDGER: LEDGER,
    Function.MIGRATE_DATABASE: {"psycopg"},  # its caller hands it a login: nothing of AWS is asked
    Function.PUBLISH_REPORTS: LEDGER | {"jinja2"},
    Function.COMPACT_CANDLES: LEDGER | {"numpy", "pyarrow"},
    Function.GENERATE_SIGNALS: LEDGER | SCORING,
    Function.REGISTER_MODEL: LEDGER | SCORING,
    Function.LIBRARY_API: LEDGER | SCORING,
    Function.SCORE_SIGNALS: LEDGER | SCORING,
    Function.COLLECT_CANDLES: {"boto3", "ccxt"},  # the package without its exchanges
    Function.COLLECT_ALTERNATIVE: {"boto3", "ccxt"},
    Function.EXECUTE_ORDERS: {"boto3", "ccxt"},
    Function.SEND_ALERTS: {"boto3", "numpy"},  # matplotlib with the first chart
    Function.TELEGRAM_BOT: {"boto3", "httpx", "telegram"},
}
MOST_MODULES: Final = 950  # of a function with the interpreter's own; all of ccxt, or pandas by TA-Lib, is 200 to 300 more


@pytest.fixture(scope="session")
def deployed(assemblies: dict[str, Assembly]) -> dict[Function, Deployed]:
    return {one.function: one for one in functions_of(assemblies["local"].templates().values())}


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bytecode")


@pytest.mark.parametrize("function", Function)
def test_a_cold_start_loads_what_the_function_needs(
    deployed: dict[Function, Deployed], bytecode: Path, function: Function
) -> None:
    modules = loaded_modules(load_settings(), deployed[function], bytecode)
    assert {name for name in HEAVY if name in modules} == EXPECTED[function]
    assert len(modules) <= MOST_MODULES


def test_a_function_is_refused_what_is_in_none_of_its_layers(deployed: dict[Function, Deployed], bytecode: Path) -> None:
    signals = deployed[Function.GENERATE_SIGNALS]
    assert {"pandas", "pyarrow"} & shipped_modules(load_settings(), signals.layers) == set()
    without = Deployed(signals.function, signals.megabytes, signals.environment, signals.is_ledger, ("core",))
    with pytest.raises(WorkbenchError, match=r"generate_signals cannot be imported: .* is in no layer of this function"):
        loaded_modules(load_settings(), without, bytecode)


def test_every_ledger_function_has_a_whole_vcpu(assembly: Assembly) -> None:
    small = {
        one.logical_id: one.properties["MemorySize"]
        for one in assembly.functions()
        if "VpcConfig" in one.properties and one.properties["MemorySize"] < WHOLE_VCPU
    }
    assert (small, WHOLE_VCPU) == ({}, VCPU_MEGABYTES)
