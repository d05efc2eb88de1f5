"""Replaces one of the two keys that sign the functions' messages to each other. Nothing is stopped for it (decision 0070).

A new value of the secret becomes AWSCURRENT and signs; the key before it becomes AWSPREVIOUS and stays accepted until the next
replacement. So a second replacement comes no sooner than every message under the first key has ended. A key that somebody else
knows is replaced twice: once, and again when no signer uses it any more. The new key is never shown.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from local.cli.secrets.command import SecretsError
from signalbox.contracts import StackOutput

KEYS: Final[Mapping[str, StackOutput]] = {
    "request-key": StackOutput.REQUEST_KEY_ARN,
    "report-key": StackOutput.REPORT_KEY_ARN,
}
KEY_BYTES: Final = 48  # random bytes, which give 64 characters
OVERLAP: Final = timedelta(hours=2)  # a request's seal ends after one; a report in a queue is read long before
SETTLED: Final = timedelta(minutes=10)  # twice the time for which a signer keeps a key


def rotate_key(client: Any, outputs: Mapping[str, str], name: str, now: datetime, *, leaked: bool) -> str:
    """Replace a signing key. Return what was done and what comes next.

    leaked: somebody else knows the key, so the one before the new one need not last for OVERLAP. Raises SecretsError if the last
    replacement is too young, or if somebody else replaced the key at the same time.
    """
    arn = outputs[KEYS[name]]
    try:
        current, made, has_previous = _current(client, arn)
        wait = SETTLED if leaked else OVERLAP
        if has_previous and now - made < wait:
            raise SecretsError(
                f"{name} was replaced at {made:%H:%M} UTC, and messages signed with the key before it may be on their way; they"
                f" would be refused. Repeat this at {made + wait:%H:%M} UTC" + _advice(leaked=leaked)
            )
        client.put_secret_value(SecretId=arn, SecretString=secrets.token_urlsafe(KEY_BYTES))
        stages = client.describe_secret(SecretId=arn)["VersionIdsToStages"]
    except (ClientError, BotoCoreError) as error:
        raise SecretsError(f"{name}: cannot be replaced: {error}") from error
    if "AWSPREVIOUS" not in stages.get(current, ()):
        raise SecretsError(
            f"{name}: somebody else replaced it at the same time, so the key that signed until now is accepted no more;"
            " messages of the last minutes may be refused (alarms RequestsRefused, ReportsRefused)"
        )
    done = (
        f"{name} is replaced: signers use the new key within five minutes, and the key before it is accepted until the next time"
    )
    if leaked:
        return (
            f"{done}. If that is the key that somebody else knows, repeat this at {now + SETTLED:%H:%M} UTC; then it is refused"
        )
    return done


def _current(client: Any, arn: str) -> tuple[str, datetime, bool]:
    """Return the id of the current version, when it was made, and whether there is a key before it."""
    versions = client.list_secret_version_ids(SecretId=arn)["Versions"]
    labelled = {stage: one for one in versions for stage in one.get("VersionStages", ())}
    if "AWSCURRENT" not in labelled:
        raise SecretsError(f"{arn}: no value is labelled AWSCURRENT; deploy the stack of secrets")
    found = labelled["AWSCURRENT"]
    return str(found["VersionId"]), found["CreatedDate"], "AWSPREVIOUS" in labelled


def _advice(*, leaked: bool) -> str:
    return (
        ""
        if leaked
        else f", or with --leaked, {SETTLED.seconds // 60} minutes after the last time, if somebody else knows the key"
    )
