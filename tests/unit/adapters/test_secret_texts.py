"""A text that was read goes on while Secrets Manager is away; no client of a function waits longer than the function has."""

from __future__ import annotations

import ast
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.secret_texts import KEPT_SECONDS, RETRY_SECONDS, SecretTexts, SecretUnavailableError, secrets_client

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

LIBRARY = Path(__file__).parents[3] / "layers" / "core" / "python" / "signalbox"


class Clock:
    at = 0.0

    def __call__(self) -> float:
        return self.at


def read_once(clock: Clock) -> tuple[SecretsManagerClient, SecretTexts]:
    """A secret whose first text was read."""
    client = boto3.client("secretsmanager")
    client.create_secret(Name="exchange", SecretString="first")
    texts = SecretTexts(client, clock)
    assert texts.get("exchange") == "first"
    return client, texts


def test_a_text_is_kept_and_a_new_one_used_within_its_time(aws: None) -> None:
    with mock_aws():
        clock = Clock()
        client, texts = read_once(clock)
        client.put_secret_value(SecretId="exchange", SecretString="second")
        assert (texts.get("exchange"), texts.read("exchange")) == ("first", "second")
        client.put_secret_value(SecretId="exchange", SecretString="third")
        clock.at = KEPT_SECONDS
        assert texts.get("exchange") == "third"


def test_a_secret_that_was_read_serves_while_secrets_manager_is_away(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with mock_aws():
        clock = Clock()
        client, texts = read_once(clock)
        client.put_secret_value(SecretId="exchange", SecretString="second")
        asked: list[str] = []
        with monkeypatch.context() as away:

            def refuse(**facts: str) -> None:
                asked.append(facts["SecretId"])
                raise EndpointConnectionError(endpoint_url="https://secretsmanager")

            away.setattr(client, "get_secret_value", refuse)
            clock.at = KEPT_SECONDS
            assert [texts.get("exchange") for _ in range(3)] == ["first"] * 3
            assert asked == ["exchange"]
            with pytest.raises(SecretUnavailableError, match="other: cannot be read"):
                texts.get("other")
        clock.at += RETRY_SECONDS
        assert texts.get("exchange") == "second"


def test_a_secret_that_was_deleted_is_gone_at_once(aws: None) -> None:
    with mock_aws():
        clock = Clock()
        client, texts = read_once(clock)
        client.delete_secret(SecretId="exchange", ForceDeleteWithoutRecovery=True)
        clock.at = KEPT_SECONDS
        for _ in range(2):
            with pytest.raises(SecretUnavailableError, match="no such secret, or it has no value"):
                texts.get("exchange")


def test_a_service_that_does_not_answer_is_given_up_well_before_a_function_ends(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and says nothing
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        begin = time.monotonic()
        with pytest.raises(SecretUnavailableError):
            SecretTexts(secrets_client()).get("exchange")
        assert time.monotonic() - begin < 10  # of the 60 that execute_orders has; the defaults take five minutes


def test_two_tries_of_a_quick_client_fit_into_half_a_minute() -> None:
    facts = vars(QUICK)
    seconds = facts["retries"]["total_max_attempts"] * (facts["connect_timeout"] + facts["read_timeout"])
    assert seconds + 2 < 30


def test_every_client_of_a_function_says_how_long_it_waits() -> None:
    found = [
        (path.name, call)
        for path in LIBRARY.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in {"boto3.client", "boto3.resource"}
    ]
    assert len(found) > 15
    assert [name for name, call in found if "config" not in {word.arg for word in call.keywords}] == []
