"""What is not here, said in the form of the vendor whose client asks for it, with what there is."""

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

from backend.events import Failed
from backend.protocols import openai
from backend.protocols.base import CLOSE_POLICY, Refusal
from backend.protocols.cartesia import request as cartesia_request
from backend.protocols.deepgram import websocket as deepgram
from backend.protocols.elevenlabs import http as elevenlabs_http
from backend.transport.auth import authorization_key
from backend.transport.speech_response import create_refusal_response

CODE = "unknown_url"


@dataclass(frozen=True, slots=True)
class _Vendor:
    """`paths`: how its addresses begin. `here`: what there is of it. `told`: what a client is told
    on a WebSocket that is opened and closed for it; None: the handshake is refused.
    """

    paths: tuple[str, ...]
    here: str
    refuse: Callable[[Failed], Refusal]
    told: Callable[[dict[str, Any], str], dict[str, Any]] | None = None


def _kokoro(failed: Failed) -> Refusal:
    detail = {"error": failed.code, "message": failed.message, "type": "invalid_request_error"}
    return Refusal(404, json.dumps({"detail": detail}))


_ELEVENLABS = _Vendor(
    ("/v1/text-to-", "/v1/voices", "/v2/voices", "/v1/user", "/v1/history", "/v1/speech-to-"),
    "POST /v1/text-to-speech/{voice_id}, its /stream and /with-timestamps, its WebSockets "
    "/stream-input and /multi-stream-input; GET /v1/voices, /v1/models, /v1/user",
    elevenlabs_http.refuse,
    lambda body, code: {**body["detail"], "error": code, "code": CLOSE_POLICY},
)
_DEEPGRAM = _Vendor(
    ("/v1/speak", "/v2/speak", "/v1/listen", "/v2/listen", "/v1/auth/", "/v1/projects"),
    "POST and WebSocket /v1/speak",
    lambda failed: deepgram.refusal(failed.code, failed.message),
)
_CARTESIA = _Vendor(
    ("/tts", "/voices", "/infill", "/stt", "/access-token"),
    "WebSocket /tts/websocket; POST /tts/bytes, /tts/sse",
    cartesia_request.refuse,
)
_KOKORO = _Vendor(("/dev/",), "POST /v1/audio/speech; GET /v1/audio/voices", _kokoro)
_OPENAI = _Vendor(
    ("/v1/",),
    "POST /v1/audio/speech; GET /v1/models, /v1/audio/voices",
    openai.refuse,
    lambda body, _: {"type": "error", "event_id": None, **body},
)
_VENDORS = (_ELEVENLABS, _DEEPGRAM, _CARTESIA, _KOKORO, _OPENAI)


def install_unknown(app: FastAPI) -> None:
    """Answer what no other route answers; to be called when those are all there."""
    app.add_exception_handler(404, _unknown)
    app.add_exception_handler(405, _unknown)
    not_found = app.router.default

    # No route of its own: what has none is told apart by it (`middleware.ReverseProxyMiddleware`).
    async def unknown(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await _unknown_stream(WebSocket(scope, receive, send))
        else:
            await not_found(scope, receive, send)

    app.router.default = unknown


async def _unknown_stream(websocket: WebSocket) -> None:
    vendor = _vendor(websocket) or _OPENAI
    failed = _failed(websocket, vendor, "WebSocket")
    if vendor.told is None:
        await websocket.send_denial_response(create_refusal_response(vendor.refuse(failed)))
        return
    await websocket.accept()
    told = vendor.told(json.loads(vendor.refuse(failed).body), failed.code)
    await websocket.send_text(json.dumps(told))
    await websocket.close(CLOSE_POLICY, failed.code)


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    vendor = _vendor(request)
    answered = error.detail != HTTPStatus(error.status_code).phrase  # by a route that is here
    if vendor is None or answered:
        return await http_exception_handler(request, error)
    answer = create_refusal_response(vendor.refuse(_failed(request, vendor, request.method)))
    answer.status_code = error.status_code
    answer.headers.update(error.headers or {})
    return answer


def _vendor(connection: HTTPConnection) -> _Vendor | None:
    """Whose client asks, by what only it sends, else by the path; None: nobody's."""
    headers = connection.headers
    path = connection.url.path.removeprefix(connection.scope.get("root_path", ""))
    if "xi-api-key" in headers:
        return _ELEVENLABS
    if "cartesia-version" in headers or "x-api-key" in headers:
        return _CARTESIA
    if authorization_key(headers, "token"):
        return _DEEPGRAM
    return next((vendor for vendor in _VENDORS if path.startswith(vendor.paths)), None)


def _failed(connection: HTTPConnection, vendor: _Vendor, method: str) -> Failed:
    path = connection.url.path[:200]
    return Failed(None, CODE, f"no {method} {path} here; there is {vendor.here}")
