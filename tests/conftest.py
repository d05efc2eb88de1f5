"""What every test gets: hypothesis profiles, its place among the workers, and an AWS environment that can reach nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import settings

from tests.examples import IN_CI

# Threads of OpenMP that wait for each other spin. Beside other workers of the tests that cost four times what they computed.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # noqa: TID251 - read when the library is loaded

TESTS: Final = Path(__file__).parent
# Parts in the order in which they are handed out: what takes longest in one piece starts first, so that no worker ends alone.
PARTS: Final = ("e2e", "unit/local/simulation", "infrastructure", "integration", "unit/training", "unit")
# Of e2e, the files whose tests start local clouds of their own; the others share one market, and so one worker.
OWN_CLOUD: Final = (
    "backtest",
    "command_walk",
    "commands",
    "deploy_again",
    "execution",
    "large_view",
    "live_account",
    "queues",
    "telegram",
)

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=IN_CI, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))  # noqa: TID251 - the test run's own switch
SERVICE = "tests"  # the name of every function's logger and metrics here


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake credentials and a region, so that no client can ever use the developer's own."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_SESSION_TOKEN": "testing",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "POWERTOOLS_SERVICE_NAME": SERVICE,
        "POWERTOOLS_METRICS_NAMESPACE": "Signalbox",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests by part; within a part the order of collection stays."""
    if len({item.path for item in items}) > 1:
        items.sort(key=lambda item: _part(item.path.relative_to(TESTS).as_posix()))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return the scheduler of the workers: what `together` names alike goes to one of them, in the order above.

    Its own option for that, loadgroup, does nothing under pytest 9.2: it renames a test in a way that this pytest has no more.
    """
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - only where there are workers

    class Together(LoadScopeScheduling):  # type: ignore[misc] # xdist carries no types
        def _split_scope(self, nodeid: str) -> str:
            return together(nodeid)

    return Together(config, log)


def together(nodeid: str) -> str:
    """Return a name that a test shares with those that use what was set up for it: a market, the templates, else a module's."""
    file = nodeid.partition("::")[0].partition("tests/")[2]
    folder, _, name = file.rpartition("/")
    if folder == "infrastructure" or (folder == "e2e" and name.removeprefix("test_").removesuffix(".py") not in OWN_CLOUD):
        return folder
    return file


def _part(file: str) -> int:
    return next((number for number, part in enumerate(PARTS) if file.startswith(f"{part}/")), len(PARTS))
