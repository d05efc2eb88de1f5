"""A small HTTP/1.1 server in a thread: parse the request, ask `answer`, write the reply. Its subclasses know what to say."""

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

MAX_BODY: Final = 1024 * 1024  # bytes; the largest request of any client here has a few thousand
SILENCE_SECONDS: Final = 60.0  # how long a timeout fault keeps a caller waiting; every client gives up earlier


@dataclass(frozen=True, slots=True)
class Request:
    """One request, parsed; `query` has the last value of each name."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    target: str = ""  # path and query as they were sent, which is what a client signs


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. `silent` never answers: the caller runs into its own timeout. `drop` closes the connection instead."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    silent: bool = False
    drop: bool = False


SILENCE: Final = Reply(0, b"", silent=True)


class StandInServer(ABC):
    """Serves until closed; binds 127.0.0.1 only, on a free port unless one is given. Pages of other origins get 403.

    pages: what the paths begin with that a person may open and keep open in a browser; empty if there are none.
    """

    def __init__(self, port: int = 0, *, pages: str = "") -> None:
        self.closing = threading.Event()
        self.pages = pages
        self._server = _Server((LOOPBACK, port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}"

    @abstractmethod
    def answer(self, request: Request) -> Reply:
        """Say what this stand-in says. Called from many threads."""

    def close(self) -> None:
        """Stop serving and release who waits on a timeout fault. Safe to call again."""
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
        """A client that went away is its own business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version = "stand-in"
    server: _Server

    @override
    def parse_request(self) -> bool:
        """Refuse who may not call, whatever the method, before a byte of the body is read."""
        if not super().parse_request():
            return False
        stand_in = self.server.stand_in
        page = bool(stand_in.pages) and self.path.startswith(stand_in.pages)
        why = refusal(self.headers.items(), method=self.command, port=stand_in.port, page=page)
        if why is not None:
            self._refuse(FORBIDDEN, why)
        elif not self._length_is_known():
            self._refuse(413, f"expected a Content-Length of at most {MAX_BODY} bytes")
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
        """Keep the terminal for the view."""

    def _length_is_known(self) -> bool:
        length = self.headers.get("Content-Length", "0")
        return length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= MAX_BODY

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
