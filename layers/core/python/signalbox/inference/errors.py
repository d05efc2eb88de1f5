"""Why a bundle may not be used. Each says which file or field, what was expected and what was found.

BundleError
├── BundleManifestError      manifest.json is no JSON, or not the JSON of a manifest
├── BundleIncompleteError    a file is missing, cut short, or not readable as what it should be
├── BundleTamperedError      a file has other contents than the manifest says, or does not belong
├── BundleSchemaError        it was fitted on other features than this code computes
├── BundleGoldenError        it loads, but does not give the probabilities it gave when it was written
└── BundleArchiveError       the archive it travels in is broken or unsafe to unpack
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class BundleError(SignalboxError):
    """A model bundle that may not be loaded."""


class BundleManifestError(BundleError):
    """manifest.json is no JSON, or not the JSON of a manifest."""


class BundleIncompleteError(BundleError):
    """A file is missing, cut short, or not readable as what it should be."""


class BundleTamperedError(BundleError):
    """A file has other contents than the manifest says, or does not belong."""


class BundleSchemaError(BundleError):
    """It was fitted on other features than this code computes."""


class BundleGoldenError(BundleError):
    """It loads, but does not give the probabilities it gave when it was written."""


class BundleArchiveError(BundleError):
    """The archive it travels in is broken or unsafe to unpack."""
