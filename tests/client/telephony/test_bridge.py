"""Carriers over real sockets: to the bridge's own server, and to an ASGI server."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from duplex_tts.telephony import BadCredentials, Bridge, Call, Credentials, Options
from duplex_tts.telephony.credentials import Handshake, sign_twilio_url
from tests.support.emulated_carrier import Kind, open_call

TOKEN = "0123456789abcdef0123456789abcdef"


async def unexpected_call(_: Call) -> None:
    raise AssertionError("unexpected call")


async def hang_up(call: Call) -> None:
    await call.hangup()


async def wait_for_end(call: Call) -> None:
    async for _ in call.audio():
        pass


async def handshake_status(address: str, path: str, headers: dict[str, str] | None = None) -> int:
    """The HTTP status that answers a handshake; 101 is success."""
    try:
        async with connect(f"{address}{path}", additional_headers=headers, proxy=None):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


@asynccontextmanager
async def mounted_bridge(bridge: Bridge) -> AsyncIterator[str]:
    """The bridge, mounted in a FastAPI application."""
    app = FastAPI()
    app.mount("/telephony", bridge)
    async with asgi_server(app) as address:
        yield f"{address}/telephony"


class SignallingServer(uvicorn.Server):
    """Sets `listening` after startup."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@asynccontextmanager
async def asgi_server(app: object) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, ws="websockets-sansio")  # type: ignore[arg-type]
    server = SignallingServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await server.listening.wait()
    yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving


def test_a_signature_matches_twilios_documentation() -> None:
    # The example of https://www.twilio.com/docs/usage/webhooks/webhooks-security
    url = "https://example.com/myapp.php?foo=1&bar=2"
    parameters = (
        "CallSidCA1234567890ABCDECaller+14158675310Digits1234From+14158675310To+18005551212"
    )
    assert sign_twilio_url("12345", url + parameters) == "L/OH5YylLD5NRKLltdqwSvS0BnU="


@pytest.mark.parametrize("slash", ["", "/"])
def test_twilio_handshakes_are_checked_by_signature(slash: str) -> None:
    credentials = Credentials(twilio_auth_token=TOKEN, public_url="wss://voice.example.com/")
    signed = sign_twilio_url(TOKEN, f"wss://voice.example.com/telephony/twilio{slash}")

    def accepts(path: str, signature: str) -> bool:
        return credentials.accept(Handshake(path, {"x-twilio-signature": signature}))

    assert accepts("/telephony/twilio", signed)
    assert not accepts("/other/twilio", signed)
    assert not accepts("/telephony/twilio", signed[:-2] + "x=")
    assert not accepts("/telephony/twilio", "")
    assert not accepts("/telephony/twilio", "\udcff é")
    assert not accepts("/telephony/telnyx", ""), "no Telnyx secret is set"


def test_the_signed_url_defaults_to_the_host_header() -> None:
    credentials = Credentials(twilio_auth_token=TOKEN)
    signed = sign_twilio_url(TOKEN, "wss://voice.example.com/telephony/twilio")
    headers = {"host": "voice.example.com", "x-twilio-signature": signed}
    assert credentials.accept(Handshake("/telephony/twilio", headers))
    assert not credentials.accept(Handshake("/telephony/twilio", {**headers, "host": "other"}))


def test_secrets_are_not_in_reprs_or_errors() -> None:
    assert TOKEN not in repr(Credentials(TOKEN, TOKEN))
    with pytest.raises(BadCredentials) as raised:
        Credentials("s3cret")
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("name", ["twilio_auth_token", "telnyx_auth_token"])
@pytest.mark.parametrize(
    ("secret", "remedy"),
    [
        ("", "empty"),
        ("   ", "strip"),
        (TOKEN + "\n", "strip"),
        ("0" * 15, "secrets.token_urlsafe"),
        (0, "must be a string"),
        (TOKEN.encode(), "must be a string"),
    ],
)
def test_weak_secrets_raise_bad_credentials(name: str, secret: Any, remedy: str) -> None:
    other = "telnyx_auth_token" if name.startswith("twilio") else "twilio_auth_token"
    with pytest.raises(BadCredentials, match=remedy) as raised:
        Credentials(**{name: secret, other: TOKEN})
    assert name in str(raised.value)
    assert raised.value.code == "bad_credentials"


def test_credentials_without_secrets_raise_bad_credentials() -> None:
    with pytest.raises(BadCredentials, match="environment"):
        Credentials(twilio_auth_token=None, telnyx_auth_token=None)
    with pytest.raises(BadCredentials, match="environment"):
        Credentials(public_url="wss://voice.example.com")


