"""prepare_database, composed: the master secret, the migrating function, CloudFormation's answer address."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import urllib3
from botocore.config import Config

from signalbox.adapters.aws.clients import QUICK
from signalbox.bootstrap.settings import PrepareDatabaseSettings
from signalbox.errors import SignalboxError


class PreparationError(SignalboxError):
    """migrate_database failed; see its log."""


def compose(settings: PrepareDatabaseSettings | None = None) -> Callable[[], list[str]]:
    """Return the function that prepares the database and lists the applied migrations."""
    found = settings or PrepareDatabaseSettings.read()
    secrets = boto3.client("secretsmanager", config=QUICK)
    # one try: a migration that takes long must not be started twice by a client's retry
    functions = boto3.client("lambda", config=Config(read_timeout=840, retries={"total_max_attempts": 1}))

    def prepare() -> list[str]:
        master = json.loads(secrets.get_secret_value(SecretId=found.master_secret_arn)["SecretString"])
        answer = functions.invoke(
            FunctionName=found.migrate_function,
            Payload=json.dumps({"username": master["username"], "password": master["password"]}).encode(),
        )
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise PreparationError(f"{found.migrate_function}: {payload.get('errorType')}")
        applied: list[str] = payload["applied"]
        return applied

    return prepare


def respond(url: str, reply: dict[str, Any]) -> None:
    """Answer CloudFormation. Its address is a presigned upload that takes an empty content type."""
    answer = urllib3.request("PUT", url, body=json.dumps(reply).encode(), headers={"content-type": ""}, timeout=30.0, retries=3)
    if answer.status >= 300:
        raise PreparationError(f"CloudFormation did not take the answer: HTTP {answer.status}")
