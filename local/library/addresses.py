"""Fetches a file of a catalogue over https, from public addresses only.

A catalogue's address comes from somebody else, and so does every redirect. So only https is spoken, each name is resolved once
and all of its addresses must be public, and the connection goes to the address that was judged, with the certificate of the
name: a name that changes its address in between (DNS rebinding) reaches nothing in this network. No proxy, no cookie, no
compression; size, redirects and time are bounded. Special addresses: RFC 6890.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urljoin, urlsplit

import httpx

from local.library.errors import ModelCatalogueError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
HTTPS_PORT: Final = 443
MAX_REDIRECTS: Final = 3
MAX_SECONDS: Final = 300.0  # of one file, redirects included
STEP_SECONDS: Final = 15.0  # of connecting, and of waiting for the next bytes
_MAX_URL: Final = 2_000
_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")  # an IPv4 address behind a translator (RFC 6052)
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


def is_public(address: Address) -> bool:
    """Return whether an address is one of the public internet, also if it hides inside an IPv6 address."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.sixtofour is not None or address.teredo is not None or address in _TRANSLATED:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def resolve(host: str, port: int) -> Sequence[Address]:
    """Return the addresses of a host. Raises ModelCatalogueError if it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ModelCatalogueError(f"{host}: the name cannot be resolved ({error})") from error
    return [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]


@dataclass(frozen=True, slots=True)
class HttpsReader:
    """Fetches files over https. allowed: judges each address. context: whose certificates are accepted; None: the public ones."""

    allowed: Callable[[Address], bool] = is_public
    resolver: Callable[[str, int], Sequence[Address]] = resolve
    context: ssl.SSLContext | None = None
    seconds: float = MAX_SECONDS

    def fetch(self, url: str, *, at_most: int) -> bytes:
        """Return a file of at most so many bytes. Raises ModelCatalogueError, which says what is wrong."""
        ends = time.monotonic() + self.seconds
        where = url
        for _ in range(MAX_REDIRECTS + 1):
            found = self._step(where, at_most, ends)
            if isinstance(found, bytes):
                return found
            where = urljoin(where, found)
        raise ModelCatalogueError(f"{url}: expected at most {MAX_REDIRECTS} redirects")

    def _step(self, url: str, at_most: int, ends: float) -> bytes | str:
        """Return the file, or where it is said to be."""
        host, port, address = self._judged(url)
        literal = f"[{address}]" if isinstance(address, ipaddress.IPv6Address) else str(address)
        parts = urlsplit(url)
        target = f"https://{literal}:{port}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")
        named = f"[{host}]" if ":" in host else host
        headers = {"Host": named if port == HTTPS_PORT else f"{named}:{port}", "Accept-Encoding": "identity"}
        verify: ssl.SSLContext | bool = True if self.context is None else self.context
        try:
            with (
                httpx.Client(verify=verify, trust_env=False, timeout=STEP_SECONDS, follow_redirects=False) as client,
                client.stream("GET", target, headers=headers, extensions={"sni_hostname": host}) as answer,
            ):
                if answer.status_code in _REDIRECTS:
                    return str(answer.headers.get("location", ""))
                if answer.status_code != 200:
                    raise ModelCatalogueError(f"{url}: expected 200, got {answer.status_code}")
                if answer.headers.get("content-encoding", "identity").lower() != "identity":
                    raise ModelCatalogueError(f"{url}: expected a file that is not compressed on its way")
                return _counted(url, answer, at_most, ends)
        except httpx.HTTPError as error:
            raise ModelCatalogueError(f"{url}: no answer ({str(error)[:200] or 'the connection ended'})") from error

    def _judged(self, url: str) -> tuple[str, int, Address]:
        if len(url) > _MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
            raise ModelCatalogueError(f"{url[:100]!r}: expected an https address of plain characters, at most {_MAX_URL}")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, HTTPS_PORT if parts.port is None else parts.port
        except ValueError as error:
            raise ModelCatalogueError(f"{url}: expected an https address ({error})") from error
        if parts.scheme != "https" or not host:
            raise ModelCatalogueError(f"{url}: expected an https address, or a folder of this machine")
        if parts.username is not None or parts.password is not None:
            raise ModelCatalogueError(f"https://{host}: expected an address without a user name or a password")
        found = self.resolver(host, port)
        if not found or not all(map(self.allowed, found)):
            raise ModelCatalogueError(
                f"{url}: expected a host of the public internet, but {host} is {', '.join(map(str, found)) or 'nowhere'}"
            )
        return host, port, found[0]


def _counted(url: str, answer: httpx.Response, at_most: int, ends: float) -> bytes:
    pieces, size = [], 0
    for piece in answer.iter_raw(65_536):
        size += len(piece)
        if size > at_most:
            raise ModelCatalogueError(f"{url}: expected at most {at_most} bytes, got more")
        if time.monotonic() > ends:
            raise ModelCatalogueError(f"{url}: expected the file within the time allowed, got {size} bytes of it")
        pieces.append(piece)
    return b"".join(pieces)
