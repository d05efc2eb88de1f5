"""`signalbox cost`: synthesises a stage offline and prints what it costs a month, item by item."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from local.cli.cost.estimate import CostItem
    from local.settings import Settings


def cost(
    stage: Annotated[str, typer.Option(help="dev or prod.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print the items as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Count what a stage costs a month at list price, item by item, from its templates. Needs no AWS account."""
    from local.cli.cost.estimate import load  # noqa: PLC0415 - only this command needs it
    from local.settings import load_settings  # noqa: PLC0415 - as above

    items, prices = stage_cost(load_settings(), stage), load("prices.toml")
    print(json.dumps(cost_json(stage, items, prices)) if json_output else cost_text(stage, items, prices))


def stage_cost(settings: Settings, stage: str) -> list[CostItem]:
    """Return the items of a stage. Raises DeployError when it does not synthesise."""
    from local.cli.cost.estimate import estimate, load, resources_of  # noqa: PLC0415 - as above

    with tempfile.TemporaryDirectory(prefix="signalbox-cost-") as folder:
        synthesise_templates(settings, stage, Path(folder))
        templates = [json.loads(path.read_text()) for path in Path(folder).glob("*.template.json")]
    return estimate(resources_of(templates), load("prices.toml"), load("usage.toml"))


def synthesise_templates(settings: Settings, stage: str, out: Path) -> None:
    """Write a stage's templates, without what only a deployment needs. Raises DeployError with what is wrong."""
    from local.errors import DeployError  # noqa: PLC0415 - as above

    command = [sys.executable, "cdk/app.py", "-c", f"stage={stage}", "--templates-only", "--out", str(out)]
    done = subprocess.run(
        command, cwd=settings.repository, env=dict(settings.base_env), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise DeployError("\n".join((done.stderr or done.stdout).strip().splitlines()[-12:]))


def cost_json(stage: str, items: list[CostItem], prices: dict[str, Any]) -> dict[str, Any]:
    """Return the items and their sums, in USD a month."""
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
        f"{stage}: USD a month at list prices of {prices['region']}, {prices['as_of']}, without tax",
        f"{'item':<48}{'quantity':>14}{'list':>9}{'after free':>12}",
    ]
    lines += [f"{item.name:<48}{item.quantity:>14,.0f}{item.listed:>9.2f}{item.paid:>12.2f}" for item in items]
    listed, paid = sum(item.listed for item in items), sum(item.paid for item in items)
    return "\n".join([*lines, f"{'together':<48}{'':>14}{listed:>9.2f}{paid:>12.2f}"])
