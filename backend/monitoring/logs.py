"""Structured logging to stderr. Logs contain no text of clients except at level debug, only their
context ids, and never an API key.

If stderr is systemd's journal, lines begin with their priority (sd-daemon(3)) and have no time of
their own: the journal has both as fields.
"""

from __future__ import annotations

import logging
import os
import re
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from backend.config import LogSettings

# Uvicorn's own handlers would print each line again in another format.
_UVICORN_LOGGERS = ("uvicorn", "uvicorn.access", "uvicorn.error", "uvicorn.asgi")
# Uvicorn 0.54 logs this as an error when a handshake is answered with an HTTP response.
_IGNORED_MESSAGE = "ASGI callable returned without completing handshake."
# Of syslog, as sd-daemon(3) has them.
_PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
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
        structlog.processors.StackInfoRenderer(),
    ]
    if not is_journal():
        shared.append(structlog.processors.TimeStamper(fmt="iso"))
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
    handler.setFormatter(_PriorityFormatter(formatter) if is_journal() else formatter)
    handler.addFilter(lambda record: record.msg != _IGNORED_MESSAGE)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _UVICORN_LOGGERS:
        uvicorn_logger = logging.getLogger(name)
        uvicorn_logger.handlers, uvicorn_logger.propagate = [], True
        uvicorn_logger.setLevel(logging.INFO if level <= logging.DEBUG else logging.WARNING)


def is_journal() -> bool:
    """Whether stderr is connected to systemd's journal."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # not a file
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def error_line(message: str) -> str:
    """A line for stderr outside of the logs: in the journal with the priority of an error."""
    return f"<{_PRIORITIES[logging.ERROR]}>{message}" if is_journal() else message


class _PriorityFormatter(logging.Formatter):
    """Begins every line with its priority: the journal makes an entry of each."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in self._formatter.format(record).splitlines())


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
