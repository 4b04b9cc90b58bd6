"""A program in a page, with the stock provider for browsers."""

from typing import Any

from tests.external.board import Outcome
from tests.external.browser import Tab
from tests.external.programs import outcome
from tests.processes import until


class Web:
    """What the program in `js/page.js` does and notes."""

    def __init__(self, tab: Tab, url: str) -> None:
        self.tab = tab
        self.url = url

    def start(self, key: str, context: dict[str, Any] | None = None, **options: Any) -> str:
        """Start the provider; return its status."""
        headers = [["X-API-Key", key]]
        given = {"baseUrl": self.url, "headers": headers, **options}
        return str(self.tab.call("start", given, context or {}))

    def ask(self, flag: str, kind: str = "boolean", default: Any = None) -> Outcome:
        """Ask the provider, which has the answer already."""
        call = {"flag": flag, "type": kind, "default": False if default is None else default}
        return outcome(self.tab.call("details", call))

    def listen(self) -> None:
        """Wait until its stream is open and no question is under way."""
        until(lambda: self.tab.run("isListening()"), "the stream is open")

    def shows(self, flag: str, value: Any) -> None:
        """Wait until a flag has a value."""
        until(lambda: self.ask(flag).value == value, f"{flag} becomes {value}")

    def see(self, name: str) -> list[dict[str, Any]]:
        """Return what the page noted: `requests`, `streams` or `events`."""
        return list(self.tab.run(name))
