"""Structured logging to stderr. Logs contain no text of clients except at level debug, only their
context ids, and never an API key.
"""

from __future__ import annotations

import logging
import re
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from backend.config import LogSettings

# Uvicorn's own handlers would print each line again in another format.
_UVICORN_LOGGERS = ("uvicorn", "uvicorn.access", "uvicorn.error", "uvicorn.asgi")
# Uvicorn 0.54 logs this as an error when a handshake is answered with an HTTP response.
_IGNORED_MESSAGE = "ASGI callable returned without completing handshake."
_KEY_IN_URL = re.compile(r"([?&][\w-]*(?:key|token)=)[^&\s\"']+", re.IGNORECASE)


def configure_logging(settings: LogSettings) -> None:
    """Send all logs of the process, including standard library and uvicorn, to stderr.

    Give uvicorn `log_config=None`, or it installs its own handlers afterwards. Uvicorn's records
    below warning are dropped unless the level is debug: we log the same events. May be called
    again; the last call wins.
    """
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.StackInfoRenderer(),
    ]
    if level > logging.DEBUG:
        shared.append(withhold_text)
    shared.append(escape_controls)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), _drop_coloured_copy, _mask_keys, *shared],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_renderers(settings),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(lambda record: record.msg != _IGNORED_MESSAGE)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _UVICORN_LOGGERS:
        uvicorn_logger = logging.getLogger(name)
        uvicorn_logger.handlers, uvicorn_logger.propagate = [], True
        uvicorn_logger.setLevel(logging.INFO if level <= logging.DEBUG else logging.WARNING)


def withhold_text(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A log processor that replaces `text` by its length."""
    if "text" in event:
        text = event.pop("text")
        event["text_length"] = len(text) if isinstance(text, str) else None
    return event


def escape_controls(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A log processor that escapes control characters, which clients could send to a terminal."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable() and name != "event":
            event[name] = "".join(c if c.isprintable() else repr(c)[1:-1] for c in value)
    return event


def _mask_keys(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A log processor that masks the keys in the URLs that uvicorn logs at level debug."""
    event["event"] = _KEY_IN_URL.sub(r"\1***", str(event["event"]))
    return event


def _drop_coloured_copy(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A log processor that drops the coloured copy of uvicorn's messages."""
    event.pop("color_message", None)
    return event


def _renderers(settings: LogSettings) -> list[Processor]:
    # Tracebacks are plain on purpose: rich ones show local variables, and so the user's text.
    if settings.format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]
