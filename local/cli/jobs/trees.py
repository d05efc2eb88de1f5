"""Chooses a job's XGBoost: `xgboost-cpu` or the build for CUDA. Both install the module `xgboost`, so a job needs exactly one.

pip sees two unrelated packages and would let one overwrite the other, so the folder of wheels is checked before it is shipped.
"""

from __future__ import annotations

import email
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, NormalizedName, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from local.errors import WorkbenchError

CPU: Final = canonicalize_name("xgboost-cpu")
CUDA: Final = canonicalize_name("xgboost")
GPU_LOCK: Final = "requirements/training-gpu.lock"
_CONTAINER: Final = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "extra": ""}
_Wheels = dict[NormalizedName, tuple[Version, Path]]


def with_cuda_trees(requirements: str, repository: Path) -> str:
    """Return requirements.txt with the CUDA build in place of `xgboost-cpu`, in the version of the GPU lock file.

    Raises WorkbenchError if either file lacks its line for XGBoost.
    """
    lock = repository / GPU_LOCK
    try:
        found = re.search(r"^xgboost==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError as error:
        raise WorkbenchError(f"{lock}: cannot be read ({error.strerror})") from error
    if found is None:
        raise WorkbenchError(f"no line xgboost==VERSION in {lock}")
    changed, count = re.subn(r"^xgboost-cpu==.*$", f"xgboost=={found[1]}", requirements, flags=re.MULTILINE)
    if count != 1:
        raise WorkbenchError(f"sagemaker/requirements.txt: expected one line xgboost-cpu==VERSION, got {count}")
    return changed


def check_trees(folder: Path, paths: Sequence[Path], requirements: str) -> None:
    """Check that the wheels contain the required XGBoost build and its dependencies, and not the other build.

    Raises WorkbenchError naming missing and superfluous packages.
    """
    wheels = _by_name(paths)
    required = next(Requirement(line) for line in requirements.splitlines() if re.match(r"xgboost(-cpu)?==", line))
    name = canonicalize_name(required.name)
    asked = "with --cuda-trees" if name == CUDA else "without --cuda-trees"
    held = [one for one in (CPU, CUDA) if one in wheels]
    if len(held) == 2:
        raise WorkbenchError(
            f"{folder} has wheels of {CPU} and {CUDA}, which overwrite each other; {asked} remove the wheel"
            f" of {CUDA if name == CPU else CPU}"
        )
    if held != [name]:
        raise WorkbenchError(
            f"{folder} needs a wheel of {required} {asked}, but has {held[0] if held else 'none of ' + CPU + ' and ' + CUDA};"
            " docs/training-jobs.md says how to fetch it"
        )
    _check_version(folder, wheels, required)
    for needed in _needs(wheels[name][1]):
        _check_version(folder, wheels, needed, because=f", which {required} needs")


def _by_name(paths: Sequence[Path]) -> _Wheels:
    found: _Wheels = {}
    for path in paths:
        try:
            name, version, _, _ = parse_wheel_filename(path.name)
        except InvalidWheelFilename as error:
            raise WorkbenchError(f"{path} is not a valid wheel name: {error}") from error
        if name in found:
            raise WorkbenchError(f"{path.parent} has two wheels of {name}: {found[name][1].name} and {path.name}; remove one")
        found[name] = (version, path)
    return found


def _check_version(folder: Path, wheels: _Wheels, needed: Requirement, because: str = "") -> None:
    held = wheels.get(canonicalize_name(needed.name))
    if held is None:
        raise WorkbenchError(f"no wheel of {needed.name} in {folder}{because}")
    if not needed.specifier.contains(held[0], prereleases=True):
        raise WorkbenchError(f"{folder}: expected {needed.name}{needed.specifier}{because}, got {held[1].name}")


def _needs(wheel: Path) -> list[Requirement]:
    """Return the requirements of a wheel on Linux. Raises WorkbenchError if the wheel cannot be read."""
    try:
        with zipfile.ZipFile(wheel) as opened:
            (name,) = (one for one in opened.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", one))
            described = email.message_from_bytes(opened.read(name)).get_all("Requires-Dist", [])
        found = [Requirement(one) for one in described]
    except (zipfile.BadZipFile, OSError, ValueError, InvalidRequirement) as error:
        raise WorkbenchError(f"{wheel}: cannot read the wheel's METADATA: {error}") from error
    return [one for one in found if one.marker is None or one.marker.evaluate(_CONTAINER)]
