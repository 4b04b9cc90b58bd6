"""Logging: constant event names, ids, never values; console or JSON lines on stderr."""

import logging
import re
import sys

import structlog
from structlog.typing import EventDict, Processor

from app.core.settings import Settings

# What PostgreSQL adds to an error about a row: all of its columns.
_ROW = re.compile(r"DETAIL:.*?(?=\n(?:CONTEXT|\[SQL|\(Background|\s+File|Traceback)|\Z)", re.DOTALL)


def without_rows(_logger: object, _name: str, event: EventDict) -> EventDict:
    """Leave the contents of rows out of tracebacks."""
    if "exception" in event:
        event["exception"] = _ROW.sub("DETAIL: left out", event["exception"])
    return event


def configure(settings: Settings) -> None:
    """Send structlog and the standard library through one renderer."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                without_rows,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
