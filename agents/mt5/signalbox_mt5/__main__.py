"""`python -m signalbox_mt5 agent.toml`: run the agent until it is stopped. docs/live-trading.md describes the file."""

from __future__ import annotations

import logging
import sys
import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from signalbox.adapters.venues.mt5_mailbox import require_key
from signalbox.errors import SignalboxError
from signalbox.orders.messages import AccountName
from signalbox_mt5.agent import RETRY_SECONDS, Agent, SqsMailbox
from signalbox_mt5.journal import Journal
from signalbox_mt5.terminal import open_terminal
from signalbox_mt5.venue import TerminalVenue


class AgentConfig(BaseModel):
    """agent.toml. Paths are relative to the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    account: AccountName
    login: Annotated[int, Field(gt=0)]
    region: Annotated[str, Field(min_length=1)]
    commands_queue_url: Annotated[str, Field(min_length=1)]
    reports_queue_url: Annotated[str, Field(min_length=1)]
    key_file: Path
    journal: Path
    symbols: Annotated[dict[str, str], Field(min_length=1)]


def read_config(path: Path) -> AgentConfig:
    """Return the configuration with its paths resolved. Raises OSError, ValueError or pydantic.ValidationError."""
    found = AgentConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    return found.model_copy(update={"key_file": path.parent / found.key_file, "journal": path.parent / found.journal})


def main(arguments: list[str]) -> int:
    """Run until the process is stopped; return 2 with one line of what is wrong when it cannot start."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        (path,) = arguments
        config = read_config(Path(path))
        key = require_key(config.key_file.read_text(encoding="utf-8"))
        terminal = open_terminal(config.login)
        journal = Journal(config.journal)
    except (SignalboxError, OSError, ValidationError, ValueError) as error:
        print(f"signalbox mt5 agent: {error}", file=sys.stderr)
        return 2
    venue = TerminalVenue(terminal, login=config.login, symbols=config.symbols, journal=journal, clock=_now)
    queues = boto3.client("sqs", region_name=config.region)
    mailbox = SqsMailbox(queues, commands_url=config.commands_queue_url, reports_url=config.reports_queue_url)
    agent = Agent(venue, journal, mailbox, account=config.account, key=key, clock=_now)
    while True:
        try:
            agent.step()
        except (BotoCoreError, ClientError):
            logging.getLogger("signalbox.mt5_agent").exception("the queues cannot be reached; trying again")
            time.sleep(RETRY_SECONDS)


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
