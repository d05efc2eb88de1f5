"""Replacing a signing key: what was signed before opens until the next time, which does not come too soon; no key is shown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from boto3.session import Session
from moto import mock_aws
from typer.testing import CliRunner

from local.cli.secrets.app import secrets_app
from local.cli.secrets.command import SecretsError
from local.cli.secrets.rotation import KEYS, OVERLAP, SETTLED, rotate_key
from signalbox.adapters.aws.signing_keys import SecretKeys
from signalbox.contracts import StackOutput
from signalbox.signing import UnknownKeyError, open_message
from tests.fakes.keys import message_of, sealed
from tests.unit.test_signing import EVENTS

OUTPUTS: dict[str, str] = {StackOutput.REQUEST_KEY_ARN: "request", StackOutput.REPORT_KEY_ARN: "report"}


@pytest.fixture
def client(aws: None) -> Iterator[Any]:
    with mock_aws():
        made = boto3.client("secretsmanager")
        for name, letter in (("request", "q"), ("report", "r")):
            made.create_secret(Name=name, SecretString=letter * 64)
        yield made


def at(client: Any, after: timedelta, name: str = "request") -> datetime:
    """An instant so long after the newest value was made."""
    versions = client.list_secret_version_ids(SecretId=name)["Versions"]
    made: datetime = next(one["CreatedDate"] for one in versions if "AWSCURRENT" in one["VersionStages"])
    return made + after


def signed(client: Any) -> str:
    """A message as a signer makes it now, as the bus delivers it."""
    key = SecretKeys(client, "request").current()
    return message_of(EVENTS[0], sealed(EVENTS[0].type.value, EVENTS[0].to_detail(), key, sequence=1))


def is_opened(client: Any, message: str) -> bool:
    return open_message(message, SecretKeys(client, "request")).event == EVENTS[0]


def test_what_was_signed_before_opens_until_the_next_replacement(client: Any) -> None:
    first = signed(client)
    told = rotate_key(client, OUTPUTS, "request-key", datetime.now(UTC), leaked=False)
    second = signed(client)
    assert first != second
    assert is_opened(client, first)
    assert is_opened(client, second)
    rotate_key(client, OUTPUTS, "request-key", at(client, OVERLAP), leaked=False)
    with pytest.raises(UnknownKeyError):
        is_opened(client, first)
    assert is_opened(client, second)
    assert client.get_secret_value(SecretId="request", VersionStage="AWSPREVIOUS")["SecretString"] not in told
    assert client.get_secret_value(SecretId="report")["SecretString"] == "r" * 64


@pytest.mark.parametrize(("leaked", "wait"), [(False, OVERLAP), (True, SETTLED)])
def test_a_second_replacement_waits_until_nothing_of_the_first_key_is_on_its_way(
    client: Any, wait: timedelta, *, leaked: bool
) -> None:
    rotate_key(client, OUTPUTS, "request-key", datetime.now(UTC), leaked=leaked)
    kept = client.get_secret_value(SecretId="request")["SecretString"]
    with pytest.raises(SecretsError, match=r"would be refused. Repeat this at \d\d:\d\d UTC"):
        rotate_key(client, OUTPUTS, "request-key", at(client, wait - timedelta(seconds=1)), leaked=leaked)
    assert client.get_secret_value(SecretId="request")["SecretString"] == kept
    rotate_key(client, OUTPUTS, "report-key", datetime.now(UTC), leaked=False)  # the other key is another matter
    rotate_key(client, OUTPUTS, "request-key", at(client, wait), leaked=leaked)
    assert client.get_secret_value(SecretId="request")["SecretString"] != kept


def test_a_leaked_key_is_refused_after_the_second_time(client: Any) -> None:
    forged = signed(client)
    assert "repeat this at" in rotate_key(client, OUTPUTS, "request-key", datetime.now(UTC), leaked=True)
    genuine = signed(client)
    rotate_key(client, OUTPUTS, "request-key", at(client, SETTLED), leaked=True)
    with pytest.raises(UnknownKeyError):
        is_opened(client, forged)
    assert is_opened(client, genuine)


def test_who_replaces_at_the_same_moment_is_told(client: Any) -> None:
    class Racing:
        """Secrets Manager, in which somebody else is a little faster."""

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def put_secret_value(self, **call: Any) -> Any:
            client.put_secret_value(SecretId=call["SecretId"], SecretString="x" * 64)
            return client.put_secret_value(**call)

    with pytest.raises(SecretsError, match="somebody else replaced it at the same time"):
        rotate_key(Racing(), OUTPUTS, "request-key", datetime.now(UTC), leaked=False)


def test_the_command_shows_no_key_and_knows_two(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.cli.stage_outputs.stage_outputs", lambda *_, **__: OUTPUTS)
    monkeypatch.setattr("local.cli.accounts.command.session_of", lambda *_: (Session(region_name="eu-central-1"), None))
    for key in KEYS:
        done = CliRunner().invoke(secrets_app, ["rotate", key, "--stage", "dev"])
        assert done.exit_code == 0, done.output
        assert "stage dev, region eu-central-1, account 123456789012" in done.stderr
        for name in ("request", "report"):
            assert client.get_secret_value(SecretId=name)["SecretString"] not in done.output
    refused = CliRunner().invoke(secrets_app, ["rotate", "bot-token", "--stage", "dev"])
    assert isinstance(refused.exception, SecretsError)
    assert "request-key or report-key" in str(refused.exception)
