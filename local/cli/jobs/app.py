"""Declares `signalbox jobs ...` for typer; command.py runs it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from local.cli.instants import parse_bounds, parse_instant
from local.cli.options import End, Json, Stage, Start

if TYPE_CHECKING:
    from local.cli.jobs.command import JobsOptions

jobs_app = typer.Typer(help="Training in your AWS account: jobs and the pipeline on SageMaker.", no_args_is_help=True)
Plan = Annotated[Path | None, typer.Option(help="JSON file with a training plan; default: the deployed stage's plan.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the exact request and send nothing.")]
At = Annotated[str | None, typer.Option(help="Instant in the job's name; default: now. The same instant gives the same job.")]


@jobs_app.callback()
def _group() -> None:
    """Training in your AWS account."""


def _options(stage: str | None, plan: Path | None, at: str | None, *, dry_run: bool, as_json: bool) -> JobsOptions:
    from local.cli.jobs.command import JobsOptions  # noqa: PLC0415 - boto3 is imported by the command that needs it

    return JobsOptions(stage, plan, dry_run, as_json, parse_instant(at, "--at") or datetime.now(UTC))


def _given(**values: object) -> dict[str, object]:
    return {
        key: value.isoformat() if isinstance(value, datetime) else value for key, value in values.items() if value is not None
    }


@jobs_app.command("package")
def package(  # noqa: PLR0917 - typer passes by keyword
    stage: Stage = None,
    plan: Plan = None,
    wheels: Annotated[
        Path | None, typer.Option(help="Folder of wheels to ship, for a container that cannot download them.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the archive here instead of into the stage's bucket.")] = None,
    cuda_trees: Annotated[  # noqa: FBT002 - of typer
        bool, typer.Option("--cuda-trees", help="Require XGBoost built for CUDA instead of xgboost-cpu.")
    ] = False,
    dry_run: DryRun = False,  # noqa: FBT002 - of typer
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Pack the code of the jobs and upload it to where they load it from."""
    from local.cli.jobs.command import load_plan, run_package  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    options = _options(stage, plan, None, dry_run=dry_run, as_json=json_output)
    if plan is not None:
        load_plan(options)  # an archive for a plan that cannot be read would be found out by the job alone
    run_package(options, load_settings().repository, wheels=wheels, out=out, cuda_trees=cuda_trees)


@jobs_app.command("train")
def train(  # noqa: PLR0917 - typer passes by keyword
    stage: Stage = None,
    plan: Plan = None,
    model: Annotated[str | None, typer.Option(help="Model that gets a new version; default: the plan's.")] = None,
    config: Annotated[str | None, typer.Option(help="training/configs/NAME.toml; default: the plan's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed; default: the configuration's.")] = None,
    folds: Annotated[int | None, typer.Option(help="Walk-forward folds, at least 6, or 0 for none.")] = None,
    families: Annotated[str | None, typer.Option(help="Some of xgboost,lstm,transformer; default: the configuration's.")] = None,
    start: Start = None,
    end: End = None,
    at: At = None,
    dry_run: DryRun = False,  # noqa: FBT002 - of typer
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Start a training job. When it finishes, its model is a candidate in the library."""
    from local.cli.jobs.command import run_train  # noqa: PLC0415 - as above

    first, last = parse_bounds(start, end)
    given = _given(model=model, config=config, seed=seed, folds=folds, families=families, start=first, end=last)
    run_train(_options(stage, plan, at, dry_run=dry_run, as_json=json_output), given)


@jobs_app.command("evaluate")
def evaluate(  # noqa: PLR0917 - typer passes by keyword
    model_uri: Annotated[str, typer.Argument(help="s3:// address of a model.tar.gz, or of a folder with a bundle's files.")],
    stage: Stage = None,
    plan: Plan = None,
    start: Start = None,
    end: End = None,
    at: At = None,
    dry_run: DryRun = False,  # noqa: FBT002 - of typer
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Start a job that evaluates a model. Without a period it uses the model's own test period."""
    from local.cli.jobs.command import run_evaluate  # noqa: PLC0415 - as above

    first, last = parse_bounds(start, end)
    given = _given(start=first, end=last)
    run_evaluate(_options(stage, plan, at, dry_run=dry_run, as_json=json_output), model_uri, given)


@jobs_app.command("pipeline")
def pipeline(  # noqa: PLR0917 - typer passes by keyword
    stage: Stage = None,
    plan: Plan = None,
    execute: Annotated[bool, typer.Option("--execute", help="Also start an execution.")] = False,  # noqa: FBT002 - of typer
    register_when: Annotated[
        str | None,
        typer.Option(
            help="When to register the model: promotion (all promotion gates passed) or integrity (G0 passed; for shadow)."
        ),
    ] = None,
    at: At = None,
    dry_run: DryRun = False,  # noqa: FBT002 - of typer
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Create or replace the pipeline: compute features, train, evaluate, register on pass."""
    from local.cli.jobs.command import run_pipeline  # noqa: PLC0415 - as above

    options = _options(stage, plan, at, dry_run=dry_run, as_json=json_output)
    run_pipeline(options, start=execute, parameters={} if register_when is None else {"RegisterWhen": register_when})


@jobs_app.command("list")
def list_jobs(
    stage: Stage = None,
    purpose: Annotated[str | None, typer.Option(help="train or evaluate; default: both.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Show at most this many, newest first.")] = 20,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Show the newest jobs of a stage, including evaluations."""
    from local.cli.jobs.command import run_list  # noqa: PLC0415 - as above

    run_list(_options(stage, None, None, dry_run=False, as_json=json_output), purpose=purpose, at_most=limit)


@jobs_app.command("show")
def show(
    job: Annotated[str, typer.Argument(help="The job's name, as `jobs list` shows it.")],
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Show one job: its parameters, its end and its figures."""
    from local.cli.jobs.command import run_show  # noqa: PLC0415 - as above

    run_show(job, as_json=json_output)


@jobs_app.command("register")
def register(
    job: Annotated[str, typer.Argument(help="Name of a finished training or evaluation.")],
    stage: Stage = None,
    plan: Plan = None,
    dry_run: DryRun = False,  # noqa: FBT002 - of typer
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Register a finished job in the library again, if its event was lost or arrived before its model was known."""
    from local.cli.jobs.command import run_register  # noqa: PLC0415 - as above

    run_register(_options(stage, plan, None, dry_run=dry_run, as_json=json_output), job)
