"""A function finds everything it imports in its layers and the Lambda runtime."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cdk.constructs.layers import LayerName
from cdk.sources import REPOSITORY, SourceTree
from signalbox.contracts import Env, Function
from tests.unit.library.plans import plan

pytestmark = pytest.mark.infra

LAYERS = {
    Function.COLLECT_CANDLES: (LayerName.EXCHANGE,),
    Function.EXECUTE_ORDERS: (LayerName.EXCHANGE,),
    Function.GENERATE_SIGNALS: (LayerName.INFERENCE,),
    Function.COMPACT_CANDLES: (LayerName.DATA,),
    Function.COLLECT_ALTERNATIVE: (LayerName.EXCHANGE,),
    Function.REGISTER_MODEL: (LayerName.INFERENCE,),
    Function.LIBRARY_API: (LayerName.INFERENCE,),
    Function.TELEGRAM_BOT: (LayerName.CHAT,),
}
RUNTIME = {"boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3", "simplejson"}  # what Lambda brings
TOOLS = {"signalbox", "setuptools", "pkg_resources", "_distutils_hack"}  # ours, and what starts any Python here
SCRIPT = """
import sys
allowed, code = set(sys.argv[1].split(",")), sys.argv[2]
class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in allowed and top not in sys.stdlib_module_names and not top.startswith(("__editable__", "_sysconfigdata")):
            raise ModuleNotFoundError(f"{top} is in no layer of this function", name=top)
sys.meta_path.insert(0, Refuse())
exec(compile(open(code).read(), code, "exec"), {"__name__": "handler"})
"""


def _modules(layers: tuple[LayerName, ...]) -> set[str]:
    """The top-level modules of the packages that the layers lock."""
    pins = {
        match.lower().replace("_", "-")
        for layer in (LayerName.CORE, *layers)
        for match in re.findall(r"^([A-Za-z0-9._-]+)==", SourceTree().lock(layer).read_text(), re.MULTILINE)
    }
    found = importlib.metadata.packages_distributions()
    return {module for module, names in found.items() if {n.lower().replace("_", "-") for n in names} & pins}


@pytest.mark.parametrize("function", Function)
def test_function_imports_with_its_layers_alone(function: Function) -> None:
    environment = {key.value: "5432" if key is Env.DATABASE_PORT else "disable" for key in Env}
    environment |= {
        Env.OWNERS.value: "",
        Env.LOOK_AGAIN_SECONDS.value: "",
        Env.FALLBACK_VENUES.value: "",
        Env.ALTERNATIVE_SOURCES.value: "",
    }
    environment |= {
        "AWS_DEFAULT_REGION": "eu-central-1",
        "PATH": os.defpath,
        "PYTHONPATH": str(REPOSITORY / "layers/core/python"),
    }
    environment |= {"POWERTOOLS_SERVICE_NAME": "x", "POWERTOOLS_METRICS_NAMESPACE": "x"}
    environment |= {Env.TRAINING_PLAN.value: plan().model_dump_json(), Env.SIGNAL_LIMITS.value: "{}"}
    environment |= {Env.CHALLENGERS.value: "3"}
    allowed = _modules(LAYERS.get(function, ())) | RUNTIME | TOOLS
    handler = Path(SourceTree().handler(function)) / "handler.py"
    command = [sys.executable, "-c", SCRIPT, ",".join(sorted(allowed)), str(handler)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr[-600:]
