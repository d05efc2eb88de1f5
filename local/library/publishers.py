"""Publishers: the Ed25519 key that signs packages, and the list of keys whose packages are accepted (RFC 8032).

A public key is its own name, `ed25519:` and 64 hexadecimal digits, so there is no id that two keys could share. The private key
is a file of PKCS #8, readable by its owner alone, and encrypted if it has a passphrase. A revoked key stays in the list, with the
reason, so that it is refused by name and cannot be trusted again by mistake. Instants are arguments. Decision: 0124.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, NewType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AfterValidator, AwareDatetime, Field, ValidationError
from typing_extensions import override

from local.library.errors import PublisherKeyError, UntrustedPublisherError
from signalbox.frozen import FrozenModel
from signalbox.wire import OneLine, WireError, parse_object

PublicKey = NewType("PublicKey", str)  # ed25519: and 64 hexadecimal digits
KEY_PATTERN: Final = r"^ed25519:[0-9a-f]{64}$"
PRIVATE_FILE: Final = "publisher.pem"
TRUST_FILE: Final = "trusted.json"
MAX_KEY_BYTES: Final = 16 * 1024
MAX_TRUST_BYTES: Final = 1024 * 1024
MAX_PUBLISHERS: Final = 1_000
_PREFIX: Final = "ed25519:"
_FORGED: Final = bytes([1, *bytes(63)])  # R is the neutral point, S is 0: valid under keys of small order for many messages
_FORGERIES: Final = 256  # a key of order 8 accepts one message in eight


@dataclass(frozen=True, slots=True)
class PublisherKey:
    """A private key in memory. It is never shown."""

    _private: Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        """The public key as text."""
        raw = self._private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return PublicKey(_PREFIX + raw.hex())

    def sign(self, message: bytes) -> str:
        """Return the signature of a message as 128 hexadecimal digits."""
        return self._private.sign(message).hex()

    def to_pem(self, passphrase: str | None) -> bytes:
        """Return the private key as PKCS #8 in PEM."""
        none, best = serialization.NoEncryption(), serialization.BestAvailableEncryption
        cipher = none if passphrase is None else best(passphrase.encode())
        return self._private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher)

    @override
    def __repr__(self) -> str:
        return f"PublisherKey({self.public})"


