"""Structured logs on stderr. What a client has written is never in them, except at level debug, but
for the ids of its contexts; its API key never.
"""

from __future__ import annotations

import logging
import re
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from backend.config import LogSettings

# Uvicorn's own handlers would print each line a second time, in another form.
_ADOPTED = ("uvicorn", "uvicorn.access", "uvicorn.error", "uvicorn.asgi")
# Uvicorn 0.54 calls it an error when a handshake is answered with an HTTP response.
_NO_ERROR = "ASGI callable returned without completing handshake."
_KEY_IN_URL = re.compile(r"([?&][\w-]*(?:key|token)=)[^&\s\"']+", re.IGNORECASE)


def configure_logging(settings: LogSettings) -> None:
    """Send the process's logs, those of the standard library and uvicorn too, to stderr.

    Give uvicorn `log_config=None`, or it installs its own handlers afterwards. Of uvicorn only
    warnings are passed on, unless the level is debug: what else it tells is told by us. May be
    called again; the last call counts.
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
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), _uncoloured, _withhold_keys, *shared],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_renderers(settings),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(lambda record: record.msg != _NO_ERROR)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _ADOPTED:
        adopted = logging.getLogger(name)
        adopted.handlers, adopted.propagate = [], True
        adopted.setLevel(logging.INFO if level <= logging.DEBUG else logging.WARNING)


def withhold_text(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A log processor that replaces a `text` by its length."""
    if "text" in event:
        text = event.pop("text")
        event["text_length"] = len(text) if isinstance(text, str) else None
    return event


def escape_controls(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A log processor that escapes what a terminal would obey: a client may have chosen it."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable() and name != "event":
            event[name] = "".join(c if c.isprintable() else repr(c)[1:-1] for c in value)
    return event


def _withhold_keys(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A log processor that stars the keys in the URLs that uvicorn tells of at level debug."""
    event["event"] = _KEY_IN_URL.sub(r"\1***", str(event["event"]))
    return event


def _uncoloured(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A log processor that drops the second, coloured wording of uvicorn's messages."""
    event.pop("color_message", None)
    return event


def _renderers(settings: LogSettings) -> list[Processor]:
    # Tracebacks are plain on purpose: the fancy ones show local variables, and so the user's text.
    if settings.format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]
