"""The outputs of a deployed stage's stacks."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.errors import DeployError
from signalbox.contracts import PRODUCT


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
