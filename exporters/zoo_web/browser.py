"""Headless Chromium for checks and tests: a page served on this machine, driven through the DevTools protocol.

The protocol runs over two pipes (``--remote-debugging-pipe``), so only the standard library is needed.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

#: types of files that the system may not know
TYPES = {".mjs": "text/javascript", ".wasm": "application/wasm"}
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Chromium reads commands from descriptor 3 and answers on 4, which the child process must set up itself
_LAUNCH = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)


def find_browser() -> str | None:
    """The program: $CHROMIUM, or an installed browser; None if there is none, and on Windows, which cannot inherit
    pipes."""
    if os.name != "posix":
        return None
    return os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


@contextlib.contextmanager
def served(folder: Path, requests: list[str] | None = None, headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a static server for a folder, which runs within the block.

    Args:
        folder: the folder to serve.
        requests: receives "status path" for each request.
        headers: extra headers of every response.
    """

    class Handler(http.server.SimpleHTTPRequestHandler):
        extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | TYPES

        def end_headers(self) -> None:
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

        def log_request(self, code: object = "-", size: object = "-") -> None:
            if requests is not None:
                requests.append(f"{getattr(code, 'value', code)} {self.path}")

        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Handler, directory=os.fspath(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class Browser:
    """A page in headless Chromium; a context manager.

    Args:
        program: from :func:`find_browser`.
        width: of the window in pixels.
        height: of the window in pixels.
        dark: whether the page sees a preference for dark mode.
        scale: device pixels per CSS pixel.
        flags: extra flags of Chromium.
    """

    #: seconds before it is killed on exit
    patience = 5.0

    def __init__(
        self,
        program: str,
        *,
        width: int = 1100,
        height: int = 760,
        dark: bool = False,
        scale: float = 1,
        flags: tuple[str, ...] = (),
    ) -> None:
        self._ids, self._buffer = 0, b""
        #: errors and warnings on the page's console, and the URLs it requested
        self.console: list[str] = []
        self.requests: list[str] = []
        self._profile = tempfile.TemporaryDirectory(prefix="genzoo-browser-", ignore_cleanup_errors=True)
        child_in, self._out = (_high(fd) for fd in os.pipe())
        self._in, child_out = (_high(fd) for fd in os.pipe())
        command = [
            *(sys.executable, "-c", _LAUNCH, str(child_in), str(child_out), program),
            *("--headless=new", *_sandbox(), "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"),
            *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={self._profile.name}", *flags, "about:blank"),
        ]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            command, pass_fds=(child_in, child_out), stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
        os.close(child_in)
        os.close(child_out)
        try:
            target = self._target()
            self._session = self._send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.send(f"{domain}.enable")
            media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
            self.send("Emulation.setEmulatedMedia", features=media)
            size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
            self.send("Emulation.setDeviceMetricsOverride", **size)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, url: str) -> None:
        """Navigate to an address."""
        self.send("Page.navigate", url=url)

    def evaluate(self, expression: str, *, gesture: bool = False) -> Any:
        """The value of a JavaScript expression in the page, awaited if it is a promise.

        Args:
            expression: the expression to evaluate.
            gesture: whether it counts as a user gesture, which sounds require.

        Raises:
            RuntimeError: it throws.
        """
        options = {"awaitPromise": True, "returnByValue": True, "userGesture": gesture}
        answer = self.send("Runtime.evaluate", expression=expression, **options)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 60) -> Any:
        """Wait until an expression is true, and return it.

        Raises:
            TimeoutError: it is still false; the message includes the console.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(RuntimeError):  # the page may still be loading
                if value := self.evaluate(expression):
                    return value
            time.sleep(0.05)
        raise TimeoutError(f"{expression} is not true after {seconds} s; the console says {self.console}")

    def screenshot(self) -> bytes:
        """A screenshot as PNG."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])

    def send(self, method: str, *, seconds: float = 300, **parameters: Any) -> dict[str, Any]:
        """Send a command of the protocol to the page, and return its answer within ``seconds``."""
        return self._send(method, parameters, session=self._session, seconds=seconds)

    def close(self) -> None:
        """End the browser and all of its processes."""
        with contextlib.suppress(OSError, RuntimeError):
            self._send("Browser.close", {}, seconds=self.patience)
        try:
            self._process.wait(self.patience)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for fd in (self._in, self._out):
            with contextlib.suppress(OSError):
                os.close(fd)
        self._profile.cleanup()

    def _target(self) -> str:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for target in self._send("Target.getTargets", {})["targetInfos"]:
                if target["type"] == "page":
                    return str(target["targetId"])
            time.sleep(0.05)
        raise TimeoutError("the browser opened no page")

    def _send(
        self, method: str, parameters: dict[str, Any], *, session: str | None = None, seconds: float = 300
    ) -> dict[str, Any]:
        self._ids += 1
        message = {"id": self._ids, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        rest = json.dumps(message).encode() + b"\0"
        while rest:
            rest = rest[os.write(self._out, rest) :]
        end = time.monotonic() + seconds
        while True:
            answer = self._receive(end)
            if answer.get("id") == self._ids:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])
            self._note(answer)

    def _receive(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError("the browser does not answer")
            part = os.read(self._in, 1 << 20)
            if not part:
                raise OSError("the browser has exited")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def _note(self, event: dict[str, Any]) -> None:
        of = event.get("params", {})
        if event.get("method") == "Runtime.consoleAPICalled" and of["type"] in ("error", "warning", "assert"):
            self.console.append(" ".join(str(a.get("value", a.get("description"))) for a in of["args"]))
        elif event.get("method") == "Runtime.exceptionThrown":
            self.console.append(str(of["exceptionDetails"].get("exception", {}).get("description")))
        elif event.get("method") == "Log.entryAdded" and of["entry"]["level"] in ("error", "warning"):
            self.console.append(f"{of['entry']['text']} {of['entry'].get('url', '')}".strip())
        elif event.get("method") == "Network.requestWillBeSent":
            self.requests.append(of["request"]["url"])


def _sandbox() -> tuple[str, ...]:
    """Chromium refuses to run as root with its sandbox; it only opens our own pages here."""
    return ("--no-sandbox",) if os.geteuid() == 0 else ()


def _high(descriptor: int) -> int:
    """The same pipe under a descriptor other than 3 and 4."""
    import fcntl  # not on Windows, where find_browser() finds none

    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    finally:
        os.close(descriptor)
