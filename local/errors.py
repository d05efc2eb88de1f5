"""Errors of the operator's commands. Each has a message of one line; the command prints it and exits with 2.

WorkbenchError
├── DataError        local.market: input data are missing, malformed or outside the requested period
│   └── ImportFileError local.cli.data.importing.files: a file cannot be imported; other files still are
├── AccountFileError local.cli.ftmo.events: an account's event file cannot be replayed; names the line
├── ServiceError     local.cloud.postgres, local.cloud.emulator: a child process did not start or ended
├── StageUnclearError local.cli.stage: no stage was named and none runs here, or AWS does not name the account
├── DeployError      local.cloud.deploy: templates could not be synthesised or deployed
├── StuckError       local.cloud.watch: a cycle was not finished in time; names the stage that is stuck
└── StateInUseError  local.cloud.up: another running workbench uses the same state folder
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from signalbox.errors import SignalboxError

if TYPE_CHECKING:
    from signalbox.problems import Problem


class WorkbenchError(SignalboxError):
    """Base class of every error that the workbench raises on purpose."""

    @property
    def problem(self) -> Problem:
        """The problem object that `--json` prints."""
        from signalbox.problems import problem_of  # noqa: PLC0415 - pydantic, only once something went wrong

        return problem_of(self)


class DataError(WorkbenchError):
    """Candles or other input data are missing, malformed or outside the requested period."""


class AccountFileError(WorkbenchError):
    """An account's event file cannot be replayed; the message names the line."""


class ServiceError(WorkbenchError):
    """A child process did not start, or ended unexpectedly."""


class StageUnclearError(WorkbenchError):
    """No stage was named and none runs here, or AWS does not say which account the credentials belong to."""


class DeployError(WorkbenchError):
    """Templates could not be synthesised or deployed."""


class StuckError(WorkbenchError):
    """A cycle was not decided, or not finished, in time."""


class StateInUseError(WorkbenchError):
    """Another running workbench uses the same state folder."""
