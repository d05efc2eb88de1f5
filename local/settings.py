"""The settings of the workbench: its folders, data and AWS access. The only reader of `os.environ` in `local`.

A setting comes from the environment, else from the settings file (`signalbox.toml`: SIGNALBOX_CONFIG, else the working folder,
else the repository), else from its default. An option of a command goes before all of them. The file holds no secrets.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from signalbox.errors import SignalboxError

REPOSITORY: Final = Path(__file__).resolve().parent.parent
STAGE: Final = "local"
VENUE: Final = "coinbase"  # what the stand-in exchange speaks, and the stage's venue
REGION: Final = "us-east-1"
ACCOUNT: Final = "000000000000"
LOOPBACK: Final = "127.0.0.1"
CONFIG: Final = "signalbox.toml"
# What a child process may see of the caller's environment: never AWS_*, proxies or credentials.
PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: its key in the file, the environment variables that override it (the first that is set), and its purpose."""

    name: str
    variables: tuple[str, ...]
    default: str
    help: str
    is_path: bool = False


@dataclass(frozen=True, slots=True)
class SettingValue:
    """A setting's value and its source."""

    setting: Setting
    value: str | None  # None: the default
    source: str


SETTINGS: Final = (
    Setting("data", ("SIGNALBOX_DATA",), "../shared/data/candles, where it exists", "candles: a folder or a lake", is_path=True),
    Setting("state", ("SIGNALBOX_STATE",), ".signalbox in the repository", "what the local cloud keeps", is_path=True),
    Setting("stage", ("SIGNALBOX_STAGE",), "the running local cloud", "the stage that commands speak to"),
    Setting("region", ("AWS_REGION", "AWS_DEFAULT_REGION"), "that of the AWS profile", "AWS region of deployed stages"),
    Setting("profile", ("AWS_PROFILE",), "AWS's own default", "AWS profile of deployed stages"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment and the settings file, read once. `base_env` is what every child process starts from."""

    repository: Path
    state: Path
    data: Path | None
    ci: bool
    base_env: Mapping[str, str]
    stage: str | None = None
    region: str | None = None
    profile: str | None = None

    @property
    def shared_data(self) -> Path:
        """The conventional folder of recorded candles."""
        return self.repository.parent / "shared" / "data" / "candles"

    @property
    def scores(self) -> Path:
        """The folder of stored model scores."""
        return self.state / "scores"

    @property
    def recorded_candles(self) -> Path | None:
        """The default folder of recorded candles: SIGNALBOX_DATA, else the shared folder, else None."""
        if self.data is not None:
            nested = self.data / "candles"
            return nested if nested.is_dir() else self.data
        return self.shared_data if self.shared_data.is_dir() else None


def caller_environment() -> dict[str, str]:
    """Return the caller's whole environment, for the only command that acts with their AWS credentials."""
    return dict(os.environ)  # noqa: TID251 - the composition point of the workbench


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings. environ: replaces the process's environment; then only the settings file that it names is read."""
    env = _environment(environ)
    found = {one.setting.name: one.value for one in read_settings(env, searched=environ is None)}
    base = {name: env[name] for name in PASSED_ON if name in env}
    base["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), base.get("PATH", os.defpath)])
    base["PYTHONUNBUFFERED"] = "1"
    data, state = found["data"], found["state"]
    return Settings(
        repository=REPOSITORY,
        state=Path(state or REPOSITORY / ".signalbox").resolve(),
        data=Path(data) if data else None,
        ci=env.get("CI", "").lower() in {"1", "true", "yes"},
        base_env=base,
        stage=found["stage"],
        region=found["region"],
        profile=found["profile"],
    )


def read_settings(environ: Mapping[str, str] | None = None, *, searched: bool = True) -> tuple[SettingValue, ...]:
    """Return every setting with its source. searched: whether to look for the file. Raises SignalboxError for an invalid file."""
    env = _environment(environ)
    path = config_file(env, searched=searched)
    content = {} if path is None else _content(path)
    return tuple(_value(setting, env, path, content) for setting in SETTINGS)


def config_file(environ: Mapping[str, str] | None = None, *, searched: bool = True) -> Path | None:
    """Return the settings file, if there is one."""
    env = _environment(environ)
    if named := env.get("SIGNALBOX_CONFIG"):
        return Path(named)
    places = (Path.cwd() / CONFIG, REPOSITORY / CONFIG) if searched else ()
    return next((path for path in places if path.is_file()), None)


def show_no_colour() -> None:
    """Turn off colours for this process and its libraries, by the convention of https://no-color.org that all of them follow."""
    os.environ["NO_COLOR"] = "1"  # noqa: TID251 - the composition point of the workbench


def completes_a_word() -> bool:
    """Return whether a shell started this process for command-line completion and reads its output."""
    return "_SIGNALBOX_COMPLETE" in os.environ  # noqa: TID251 - as above


def _environment(environ: Mapping[str, str] | None) -> Mapping[str, str]:
    return os.environ if environ is None else environ  # noqa: TID251 - the composition point of the workbench


def _value(setting: Setting, env: Mapping[str, str], path: Path | None, content: Mapping[str, str]) -> SettingValue:
    for variable in setting.variables:
        if env.get(variable):
            return SettingValue(setting, env[variable], variable)
    if path is not None and setting.name in content:
        text = content[setting.name]
        return SettingValue(setting, str(path.resolve().parent / text) if setting.is_path else text, str(path))
    return SettingValue(setting, None, "default")


def _content(path: Path) -> dict[str, str]:
    import tomllib  # noqa: PLC0415 - only where there is a file

    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SignalboxError(f"{path}: cannot be read as settings ({error})") from error
    names = [setting.name for setting in SETTINGS]
    for key, value in found.items():
        if key not in names:
            raise SignalboxError(f"{path}: expected settings among {', '.join(names)}, got {key}")
        if not isinstance(value, str) or not value:
            raise SignalboxError(f"{path}: expected text as {key}, got {value}")
    return found
