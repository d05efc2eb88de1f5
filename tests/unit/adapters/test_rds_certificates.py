"""The certificate authorities in the library: roots of Amazon RDS, a file a region, the same in two independent packages."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

import signalbox.adapters.postgres

FOLDER = Path(signalbox.adapters.postgres.__file__).parent / "certificates"
REGIONS = sorted(path.stem for path in FOLDER.glob("*.pem"))
KINDS = {"RSA2048", "RSA4096", "ECC384"}


def roots(region: str) -> dict[str, x509.Certificate]:
    """The roots of a region's file by their kind."""
    found = {}
    for one in x509.load_pem_x509_certificates((FOLDER / f"{region}.pem").read_bytes()):
        name = str(one.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        parts = re.fullmatch(rf"Amazon RDS {region} Root CA (\w+) G1", name)
        assert parts is not None, f"expected a root of {region}, got {name}"
        found[parts[1]] = one
    return found


@pytest.mark.parametrize("region", REGIONS)
def test_each_file_has_the_roots_of_its_region_and_nothing_else(region: str) -> None:
    found = roots(region)
    assert set(found) == KINDS
    for one in found.values():
        one.verify_directly_issued_by(one)
        assert one.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)[0].value == "Amazon RDS"
        assert one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert one.not_valid_before_utc < datetime.now(UTC) < one.not_valid_after_utc - timedelta(days=366)


def test_each_root_has_the_fingerprint_that_another_package_has() -> None:
    theirs = dict(line.rsplit(" ", 1) for line in (FOLDER / "fingerprints.txt").read_text().splitlines())
    ours = {
        f"{region} {kind}": one.fingerprint(hashes.SHA256()).hex() for region in REGIONS for kind, one in roots(region).items()
    }
    assert ours == theirs


def test_the_regions_that_our_pages_name_are_covered() -> None:
    assert {"eu-central-1", "eu-north-1", "eu-west-1", "us-east-1", "us-west-2"} <= set(REGIONS)
    assert {path.name for path in FOLDER.iterdir()} == {f"{one}.pem" for one in REGIONS} | {"README.md", "fingerprints.txt"}