def is_signed_by(key: PublicKey, signature: str, message: bytes) -> bool:
    """Return whether a signature in hexadecimal is this key's, of this message."""
    try:
        Ed25519PublicKey.from_public_bytes(_raw(key)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def read_public_key(text: str) -> PublicKey:
    """Return the public key in a text. Raises PublisherKeyError, also for a key whose signatures prove nothing."""
    found = text.strip()
    if re.fullmatch(KEY_PATTERN, found) is None:
        raise PublisherKeyError(f"expected a public key, ed25519: and 64 hexadecimal digits, got {found[:80]!r}")
    key = PublicKey(found)
    try:
        Ed25519PublicKey.from_public_bytes(_raw(key))
    except ValueError as error:
        raise PublisherKeyError(f"{key}: expected a valid Ed25519 key ({error})") from error
    if any(is_signed_by(key, _FORGED.hex(), number.to_bytes(2, "big")) for number in range(_FORGERIES)):
        raise PublisherKeyError(f"{key}: expected a key that only its owner can sign with, but anybody can sign for this one")
    return key


def new_key() -> PublisherKey:
    """Return a new key, in memory."""
    return PublisherKey(Ed25519PrivateKey.generate())


def write_key(path: Path, key: PublisherKey, passphrase: str | None) -> None:
    """Write a private key, encrypted if there is a passphrase. Raises PublisherKeyError if the file exists: none is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise PublisherKeyError(
            f"{path} exists: signalbox library keys list shows whose packages you accept; move the file away to make another key"
        ) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(key.to_pem(passphrase))
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise


def is_encrypted(path: Path) -> bool:
    """Return whether a private key needs a passphrase. Raises PublisherKeyError as `load_key` does."""
    return b"ENCRYPTED" in _key_content(path)


def load_key(path: Path, passphrase: str | None = None) -> PublisherKey:
    """Return the private key of a file. Raises PublisherKeyError, which quotes neither the key nor the passphrase."""
    content = _key_content(path)
    try:
        found = serialization.load_pem_private_key(content, None if passphrase is None else passphrase.encode())
    except TypeError:
        needed = "a passphrase" if passphrase is None else "no passphrase"
        raise PublisherKeyError(f"{path}: the key needs {needed}") from None
    except ValueError:
        what = "the passphrase is wrong, or the file is" if passphrase is not None else "the file is"
        raise PublisherKeyError(f"{path}: {what} no private key in PEM") from None
    if not isinstance(found, Ed25519PrivateKey):
        raise PublisherKeyError(f"{path}: expected an Ed25519 key; make one with signalbox library keys new")
    return PublisherKey(found)


def _key_content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_KEY_BYTES + 1)
    except FileNotFoundError:
        raise PublisherKeyError(f"no key {path}: make one with signalbox library keys new") from None
    except OSError as error:
        raise PublisherKeyError(f"{path}: cannot be read ({error.strerror})") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise PublisherKeyError(f"{path}: expected a file that its owner alone may read, got mode {mode & 0o777:03o}: chmod 600")
    if len(content) > MAX_KEY_BYTES:
        raise PublisherKeyError(f"{path}: expected a private key of at most {MAX_KEY_BYTES} bytes")
    return content


def _checked_key(text: str) -> str:
    try:
        return read_public_key(text)
    except PublisherKeyError as error:
        raise ValueError(str(error)) from error


class TrustedPublisher(FrozenModel):
    """A publisher in the trust list. revoked_at and why are set together."""

    key: Annotated[str, AfterValidator(_checked_key)]
    name: Annotated[OneLine, Field(min_length=1, max_length=100)]
    trusted_at: AwareDatetime
    revoked_at: AwareDatetime | None = None
    why: Annotated[OneLine, Field(min_length=1, max_length=300)] | None = None


class TrustList(FrozenModel):
    """Whose packages are accepted."""

    format: Literal[1] = 1
    publishers: Annotated[tuple[TrustedPublisher, ...], Field(max_length=MAX_PUBLISHERS)] = ()

    def find(self, key: PublicKey) -> TrustedPublisher | None:
        """Return the entry of a key, also a revoked one."""
        return next((one for one in self.publishers if one.key == key), None)

    def require(self, key: PublicKey) -> TrustedPublisher:
        """Return the publisher of a trusted key. Raises UntrustedPublisherError, which says how to trust it."""
        found = self.find(key)
        if found is None:
            raise UntrustedPublisherError(
                f"signed by {key}, which you do not trust. Ask its owner, over another channel, whether this is their key; if it"
                f" is: signalbox library keys trust {key} --name OWNER"
            )
        if found.revoked_at is not None:
            raise UntrustedPublisherError(
                f"signed by {key} of {found.name}, which was revoked on {found.revoked_at:%Y-%m-%d}: {found.why}"
            )
        return found

    def trusting(self, key: PublicKey, name: str, now: datetime) -> TrustList:
        """Return the list with a publisher. Raises PublisherKeyError for a revoked key, or one that has another name."""
        found, name = self.find(key), name.strip()
        if found is not None and found.revoked_at is not None:
            raise PublisherKeyError(f"{key} was revoked on {found.revoked_at:%Y-%m-%d} ({found.why}); ask for a new key")
        if found is not None and found.name != name:
            raise PublisherKeyError(f"{key} is trusted already, as the key of {found.name}")
        if found is not None:
            return self
        return _valid((*self.publishers, {"key": key, "name": name, "trusted_at": now}))

    def revoking(self, key: PublicKey, why: str, now: datetime) -> TrustList:
        """Return the list with a key revoked; revoking it again changes nothing. Raises PublisherKeyError for an unknown key."""
        found = self.find(key)
        if found is None:
            raise PublisherKeyError(f"{key} is not in the trust list, so nothing of it is accepted anyway")
        if found.revoked_at is not None:
            return self
        facts = {**found.model_dump(), "revoked_at": now, "why": why.strip()}
        return _valid(tuple(facts if one is found else one for one in self.publishers))


def _valid(publishers: tuple[object, ...]) -> TrustList:
    try:
        return TrustList.model_validate({"publishers": publishers})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise PublisherKeyError(f"{first['loc'][-1]}: {first['msg']}") from None


def read_trust(path: Path) -> TrustList:
    """Return the trust list of a file; without a file nobody is trusted. Raises PublisherKeyError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TRUST_BYTES + 1)
        return TrustList.model_validate(parse_object(content, max_bytes=MAX_TRUST_BYTES))
    except FileNotFoundError:
        return TrustList()
    except OSError as error:
        raise PublisherKeyError(f"{path}: cannot be read ({error.strerror})") from error
    except (WireError, ValidationError) as error:
        detail = str(error) if isinstance(error, WireError) else error.errors(include_input=False, include_url=False)[0]["msg"]
        raise PublisherKeyError(f"{path}: expected a list of trusted keys: {detail}") from error


def write_trust(path: Path, trust: TrustList) -> None:
    """Replace the trust list in one step, so that a reader sees the old or the new one."""
    replace_file(path, (trust.model_dump_json(indent=2) + "\n").encode())


@contextmanager
def trust_locked(path: Path) -> Iterator[TrustList]:
    """Give the trust list, and let no other command change it before the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield read_trust(path)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one step: whoever reads it sees the former content or the new one, also after a crash."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            partial.unlink()
        raise


def _raw(key: PublicKey) -> bytes:
    return bytes.fromhex(key.removeprefix(_PREFIX))
