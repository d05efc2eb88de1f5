"""Where the workbench keeps things and what it takes from the environment. The only reader of `os.environ` in `local`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent
STAGE: Final = "local"
VENUE: Final = "coinbase"  # what the stand-in exchange speaks, and the stage's venue
REGION: Final = "us-east-1"
ACCOUNT: Final = "000000000000"
LOOPBACK: Final = "127.0.0.1"
# What a child process may see of the caller's environment: never AWS_*, proxies or credentials.
PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment, read once. `base_env` is what every child process starts from."""

    repository: Path
    state: Path
    data: Path | None
    ci: bool
    base_env: Mapping[str, str]

    @property
    def shared_data(self) -> Path:
        """Where recorded candles are by convention."""
        return self.repository.parent / "shared" / "data" / "candles"

    @property
    def scores(self) -> Path:
        """Where what models said of candles is kept."""
        return self.state / "scores"

    @property
    def recorded_candles(self) -> Path | None:
        """The folder of recorded candles to use when none was named: SIGNALBOX_DATA, else the shared one, else nothing."""
        if self.data is not None:
            nested = self.data / "candles"
            return nested if nested.is_dir() else self.data
        return self.shared_data if self.shared_data.is_dir() else None


def caller_environment() -> dict[str, str]:
    """Return the caller's whole environment: for the one command that acts with their AWS credentials."""
    return dict(os.environ)  # noqa: TID251 - the composition point of the workbench


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the environment: SIGNALBOX_DATA, SIGNALBOX_STATE (default `.signalbox/`), CI."""
    env = os.environ if environ is None else environ  # noqa: TID251 - the composition point of the workbench
    data = env.get("SIGNALBOX_DATA", "")
    base = {name: env[name] for name in PASSED_ON if name in env}
    base["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), base.get("PATH", os.defpath)])
    base["PYTHONUNBUFFERED"] = "1"
    return Settings(
        repository=REPOSITORY,
        state=Path(env.get("SIGNALBOX_STATE") or REPOSITORY / ".signalbox").resolve(),
        data=Path(data) if data else None,
        ci=env.get("CI", "").lower() in {"1", "true", "yes"},
        base_env=base,
    )