@pytest.mark.parametrize("served_by", ["itself", "asgi"])
async def test_refused_handshakes_are_answered_with_a_status(served_by: str) -> None:
    bridge = Bridge(hang_up, Credentials(twilio_auth_token=TOKEN, telnyx_auth_token=TOKEN))
    server = bridge.listen(port=0) if served_by == "itself" else mounted_bridge(bridge)
    async with server as address:
        host = address.removeprefix("ws://").partition("/")[0]
        signed = sign_twilio_url(TOKEN, f"wss://{host}/telephony/twilio")
        assert await handshake_status(address, "/vonage") == 404
        assert await handshake_status(address, "/twilio") == 403
        assert await handshake_status(address, "/twilio", {"X-Twilio-Signature": "wrong"}) == 403
        assert await handshake_status(address, "/twilio", {"X-Twilio-Signature": signed}) == 101
        token = "x-telnyx-streaming-auth-token"
        assert await handshake_status(address, "/telnyx", {token: "wrong"}) == 403
        assert await handshake_status(address, "/telnyx", {token: TOKEN}) == 101


async def test_more_than_max_calls_are_refused_with_503() -> None:
    bridge = Bridge(wait_for_end, options=Options(max_calls=1))
    async with bridge.listen(port=0) as address:
        async with open_call(address) as carrier:
            await carrier.start_stream()
            assert await handshake_status(address, "/twilio") == 503
            await carrier.hang_up()
            await carrier.hung_up.wait()
        assert await handshake_status(address, "/twilio") == 101


async def test_plain_http_requests_are_refused() -> None:
    async with (
        mounted_bridge(Bridge(unexpected_call)) as address,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        url = address.replace("ws://", "http://")
        assert (await client.get(f"{url}/twilio")).status_code == 426
        assert (await client.get(f"{url}/index.html")).status_code == 404


@pytest.mark.parametrize("served_by", ["itself", "asgi", "asgi alone"])
@pytest.mark.parametrize("kind", ["twilio", "telnyx"])
async def test_a_call_over_a_real_socket(served_by: str, kind: Kind) -> None:
    received: list[bytes] = []

    async def agent(call: Call) -> None:
        async for pcm in call.audio():
            received.append(pcm)
            if len(received) == 3:
                return

    bridge = Bridge(agent)
    by = {
        "itself": bridge.listen(port=0),
        "asgi": mounted_bridge(bridge),
        "asgi alone": asgi_server(bridge),
    }
    async with by[served_by] as address, open_call(address, kind) as carrier:
        await carrier.start_stream()
        for _ in range(3):
            await carrier.send_caller_audio(b"\xff" * 160)
        await carrier.hung_up.wait()
    assert received == [b"\0" * 320] * 3
    assert carrier.close_code == 1000


@pytest.mark.parametrize("served_by", ["itself", "asgi"])
async def test_a_lost_connection_ends_the_call(served_by: str) -> None:
    ended = asyncio.Event()

    async def agent(call: Call) -> None:
        try:
            await wait_for_end(call)
        finally:
            ended.set()

    bridge = Bridge(agent)
    server = bridge.listen(port=0) if served_by == "itself" else mounted_bridge(bridge)
    async with server as address, open_call(address) as carrier:
        await carrier.start_stream()
        await carrier.send_caller_audio(b"\xff" * 160)
        carrier.drop_connection()
        async with asyncio.timeout(10):
            await ended.wait()


async def test_leaving_the_bridge_ends_its_calls() -> None:
    bridge = Bridge(wait_for_end)
    async with bridge.listen(port=0) as address:
        calls = open_call(address)
        carrier = await calls.__aenter__()
        await carrier.start_stream()
        await carrier.send_caller_audio(b"\xff" * 160)
    async with asyncio.timeout(10):
        await carrier.hung_up.wait()
    assert carrier.close_code == 1001
    await calls.__aexit__(None, None, None)


async def test_an_oversized_message_ends_only_its_call() -> None:
    async with (
        Bridge(wait_for_end).listen(port=0) as address,
        open_call(address, call_id="a") as flood,
        open_call(address, call_id="b") as other,
    ):
        await flood.start_stream()
        await other.start_stream()
        await flood.send("x" * 1_000_000)
        async with asyncio.timeout(10):
            await flood.hung_up.wait()
        assert flood.close_code == 1009
        await other.send_caller_audio(b"\xff" * 160)
        assert not other.hung_up.is_set()
