"""`--check`: checks this machine and says how to correct each fault. Sends no order and takes no command.

It reads attributes of the queues, which the agent's policy allows. It neither receives nor sends a message.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from signalbox.adapters.venues.mt5_mailbox import EnvelopeError
from signalbox.orders.venue_port import ExecutionError
from signalbox_mt5.broker_clock import BrokerClock
from signalbox_mt5.checked_clock import CLOCK_TOLERANCE
from signalbox_mt5.config import AgentConfig, read_keys
from signalbox_mt5.contracts import Contract
from signalbox_mt5.journal import Journal, JournalError
from signalbox_mt5.mailbox import time_of
from signalbox_mt5.terminal import MarginMode, Terminal, TradeMode

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    what: str
    is_right: bool
    found: str


def check(
    config: AgentConfig, terminal: Terminal | None, queues: SQSClient, clock: Callable[[], datetime], *, missing: str = ""
) -> list[Finding]:
    """Check everything the agent needs.

    terminal: None if it cannot be reached at all; `missing` then says why.
    """
    return [
        _key(config),
        *_queues(config, queues, clock),
        _journal(config),
        *(_terminal(config, terminal, clock) if terminal is not None else [Finding("terminal", False, missing)]),  # noqa: FBT003
    ]


def as_table(findings: list[Finding]) -> str:
    """Return the findings as text."""
    width = max(len(one.what) for one in findings)
    return "\n".join(f"{'ok   ' if one.is_right else 'WRONG'}  {one.what.ljust(width)}  {one.found}" for one in findings)


def as_json(findings: list[Finding]) -> str:
    """Return the findings as JSON."""
    return json.dumps({"ok": all(one.is_right for one in findings), "checks": [asdict(one) for one in findings]}, indent=2)


def _key(config: AgentConfig) -> Finding:
    try:
        keys = read_keys(config.key_file)
    except (OSError, UnicodeDecodeError, EnvelopeError) as error:
        return Finding("signing key", False, f"{config.key_file}: {error}")  # noqa: FBT003 - short for is_right
    accepted = f", {len(keys.others)} more accepted while it is replaced" if keys.others else ""
    return Finding("signing key", True, f"{len(keys.signing)} characters{accepted}")  # noqa: FBT003


def _queues(config: AgentConfig, queues: SQSClient, clock: Callable[[], datetime]) -> Iterator[Finding]:
    """Query both queues. The time of the newest answer shows how far this machine's clock is off."""
    theirs = None
    for what, url in (("command queue", config.commands_queue_url), ("report queue", config.reports_queue_url)):
        if f"-mt5-{config.account}-" not in url.rsplit("/", 1)[-1]:
            yield Finding(what, False, f"{url} does not belong to {config.account}; use the queues of this account")  # noqa: FBT003
            continue
        try:
            answer = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        except (BotoCoreError, ClientError) as error:
            yield Finding(what, False, str(error))  # noqa: FBT003
            continue
        yield Finding(what, True, f"reachable, {answer['Attributes']['ApproximateNumberOfMessages']} waiting")  # noqa: FBT003
        theirs = time_of(answer) or theirs
    if theirs is not None:
        off = clock() - theirs
        yield Finding(
            "clock", abs(off) <= CLOCK_TOLERANCE, f"{off.total_seconds():+.0f} s off the queues' clock; at most 30 s is allowed"
        )


def _journal(config: AgentConfig) -> Finding:
    if not config.journal.exists():
        return Finding("journal", config.journal.parent.is_dir(), f"{config.journal}: not created yet")
    try:
        journal = Journal(config.journal)
    except JournalError as error:
        return Finding("journal", "another agent" in str(error), str(error))  # a journal in use means that the agent is running
    with_ = f"{len(journal.kept)} commands waiting, {sum(not p.is_released for p in journal.protections.values())} levels set"
    journal.close()
    return Finding("journal", True, with_)  # noqa: FBT003


def _terminal(config: AgentConfig, terminal: Terminal, clock: Callable[[], datetime]) -> Iterator[Finding]:
    info = terminal.terminal_info()
    if info is None:
        yield Finding("terminal", False, f"does not answer ({terminal.last_error()}); start MetaTrader 5")  # noqa: FBT003
        return
    yield Finding("terminal", bool(info.connected), "connected" if info.connected else "has no connection to its server")
    account = terminal.account_info()
    login = "nobody" if account is None else account.login
    yield Finding("login", login == config.login, f"{login}; expected {config.login}")
    algo = bool(info.trade_allowed)
    yield Finding("algo trading", algo, "on" if algo else "off: switch on Algo Trading in the terminal (return code 10027)")
    if account is None:
        return
    may = bool(account.trade_allowed and account.trade_expert)
    yield Finding("account may trade", may, "yes" if may else "no: the broker or an investor password forbids it (10017, 10026)")
    modes = {int(mode): mode.name.lower() for mode in MarginMode}
    yield Finding("margin mode", account.margin_mode in modes, modes.get(account.margin_mode, f"unknown {account.margin_mode}"))
    yield from _symbols(config, terminal, account, clock)


def _symbols(config: AgentConfig, terminal: Terminal, account: Any, clock: Callable[[], datetime]) -> Iterator[Finding]:
    for ours, name in config.symbols.items():
        terminal.symbol_select(name, True)  # noqa: FBT003 - the package's signature
        info = terminal.symbol_info(name)
        if info is None:
            yield Finding(ours, False, f"the terminal has no {name}: {terminal.last_error()}")  # noqa: FBT003
            continue
        contract = Contract.of(ours, name, info)
        is_right = contract.mode is TradeMode.FULL and account.currency == ours.split("-")[1]
        yield Finding(
            ours,
            is_right,
            f"{name}: lots of {contract.step} from {contract.smallest} to {contract.largest}, 1 lot = {contract.size},"
            f" price steps of {contract.tick}, {contract.mode.name.lower()}, filling {contract.filling!s}, stops at least"
            f" {contract.stops_level} points away, account in {account.currency}",
        )
        try:
            zone = _zone(terminal, name, clock)
        except ExecutionError as error:
            yield Finding(f"{ours} price", False, str(error))  # noqa: FBT003
        else:
            yield Finding(f"{ours} price", True, f"current; the broker's clock is UTC{zone.total_seconds() / 3600:+.1f} h")  # noqa: FBT003


class _NoMemory:
    """A zone memory that starts empty, so that the check reads the zone from the price alone."""

    zone: timedelta | None = None

    def keep_zone(self, zone: timedelta) -> None:
        self.zone = zone


def _zone(terminal: Terminal, name: str, clock: Callable[[], datetime]) -> timedelta:
    return BrokerClock(terminal, (name,), _NoMemory(), clock).now(name)
