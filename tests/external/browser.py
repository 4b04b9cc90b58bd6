"""A real browser: Chromium without a window, told what to do by its DevTools protocol."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from tests.processes import Process, until

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--remote-debugging-port=0",
)


def program() -> str:
    """Return the browser's path."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    assert found, "no Chromium is installed (Debian: apt-get install chromium)"
    return found


class Tab:
    """A page with a storage of its own."""

    def __init__(self, browser: "Browser", session: str) -> None:
        self._browser = browser
        self._session = session

    def run(self, expression: str) -> Any:
        """Return what an expression comes to, awaited."""
        answer = self._browser.send(
            "Runtime.evaluate",
            session=self._session,
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def call(self, function: str, *arguments: Any) -> Any:
        """Return what one of the page's functions returns, awaited."""
        return self.run(f"{function}(...{json.dumps(arguments)})")

    def open(self, url: str) -> None:
        """Load a page, and wait until its script has run."""
        self._browser.send("Page.navigate", session=self._session, url=url)
        until(lambda: self.run("globalThis.isReady === true"), f"{url} is ready")


class Browser:
    """Chromium, and the connection on which it is told what to do."""

    def __init__(self, place: Path) -> None:
        profile = place / "profile"
        self._numbers = count(1)
        self._end = ExitStack()
        process = Process(
            [program(), *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            cwd=place,
            output=place / "output",
            env={**os.environ, "HOME": str(place)},
        )
        self._end.callback(process.end)
        port, path = until(lambda: _address(profile), "the browser is there")
        self._link = self._end.enter_context(
            connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None)
        )

    def send(self, method: str, *, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command; return its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._link.send(json.dumps(message))
        while (answer := json.loads(self._link.recv(timeout=60))).get("id") != number:
            pass
        assert "error" not in answer, (method, answer["error"])
        return dict(answer["result"])

    @contextmanager
    def tab(self) -> Iterator[Tab]:
        """Open an empty page, and close it in the end."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)
        attached = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        try:
            yield Tab(self, attached["sessionId"])
        finally:
            self.send("Target.disposeBrowserContext", browserContextId=context)

    def close(self) -> None:
        """End it."""
        self._end.close()


def _address(profile: Path) -> tuple[str, ...] | None:
    file = profile / "DevToolsActivePort"
    lines = file.read_text().split("\n") if file.exists() else []
    return tuple(lines) if len(lines) == 2 else None
