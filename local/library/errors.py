"""Errors of sharing models.

PackageError
├── UntrustedPublisherError   the package is signed by a key that is not trusted, or no longer
├── ModelCatalogueError       a catalogue cannot be read, has no such model, or lies at an address that is not allowed
└── PublisherKeyError         a key or the list of trusted keys cannot be read or made
"""

from __future__ import annotations

from local.errors import WorkbenchError


class PackageError(WorkbenchError):
    """A signed package is damaged, changed, unsafe, or does not fit where it should go."""


class UntrustedPublisherError(PackageError):
    """A package is signed by a key that is not trusted, or no longer."""


class ModelCatalogueError(PackageError):
    """A catalogue cannot be read, has no such model, or lies at an address that is not allowed."""


class PublisherKeyError(PackageError):
    """A key or the list of trusted keys cannot be read or made."""
