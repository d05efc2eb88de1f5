"""Errors of dumps, and of the database that one is restored into.

BackupError
├── DumpStorageError      the folder or bucket refused to read or write: a full disk, a missing permission
├── DumpDamagedError      a dump is incomplete, truncated, or differs from its manifest
├── DumpTooNewError       a dump was made by a newer schema, or by other migrations, than this release knows
├── DumpIncompleteError   a table could not be read completely, so no dump was made
└── RestoreRefusedError   the database is not empty, or another restore of it is not finished
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class BackupError(SignalboxError):
    """A dump or a restore failed. Earlier dumps stay as they are, and a restore can be repeated."""


class DumpStorageError(BackupError):
    """The folder or bucket refused to read or write a file of a dump."""


class DumpDamagedError(BackupError):
    """A dump is incomplete, truncated, or differs from its manifest. Nothing of the damaged part was restored."""


class DumpTooNewError(BackupError):
    """A dump was made by a newer schema, or by other migrations, than this release knows."""


class DumpIncompleteError(BackupError):
    """A table could not be read completely, so no dump was made."""


class RestoreRefusedError(BackupError):
    """The database cannot be restored into: it is not empty, or another restore of it is not finished."""
