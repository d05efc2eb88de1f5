"""Headless Chromium as a child process, for a PDF of a report, a picture of a page, and the checks of page layouts.

It speaks the DevTools protocol over a pipe, so no port is opened and nothing is installed beside the browser. The browser loads
files of this machine only: it gets no network (every host name resolves to nothing).
Source: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from local.errors import DataError
from signalbox import wire

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
TIMEOUT: Final = 60.0  # seconds for one answer
MAX_ANSWER: Final = 1 << 28  # bytes; a picture of a long page is large
_FLAGS: Final = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
# The protocol's pipes are the descriptors 3 and 4 of the browser. A shell would do, but not every one takes numbers above 9.
_ON_3_AND_4: Final = """import fcntl, os, sys
ends = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])"""


class BrowserError(DataError):
    """No Chromium is installed, or a command to it failed."""


def find_browser() -> str | None:
    """Return the path of the browser, or None if the PATH has none."""
    return next((found for name in NAMES if (found := shutil.which(name)) is not None), None)


def browser_path() -> str:
    """Return the browser's program. Raises BrowserError that says what to do."""
    if (found := find_browser()) is not None:
        return found
    raise BrowserError(
        f"a PDF needs Chromium or Chrome: none of {', '.join(NAMES)} is on the PATH; install one, or leave out --pdf"
    )


class Browser:
    """One browser with one page."""

    def __init__(self, process: subprocess.Popen[bytes], to_browser: int, from_browser: int) -> None:
        self._process, self._in, self._out = process, to_browser, from_browser
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.send("Page.enable")

    def send(self, method: str, **params: object) -> Any:
        """Send a command and return its result. Raises BrowserError."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._in, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + TIMEOUT
        while True:
            answer = self._receive(until)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"the browser refused {method}: {answer['error'].get('message', answer['error'])}")
                return answer["result"]
            self._events.append(answer)

    def open(self, page: Path, *, width: int = 1280, height: int = 900, dark: bool = False, scale: float = 1.0) -> None:
        """Load a page at a width in CSS pixels and wait until it is laid out."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=width < 640)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self._events.clear()
        self.send("Page.navigate", url=page.resolve().as_uri())
        until = time.monotonic() + TIMEOUT
        while not any(one.get("method") == "Page.loadEventFired" for one in self._events):
            self._events.append(self._receive(until))
        # Two frames: charts are drawn in the frame after the load.
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")

    def evaluate(self, script: str) -> Any:
        """Return the value of an expression on the page; a promise is waited for. Raises BrowserError if it throws."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise BrowserError(str(details.get("exception", {}).get("description", details.get("text"))))
        return found["result"].get("value")

    def picture(self, *, whole: bool = True, height: int | None = None) -> bytes:
        """Return the page as PNG: the whole page, or its upper part."""
        if not whole and height is None:
            return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], height or size["height"]), "scale": 1}
        return base64.b64decode(self.send("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)["data"])

    def pdf(self) -> bytes:
        """Return the page as PDF, on the paper that its stylesheet names."""
        found = self.send("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(found["data"])

    def _receive(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._out], [], [], max(until - time.monotonic(), 0.0))[0]:
                raise BrowserError(f"the browser did not answer within {TIMEOUT:.0f} s")
            part = os.read(self._out, 1 << 20)
            if not part:
                raise BrowserError(f"the browser ended with status {self._process.wait()}; run it by hand to see why")
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        answer: dict[str, Any] = wire.parse(message, max_bytes=MAX_ANSWER)
        return answer


@contextmanager
def browser() -> Iterator[Browser]:
    """Run a browser with a profile of its own and end it. Raises BrowserError."""
    program = browser_path()
    with tempfile.TemporaryDirectory(prefix="signalbox-browser-", ignore_cleanup_errors=True) as profile:
        child_in, to_browser = os.pipe()
        from_browser, child_out = os.pipe()

        flags = [*_FLAGS, f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        command = [sys.executable, "-c", _ON_3_AND_4, str(child_in), str(child_out), program, *flags]
        process = subprocess.Popen(
            command,
            pass_fds=(child_in, child_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin", "HOME": profile},
        )
        os.close(child_in)
        os.close(child_out)
        try:
            yield Browser(process, to_browser, from_browser)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(to_browser)
            os.close(from_browser)
