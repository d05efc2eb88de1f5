"""Reads agent.toml, which names the account, the terminal and the queues, once at the start."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from signalbox.adapters.venues.mt5_mailbox import Keys
from signalbox.orders.messages import AccountName


class AgentConfig(BaseModel):
    """The contents of agent.toml. Paths are relative to the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    account: AccountName
    login: Annotated[int, Field(gt=0)]
    region: Annotated[str, Field(min_length=1)]
    commands_queue_url: Annotated[str, Field(min_length=1)]
    reports_queue_url: Annotated[str, Field(min_length=1)]
    key_file: Path
    journal: Path
    log: Path = Path("agent.log")
    terminal: Path | None = None  # path of terminal64.exe; needed if several are installed
    symbols: Annotated[dict[str, str], Field(min_length=1)]


def read_config(path: Path) -> AgentConfig:
    """Return the configuration with its paths resolved. Raises OSError, ValueError or pydantic.ValidationError."""
    found = AgentConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    return found.model_copy(
        update={"key_file": path.parent / found.key_file, "journal": path.parent / found.journal, "log": path.parent / found.log}
    )


def read_keys(path: Path) -> Keys:
    """Return the account's keys, one per line; the first one signs. Raises OSError, UnicodeDecodeError or EnvelopeError."""
    return Keys.of(*path.read_text(encoding="utf-8").splitlines())
