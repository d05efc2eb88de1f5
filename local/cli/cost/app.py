"""`signalbox cost`: synthesises a stage offline and prints its monthly cost, item by item."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from local.cli.options import Json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.cli.cost.estimate import CostItem
    from local.settings import Settings


def cost(
    stage: Annotated[str, typer.Option(help="dev or prod.")],
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Estimate the monthly cost of a stage at list prices, item by item, from its templates. Needs no AWS account."""
    from local.cli.cost.estimate import load  # noqa: PLC0415 - only this command needs it
    from local.errors import DataError  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    known = sorted(path.stem for path in (load_settings().repository / "cdk" / "stages").glob("*.toml"))
    if stage not in known:
        raise DataError(f"--stage: expected one of {', '.join(known)}, got {stage!r}")
    items, prices = stage_cost(stage_templates(load_settings(), stage)), load("prices.toml")
    print(json.dumps(cost_json(stage, items, prices)) if json_output else cost_text(stage, items, prices))


def stage_cost(templates: Mapping[str, Any]) -> list[CostItem]:
    """Return the cost items of a stage, from its templates."""
    from local.cli.cost.estimate import estimate, load, resources_of  # noqa: PLC0415 - as above

    return estimate(resources_of(templates.values()), load("prices.toml"), load("usage.toml"))


def stage_templates(settings: Settings, stage: str) -> dict[str, Any]:
    """Return the templates of a stage by stack name, sorted. Raises DeployError if the stage cannot be synthesised."""
    with tempfile.TemporaryDirectory(prefix="signalbox-templates-") as folder:
        synthesise_templates(settings, stage, Path(folder))
        paths = sorted(Path(folder).glob("*.template.json"))
        return {path.name.removesuffix(".template.json"): json.loads(path.read_text()) for path in paths}


def synthesise_templates(settings: Settings, stage: str, out: Path) -> None:
    """Write a stage's templates, without the assets that only a deployment needs. Raises DeployError with the fault."""
    from local.errors import DeployError  # noqa: PLC0415 - as above

    command = [sys.executable, "cdk/app.py", "-c", f"stage={stage}", "--templates-only", "--out", str(out)]
    done = subprocess.run(
        command, cwd=settings.repository, env=dict(settings.base_env), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise DeployError("\n".join((done.stderr or done.stdout).strip().splitlines()[-12:]))


def cost_json(stage: str, items: list[CostItem], prices: dict[str, Any]) -> dict[str, Any]:
    """Return the items and their sums, in USD per month."""
    return {
        "stage": stage,
        "prices_as_of": prices["as_of"],
        "region": prices["region"],
        "items": [
            {
                "item": item.name,
                "quantity": round(item.quantity, 2),
                "usd": round(item.listed, 2),
                "usd_after_free": round(item.paid, 2),
            }
            for item in items
        ],
        "usd": round(sum(item.listed for item in items), 2),
        "usd_after_free": round(sum(item.paid for item in items), 2),
    }


def cost_text(stage: str, items: list[CostItem], prices: dict[str, Any]) -> str:
    """Return a table for people."""
    lines = [
        f"{stage}: USD per month at list prices of {prices['region']}, {prices['as_of']}, without tax",
        f"{'item':<48}{'quantity':>14}{'list':>9}{'after free':>12}",
    ]
    lines += [f"{item.name:<48}{item.quantity:>14,.0f}{item.listed:>9.2f}{item.paid:>12.2f}" for item in items]
    listed, paid = sum(item.listed for item in items), sum(item.paid for item in items)
    return "\n".join([*lines, f"{'total':<48}{'':>14}{listed:>9.2f}{paid:>12.2f}"])
