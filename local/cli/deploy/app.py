"""`signalbox deploy --stage dev [--dry-run]`."""

from __future__ import annotations

from typing import Annotated

import typer


class TypingPerson:
    """The person at this terminal."""

    def say(self, text: str) -> None:
        """Print a line."""
        typer.echo(text)

    def agrees(self, question: str) -> bool:
        """Ask for yes or no; no unless they say yes."""
        return typer.confirm(question, default=False)

    def secret(self, question: str) -> str:
        """Ask for something that is not shown."""
        return str(typer.prompt(question, hide_input=True, default="", show_default=False))


def deploy(
    stage: Annotated[str, typer.Option(help="dev or prod; settings are in cdk/stages/STAGE.toml.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done. No network, no credentials.")] = False,  # noqa: FBT002
) -> None:
    """Deploy a stage to your AWS account: checks, difference, cost, stacks, secrets, a test alarm. Repeat it to go on."""
    from local.cli.deploy.command import STAGES, StageDeployment, run_in  # noqa: PLC0415 - loads boto3
    from local.cli.stage import aws_session  # noqa: PLC0415 - as above
    from local.errors import DeployError  # noqa: PLC0415 - as above
    from local.settings import caller_environment, load_settings  # noqa: PLC0415 - as above

    if stage not in STAGES:
        raise DeployError(f"expected --stage {' or '.join(STAGES)}, was {stage!r}; the stage local is `signalbox up`")
    settings = load_settings()
    if dry_run:
        StageDeployment(settings, stage, TypingPerson(), lambda _: 1).dry()
        return
    session = aws_session(settings)
    # the CDK's command goes where the checks looked: its own settings are the environment's alone
    chosen = {"AWS_REGION": session.region_name} | ({"AWS_PROFILE": settings.profile} if settings.profile else {})
    deployment = StageDeployment(settings, stage, TypingPerson(), run_in(settings, caller_environment() | chosen), session)
    if not deployment.deploy():
        raise typer.Exit(1)
