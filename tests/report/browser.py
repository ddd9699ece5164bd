"""A headless Chromium driven over its debugging pipe: enough to open a page, ask it questions, take its picture, print it."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)


def chromium() -> str | None:
    """Path of a Chromium, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """A page in a tab. `problems` collects what its console reports as errors and what it fails to load."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self.to_browser = to_browser
        self.from_browser = from_browser
        self.problems: list[str] = []
        self._rest = b""
        self._last_id = 0
        self._events: list[str] = []
        self._session = ""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def open(self, path: Path, width: int, dark: bool = False) -> None:
        """Loads a file in a window of this many pixels."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self._events.clear()
        self.send("Page.navigate", url=path.absolute().as_uri())
        while "Page.loadEventFired" not in self._events:
            self._receive()
        self.ask("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")

    def open_as_printed(self, path: Path, width: int) -> None:
        """Loads a file as it is laid out on paper of this many pixels."""
        self.open(path, width)
        self.send("Emulation.setEmulatedMedia", media="print")

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def picture(self, path: Path, whole: bool = True) -> None:
        """Writes a PNG of the page, or of its first screen."""
        data = self.send("Page.captureScreenshot", captureBeyondViewport=whole, **(self._clip() if whole else {}))[
            "data"
        ]
        path.write_bytes(base64.b64decode(data))

    def pdf(self) -> bytes:
        """The page as it is printed on A4, with its headings as the outline."""
        a4 = {"paperWidth": 8.27, "paperHeight": 11.69}
        printed = self.send("Page.printToPDF", **a4, generateTaggedPDF=True, generateDocumentOutline=True)
        return base64.b64decode(printed["data"])

    def _clip(self) -> dict[str, Any]:
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Sends a command of the DevTools protocol and waits for its answer."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._last_id:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = os.read(self.from_browser, 1 << 20)
            assert chunk, "the browser has ended"
            self._rest += chunk
        line, self._rest = self._rest.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event: str, params: dict[str, Any]) -> None:
        self._events.append(event)
        if event == "Runtime.exceptionThrown":
            self.problems.append(str(params["exceptionDetails"]))
        elif (
            event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning")
        ) or event == "Log.entryAdded":
            self.problems.append(str(params))
        elif event == "Network.requestWillBeSent" and params["request"]["url"].split(":")[0] not in ("file", "data"):
            self.problems.append("asked the network for " + params["request"]["url"])


@contextmanager
def browser_page() -> Iterator[Page]:
    """A fresh page in a browser of its own, ended afterwards."""
    executable = chromium()
    assert executable is not None
    # Chromium reads commands from descriptor 3 and answers on 4, wherever the shell puts them.
    read_commands, write_commands = os.pipe()
    read_answers, write_answers = os.pipe()
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:  # its children may still write
        shell = f'exec "$0" "$@" 3<&{read_commands} 4>&{write_answers}'
        process = subprocess.Popen(
            ["/bin/bash", "-c", shell, executable, *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(read_commands, write_answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_commands)
        os.close(write_answers)
        try:
            yield Page(write_commands, read_answers)
        finally:
            os.close(write_commands)
            os.close(read_answers)
            process.terminate()
            process.wait(timeout=20)
