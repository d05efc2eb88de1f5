"""A small threaded HTTP/1.1 server: it parses a request, calls `answer`, and writes the reply. Subclasses implement `answer`."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from typing_extensions import override

from local.callers import FORBIDDEN, refusal
from local.settings import LOOPBACK

MAX_BODY: Final = 1024 * 1024  # bytes; no client here sends more than a few thousand
SILENCE_SECONDS: Final = 60.0  # how long a timeout fault makes a caller wait; every client gives up earlier


@dataclass(frozen=True, slots=True)
class Request:
    """One parsed request. `query` has the last value of each name."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    target: str = ""  # path and query as sent, because a client signs these


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. silent: never answer, so that the caller times out. drop: close the connection instead."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    silent: bool = False
    drop: bool = False


SILENCE: Final = Reply(0, b"", silent=True)


class StandInServer(ABC):
    """Serves until closed, only on 127.0.0.1, on a free port unless one is given. Requests from pages of other origins get 403.

    pages: prefixes of the paths that a person may open in a browser; empty if there are none. max_body: bytes of a request.
    """

    def __init__(self, port: int = 0, *, pages: str = "", max_body: int = MAX_BODY) -> None:
        self.closing = threading.Event()
        self.pages, self.max_body = pages, max_body
        self._server = _Server((LOOPBACK, port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The server's address, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}"

    @abstractmethod
    def answer(self, request: Request) -> Reply:
        """Return the reply to a request. Called from many threads."""

    def close(self) -> None:
        """Stop serving and release callers that wait on a timeout fault. May be called again."""
        if self.closing.is_set():
            return
        self.closing.set()
        with contextlib.suppress(OSError):
            self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], stand_in: StandInServer) -> None:
        self.stand_in = stand_in
        super().__init__(address, _Handler)

    @override
    def handle_error(self, *_: Any) -> None:
        """Ignore a client that has disconnected."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version = "stand-in"
    server: _Server

    @override
    def parse_request(self) -> bool:
        """Refuse unauthorised callers, whatever the method, before any of the body is read."""
        if not super().parse_request():
            return False
        stand_in = self.server.stand_in
        page = bool(stand_in.pages) and self.path.startswith(stand_in.pages)
        why = refusal(self.headers.items(), method=self.command, port=stand_in.port, page=page)
        if why is not None:
            self._refuse(FORBIDDEN, why)
        elif not self._length_is_known():
            self._refuse(413, f"the body needs a Content-Length of at most {stand_in.max_body} bytes")
        else:
            return True
        return False

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    @override
    def log_message(self, *_: Any) -> None:
        """Log nothing, because the terminal belongs to the view."""

    def _length_is_known(self) -> bool:
        length = self.headers.get("Content-Length", "0")
        return length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= self.server.stand_in.max_body

    def _refuse(self, status: int, why: str) -> None:
        self.close_connection = True
        self._write(Reply(status, f"refused: {why}\n".encode(), "text/plain; charset=utf-8", {"Connection": "close"}))

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        headers = {name.lower(): value for name, value in self.headers.items()}
        stand_in = self.server.stand_in
        reply = stand_in.answer(Request(self.command, unquote(parts.path), query, body, kind, headers, self.path))
        if reply.drop:
            self.close_connection = True
            return
        if reply.silent:
            stand_in.closing.wait(SILENCE_SECONDS)
            self.close_connection = True
            return
        self._write(reply)

    def _write(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in {"Content-Type": reply.content_type, **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)
