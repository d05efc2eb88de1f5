"""`signalbox-mt5-agent agent.toml` runs the agent until it is stopped. With `--check` it checks this machine and ends.

Exit codes: 1 a check failed (`--check`), 2 the agent cannot start.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from signalbox.errors import SignalboxError
from signalbox_mt5.agent import RETRY_SECONDS, Agent
from signalbox_mt5.check import as_json, as_table, check
from signalbox_mt5.checked_clock import CheckedClock
from signalbox_mt5.config import AgentConfig, read_config, read_keys
from signalbox_mt5.journal import Journal
from signalbox_mt5.mailbox import SqsMailbox
from signalbox_mt5.terminal import TerminalError, open_terminal
from signalbox_mt5.venue import TerminalVenue

LOG_BYTES: Final = 5_000_000
LOG_FILES: Final = 10
logger = logging.getLogger("signalbox.mt5_agent")


def main(arguments: list[str] | None = None) -> int:
    """Run until the process is stopped. If it cannot start, print one line with the reason and return 2."""
    parser = argparse.ArgumentParser(
        prog="signalbox-mt5-agent", description="Trade for Signalbox at this machine's MetaTrader 5 terminal."
    )
    parser.add_argument("config", type=Path, help="agent.toml")
    parser.add_argument("--check", action="store_true", help="check this machine and report what is wrong; trade nothing")
    parser.add_argument("--json", action="store_true", help="with --check: print the result as JSON")
    asked = parser.parse_args(arguments)
    before = os.umask(0o077)  # journal and log name every order: they are their owner's alone, where the system has such modes
    try:
        config = read_config(asked.config)
        return _check(config, is_json=asked.json) if asked.check else _run(config)
    except (SignalboxError, BotoCoreError, OSError, ValidationError, ValueError) as error:
        print(f"signalbox-mt5-agent: {error}", file=sys.stderr)
        return 2
    finally:
        os.umask(before)


def log_to(path: Path) -> None:
    """Log to the screen and to a file, which is rotated at LOG_BYTES; LOG_FILES old files are kept."""
    handlers: list[logging.Handler] = [
        RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8"),
        logging.StreamHandler(),
    ]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=handlers, force=True)


def _check(config: AgentConfig, *, is_json: bool) -> int:
    queues = boto3.client("sqs", region_name=config.region)
    try:
        findings = check(config, open_terminal(_path(config)), queues, _now)
    except TerminalError as error:
        findings = check(config, None, queues, _now, missing=str(error))
    print(as_json(findings) if is_json else as_table(findings))
    return 0 if all(one.is_right for one in findings) else 1


def _run(config: AgentConfig) -> int:
    keys = read_keys(config.key_file)
    terminal = open_terminal(_path(config))
    journal = Journal(config.journal)
    log_to(config.log)
    clock = CheckedClock(_now)
    venue = TerminalVenue(terminal, login=config.login, symbols=config.symbols, journal=journal, clock=clock)
    queues = boto3.client("sqs", region_name=config.region)
    mailbox = SqsMailbox(queues, commands_url=config.commands_queue_url, reports_url=config.reports_queue_url, hear=clock.hear)
    agent = Agent(venue, journal, mailbox, account=config.account, key=keys, clock=clock, pause=_pause)
    try:
        mailbox.ask_time()  # check the clock first: the age of waiting commands is judged by it
    except (BotoCoreError, ClientError):
        logger.exception("the queues cannot be reached: the age of waiting commands is measured by this machine's clock")
    known = 1 + len(keys.others)
    logger.info("the agent of account %s runs; signing keys: %s, waiting commands: %s", config.account, known, len(journal.kept))
    while True:
        try:
            agent.step()
        except (BotoCoreError, ClientError):
            logger.exception("the queues cannot be reached; trying again")
            time.sleep(RETRY_SECONDS)


def _path(config: AgentConfig) -> str | None:
    return None if config.terminal is None else str(config.terminal)


def _pause(wait: timedelta) -> None:
    time.sleep(wait.total_seconds())


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main())
