"""What can be wrong with a dump, or with the database that it is restored into.

BackupError
├── DumpStorageError      the folder or bucket refused to read or write: a full disk, a missing permission
├── DumpDamagedError      a dump is incomplete, cut short, or not what its manifest says
├── DumpTooNewError       a dump was made by a newer schema, or by other migrations, than this release knows
├── DumpIncompleteError   a table could not be read whole, so there is no dump
└── RestoreRefusedError   the database is not one to restore into now
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class BackupError(SignalboxError):
    """A dump or a restore did not come about. What was there before is there still."""


class DumpStorageError(BackupError):
    """The folder or bucket refused to read or write a file of a dump."""


class DumpDamagedError(BackupError):
    """A dump is incomplete, cut short, or not what its manifest says. Nothing of the damaged part was restored."""


class DumpTooNewError(BackupError):
    """A dump was made by a newer schema, or by other migrations, than this release knows."""


class DumpIncompleteError(BackupError):
    """A table could not be read whole, so there is no dump."""


class RestoreRefusedError(BackupError):
    """The database is not one to restore into now: it holds something, or another restore is not finished."""
