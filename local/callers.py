"""Decides who may call a server on this machine: its own programs, under the machine's own names. Web pages may not.

Nothing on the loopback interface is private: every page that is open in a browser can send requests there, and a name that its
owner points at 127.0.0.1 (DNS rebinding) makes a foreign page look like one of ours. So each request is judged by what only the
browser writes, before anything else looks at it: `Host` has to be our address or name with our port; `Origin` and `Referer` are
refused, because no page of ours has a script or a form; `Sec-Fetch-*`, which browsers alone send, is refused everywhere but at a
page of ours that a person opens. An address that a person typed is no exception: a link in a mail, or an address that redirects
here, arrives like one, and the emulator takes commands by GET.
Sources: https://fetch.spec.whatwg.org/#origin-header, https://www.w3.org/TR/fetch-metadata/, RFC 9110 section 7.2.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from local.settings import LOOPBACK

NAMES: Final = (LOOPBACK, "localhost")
FORBIDDEN: Final = 403
OPENED: Final = frozenset({"none", "same-origin"})  # a person typed a page's address, or the page loads itself again
READING: Final = frozenset({"GET", "HEAD"})
_HTTP_PORT: Final = 80  # clients leave it out of Host
_API_NAME: Final = r"[a-z0-9]{1,32}\.execute-api\."  # of an HTTP API of the emulator

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def refusal(
    headers: Iterable[tuple[str, str]], *, method: str, port: int, api_names: bool = False, page: bool = False
) -> str | None:
    """Return why a request is refused, or None if it may be answered.

    headers: as sent, one entry per line. port: where it arrived. api_names: `ID.execute-api.` before our names is
    ours too. page: this address is one that a person may open in a browser and keep open.
    """
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value)
    if not _is_ours(found.get("host", []), port, api_names=api_names):
        return f"expected one Host of this machine with port {port}"
    if "origin" in found:
        return "expected no Origin: no page calls this server"
    own = tuple(f"http://{name}:{port}/" for name in NAMES)
    if any(not (page and value.startswith(own)) for value in found.get("referer", [])):
        return "expected no Referer: no page calls this server"
    if any(name.startswith("sec-fetch-") for name in found):
        sites = found.get("sec-fetch-site", [])
        if not page:
            return "expected no request of a browser: nothing here is a page"
        if len(sites) != 1 or sites[0] not in OPENED or method not in READING:
            return "expected no request of a page"
    return None


def _is_ours(hosts: list[str], port: int, *, api_names: bool) -> bool:
    if len(hosts) != 1:
        return False
    names = "|".join(re.escape(name) for name in NAMES)
    prefix = f"(?:{_API_NAME})?" if api_names else ""
    suffix = f"(?::{port})?" if port == _HTTP_PORT else f":{port}"
    return re.fullmatch(f"{prefix}(?:{names}){suffix}", hosts[0]) is not None


def guarded(application: Application) -> Application:
    """Return the ASGI application behind `refusal`. No answer of it can be read by another origin."""

    async def judged(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await application(scope, receive, send)
            return
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        method = scope.get("method", "GET")  # a WebSocket begins with one
        if (why := refusal(headers, method=method, port=scope["server"][1], api_names=True)) is not None:
            await _refuse(scope["type"], why, receive, send)
            return

        async def closed(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message.get("headers", []) if not _opens(name)]
                message = {**message, "headers": kept}
            await send(message)

        await application(scope, receive, closed)

    return judged


def _opens(name: bytes) -> bool:
    return name.lower().startswith(b"access-control-")


async def _refuse(kind: str, why: str, receive: Receive, send: Send) -> None:
    if kind == "websocket":
        await receive()  # websocket.connect
        await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the handshake is answered with 403
        return
    body = f"refused: {why}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": FORBIDDEN, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
