"""Keys and the trust list."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from local.library.errors import PublisherKeyError
from local.library.publishers import (
    PublicKey,
    TrustList,
    is_encrypted,
    is_signed_by,
    load_key,
    new_key,
    read_public_key,
    read_trust,
    trust_locked,
    write_key,
    write_trust,
)
from tests.unit.local.library.signed import KEY, NOW

# RFC 8032, section 7.1, tests 1 to 3: public key, message, signature
VECTORS = [
    ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    ("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
    ("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_the_vectors_of_the_rfc_verify(key: str, message: str, signature: str) -> None:
    public = read_public_key(f"ed25519:{key}")
    assert is_signed_by(public, signature, bytes.fromhex(message))
    assert not is_signed_by(public, signature, bytes.fromhex(message) + b"x")
    order = 2**252 + 27742317777372353535851937790883648493  # the signature with S + L is another encoding of the same one
    scalar = (int.from_bytes(bytes.fromhex(signature)[32:], "little") + order).to_bytes(32, "little")
    assert not is_signed_by(public, signature[:64] + scalar.hex(), bytes.fromhex(message))


@pytest.mark.parametrize(
    "raw",
    [
        "00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ],
)  # fmt: skip
def test_a_key_that_anybody_can_sign_for_is_not_trusted(raw: str) -> None:
    with pytest.raises(PublisherKeyError):
        read_public_key(f"ed25519:{raw}")


@pytest.mark.parametrize(
    "text", ["", "ed25519:", "ed25519:" + "0" * 63, "ED25519:" + "a" * 64, "ed25519:" + "A" * 64, "rsa:" + "a" * 64]
)
def test_a_text_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(PublisherKeyError, match="expected a public key"):
        read_public_key(text)


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_a_key_is_written_for_its_owner_alone_and_read_again(tmp_path: Path, passphrase: str | None) -> None:
    path = tmp_path / "new" / "publisher.pem"
    made = new_key()
    write_key(path, made, passphrase)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert is_encrypted(path) == (passphrase is not None)
    read = load_key(path, passphrase)
    assert read.public == made.public
    assert is_signed_by(made.public, read.sign(b"text"), b"text")
    assert made.public in repr(read)
    with pytest.raises(PublisherKeyError, match="exists"):
        write_key(path, new_key(), None)
    with pytest.raises(PublisherKeyError, match="passphrase"):
        load_key(path, "wrong" if passphrase else "needless")
    if passphrase is not None:
        assert passphrase.encode() not in path.read_bytes()
        with pytest.raises(PublisherKeyError, match="needs a passphrase"):
            load_key(path)


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "publisher.pem"
    write_key(path, new_key(), None)
    path.chmod(0o640)
    with pytest.raises(PublisherKeyError, match=r"got mode 640: chmod 600"):
        load_key(path)


def test_a_file_that_is_no_ed25519_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "publisher.pem"
    with pytest.raises(PublisherKeyError, match="make one with"):
        load_key(path)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    for content, why in ((b"no key", "no private key in PEM"), (other, "expected an Ed25519 key"), (b"x" * 20_000, "at most")):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(PublisherKeyError, match=why):
            load_key(path)


def test_trust_is_kept_and_a_revoked_key_stays_revoked(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "trusted.json"
    other = new_key().public
    with trust_locked(path) as trust:
        assert trust == TrustList()
        write_trust(path, trust.trusting(KEY.public, "anna", NOW).trusting(other, "bert", NOW))
    revoked = read_trust(path).revoking(other, "leaked", NOW)
    write_trust(path, revoked)
    found = read_trust(path)
    assert found == revoked == found.revoking(other, "again", NOW)
    assert found.require(KEY.public).name == "anna"
    assert found.trusting(KEY.public, "anna", NOW) == found
    with pytest.raises(PublisherKeyError, match="was revoked on 2026-11-28"):
        found.trusting(other, "bert", NOW)
    with pytest.raises(PublisherKeyError, match="already, as the key of anna"):
        found.trusting(KEY.public, "mallory", NOW)
    with pytest.raises(PublisherKeyError, match="not in the trust list"):
        found.revoking(new_key().public, "why", NOW)


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 101, "\u202eanna"])
def test_a_name_that_could_deceive_is_refused(name: str) -> None:
    with pytest.raises(PublisherKeyError, match="name"):
        TrustList().trusting(KEY.public, name, NOW)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{", b'{"format":2,"publishers":[]}',
        b'{"publishers":[{"key":"x","name":"y","trusted_at":"2026-01-01T00:00Z"}]}', b'{"publishers":[], "admin":true}',
        b"\xff", b'{"publishers":[{"key":"ed25519:' + b"00" * 32 + b'","name":"y",' b'"trusted_at":"2026-01-01T00:00Z"}]}', b"["
        * 100_000,
    ],
)  # fmt: skip
def test_a_trust_list_that_is_none_trusts_nobody(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "trusted.json"
    path.write_bytes(content)
    with pytest.raises(PublisherKeyError, match="expected a list of trusted keys"):
        read_trust(path)


def test_a_signature_that_is_no_hex_is_no_signature() -> None:
    assert not is_signed_by(PublicKey(KEY.public), "xyz", b"")
    assert not is_signed_by(PublicKey(KEY.public), "", b"")
