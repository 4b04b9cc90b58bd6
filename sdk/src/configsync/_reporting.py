"""What the server is told: what became of a config, and which flags were evaluated."""

import asyncio
import logging
import random
import time
from typing import Any

from configsync._errors import AccessDenied, ConfigSyncError, Invalid, NotFound
from configsync._state import State
from configsync._transport import Transport

log = logging.getLogger("configsync")

REPORT_SECONDS = 3600.0
"""An instance that stays silent for a day is forgotten."""
USAGE_SECONDS = 60.0


class Reporter:
    """Tells the server, as well as it goes; what does not arrive is told again."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._last_report: dict[str, Any] | None = None
        self._reported = time.monotonic()

    def begin_anew(self) -> None:
        """Tell as another instance, in a forked child; its parent tells what was counted."""
        self._state.report = self._state.report or self._last_report
        self._state.usage.forget()

    async def report(self, transport: Transport) -> None:
        """Tell the server what became of the config, as well as it goes."""
        state = self._state
        report = state.report or self._again()
        if report is None:
            return
        try:
            await transport.report({**report, "instance_id": state.instance_id})
        except (NotFound, AccessDenied, Invalid) as error:
            log.debug("The server takes no report: %s", error)
        except ConfigSyncError as error:
            log.debug("Not reported yet: %s", error)
            return
        self._reported = time.monotonic()
        self._last_report = report
        if state.report is report:
            state.report = None

    def _again(self) -> dict[str, Any] | None:
        is_due = time.monotonic() - self._reported > REPORT_SECONDS
        return self._last_report if is_due else None

    async def tell_usage(self, transport: Transport) -> None:
        """Report usage from time to time."""
        while True:
            await asyncio.sleep(USAGE_SECONDS * random.uniform(0.75, 1.25))  # noqa: S311
            await self.report_usage(transport)

    async def report_usage(self, transport: Transport) -> None:
        """Tell the server which flags were evaluated; what does not arrive goes with the next."""
        is_more = True
        while is_more and (report := self._state.usage.report()) is not None:
            try:
                await transport.report_usage(report.counts, report.unknown)
            except (NotFound, AccessDenied, Invalid) as error:
                log.debug("The server takes no usage: %s", error)
            except ConfigSyncError as error:
                log.debug("Usage is not reported yet: %s", error)
                return
            report.settle()
            is_more = report.is_full
