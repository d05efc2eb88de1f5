"""Model bundles: their manifest, the checks before use, and calibrated probabilities from the models in them."""

from signalbox.inference.archive import bundle_sha256, pack_bundle, unpack_bundle
from signalbox.inference.bundle import Workspace, load_bundle, record_of
from signalbox.inference.ensemble import Ensemble
from signalbox.inference.errors import (
    BundleArchiveError,
    BundleContractError,
    BundleError,
    BundleGoldenError,
    BundleIncompleteError,
    BundleManifestError,
    BundleSchemaError,
    BundleTamperedError,
)
from signalbox.inference.manifest import BundleManifest, Gate, Verdict, read_manifest

__all__ = [
    "BundleArchiveError",
    "BundleContractError",
    "BundleError",
    "BundleGoldenError",
    "BundleIncompleteError",
    "BundleManifest",
    "BundleManifestError",
    "BundleSchemaError",
    "BundleTamperedError",
    "Ensemble",
    "Gate",
    "Verdict",
    "Workspace",
    "bundle_sha256",
    "load_bundle",
    "pack_bundle",
    "read_manifest",
    "record_of",
    "unpack_bundle",
]
