"""`signalbox mt5`: fetches or replaces the key and configuration of an account's agent, with the operator's AWS identity.

A key is replaced in two steps, so that no command and no report is lost. While the secret also has `next`, the cloud signs with
`current` and accepts reports signed with either key. The agent's file then has two lines, and the agent signs with the first.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError

from local.cli.accounts.command import session_of
from local.errors import WorkbenchError
from local.settings import Settings
from signalbox.contracts import MailboxQueue, mailbox_key_name, mailbox_queue_name

KEY_BYTES: Final = 48  # random bytes, which give 64 characters


class MailboxError(WorkbenchError):
    """An account's mailbox does not exist, or its secret is malformed."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One account's mailbox in one stage. `endpoint`: address of the local cloud, None in AWS."""

    session: Session
    stage: str
    account: str
    endpoint: str | None = None

    def keys(self) -> dict[str, str]:
        """Return `current` and, during a rotation, `next`. Raises MailboxError."""
        name = mailbox_key_name(self.stage, self.account)
        text = self._asked(lambda: self._client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])
        try:
            content = json.loads(text)
            found = {which: content[which] for which in ("current", "next") if content.get(which)}
            if all(isinstance(key, str) for key in found.values()) and "current" in found:
                return found
        except (ValueError, AttributeError):
            pass
        raise MailboxError(f"secret {name} has no key under `current`; `mt5 rotate --now` makes a new one")

    def put_keys(self, **keys: str) -> None:
        """Write the keys. Raises MailboxError."""
        name = mailbox_key_name(self.stage, self.account)
        self._asked(lambda: self._client("secretsmanager").put_secret_value(SecretId=name, SecretString=json.dumps(keys)))

    def queue_urls(self) -> tuple[str, str]:
        """Return the URLs of the command queue and the report queue. Raises MailboxError."""
        sqs = self._client("sqs")
        names = [mailbox_queue_name(self.stage, self.account, which) for which in MailboxQueue]
        commands, reports = (self._asked(lambda name=name: sqs.get_queue_url(QueueName=name)["QueueUrl"]) for name in names)
        return str(commands), str(reports)

    def _client(self, service: Any) -> Any:
        return self.session.client(service, endpoint_url=self.endpoint)

    def _asked(self, ask: Any) -> Any:
        try:
            return ask()
        except ClientError as error:
            content = error.response["Error"]
            raise MailboxError(
                f"{self.account} in stage {self.stage}: {content.get('Message', content.get('Code'))};"
                f" to create the mailbox, deploy the stage with the account in mt5_accounts"
            ) from error
        except BotoCoreError as error:
            raise MailboxError(f"AWS could not be queried: {error}") from error


def mailbox_of(stage: str, account: str, settings: Settings) -> Mailbox:
    """Return an account's mailbox in a deployed stage, or in the running local cloud. Raises AccountsError."""
    session, via = session_of(stage, settings)
    return Mailbox(session, stage, account, via)


def agent_toml(mailbox: Mailbox) -> str:
    """Return the account's agent.toml. Values that only the agent's machine knows must be filled in there."""
    commands, reports = mailbox.queue_urls()
    return "\n".join(
        [
            f'account = "{mailbox.account}"',
            "login = 0  # login number of the terminal",
            f'region = "{mailbox.session.region_name}"',
            f'commands_queue_url = "{commands}"',
            f'reports_queue_url = "{reports}"',
            'key_file = "signing.key"',
            'journal = "journal"',
            "[symbols]",
            'BTC-USD = "BTCUSD"  # ours = the broker\'s',
            "",
        ]
    )


def write_key(mailbox: Mailbox, out: Path) -> str:
    """Write the agent's current keys into a file that only its owner can read. Return what was done."""
    keys = mailbox.keys()
    _write(out, keys)
    return f"{out}: {_summary(keys)}; copy it next to agent.toml of {mailbox.account} and restart the agent"


def begin_rotation(mailbox: Mailbox, out: Path) -> str:
    """Create the next key if there is none, and write it to a file above the current key. Return what was done."""
    keys = mailbox.keys()
    if "next" not in keys:
        keys["next"] = secrets.token_urlsafe(KEY_BYTES)
        mailbox.put_keys(**keys)
    _write(out, keys)
    return (
        f"{out}: {_summary(keys)}; copy it next to agent.toml of {mailbox.account} and restart the agent. When its log says"
        " `signing keys: 2`, run the same command with --finish"
    )


def finish_rotation(mailbox: Mailbox) -> str:
    """Make the next key the only valid one. Return what was done. Raises MailboxError if there is no next key."""
    keys = mailbox.keys()
    if "next" not in keys:
        raise MailboxError(f"{mailbox.account} has one key, so no rotation can be finished; begin one without --finish")
    mailbox.put_keys(current=keys["next"])
    return f"{mailbox.account} has one key, in use within five minutes; then delete the second line of the agent's file"


def replace_at_once(mailbox: Mailbox, out: Path) -> str:
    """Make a new key the only valid one, because someone else has the old key. Return what was done."""
    keys = {"current": secrets.token_urlsafe(KEY_BYTES)}
    mailbox.put_keys(**keys)
    _write(out, keys)
    return (
        f"{out}: the only key of {mailbox.account}, in use within five minutes. Until the agent has it, it does nothing and its"
        " account is halted: copy the file, restart the agent, resume the account"
    )


def _summary(keys: dict[str, str]) -> str:
    return "1 key" if "next" not in keys else "2 keys, the next one first"


def _write(out: Path, keys: dict[str, str]) -> None:
    """Write the keys, first the one that the agent signs with. Only the owner can read the file, from its creation on."""
    lines = [keys[which] for which in ("next", "current") if which in keys]
    out.unlink(missing_ok=True)
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
