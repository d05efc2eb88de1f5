"""The outputs of a deployed stage's stacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.errors import DeployError
from signalbox.contracts import PRODUCT, StackOutput


def stage_outputs(session: Any, stage: str, *, endpoint: str | None = None) -> dict[str, str]:
    """Return the outputs of all stacks of a stage. Raises DeployError if there is no stack or AWS cannot be reached."""
    client = session.client("cloudformation", endpoint_url=endpoint)
    found: dict[str, str] = {}
    try:
        for page in client.get_paginator("describe_stacks").paginate():
            for stack in page["Stacks"]:
                if stack["StackName"].startswith(f"{PRODUCT}-{stage}-"):
                    found |= {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", ())}
    except (ClientError, BotoCoreError) as error:
        raise DeployError(f"the stacks of stage {stage} cannot be read: {error}") from error
    if not found:
        raise DeployError(f"stage {stage} is not deployed in this account and region: run `signalbox deploy --stage {stage}`")
    return found


def required_outputs(session: Any, stage: str, keys: Sequence[StackOutput], *, endpoint: str | None = None) -> list[str]:
    """Return outputs of a stage's stacks. Raises DeployError as `stage_outputs`, and for an output that no stack has."""
    found = stage_outputs(session, stage, endpoint=endpoint)
    if missing := [key for key in keys if key not in found]:
        raise DeployError(
            f"the stacks of stage {stage} have no output {', '.join(missing)}: deploy this version with"
            f" `signalbox deploy --stage {stage}`"
        )
    return [found[key] for key in keys]
