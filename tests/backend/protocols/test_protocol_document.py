"""docs/protocol.md documents exactly the protocol's messages, fields, codes and routes."""

from __future__ import annotations

import inspect
import re
from typing import get_args

import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute

from backend import errors
from backend.application import create_app
from backend.audio.formats import FORMATS
from backend.config import AccessSettings, Settings
from backend.endpoints.lexicon import lexicon_routes
from backend.endpoints.native import native_routes, resume_routes
from backend.endpoints.reading import reading_routes
from backend.endpoints.status import status_routes
from backend.endpoints.voices import voice_routes
from backend.errors import DuplexError
from backend.events import Audio, Frames, Mode, Ping, Played, Resume, Retract, Start
from backend.protocols import native
from backend.transport.auth import Access
from tests.support.engines.fake_engine import FakeModel
from tests.support.engines.inline_tts import InlineTTS
from tests.support.repository import ROOT

DOCUMENT = (ROOT / "docs" / "protocol.md").read_text("utf-8")
# Raised at startup only.
STARTUP_CODES = {"config", "download"}
# Sent by a middleware, without a `DuplexError`.
MIDDLEWARE_CODES = {"body_limit"}
PROBES = {"/healthz", "/readyz"}


def read_section(title: str) -> str:
    """The text below a heading, up to the next one of its level."""
    (body,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", DOCUMENT, re.DOTALL | re.MULTILINE)
    return str(body)


def first_cells(text: str) -> set[str]:
    """The code spans in the first cells of the tables."""
    cells = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def find_row(text: str, name: str) -> str:
    (line,) = re.findall(rf"^\| `{name}`.*$", text, re.MULTILINE)
    return str(line)


def error_codes() -> set[str]:
    classes = [member for _, member in inspect.getmembers(errors, inspect.isclass)]
    return {member.code for member in classes if issubclass(member, DuplexError)} - STARTUP_CODES


def test_documented_error_codes_match_the_code() -> None:
    assert first_cells(read_section("Errors")) == error_codes() | MIDDLEWARE_CODES


def test_documented_formats_match_the_code() -> None:
    format_row = find_row(read_section("Client to server"), "format")
    assert set(re.findall(r"`([^`]+)`", format_row.split("|")[2])) == set(FORMATS)


def test_documented_start_fields_match_the_code() -> None:
    table = read_section("Client to server").split("`start` takes")[1]
    fields = set(Start.__dataclass_fields__) - {"context"}
    assert first_cells(table) == fields


@pytest.mark.parametrize(("field", "choice"), [("mode", Mode), ("frames", Frames)])
def test_every_choice_value_is_documented(field: str, choice: object) -> None:
    line = find_row(read_section("Client to server"), field)
    for value in get_args(choice):
        assert f"`{value}`" in line


def test_documented_client_messages_match_the_code() -> None:
    table = read_section("Client to server").split("`start` takes")[0]
    assert first_cells(table) == set(native._COMMANDS)


@pytest.mark.parametrize("message", [Ping, Played, Resume, Retract])
def test_every_client_message_field_is_documented(message: type) -> None:
    line = find_row(read_section("Client to server"), message.__name__.lower())
    for field in message.__dataclass_fields__.keys() - {"context"}:  # type: ignore[attr-defined]
        assert f"`{field}`" in line


def test_documented_server_messages_and_fields_match_the_code() -> None:
    table = read_section("Server to client")
    assert first_cells(table) == set(native._EVENT_TYPES.values()) | {"audio"}
    for kind, name in {**native._EVENT_TYPES, Audio: "audio"}.items():
        fields = set(kind.__dataclass_fields__) - {"data", "frames"}  # type: ignore[attr-defined]
        for field in fields:
            assert re.search(rf"\b{field}\b", find_row(table, name)), f"{name}: {field}"


def test_documented_native_routes_match_the_code() -> None:
    access, tts = Access(AccessSettings()), InlineTTS()
    routers = [
        native_routes(access),
        voice_routes(access),
        lexicon_routes(access),
        reading_routes(access),
        status_routes(Settings(), tts, tts.metrics, access),
    ]
    routes = [route for router in routers for route in router.routes]
    native_paths = {
        f"{m} {r.path}" for r in routes if isinstance(r, APIRoute) for m in r.methods or ()
    }
    native_paths |= {
        f"GET {path}"
        for path in create_app(Settings(), FakeModel()).openapi()["paths"]
        if path in PROBES
    }
    documented = first_cells(read_section("Beside the WebSocket"))
    assert {_strip_parameters(name) for name in documented} == {
        _strip_parameters(name) for name in native_paths
    }
    (socket,) = [route.path for route in routes if isinstance(route, APIWebSocketRoute)]
    assert f"One WebSocket at `{socket}`" in DOCUMENT
    (route,) = resume_routes().routes
    assert isinstance(route, APIWebSocketRoute)
    assert f"`{route.path}`" in read_section("Several servers as one")


def _strip_parameters(route: str) -> str:
    return re.sub(r"\{\w+\}", "{}", route)
