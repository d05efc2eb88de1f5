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

from local.settings import LOOPBACK

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
    """Serves until closed; binds 127.0.0.1 only, on a free port unless one is given."""

    def __init__(self, port: int = 0) -> None:
        stand_in = self
        self._closing = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            server_version = "stand-in"

            def do_GET(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def do_DELETE(self) -> None:
                self._serve()

            @override
            def log_message(self, *_: Any) -> None:
                """Keep the terminal for the view."""

            def _serve(self) -> None:
                parts = urlsplit(self.path)
                query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = stand_in.answer(Request(self.command, unquote(parts.path), query, body, kind, headers, self.path))
                if reply.drop:
                    self.close_connection = True
                    return
                if reply.silent:
                    stand_in._closing.wait(SILENCE_SECONDS)
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in {"Content-Type": reply.content_type, **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 64

            @override
            def handle_error(self, *_: Any) -> None:
                """A client that went away is its own business."""

        self._server = Server((LOOPBACK, port), Handler)
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
        if self._closing.is_set():
            return
        self._closing.set()
        with contextlib.suppress(OSError):
            self._server.shutdown()
        self._server.server_close()
        self._thread.join()
