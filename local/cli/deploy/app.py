"""Declares `signalbox deploy --stage dev [--dry-run]`."""

from __future__ import annotations

from typing import Annotated

import typer


class TypingPerson:
    """The person at this terminal."""

    def say(self, text: str) -> None:
        """Print a line."""
        typer.echo(text)

    def agrees(self, question: str) -> bool:
        """Ask a yes-or-no question; anything but yes is no."""
        return typer.confirm(question, default=False)

    def secret(self, question: str) -> str:
        """Ask for a value that is not shown while typed."""
        return str(typer.prompt(question, hide_input=True, default="", show_default=False))


def deploy(
    stage: Annotated[str, typer.Option(help="dev or prod; its settings are in cdk/stages/STAGE.toml.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, without network or credentials.")] = False,  # noqa: FBT002
) -> None:
    """Deploy a stage to your AWS account: checks, difference, cost, stacks, secrets, a test alarm. Repeat it to continue."""
    from local.cli.deploy.command import STAGES, StageDeployment, run_in  # noqa: PLC0415 - loads boto3
    from local.cli.stage import aws_session  # noqa: PLC0415 - as above
    from local.errors import DeployError  # noqa: PLC0415 - as above
    from local.settings import caller_environment, load_settings  # noqa: PLC0415 - as above

    if stage not in STAGES:
        raise DeployError(f"expected --stage {' or '.join(STAGES)}, got {stage!r}; for the local stage run `signalbox up`")
    settings = load_settings()
    if dry_run:
        StageDeployment(settings, stage, TypingPerson(), lambda _: 1).dry()
        return
    session = aws_session(settings)
    # the CDK must use the account and region that were checked, and it reads them only from the environment
    chosen = {"AWS_REGION": session.region_name} | ({"AWS_PROFILE": settings.profile} if settings.profile else {})
    deployment = StageDeployment(settings, stage, TypingPerson(), run_in(settings, caller_environment() | chosen), session)
    if not deployment.deploy():
        raise typer.Exit(1)
