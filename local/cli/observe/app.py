"""Declares `signalbox observe ...` for typer; command.py and replaying.py run it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from local.cli.options import Database, Json, RequestId, Stage, Why, request_id_of

if TYPE_CHECKING:
    from local.cli.observe.command import ObserveOptions

observe_app = typer.Typer(
    help="Watch what serves without money, under rules fixed before: GO, NO-GO or EXTEND.", no_args_is_help=True
)
PLANTS = ("good-model", "flipped-model", "doubled-rate", "dropped-slots", "stale-data", "shifted-feature")
_OBSERVATION = re.compile(r"[0-9a-f]{16}")


def _observation(text: str | None) -> str | None:
    if text is None or _OBSERVATION.fullmatch(text):
        return text
    raise typer.BadParameter(f"expected the 16 characters of an observation (`signalbox observe list`), got {text[:40]!r}")


def _plant(text: str | None) -> str | None:
    if text is None or text in PLANTS:
        return text
    raise typer.BadParameter(f"expected {', '.join(PLANTS)}, got {text[:60]!r}")


Observed = Annotated[
    str | None, typer.Argument(help="Id of the observation; default: the newest.", callback=_observation, metavar="[OBSERVATION]")
]
BarsFrom = Annotated[
    str | None,
    typer.Option("--data", help="Independent candles to verify on: a folder or a lake; default: the stage's own."),
]
Bundle = Annotated[Path | None, typer.Option(help="Folder of the observed bundle; default: fetched from the stage.")]
Days = Annotated[int | None, typer.Option(help="Days that the observation takes; default: 5.", min=1, max=92, show_default=False)]
DAYS, LAST_DAYS = 5, 10


@observe_app.callback()
def _group() -> None:
    """Watch what serves without money, under rules fixed before: GO, NO-GO or EXTEND."""


@observe_app.command("start")
def start(  # noqa: PLR0917 - typer passes by keyword
    why: Why,
    days: Days = None,
    last_days: Annotated[
        int | None,
        typer.Option(
            help="Days after which missing evidence is NO-GO instead of EXTEND; default: 10.", min=1, max=92, show_default=False
        ),
    ] = None,
    start_at: Annotated[
        str | None, typer.Option("--start", help="When it begins, ISO 8601; default: the cycle after next.")
    ] = None,
    rules: Annotated[Path | None, typer.Option(help="Rules as JSON instead of the preset; see --dry-run.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the rules and start nothing.")] = False,  # noqa: FBT002
    request_id: RequestId = None,
    stage: Stage = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Fix the rules by their hash, and begin to observe what serves."""
    from local.cli.instants import parse_instant  # noqa: PLC0415 - see the docstring of catalogue.py
    from local.cli.observe.command import WantedRules, run_start  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    instant = parse_instant(start_at, "--start")
    if rules is not None and (days, last_days, start_at) != (None, None, None):
        raise typer.BadParameter("--rules: the document has its own start and days; leave --start, --days and --last-days out")
    taken = DAYS if days is None else days
    last = max(taken, LAST_DAYS) if last_days is None else last_days
    if last < taken:
        raise typer.BadParameter(f"--last-days: expected at least the {taken} days that it takes, got {last}")
    wanted = WantedRules(rules, instant, taken, last)
    run_start(
        wanted, why, request_id_of(request_id),
        now=datetime.now(UTC), stage=stage, dry_run=dry_run, json_output=json_output, settings=load_settings(),
    )  # fmt: skip


@observe_app.command("list")
def list_observations(stage: Stage = None, database: Database = None, json_output: Json = False) -> None:  # noqa: FBT002
    """List observations, newest first."""
    from local.cli.observe.command import run_list  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    run_list(_options(None, None, None, stage, database, json_output), load_settings())


@observe_app.command("status")
def status(  # noqa: PLR0917 - typer passes by keyword
    observation: Observed = None,
    data: BarsFrom = None,
    bundle: Bundle = None,
    stage: Stage = None,
    database: Database = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Judge an observation as of now. Exit 0 for GO, 1 for NO-GO, 3 for EXTEND."""
    _report(_options(observation, data, bundle, stage, database, json_output), None)


@observe_app.command("report")
def report(  # noqa: PLR0917 - typer passes by keyword
    observation: Observed = None,
    out: Annotated[Path, typer.Option(help="Folder of the page, the picture, the text and the JSON.")] = Path("out/observation"),
    data: BarsFrom = None,
    bundle: Bundle = None,
    stage: Stage = None,
    database: Database = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Judge an observation and write its report: page, picture, text and JSON. Exit codes as `observe status`."""
    _report(_options(observation, data, bundle, stage, database, json_output), out)


@observe_app.command("stop")
def stop(  # noqa: PLR0917 - typer passes by keyword
    why: Why,
    observation: Observed = None,
    data: BarsFrom = None,
    bundle: Bundle = None,
    request_id: RequestId = None,
    stage: Stage = None,
    database: Database = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Judge an observation for the last time, and record the verdict with its reasons."""
    from local.cli.observe.command import run_stop  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    options = _options(observation, data, bundle, stage, database, json_output)
    raise typer.Exit(run_stop(options, why, request_id_of(request_id), load_settings(), datetime.now(UTC)))


@observe_app.command("replay")
def replay(  # noqa: PLR0917 - typer passes by keyword
    days: Annotated[int, typer.Option(help="Days to observe.", min=1, max=14)] = 5,
    data: Annotated[Path | None, typer.Option(help="Recorded candles; default: as `signalbox demo`.")] = None,
    start_at: Annotated[str | None, typer.Option("--start", help="When the observation begins, ISO 8601.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Bundle to observe; default: the one that ships with Signalbox.")] = None,
    plant: Annotated[str | None, typer.Option(help=f"A model or a fault to find: {', '.join(PLANTS)}.", callback=_plant)] = None,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("out/observation"),
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Replay a whole observation on the local cloud, with the candles' time as the clock."""
    from local.cli.arguments import check_bundle, out_folder  # noqa: PLC0415 - as above
    from local.cli.instants import parse_instant  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    folder, instant = out_folder(out), parse_instant(start_at, "--start")
    if bundle is not None:
        check_bundle(bundle, "--bundle")
    from local.cli.observe.command import print_judgement  # noqa: PLC0415 - as above
    from local.cli.observe.replaying import ReplayOptions, run_replay  # noqa: PLC0415 - as above

    settings = load_settings()
    options = ReplayOptions(timedelta(days=days), data, instant, bundle, plant)
    found = run_replay(options, settings, plain=settings.ci or json_output)
    raise typer.Exit(print_judgement(found, folder, as_json=json_output))


def _report(options: ObserveOptions, out: Path | None) -> None:
    from local.cli.arguments import out_folder  # noqa: PLC0415 - as above
    from local.cli.observe.command import run_report  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    folder = None if out is None else out_folder(out)
    raise typer.Exit(run_report(options, folder, load_settings(), datetime.now(UTC)))


def _options(observation: str | None, data: str | None, bundle: Path | None, *where: Any) -> ObserveOptions:
    from local.cli.arguments import check_bundle  # noqa: PLC0415 - as above
    from local.cli.observe.command import ObserveOptions  # noqa: PLC0415 - as above

    if bundle is not None:
        check_bundle(bundle, "--bundle")
    return ObserveOptions(observation, data, bundle, *where)
