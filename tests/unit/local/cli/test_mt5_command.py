"""`signalbox mt5`: an agent gets its own key, and a key is replaced without a command or a report that nobody can open."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner, Result

from local.cli.mt5.app import mt5_app
from local.errors import WorkbenchError
from signalbox.adapters.venues.mt5_mailbox import EnvelopeError, Keys, MailboxDirection, open_envelope, seal
from signalbox.contracts import MailboxQueue, mailbox_key_name, mailbox_queue_name
from signalbox_mt5.config import AgentConfig, read_config, read_keys
from tests.builders import NOON
from tests.unit.agents.world import viewed

ACCOUNT, OLD = "ftmo-1", "k" * 64
Command = Callable[..., Result]


@pytest.fixture
def folder(aws: None, tmp_path: Path) -> Iterator[Path]:
    with mock_aws():
        sqs, secrets = boto3.client("sqs"), boto3.client("secretsmanager")
        for which in MailboxQueue:
            sqs.create_queue(QueueName=mailbox_queue_name("prod", ACCOUNT, which), Attributes={"FifoQueue": "true"})
        secrets.create_secret(
            Name=mailbox_key_name("prod", ACCOUNT), SecretString=json.dumps({"next": "", "current": OLD})
        )  # as the template makes it
        yield tmp_path


@pytest.fixture
def run(folder: Path) -> Command:
    def command(*arguments: str, account: str = ACCOUNT) -> Result:
        verb, *options = arguments
        out = [] if verb == "config" else ["--out", str(folder / "signing.key")]
        return CliRunner().invoke(mt5_app, [verb, account, "--stage", "prod", *out, *options])

    return command


def in_cloud() -> Keys:
    text = boto3.client("secretsmanager").get_secret_value(SecretId=mailbox_key_name("prod", ACCOUNT))["SecretString"]
    secret = json.loads(text)
    return Keys.of(secret["current"], secret.get("next", ""))


def understand_each_other(cloud: Keys, agent: Keys) -> bool:
    """Whether a command of the cloud is taken by the agent, and a report of the agent by the cloud."""
    try:
        for sender, receiver, direction in ((cloud, agent, MailboxDirection.COMMAND), (agent, cloud, MailboxDirection.REPORT)):
            text = seal(viewed(), key=sender.signing, direction=direction, account=ACCOUNT, sequence=1, sent_at=NOON)
            open_envelope(text, key=receiver, direction=direction, account=ACCOUNT)
    except EnvelopeError:
        return False
    return True


def test_the_key_of_the_deployment_is_written_for_its_owner_alone_and_shown_nowhere(run: Command, folder: Path) -> None:
    output = run("key")
    file = folder / "signing.key"
    assert output.exit_code == 0, output.output
    assert OLD not in output.output
    assert read_keys(file) == Keys(OLD.encode())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_file_that_others_could_read_is_not_written_into(run: Command, folder: Path) -> None:
    file = folder / "signing.key"
    file.write_text("x")
    file.chmod(0o644)
    run("key")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_at_every_moment_of_a_rotation_cloud_and_agent_understand_each_other(run: Command, folder: Path) -> None:
    file = folder / "signing.key"
    run("key")
    agent, cloud = read_keys(file), in_cloud()
    assert understand_each_other(cloud, agent)
    run("rotate")
    assert understand_each_other(in_cloud(), agent)  # the file is not on the agent's machine yet
    old_cloud, cloud, agent = cloud, in_cloud(), read_keys(file)
    assert understand_each_other(cloud, agent)
    assert not understand_each_other(old_cloud, agent)  # so the function reads the secret again before it refuses a report
    assert run("rotate", "--finish").exit_code == 0
    assert understand_each_other(in_cloud(), agent)
    assert understand_each_other(cloud, agent)  # a function that knows the keys of before for five minutes
    assert run("key").exit_code == 0
    agent = read_keys(file)
    assert (agent.others, understand_each_other(in_cloud(), agent)) == ((), True)
    assert agent.signing != OLD.encode()
    assert not understand_each_other(in_cloud(), Keys(OLD.encode()))


def test_a_rotation_that_is_begun_twice_makes_one_key(run: Command, folder: Path) -> None:
    run("rotate")
    first = read_keys(folder / "signing.key")
    run("rotate")
    assert read_keys(folder / "signing.key") == first


def test_a_key_in_wrong_hands_opens_nothing_from_the_next_look_on(run: Command, folder: Path) -> None:
    output = run("rotate", "--now")
    assert "halted" in output.output
    assert not understand_each_other(in_cloud(), Keys(OLD.encode()))
    assert understand_each_other(in_cloud(), read_keys(folder / "signing.key"))


def test_finishing_what_was_not_begun_is_refused(run: Command) -> None:
    output = run("rotate", "--finish")
    assert isinstance(output.exception, WorkbenchError)
    assert "no rotation can be finished" in str(output.exception)


def test_an_account_without_a_mailbox_is_told_what_makes_one(run: Command) -> None:
    for verb in ("config", "key", "rotate"):
        output = run(verb, account="ftmo-9")
        assert isinstance(output.exception, WorkbenchError)
        assert "mt5_accounts" in str(output.exception)


def test_the_configuration_is_what_the_agent_reads(run: Command, folder: Path) -> None:
    output = run("config")
    (folder / "agent.toml").write_text(output.output.replace("login = 0", "login = 7"))
    config = read_config(folder / "agent.toml")
    assert isinstance(config, AgentConfig)
    assert (config.account, config.symbols) == (ACCOUNT, {"BTC-USD": "BTCUSD"})
    for url, which in ((config.commands_queue_url, MailboxQueue.COMMANDS), (config.reports_queue_url, MailboxQueue.REPORTS)):
        assert url.endswith(mailbox_queue_name("prod", ACCOUNT, which))


def test_a_secret_that_lost_its_key_says_so_and_never_what_is_in_it(run: Command) -> None:
    boto3.client("secretsmanager").put_secret_value(SecretId=mailbox_key_name("prod", ACCOUNT), SecretString='["TOPSECRET"]')
    output = run("key")
    assert "--now" in str(output.exception)
    assert "TOPSECRET" not in str(output.exception) + output.output
