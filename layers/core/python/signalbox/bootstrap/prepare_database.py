"""Composes prepare_database: the signing keys, the master secret, migrate_database, and the answer to CloudFormation."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import urllib3
from botocore.config import Config

from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.signing_keys import make_key
from signalbox.bootstrap.settings import PrepareDatabaseSettings
from signalbox.contracts import SealKey
from signalbox.errors import SignalboxError


class PreparationError(SignalboxError):
    """migrate_database failed. Its log says why."""


def compose(settings: PrepareDatabaseSettings | None = None) -> Callable[[], list[str]]:
    """Return a function that makes the signing keys, migrates the database and lists the applied migrations."""
    found = settings or PrepareDatabaseSettings.read()
    secrets = boto3.client("secretsmanager", config=QUICK)
    # one attempt: a client's retry would start a long migration a second time
    functions = boto3.client("lambda", config=Config(read_timeout=840, retries={"total_max_attempts": 1}))

    keys = boto3.client("dynamodb", config=QUICK)

    def prepare() -> list[str]:
        for name in SealKey:
            make_key(keys, found.signing_keys_table, name)
        master = json.loads(secrets.get_secret_value(SecretId=found.master_secret_arn)["SecretString"])
        answer = functions.invoke(
            FunctionName=found.migrate_function,
            Payload=json.dumps({"username": master["username"], "password": master["password"]}).encode(),
        )
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise PreparationError(f"{found.migrate_function} failed with {payload.get('errorType')}; see its log")
        applied: list[str] = payload["applied"]
        return applied

    return prepare


def respond(url: str, reply: dict[str, Any]) -> None:
    """Send the reply to CloudFormation's presigned URL, which requires an empty content type."""
    answer = urllib3.request("PUT", url, body=json.dumps(reply).encode(), headers={"content-type": ""}, timeout=30.0, retries=3)
    if answer.status >= 300:
        raise PreparationError(f"CloudFormation refused the answer: HTTP {answer.status}")
