"""The stage `local` as a cloud assembly: synthesised anew only when the sources change, and read as stacks and assets in order.

The addresses of the local cloud change with every start, the templates need not: they are synthesised with placeholders, which
`Stack.template` replaces when it is deployed. So a second run finds its assembly in `.signalbox/assembly` and starts at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Final

from local.errors import DeployError
from local.settings import ACCOUNT, REGION, STAGE, Settings

SOURCES: Final = ("cdk", "layers", "lambdas", "training/starter_bundle", "cdk.json")
PLACEHOLDERS: Final = {  # shaped like the real values, and reachable nowhere
    "database_host": "/signalbox.invalid/socket",
    "venue_url": "http://venue.invalid",
    "telegram_url": "http://telegram.invalid",
    "api_url": "http://api.invalid",
}
SYNTH_SECONDS: Final = 300.0
KEPT_ASSEMBLIES: Final = 3


@dataclass(frozen=True, slots=True)
class StackAsset:
    """One file or folder that a template expects in a bucket."""

    path: Path
    bucket: str
    key: str
    zipped: bool  # the folder at `path` is to be zipped


@dataclass(frozen=True, slots=True)
class Stack:
    """One stack of the assembly."""

    name: str
    template_file: Path
    assets: tuple[StackAsset, ...]

    def template(self, endpoints: Mapping[str, str]) -> str:
        """Return the template with the placeholders replaced by `endpoints` (same keys as PLACEHOLDERS)."""
        # without the spaces: what a call takes as a body is 51,200 bytes
        text = json.dumps(json.loads(self.template_file.read_text()), separators=(",", ":"))
        for name, placeholder in PLACEHOLDERS.items():
            text = text.replace(placeholder, json.dumps(endpoints[name])[1:-1])
        return text


def synthesise(settings: Settings) -> Path:
    """Return the folder of the assembly. It is synthesised now unless these sources were synthesised before.

    Raises DeployError.
    """
    folder = settings.state / "assembly"
    target = folder / _fingerprint(settings.repository)
    if (target / "manifest.json").exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two starts at once need one assembly: the second finds what the first made
        if not (target / "manifest.json").exists():
            _synthesise_into(target, settings)
            _forget_old(folder, keep=target)
    return target


def _synthesise_into(target: Path, settings: Settings) -> None:
    endpoints = {**PLACEHOLDERS, "database_port": 5432, "database_sslmode": "disable"}
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="new-") as fresh:
        command = [sys.executable, "cdk/app.py", "-c", f"stage={STAGE}", "-c", f"local_endpoints={json.dumps(endpoints)}"]
        done = subprocess.run(
            [*command, "--out", fresh],
            cwd=settings.repository,
            env=dict(settings.base_env),
            capture_output=True,
            text=True,
            timeout=SYNTH_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
            raise DeployError(f"the templates of stage {STAGE} could not be synthesised:\n{tail}")
        shutil.rmtree(target, ignore_errors=True)
        Path(fresh).rename(target)  # whole or not there
        Path(fresh).mkdir()  # what the end of this block removes


def read_stacks(assembly: Path) -> tuple[Stack, ...]:
    """Return the stacks, each after those it depends on. Raises DeployError for an inconsistent assembly."""
    artifacts: dict[str, dict[str, Any]] = json.loads((assembly / "manifest.json").read_text())["artifacts"]
    stacks = {name: a for name, a in artifacts.items() if a["type"] == "aws:cloudformation:stack"}
    needs = {name: [d for d in a.get("dependencies", []) if d in stacks] for name, a in stacks.items()}
    try:
        order = tuple(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise DeployError(f"the stacks depend on each other in a circle: {' → '.join(error.args[1])}") from error
    return tuple(_stack(assembly, name, artifacts) for name in order)


def _stack(assembly: Path, name: str, artifacts: Mapping[str, dict[str, Any]]) -> Stack:
    artifact = artifacts[name]
    properties = artifact["properties"]
    manifests = [
        assembly / artifacts[d]["properties"]["file"]
        for d in artifact.get("dependencies", [])
        if artifacts.get(d, {}).get("type") == "cdk:asset-manifest"
    ]
    assets = tuple(asset for manifest in manifests for asset in _assets(assembly, manifest))
    return Stack(properties.get("stackName", name), assembly / properties["templateFile"], assets)


def _assets(assembly: Path, manifest: Path) -> Iterator[StackAsset]:
    for entry in json.loads(manifest.read_text()).get("files", {}).values():
        source = entry["source"]
        if source["path"].endswith(".template.json"):
            continue  # templates are sent with the request
        for destination in entry["destinations"].values():
            yield StackAsset(
                assembly / source["path"],
                _resolve(destination["bucketName"]),
                _resolve(destination["objectKey"]),
                zipped=source["packaging"] == "zip",
            )


def _resolve(text: str) -> str:
    for name, value in {"AccountId": ACCOUNT, "Region": REGION, "Partition": "aws"}.items():
        text = text.replace(f"${{AWS::{name}}}", value)
    return text


def _fingerprint(repository: Path) -> str:
    digest = hashlib.sha256(json.dumps([STAGE, PLACEHOLDERS, sys.version_info[:2]]).encode())
    for source in SOURCES:
        top = repository / source
        files = sorted(top.rglob("*")) if top.is_dir() else [top]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(file.relative_to(repository).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:20]


def _forget_old(folder: Path, *, keep: Path) -> None:
    others = sorted((f for f in folder.iterdir() if f.is_dir() and f != keep), key=lambda f: f.stat().st_mtime)
    for old in others[: -(KEPT_ASSEMBLIES - 1)]:
        shutil.rmtree(old, ignore_errors=True)
