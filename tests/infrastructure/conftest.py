"""Each stage is synthesised once for all tests. Dependencies are left out of the layers (test_layers.py builds them)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cdk.node import use_bundled_node

use_bundled_node()

from cdk.composition import synthesise  # noqa: E402 - starts node
from cdk.sources import REPOSITORY, SourceTree  # noqa: E402
from tests.infrastructure.assembly import Assembly  # noqa: E402

RECIPIENT = "ops@example.com"
LOCAL_ENDPOINTS = {
    "database_host": "sockets",
    "database_port": 5432,
    "database_sslmode": "disable",
    "venue_url": "http://127.0.0.1:9001",
    "telegram_url": "http://127.0.0.1:9002",
    "api_url": "http://127.0.0.1:9003",
}


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> SourceTree:
    """The repository, with a stand-in for the starter bundle: the templates ship it and do not look inside."""
    root = tmp_path_factory.mktemp("sources")
    (REPOSITORY / ".signalbox").mkdir(exist_ok=True)
    for name in ("layers", "lambdas", ".signalbox"):
        (root / name).symlink_to(REPOSITORY / name)
    bundle = root / "training" / "starter_bundle"
    bundle.mkdir(parents=True)
    (bundle / "manifest.json").write_text("{}")
    return SourceTree(root)


def _assembly(stage: str, folder: Path, sources: SourceTree) -> Assembly:
    context = {"stage": stage, "alarm_emails": RECIPIENT} | (
        {"local_endpoints": json.dumps(LOCAL_ENDPOINTS)} if stage == "local" else {}
    )
    _, written = synthesise(context, out=folder, sources=sources, templates_only=True)
    return Assembly(stage, written)


@pytest.fixture(scope="session")
def assemblies(tmp_path_factory: pytest.TempPathFactory, sources: SourceTree) -> dict[str, Assembly]:
    return {stage: _assembly(stage, tmp_path_factory.mktemp(stage), sources) for stage in ("local", "dev", "prod")}


@pytest.fixture(scope="session", params=["local", "dev", "prod"])
def assembly(request: pytest.FixtureRequest, assemblies: dict[str, Assembly]) -> Assembly:
    found: Assembly = assemblies[request.param]
    return found


@pytest.fixture(scope="session")
def with_mailboxes(tmp_path_factory: pytest.TempPathFactory, sources: SourceTree) -> Assembly:
    """The stage prod with two accounts behind agents."""
    context = {
        "stage": "prod",
        "mt5_accounts": "ftmo-live,swing-2",
        "owners": "arn:aws:iam::123456789012:user/ann",
        "alarm_emails": RECIPIENT,
    }
    _, written = synthesise(context, out=tmp_path_factory.mktemp("mailboxes"), sources=sources, templates_only=True)
    return Assembly("prod", written)


@pytest.fixture(scope="session")
def local(assemblies: dict[str, Assembly]) -> Assembly:
    return assemblies["local"]


@pytest.fixture(scope="session")
def dev(assemblies: dict[str, Assembly]) -> Assembly:
    return assemblies["dev"]


@pytest.fixture(scope="session")
def prod(assemblies: dict[str, Assembly]) -> Assembly:
    return assemblies["prod"]
