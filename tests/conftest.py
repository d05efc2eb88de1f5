"""What every test gets: hypothesis profiles, its place among the workers, and an AWS environment that can reach nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

TESTS: Final = Path(__file__).parent
# Parts in the order in which they are handed out: what takes longest in one piece starts first, so that no worker ends alone.
PARTS: Final = ("e2e", "unit/simulation", "infrastructure", "integration", "unit/training", "unit")
# What is dear to set up, by the fixture that sets it up: its tests go to one worker, whatever file they are in.
SHARED: Final = ("cloud", "assemblies")

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=150, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))  # noqa: TID251 - the test run's own switch


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake credentials and a region, so that no client can ever use the developer's own."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_SESSION_TOKEN": "testing",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "POWERTOOLS_SERVICE_NAME": "tests",
        "POWERTOOLS_METRICS_NAMESPACE": "Signalbox",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests by part and keep together what shares a fixture, else a file: its module's fixtures are made once."""
    if len({item.path for item in items}) > 1:
        items.sort(key=_part)  # stable: within a part the order of collection stays
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _part(item: pytest.Item) -> int:
    place = item.path.relative_to(TESTS).as_posix()
    return next((number for number, part in enumerate(PARTS) if place.startswith(f"{part}/")), len(PARTS))


def _group(item: pytest.Item) -> str:
    used = getattr(item, "fixturenames", ())
    return next((fixture for fixture in SHARED if fixture in used), item.path.relative_to(TESTS).as_posix())
