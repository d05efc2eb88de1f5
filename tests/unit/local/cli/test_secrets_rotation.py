"""Replacing a signing key: what was signed before opens until the next time, which does not come too soon; no key is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from boto3.session import Session
from botocore.exceptions import ClientError
from moto import mock_aws
from typer.testing import CliRunner

from local.cli.secrets.app import secrets_app
from local.cli.secrets.command import SecretsError
from local.cli.secrets.rotation import KEYS, OVERLAP, SETTLED, rotate_key
from signalbox.adapters.aws.signing_keys import StoredKeys
from signalbox.contracts import SealKey, StackOutput
from signalbox.signing import UnknownKeyError, open_message
from tests.fakes.keys import change_key, made_keys, message_of, sealed
from tests.unit.test_signing import EVENTS

TABLE = "keys"
OUTPUTS: dict[str, str] = {StackOutput.SIGNING_KEYS_TABLE: TABLE}
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def client(aws: None) -> Iterator[Any]:
    with mock_aws():
        made = boto3.client("dynamodb")
        made_keys(made, TABLE, {SealKey.REQUESTS: "q" * 64, SealKey.REPORTS: "r" * 64, SealKey.PEOPLE: "p" * 64})
        yield made


def key_of(client: Any, attribute: str = "current", name: SealKey = SealKey.REQUESTS) -> str:
    return str(client.get_item(TableName=TABLE, Key={"name": {"S": name}})["Item"][attribute]["S"])


def rotate(client: Any, now: datetime, *, name: str = "request-key", leaked: bool = False) -> str:
    return rotate_key(client, OUTPUTS, name, now, leaked=leaked)


def signed(client: Any) -> str:
    """A message as a signer makes it now, as the bus delivers it."""
    key = StoredKeys(client, TABLE, SealKey.REQUESTS).current()
    return message_of(EVENTS[0], sealed(EVENTS[0].type.value, EVENTS[0].to_detail(), key, sequence=1))


def is_opened(client: Any, message: str) -> bool:
    return open_message(message, StoredKeys(client, TABLE, SealKey.REQUESTS)).event == EVENTS[0]


class Between:
    """The table, in which something happens when the command has read the item and writes it."""

    def __init__(self, client: Any, update: Callable[..., Any]) -> None:
        self._client, self._update = client, update

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def update_item(self, **call: Any) -> Any:
        return self._update(**call)


def test_what_was_signed_before_opens_until_the_next_replacement(client: Any) -> None:
    first = signed(client)
    told = rotate(client, NOW)
    second = signed(client)
    assert first != second
    assert is_opened(client, first)
    assert is_opened(client, second)
    rotate(client, NOW + OVERLAP)
    with pytest.raises(UnknownKeyError):
        is_opened(client, first)
    assert is_opened(client, second)
    assert key_of(client, "previous") not in told
    assert len(key_of(client)) == 64
    assert key_of(client, name=SealKey.REPORTS) == "r" * 64


@pytest.mark.parametrize(("leaked", "wait"), [(False, OVERLAP), (True, SETTLED)])
def test_a_second_replacement_waits_until_nothing_of_the_first_key_is_on_its_way(
    client: Any, wait: timedelta, *, leaked: bool
) -> None:
    rotate(client, NOW, leaked=leaked)
    kept = key_of(client)
    with pytest.raises(SecretsError, match=rf"would be refused. Repeat this at {NOW + wait:%H:%M} UTC"):
        rotate(client, NOW + wait - timedelta(seconds=1), leaked=leaked)
    assert key_of(client) == kept
    rotate(client, NOW, name="report-key")  # the other key is another matter
    rotate(client, NOW + wait, leaked=leaked)
    assert key_of(client) != kept


def test_a_leaked_key_is_refused_after_the_second_time(client: Any) -> None:
    forged = signed(client)
    assert "repeat this at 12:10 UTC" in rotate(client, NOW, leaked=True)
    genuine = signed(client)
    rotate(client, NOW + SETTLED, leaked=True)
    with pytest.raises(UnknownKeyError):
        is_opened(client, forged)
    assert is_opened(client, genuine)


@pytest.mark.parametrize("times", [0, 1])
def test_who_replaces_at_the_same_moment_is_told_and_changes_nothing(client: Any, times: int) -> None:
    for _ in range(times):
        rotate(client, NOW - OVERLAP)
    first = signed(client)

    def update(**call: Any) -> Any:
        rotate(client, NOW)  # somebody else is a little faster
        return client.update_item(**call)

    with pytest.raises(SecretsError, match="somebody else replaced it at the same time"):
        rotate(Between(client, update), NOW)
    assert is_opened(client, first)
    assert is_opened(client, signed(client))


def test_a_replacement_whose_answer_was_lost_is_no_one_elses(client: Any) -> None:
    def update(**call: Any) -> Any:
        client.update_item(**call)
        return client.update_item(**call)  # as the SDK does when it hears nothing

    assert "request-key is replaced" in rotate(Between(client, update), NOW)
    assert key_of(client, "previous") == "q" * 64


def test_a_table_that_refuses_is_told(client: Any) -> None:
    def update(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not yours"}}, "UpdateItem")

    with pytest.raises(SecretsError, match=r"request-key: cannot be replaced: .*not yours"):
        rotate(Between(client, update), NOW)


@pytest.mark.parametrize("text", [None, "", "yesterday", "2026-03-01T12:00:00"])
def test_a_key_that_was_replaced_by_hand_waits_for_the_time_of_that(client: Any, text: str | None) -> None:
    change_key(client, TABLE, SealKey.REQUESTS, "b" * 64)

    def note(value: str) -> None:
        client.update_item(
            TableName=TABLE,
            Key={"name": {"S": SealKey.REQUESTS}},
            UpdateExpression="SET changed_at = :at",
            ExpressionAttributeValues={":at": {"S": value}},
        )

    if text is not None:
        note(text)
    with pytest.raises(SecretsError, match="replaced without this command at an unknown time"):
        rotate(client, NOW)
    assert key_of(client) == "b" * 64
    note(f"{NOW - OVERLAP:%Y-%m-%dT%H:%MZ}")  # as a person writes it
    rotate(client, NOW)
    assert key_of(client, "previous") == "b" * 64


def test_a_key_that_is_not_there_is_told(client: Any) -> None:
    client.delete_item(TableName=TABLE, Key={"name": {"S": SealKey.REQUESTS}})
    with pytest.raises(SecretsError, match="there is no such key in keys; deploy the stage"):
        rotate(client, NOW)


def test_the_command_shows_no_key_and_knows_all(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.cli.stage_outputs.stage_outputs", lambda *_, **__: OUTPUTS)
    monkeypatch.setattr("local.cli.accounts.command.session_of", lambda *_: (Session(region_name="eu-central-1"), None))
    for key in KEYS:
        done = CliRunner().invoke(secrets_app, ["rotate", key, "--stage", "dev"])
        assert done.exit_code == 0, done.output
        assert "stage dev, region eu-central-1, account 123456789012" in done.stderr
        for name in SealKey:
            assert key_of(client, name=name) not in done.output
    assert [key_of(client, "previous", name) for name in SealKey] == ["q" * 64, "r" * 64, "p" * 64]
    refused = CliRunner().invoke(secrets_app, ["rotate", "bot-token", "--stage", "dev"])
    assert isinstance(refused.exception, SecretsError)
    assert "one of request-key, report-key, people-key" in str(refused.exception)
