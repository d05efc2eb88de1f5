"""Setting one field of a secret: the others stay, the value is never told, and who writes at the same time is found out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from boto3.session import Session
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from typer.testing import CliRunner

from local.cli.secrets.app import secrets_app
from local.cli.secrets.command import SecretField, SecretsError, StageSecrets, merged, missing_in
from local.errors import StageUnclearError
from signalbox.contracts import StackOutput

SHAPE = {"chat_ids": ["7"], "bot_token": "generated"}


@pytest.fixture
def client(aws: None) -> Iterator[Any]:
    with mock_aws():
        made = boto3.client("secretsmanager")
        made.create_secret(Name="telegram", SecretString=json.dumps(SHAPE))
        made.create_secret(Name="exchange", SecretString=json.dumps({"accounts": {}, "mt5_signing_key": "generated"}))
        yield made


def secrets(client: Any) -> StageSecrets:
    return StageSecrets(client, {StackOutput.TELEGRAM_SECRET_ARN: "telegram", StackOutput.EXCHANGE_SECRET_ARN: "exchange"})


def content(client: Any, name: str) -> Any:
    return json.loads(client.get_secret_value(SecretId=name)["SecretString"])


def test_a_field_is_set_and_the_others_stay(client: Any) -> None:
    field = SecretField.parse("telegram.bot_token")
    assert secrets(client).set(field, field.value_of(" 12:abc\n")) == ()
    assert content(client, "telegram") == {"chat_ids": ["7"], "bot_token": "12:abc"}


def test_the_fields_of_an_account_are_set_one_by_one_and_what_is_missing_is_named(client: Any) -> None:
    lacking: tuple[str, ...] = ()
    for name, value in (("venue", "coinbase"), ("api_key", "k"), ("api_secret", "s")):
        field = SecretField.parse(f"exchange.accounts.swing-2.{name}")
        lacking = secrets(client).set(field, field.value_of(value))
    (one,) = lacking
    assert "swing-2" in one
    assert "passphrase" in one
    field = SecretField.parse("exchange.accounts.swing-2.passphrase")
    assert secrets(client).set(field, field.value_of("p")) == ()
    found = content(client, "exchange")
    assert found["mt5_signing_key"] == "generated"  # another shape would have CloudFormation write the secret anew
    assert found["accounts"] == {"swing-2": {"venue": "coinbase", "api_key": "k", "api_secret": "s", "passphrase": "p"}}


@pytest.mark.parametrize(
    "name",
    ["telegram", "telegram.token", "exchange.accounts.a", "exchange.accounts.a.password", "exchange.accounts..venue", "x.y", ""],
)
def test_an_unknown_field_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(SecretsError, match=r"telegram\.bot_token.*exchange\.accounts\.ACCOUNT\.FIELD"):
        SecretField.parse(name)


@pytest.mark.parametrize(("name", "typed"), [("telegram.bot_token", " \n"), ("exchange.accounts.a.sandbox", "hidden-value")])
def test_a_value_that_cannot_be_stored_is_refused_and_not_repeated(name: str, typed: str) -> None:
    with pytest.raises(SecretsError) as refused:
        SecretField.parse(name).value_of(typed)
    assert "hidden-value" not in str(refused.value)


@pytest.mark.parametrize(("typed", "kept"), [("swing-2, ftmo-1", ["swing-2", "ftmo-1"]), ("*", ["*"]), ("none", [])])
def test_accounts_of_two_people_are_a_list(client: Any, typed: str, kept: list[str]) -> None:
    field = SecretField.parse("telegram.two_people")
    assert secrets(client).set(field, field.value_of(typed)) == ()
    assert content(client, "telegram")["two_people"] == kept
    with pytest.raises(SecretsError, match="expected names of accounts"):
        field.value_of("Swing 2")
    (problem,) = missing_in("telegram", {"bot_token": "1:a", "chat_ids": [], "two_people": "swing-2"})
    assert "every account needs two people" in problem


def test_chats_are_a_list(client: Any) -> None:
    field = SecretField.parse("telegram.chat_ids")
    secrets(client).set(field, field.value_of("1, -5,"))
    assert content(client, "telegram")["chat_ids"] == ["1", "-5"]


def test_settings_of_chats_are_checked_before_they_are_stored_and_shown_when_wrong(client: Any) -> None:
    field = SecretField.parse("telegram.alerts")
    secrets(client).set(field, field.value_of('{"-5": {"language": "cs", "zone": "Europe/Prague"}}'))
    assert content(client, "telegram")["alerts"] == {"-5": {"language": "cs", "zone": "Europe/Prague"}}
    for wrong in ("[]", "{", '{"-5": {"zone": "Europe/Atlantis"}}', '{"1": {"events": {"exit_failed": "off"}}}'):
        with pytest.raises(SecretsError, match=r"telegram\.alerts"):
            field.value_of(wrong)
    (problem,) = missing_in("telegram", {"bot_token": "1:a", "chat_ids": [], "alerts": {"1": {"language": "fr"}}})
    assert "alerts of chat 1: language" in problem


@pytest.mark.parametrize("text", ["not json", "[]", '"token"'])
def test_a_secret_of_another_shape_is_left_alone(client: Any, text: str) -> None:
    client.put_secret_value(SecretId="telegram", SecretString=text)
    with pytest.raises(SecretsError, match="is not a JSON object"):
        secrets(client).set(SecretField.parse("telegram.bot_token"), "1:a")
    assert client.get_secret_value(SecretId="telegram")["SecretString"] == text


def test_who_writes_at_the_same_moment_is_told(client: Any) -> None:
    class Racing:
        """Secrets Manager, in which somebody else is a little faster."""

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def put_secret_value(self, **call: Any) -> Any:
            client.put_secret_value(SecretId=call["SecretId"], SecretString=json.dumps(SHAPE | {"bot_token": "theirs"}))
            return client.put_secret_value(**call)

    with pytest.raises(SecretsError, match="somebody else changed telegram"):
        secrets(Racing()).set(SecretField.parse("telegram.bot_token"), "1:ours")


def test_a_field_below_something_that_is_no_object_is_refused() -> None:
    with pytest.raises(SecretsError, match="nothing was changed"):
        merged({"accounts": "text"}, SecretField.parse("exchange.accounts.a.venue"), "coinbase")


JSON = st.recursive(
    st.text(max_size=5) | st.integers() | st.booleans(), lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


@given(before=st.dictionaries(st.text(max_size=8), JSON, max_size=4), token=st.text(min_size=1))
def test_nothing_but_the_field_changes(before: dict[str, Any], token: str) -> None:
    copy = json.loads(json.dumps(before))
    after = merged(before, SecretField.parse("telegram.bot_token"), token)
    assert before == copy
    assert after == before | {"bot_token": token}


def test_what_a_secret_lacks_is_told_without_what_stands_there() -> None:
    lacking = missing_in("telegram", {"bot_token": {"hidden": "value"}})
    assert len(lacking) == 2
    assert "value" not in "".join(lacking)


def test_where_a_secret_is_set_is_shown_before_it_is(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = {StackOutput.TELEGRAM_SECRET_ARN: "telegram", StackOutput.EXCHANGE_SECRET_ARN: "exchange"}
    monkeypatch.setattr("local.cli.stage_outputs.stage_outputs", lambda *_, **__: outputs)
    monkeypatch.setattr("local.cli.accounts.command.session_of", lambda *_: (Session(region_name="eu-central-1"), None))
    done = CliRunner().invoke(secrets_app, ["set", "telegram.bot_token", "--stage", "dev"], input="12:abc\n")
    assert done.exit_code == 0
    assert "stage dev, region eu-central-1, account 123456789012" in done.stderr
    assert content(client, "telegram")["bot_token"] == "12:abc"

    def unknown(*_: object, **__: object) -> None:
        raise StageUnclearError("cannot identify the AWS account")

    monkeypatch.setattr("local.cli.stage.announce", unknown)
    assert CliRunner().invoke(secrets_app, ["set", "telegram.bot_token", "--stage", "dev"], input="13:no\n").exit_code != 0
    assert content(client, "telegram")["bot_token"] == "12:abc"
