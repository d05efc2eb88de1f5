"""A real Chromium without a window, and the web site of somebody who attacks what listens on this machine."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from typing_extensions import override

from local.browser import find_browser

CHROMIUM = find_browser()
FOREIGN = "page.example"  # resolved to this machine, as a name whose owner rebinds it
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # Chromium has none for root, and the only pages here are ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
)


def read_page(url: str, profile: Path) -> str:
    """Return the text of what Chromium shows of an address that a person typed."""
    command = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={profile}", "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout


class Site:
    """Serves one page, and takes what its script reports."""

    def __init__(self, page: str) -> None:
        self._reports: queue.Queue[dict[str, Any]] = queue.Queue()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply(page.encode() if self.path == "/" else b"")

            def do_POST(self) -> None:
                owner._reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._reply(b"")

            def _reply(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            @override
            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def visited(self, host: str, profile: Path) -> dict[str, Any]:
        """Open the page in a new Chromium under a name of ours or a foreign one; return the report of its script."""
        command = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={profile}", f"http://{host}:{self.port}/"]
        log = profile.with_suffix(".log")
        with log.open("wb") as sink:
            browser = subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True)
        try:
            return self._reports.get(timeout=90)
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()


@contextmanager
def site(page: str) -> Iterator[Site]:
    """Serve a page for the length of a block."""
    served = Site(page)
    try:
        yield served
    finally:
        served.close()
