"""docs/protocol.md names what the wire has, and nothing that it has not."""

from __future__ import annotations

import inspect
import re
from typing import get_args

import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute

from backend import errors
from backend.audio.formats import FORMATS
from backend.config import AccessSettings, Settings
from backend.endpoints.native import native_routes
from backend.endpoints.status import status_routes
from backend.endpoints.voices import voice_routes
from backend.errors import DuplexError
from backend.events import Audio, Frames, Mode, Ping, Played, Resume, Retract, Start
from backend.main import create_app
from backend.protocols import native
from backend.transport.auth import Access
from tests.support.engines.fake_engine import FakeModel
from tests.support.engines.inline_tts import InlineTTS
from tests.support.repository import ROOT

DOCUMENT = (ROOT / "docs" / "protocol.md").read_text("utf-8")
# They stop the start, and reach no client.
AT_START = {"config", "download"}
# Answered by a middleware, without a `DuplexError`.
OF_HTTP = {"body_limit"}
PROBES = {"/healthz", "/readyz"}


def section(title: str) -> str:
    """The text below a heading, up to the next of its kind."""
    (body,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", DOCUMENT, re.DOTALL | re.MULTILINE)
    return str(body)


def first_cells(text: str) -> set[str]:
    """What stands in code in the first cells of the tables."""
    cells = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def row(text: str, name: str) -> str:
    (line,) = re.findall(rf"^\| `{name}`.*$", text, re.MULTILINE)
    return str(line)


def codes() -> set[str]:
    classes = [each for _, each in inspect.getmembers(errors, inspect.isclass)]
    return {each.code for each in classes if issubclass(each, DuplexError)} - AT_START


def test_every_error_code_is_named_and_no_other() -> None:
    assert first_cells(section("Errors")) == codes() | OF_HTTP


def test_every_format_is_named_and_no_other() -> None:
    row_of_formats = row(section("Client to server"), "format")
    assert set(re.findall(r"`([^`]+)`", row_of_formats.split("|")[2])) == set(FORMATS)


def test_every_field_of_start_is_named_and_no_other() -> None:
    table = section("Client to server").split("`start` takes")[1]
    fields = set(Start.__dataclass_fields__) - {"context"}
    assert first_cells(table) == fields


@pytest.mark.parametrize(("field", "choice"), [("mode", Mode), ("frames", Frames)])
def test_every_value_of_a_choice_is_named(field: str, choice: object) -> None:
    line = row(section("Client to server"), field)
    for value in get_args(choice):
        assert f"`{value}`" in line


def test_every_message_of_a_client_is_named_and_no_other() -> None:
    table = section("Client to server").split("`start` takes")[0]
    assert first_cells(table) == set(native._COMMANDS)


@pytest.mark.parametrize("message", [Ping, Played, Resume, Retract])
def test_every_field_of_a_client_s_message_is_named(message: type) -> None:
    line = row(section("Client to server"), message.__name__.lower())
    for field in message.__dataclass_fields__.keys() - {"context"}:  # type: ignore[attr-defined]
        assert f"`{field}`" in line


def test_every_message_of_the_server_is_named_with_its_fields_and_no_other() -> None:
    table = section("Server to client")
    assert first_cells(table) == set(native._EVENT_TYPES.values()) | {"audio"}
    for kind, name in {**native._EVENT_TYPES, Audio: "audio"}.items():
        fields = set(kind.__dataclass_fields__) - {"data", "frames"}  # type: ignore[attr-defined]
        for field in fields:
            assert re.search(rf"\b{field}\b", row(table, name)), f"{name}: {field}"


def test_every_route_of_ours_is_named_and_no_other() -> None:
    access, tts = Access(AccessSettings()), InlineTTS()
    routers = [
        native_routes(access),
        voice_routes(access),
        status_routes(Settings(), tts, tts.metrics, access),
    ]
    routes = [route for router in routers for route in router.routes]
    ours = {f"{m} {r.path}" for r in routes if isinstance(r, APIRoute) for m in r.methods or ()}
    ours |= {
        f"GET {path}"
        for path in create_app(Settings(), FakeModel()).openapi()["paths"]
        if path in PROBES
    }
    named = first_cells(section("Beside the WebSocket"))
    assert {_anonymous(name) for name in named} == {_anonymous(name) for name in ours}
    (socket,) = [route.path for route in routes if isinstance(route, APIWebSocketRoute)]
    assert f"One WebSocket at `{socket}`" in DOCUMENT


def _anonymous(route: str) -> str:
    return re.sub(r"\{\w+\}", "{}", route)
