"""404 and 405 responses in the form of the client's vendor, naming what is available."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.exception_handlers import http_exception_handler
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from backend.endpoints.mistral import MISTRAL_SDK
from backend.events import Failed
from backend.protocols import openai
from backend.protocols.base import CLOSE_POLICY, Refusal
from backend.protocols.cartesia import request as cartesia_request
from backend.protocols.deepgram import websocket as deepgram
from backend.protocols.elevenlabs import http as elevenlabs_http
from backend.protocols.mistral.errors import build_refusal as build_mistral_refusal
from backend.transport.auth import authorization_key
from backend.transport.speech_response import create_refusal_response

CODE = "unknown_url"


@dataclass(frozen=True, slots=True)
class _Vendor:
    """`paths`: URL prefixes. `available`: the supported URLs. `to_message`: builds the message sent
    on a WebSocket that is accepted and closed; None: refuse the handshake.
    """

    paths: tuple[str, ...]
    available: str
    refuse: Callable[[Failed], Refusal]
    to_message: Callable[[dict[str, Any], str], dict[str, Any]] | None = None


def _build_kokoro_refusal(failed: Failed) -> Refusal:
    detail = {"error": failed.code, "message": failed.message, "type": "invalid_request_error"}
    return Refusal(404, json.dumps({"detail": detail}))


_ELEVENLABS = _Vendor(
    (
        *("/v1/text-to-", "/v1/voices", "/v2/voices", "/v1/user", "/v1/history"),
        *("/v1/speech-to-", "/v1/pronunciation-dictionaries"),
    ),
    "POST /v1/text-to-speech/{voice_id}, its /stream and /with-timestamps, its WebSockets "
    "/stream-input and /multi-stream-input; GET /v1/voices, /v1/models, /v1/user, "
    "/v1/pronunciation-dictionaries",
    elevenlabs_http.build_refusal,
    lambda body, code: {**body["detail"], "error": code, "code": CLOSE_POLICY},
)
_DEEPGRAM = _Vendor(
    ("/v1/speak", "/v2/speak", "/v1/listen", "/v2/listen", "/v1/auth/", "/v1/projects"),
    "POST and WebSocket /v1/speak; GET /v1/models",
    lambda failed: deepgram.build_refusal(failed.code, failed.message),
)
_CARTESIA = _Vendor(
    ("/tts", "/voices", "/infill", "/stt", "/access-token", "/pronunciation-dicts"),
    "WebSocket /tts/websocket; POST /tts/bytes, /tts/sse; GET /voices; /pronunciation-dicts",
    cartesia_request.build_refusal,
)
_KOKORO = _Vendor(("/dev/",), "POST /v1/audio/speech; GET /v1/audio/voices", _build_kokoro_refusal)
_MISTRAL = _Vendor(
    ("/v2/audio/", "/v1/client/"),
    "POST /v1/audio/speech; WebSocket /v1/audio/speech/realtime; GET /v1/audio/voices, "
    "/v2/audio/voices",
    build_mistral_refusal,
)
_OPENAI = _Vendor(
    ("/v1/",),
    "POST /v1/audio/speech; WebSockets /v1/audio/speech/realtime (Mistral's) and "
    "/v1/audio/speech/websocket (Together's); GET /v1/models, /v1/audio/voices",
    openai.build_refusal,
    lambda body, _: {"type": "error", "event_id": None, **body},
)
_VENDORS = (_ELEVENLABS, _DEEPGRAM, _CARTESIA, _KOKORO, _MISTRAL, _OPENAI)


def install_not_found(app: FastAPI) -> None:
    """Answer requests that no route matches; call after all routes are added."""
    app.add_exception_handler(404, _handle_not_found)
    app.add_exception_handler(405, _handle_not_found)
    not_found = app.router.default

    # Not a route: `middleware.ReverseProxyMiddleware` detects requests without one.
    async def handle_unrouted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await _refuse_websocket(WebSocket(scope, receive, send))
        else:
            await not_found(scope, receive, send)

    app.router.default = handle_unrouted


async def _refuse_websocket(websocket: WebSocket) -> None:
    vendor = _find_vendor(websocket) or _OPENAI
    failed = _describe_missing(websocket, vendor, "WebSocket")
    if vendor.to_message is None:
        await websocket.send_denial_response(create_refusal_response(vendor.refuse(failed)))
        return
    await websocket.accept()
    message = vendor.to_message(json.loads(vendor.refuse(failed).body), failed.code)
    await websocket.send_text(json.dumps(message))
    await websocket.close(CLOSE_POLICY, failed.code)


async def _handle_not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    vendor = _find_vendor(request)
    is_from_route = error.detail != HTTPStatus(error.status_code).phrase
    if vendor is None or is_from_route:
        return await http_exception_handler(request, error)
    response = create_refusal_response(
        vendor.refuse(_describe_missing(request, vendor, request.method))
    )
    response.status_code = error.status_code
    response.headers.update(error.headers or {})
    return response


def _find_vendor(connection: HTTPConnection) -> _Vendor | None:
    """The client's vendor, by its headers, else by the path; None: unknown."""
    headers = connection.headers
    path = connection.url.path.removeprefix(connection.scope.get("root_path", ""))
    if "xi-api-key" in headers:
        return _ELEVENLABS
    if "cartesia-version" in headers or "x-api-key" in headers:
        return _CARTESIA
    if authorization_key(headers, "token"):
        return _DEEPGRAM
    if MISTRAL_SDK in headers.get("user-agent", ""):
        return _MISTRAL
    return next((vendor for vendor in _VENDORS if path.startswith(vendor.paths)), None)


def _describe_missing(connection: HTTPConnection, vendor: _Vendor, method: str) -> Failed:
    path = connection.url.path[:200]
    return Failed(None, CODE, f"no {method} {path} on this server; available: {vendor.available}")
