"""What a container is told to install is what the product was tested with, and all that the entry points import."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.jobs.ml_layout import REPOSITORY

PACKAGES: Final = {
    "signalbox": REPOSITORY / "layers" / "core" / "python" / "signalbox",
    "training": REPOSITORY / "training",
}
OF_THE_IMAGE: Final = {
    "torch": "of the image's CUDA; without it only trees can be trained",
    "mlflow": "for a job with a tracking server, and training goes on without it",
}
REACHED_THROUGH: Final = {"onnx": "onnxmltools", "skl2onnx": "onnxmltools"}  # imported there, declared there by half
CONTAINERS: Final = {
    "python_full_version": "3.11.9",
    "python_version": "3.11",
    "sys_platform": "linux",
    "platform_machine": "x86_64",
}


def pins(path: Path) -> dict[str, str]:
    """The version of each package of a requirements file, for Python 3.11 on Linux."""
    found = {}
    for line in path.read_text().splitlines():
        text = line.removesuffix("\\").strip()
        if not text or text.startswith(("#", "-")):
            continue
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(CONTAINERS):
            (pin,) = requirement.specifier
            assert pin.operator == "==", text
            name: str = canonicalize_name(requirement.name)
            assert name not in found, f"{name} twice"
            found[name] = pin.version
    return found


REQUIRED: Final = pins(REPOSITORY / "sagemaker" / "requirements.txt")
LOCKED: Final = pins(REPOSITORY / "requirements" / "run.lock")


@pytest.mark.parametrize("name", REQUIRED)
def test_a_container_gets_the_version_that_was_tested(name: str) -> None:
    assert REQUIRED[name] == LOCKED.get(name), f"{name}: sagemaker/requirements.txt and requirements/run.lock differ"


def _file_of(module: str) -> Path | None:
    top, *rest = module.split(".")
    folder = PACKAGES[top].joinpath(*rest)
    return next((path for path in (folder / "__init__.py", folder.with_suffix(".py")) if path.is_file()), None)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _imports(path: Path) -> Iterator[str]:
    """Every module that a file may import while it runs, inside its functions too."""
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert not node.level, f"{path}: a relative import"
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)
        nodes += [] if _is_for_types(node) else list(ast.iter_child_nodes(node))


def reached() -> dict[str, str]:
    """The modules from outside that the entry points can reach, each with a file that imports it."""
    outside: dict[str, str] = {}
    left, seen = list((REPOSITORY / "sagemaker").glob("*.py")), set[Path]()
    while left:
        path = left.pop()
        for module in _imports(path):
            top = module.partition(".")[0]
            if top in PACKAGES:
                names = module.split(".")
                files = (_file_of(".".join(names[:count])) for count in range(1, len(names) + 1))
                new = {file for file in files if file is not None} - seen
                seen |= new
                left += sorted(new)
            elif top not in sys.stdlib_module_names:
                outside.setdefault(top, path.relative_to(REPOSITORY).as_posix())
    return outside


REACHED: Final = reached()
PROVIDED_BY: Final = importlib.metadata.packages_distributions()


def distributions(module: str) -> set[str]:
    if module == "xgboost":
        return {"xgboost-cpu"}  # whichever of the two is installed here; `jobs package --cuda-trees` ships the other
    return {canonicalize_name(name) for name in PROVIDED_BY.get(module, [module])}


@pytest.mark.parametrize("module", sorted(REACHED))
def test_what_an_entry_point_imports_is_shipped_or_brought_by_the_image(module: str) -> None:
    known = module in OF_THE_IMAGE or distributions(module) & set(REQUIRED)
    assert known, (
        f"{REACHED[module]} imports {module}: name it in sagemaker/requirements.txt, or say here that the image brings it"
    )


def test_nothing_is_shipped_that_no_entry_point_reaches() -> None:
    used = {name for module in REACHED for name in distributions(module)}
    assert set(REQUIRED) <= used | set(REACHED_THROUGH)
    assert set(REACHED_THROUGH.values()) <= used
    assert not set(OF_THE_IMAGE) & set(REQUIRED)


def test_the_walk_finds_what_is_imported_late_and_not_what_is_for_types() -> None:
    assert {"mlflow", "torch", "xgboost", "numpy", "talib"} <= set(REACHED)
    assert not {"boto3", "psycopg", "mypy_boto3_s3", "fastapi"} & set(REACHED)
