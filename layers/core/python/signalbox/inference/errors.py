"""Why a bundle may not be used. Each error names the file or field, what was expected and what was found.

BundleError
├── BundleManifestError      manifest.json is not JSON, or not a valid manifest
├── BundleIncompleteError    a file is missing, cut short or unreadable
├── BundleTamperedError      a file differs from its record in the manifest, or is not listed there
├── BundleSchemaError        the model was fitted on other features than this code computes
├── BundleContractError      the model was made for another signal contract than this code has
├── BundleGoldenError        the model does not reproduce its golden probabilities
└── BundleArchiveError       the bundle's archive is broken or unsafe to unpack
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class BundleError(SignalboxError):
    """A model bundle may not be loaded."""


class BundleManifestError(BundleError):
    """manifest.json is not JSON, or not a valid manifest."""


class BundleIncompleteError(BundleError):
    """A file of the bundle is missing, cut short or unreadable."""


class BundleTamperedError(BundleError):
    """A file of the bundle differs from its record in the manifest, or is not listed there."""


class BundleSchemaError(BundleError):
    """The model was fitted on other features than this code computes."""


class BundleContractError(BundleError):
    """The model was made for another signal contract than this code has."""


class BundleGoldenError(BundleError):
    """The model does not reproduce the golden probabilities recorded when it was written."""


class BundleArchiveError(BundleError):
    """The bundle's archive is broken or unsafe to unpack."""
