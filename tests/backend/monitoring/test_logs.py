"""Logs: one format for all loggers, and no text of clients."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
import structlog.testing

from backend.config import LogSettings
from backend.monitoring.logs import configure_logging, error_line
from tests.support.live_server import live_server

SECRET = "my password is swordfish"


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """Restore logging after the test."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    captured = capsys.readouterr()
    assert captured.out == ""  # stdout is for the program's output
    return [json.loads(line) for line in captured.err.splitlines()]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_client_text_is_not_logged_at_the_default_level(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(LogSettings.model_validate({"format": log_format}))
    structlog.get_logger("backend.sessions.session").info("context.text", text=SECRET, context="c1")
    structlog.get_logger("backend.sessions.session").debug("context.text", text=SECRET)
    structlog.get_logger("backend.sessions.session").bind(text=SECRET).warning("context.slow")
    logging.getLogger("foreign").warning("odd", extra={"text": SECRET})
    logging.getLogger("foreign").debug(SECRET)
    output = capsys.readouterr().err
    assert "swordfish" not in output
    assert output.count("context.text") == 1
    assert "context.slow" in output
    assert "c1" in output
    assert str(len(SECRET)) in output


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_tracebacks_do_not_show_local_variables(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(LogSettings.model_validate({"format": log_format}))
    text = SECRET
    try:
        len(text) / 0
    except ZeroDivisionError:
        structlog.get_logger().exception("engine.failed")
        logging.getLogger("uvicorn.error").exception("crashed")
    output = capsys.readouterr().err
    assert output.count("ZeroDivisionError") >= 2
    assert "swordfish" not in output


def test_a_key_in_a_url_is_never_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(level="debug", format="json"))
    for name in ("key", "xi-api-key", "single_use_token"):
        url = f"/ws/tts?{name}=swordfish&model=a"
        logging.getLogger("uvicorn.error").info('%s - "WebSocket %s" [accepted]', "me", url)
    assert [line["event"] for line in lines(capsys)] == [
        f'me - "WebSocket /ws/tts?{name}=***&model=a" [accepted]'
        for name in ("key", "xi-api-key", "single_use_token")
    ]


def test_a_refused_handshake_is_not_logged_as_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(format="json"))
    log = logging.getLogger("uvicorn.error")
    log.error("ASGI callable returned without completing handshake.")
    log.error("ASGI callable should return None, but returned '%s'.", 5)
    assert [line["event"] for line in lines(capsys)] == [
        "ASGI callable should return None, but returned '5'."
    ]


def test_client_text_is_logged_at_debug(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(level="debug", format="json"))
    structlog.get_logger().debug("context.text", text=SECRET)
    assert [line["text"] for line in lines(capsys)] == [SECRET]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_control_characters_in_client_ids_are_escaped(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(LogSettings.model_validate({"format": log_format}))
    structlog.get_logger().info("context.opened", context="a\n\x1b[2Jb\u2028\u202ec é")
    output = capsys.readouterr().err
    assert len(output.splitlines()) == 1
    assert not set("\x1b\u2028\u202e") & set(output.removesuffix("\n"))
    assert "a" in output
    assert "é" in output or "\\u00e9" in output


def test_a_log_line_has_timestamp_logger_level_and_event(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(LogSettings(format="json"))
    structlog.get_logger("backend.sessions.session").warning("context.slow", waited_s=2)
    (line,) = lines(capsys)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "event": "context.slow",
        "level": "warning",
        "logger": "backend.sessions.session",
        "waited_s": 2,
    }


def test_uvicorn_and_standard_library_logs_have_the_same_format(
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = logging.getLogger("uvicorn")
    own.addHandler(logging.StreamHandler())
    own.propagate = False
    configure_logging(LogSettings(format="json"))
    coloured = {"color_message": "Started \x1b[36m%d\x1b[0m"}
    logging.getLogger("uvicorn.error").warning("Started server process [%d]", 7, extra=coloured)
    logging.getLogger("uvicorn.error").info("connection open")
    logging.getLogger("some.library").warning("odd")
    output = lines(capsys)
    assert "color_message" not in output[0]
    assert [(line["logger"], line["event"]) for line in output] == [
        ("uvicorn.error", "Started server process [7]"),
        ("some.library", "odd"),
    ]


@pytest.mark.parametrize(("level", "records"), [("info", 3), ("warning", 2), ("error", 1)])
def test_records_below_the_level_are_dropped(
    level: str, records: int, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(LogSettings.model_validate({"level": level, "format": "json"}))
    for log in (structlog.get_logger(), logging.getLogger("library")):
        log.debug("a")
        log.info("b")
        log.warning("c")
        log.error("d")
    assert len(lines(capsys)) == 2 * records


def test_bound_context_variables_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(format="json"))
    with structlog.contextvars.bound_contextvars(session="s1"):
        structlog.get_logger().info("here")
        logging.getLogger("library").info("there")
    assert [line["session"] for line in lines(capsys)] == ["s1", "s1"]


async def test_a_refusal_is_logged_once_despite_messages_in_flight() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    with structlog.testing.capture_logs() as logged:
        async with live_server() as live, live.connect() as client:
            await client.send("start", context="a", voice="nobody")
            await client.send("text", context="a", text="Hello ")
            await client.send("text", context="a", text="there.")
            await client.send("end", context="a")
            codes = [(await client.receive())["code"] for _ in range(4)]
    assert codes == ["unknown_voice", *["context_ended"] * 3]
    refused = [line["code"] for line in logged if line["event"] == "refused"]
    assert refused == ["unknown_voice"]


# --- the journal ----------------------------------------------------------------------------------


@contextmanager
def journal(file: Path) -> Iterator[None]:
    """Make this file stderr, and name it in JOURNAL_STREAM."""
    with pytest.MonkeyPatch.context() as patch, file.open("w") as stderr:
        patch.setattr("sys.stderr", stderr)
        found = file.stat()
        patch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        yield


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_in_the_journal_every_line_begins_with_its_priority(
    log_format: str, tmp_path: Path
) -> None:
    file = tmp_path / "journal"
    with journal(file):
        configure_logging(LogSettings.model_validate({"format": log_format, "level": "debug"}))
        log = structlog.get_logger("backend.main")
        log.debug("one")
        log.info("two")
        log.warning("three")
        logging.getLogger("foreign").error("four")
        try:
            raise ValueError("five")
        except ValueError:
            log.exception("six")
        assert error_line("seven") == "<3>seven"
    lines = file.read_text().splitlines()
    assert [line[:3] for line in lines[:4]] == ["<7>", "<6>", "<4>", "<3>"]
    assert {line[:3] for line in lines[4:]} == {"<3>"}  # the traceback's, too
    assert any("ValueError: five" in line for line in lines[4:])
    if log_format == "json":
        assert json.loads(lines[1][3:]) == {
            "event": "two", "level": "info", "logger": "backend.main"
        }  # fmt: skip
    else:
        assert "20" not in lines[1].split("two")[0]  # no time: the journal has it


def test_elsewhere_no_line_begins_with_a_priority(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    configure_logging(LogSettings())
    structlog.get_logger("backend.main").warning("one")
    assert not capsys.readouterr().err.startswith("<")
    assert error_line("two") == "two"
