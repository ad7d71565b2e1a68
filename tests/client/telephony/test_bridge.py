"""Carriers that connect by real sockets: to the bridge's own server, and to an ASGI server."""

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
from duplex_tts.telephony.credentials import Handshake, twilio_signature
from tests.support.emulated_carrier import Kind, calling

TOKEN = "0123456789abcdef0123456789abcdef"


async def nobody(_: Call) -> None:
    raise AssertionError("no call should come")


async def hang_up(call: Call) -> None:
    await call.hangup()


async def wait_for_the_end(call: Call) -> None:
    async for _ in call.audio():
        pass


async def status_of(address: str, path: str, headers: dict[str, str] | None = None) -> int:
    """The HTTP status with which a handshake is answered; 101 is success."""
    try:
        async with connect(f"{address}{path}", additional_headers=headers, proxy=None):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


@asynccontextmanager
async def mounted(bridge: Bridge) -> AsyncIterator[str]:
    """The bridge in an application of somebody else."""
    app = FastAPI()
    app.mount("/telephony", bridge)
    async with asgi_server(app) as address:
        yield f"{address}/telephony"


class StartedServer(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@asynccontextmanager
async def asgi_server(app: object) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, ws="websockets-sansio")  # type: ignore[arg-type]
    server = StartedServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await server.listens.wait()
    yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving


def test_a_signature_is_that_of_twilios_documents() -> None:
    # https://www.twilio.com/docs/usage/webhooks/webhooks-security: its example, parameters appended
    url = "https://example.com/myapp.php?foo=1&bar=2"
    parameters = (
        "CallSidCA1234567890ABCDECaller+14158675310Digits1234From+14158675310To+18005551212"
    )
    assert twilio_signature("12345", url + parameters) == "L/OH5YylLD5NRKLltdqwSvS0BnU="


@pytest.mark.parametrize("slash", ["", "/"])
def test_twilios_handshake_is_known_by_its_signature(slash: str) -> None:
    credentials = Credentials(twilio_auth_token=TOKEN, public_url="wss://voice.example.com/")
    signed = twilio_signature(TOKEN, f"wss://voice.example.com/telephony/twilio{slash}")

    def accepts(path: str, signature: str) -> bool:
        return credentials.accept(Handshake(path, {"x-twilio-signature": signature}))

    assert accepts("/telephony/twilio", signed)
    assert not accepts("/other/twilio", signed)
    assert not accepts("/telephony/twilio", signed[:-2] + "x=")
    assert not accepts("/telephony/twilio", "")
    assert not accepts("/telephony/twilio", "\udcff é")
    assert not accepts("/telephony/telnyx", ""), "no secret of Telnyx: nobody calls as Telnyx"


def test_the_signed_url_is_that_of_the_host_when_none_is_given() -> None:
    credentials = Credentials(twilio_auth_token=TOKEN)
    signed = twilio_signature(TOKEN, "wss://voice.example.com/telephony/twilio")
    headers = {"host": "voice.example.com", "x-twilio-signature": signed}
    assert credentials.accept(Handshake("/telephony/twilio", headers))
    assert not credentials.accept(Handshake("/telephony/twilio", {**headers, "host": "other"}))


def test_secrets_are_not_shown() -> None:
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
        (0, "no string"),
        (TOKEN.encode(), "no string"),
    ],
)
def test_a_secret_that_keeps_nobody_out_does_not_start(name: str, secret: Any, remedy: str) -> None:
    other = "telnyx_auth_token" if name.startswith("twilio") else "twilio_auth_token"
    with pytest.raises(BadCredentials, match=remedy) as raised:
        Credentials(**{name: secret, other: TOKEN})
    assert name in str(raised.value)
    assert raised.value.code == "bad_credentials"


def test_credentials_from_an_empty_environment_do_not_start() -> None:
    with pytest.raises(BadCredentials, match="environment"):
        Credentials(twilio_auth_token=None, telnyx_auth_token=None)
    with pytest.raises(BadCredentials, match="environment"):
        Credentials(public_url="wss://voice.example.com")


@pytest.mark.parametrize("served_by", ["itself", "asgi"])
async def test_who_may_not_connect_is_told_why_by_the_status(served_by: str) -> None:
    bridge = Bridge(hang_up, Credentials(twilio_auth_token=TOKEN, telnyx_auth_token=TOKEN))
    async with bridge.listen(port=0) if served_by == "itself" else mounted(bridge) as address:
        host = address.removeprefix("ws://").partition("/")[0]
        signed = twilio_signature(TOKEN, f"wss://{host}/telephony/twilio")
        assert await status_of(address, "/vonage") == 404
        assert await status_of(address, "/twilio") == 403
        assert await status_of(address, "/twilio", {"X-Twilio-Signature": "wrong"}) == 403
        assert await status_of(address, "/twilio", {"X-Twilio-Signature": signed}) == 101
        token = "x-telnyx-streaming-auth-token"
        assert await status_of(address, "/telnyx", {token: "wrong"}) == 403
        assert await status_of(address, "/telnyx", {token: TOKEN}) == 101


async def test_when_all_lines_are_busy_the_next_caller_is_told_so() -> None:
    bridge = Bridge(wait_for_the_end, options=Options(max_calls=1))
    async with bridge.listen(port=0) as address:
        async with calling(address) as carrier:
            await carrier.start()
            assert await status_of(address, "/twilio") == 503
            await carrier.stop()
            await carrier.hung_up.wait()
        assert await status_of(address, "/twilio") == 101


async def test_a_page_that_is_fetched_is_no_call() -> None:
    async with mounted(Bridge(nobody)) as address, httpx.AsyncClient(trust_env=False) as client:
        url = address.replace("ws://", "http://")
        assert (await client.get(f"{url}/twilio")).status_code == 426
        assert (await client.get(f"{url}/index.html")).status_code == 404


@pytest.mark.parametrize("served_by", ["itself", "asgi", "asgi alone"])
@pytest.mark.parametrize("kind", ["twilio", "telnyx"])
async def test_a_call_by_a_real_socket(served_by: str, kind: Kind) -> None:
    said: list[bytes] = []

    async def agent(call: Call) -> None:
        async for pcm in call.audio():
            said.append(pcm)
            if len(said) == 3:
                return

    bridge = Bridge(agent)
    by = {
        "itself": bridge.listen(port=0),
        "asgi": mounted(bridge),
        "asgi alone": asgi_server(bridge),
    }
    async with by[served_by] as address, calling(address, kind) as carrier:
        await carrier.start()
        for _ in range(3):
            await carrier.speak(b"\xff" * 160)
        await carrier.hung_up.wait()
    assert said == [b"\0" * 320] * 3
    assert carrier.close_code == 1000


@pytest.mark.parametrize("served_by", ["itself", "asgi"])
async def test_a_carrier_whose_machine_dies_frees_the_line(served_by: str) -> None:
    over = asyncio.Event()

    async def agent(call: Call) -> None:
        try:
            await wait_for_the_end(call)
        finally:
            over.set()

    bridge = Bridge(agent)
    server = bridge.listen(port=0) if served_by == "itself" else mounted(bridge)
    async with server as address, calling(address) as carrier:
        await carrier.start()
        await carrier.speak(b"\xff" * 160)
        carrier.vanish()
        async with asyncio.timeout(10):
            await over.wait()


async def test_leaving_the_bridge_ends_its_calls() -> None:
    bridge = Bridge(wait_for_the_end)
    async with bridge.listen(port=0) as address:
        calls = calling(address)
        carrier = await calls.__aenter__()
        await carrier.start()
        await carrier.speak(b"\xff" * 160)
    async with asyncio.timeout(10):
        await carrier.hung_up.wait()
    assert carrier.close_code == 1001
    await calls.__aexit__(None, None, None)


async def test_a_message_too_large_ends_the_call_and_no_other() -> None:
    async with (
        Bridge(wait_for_the_end).listen(port=0) as address,
        calling(address, call_id="a") as flood,
        calling(address, call_id="b") as other,
    ):
        await flood.start()
        await other.start()
        await flood.send("x" * 1_000_000)
        async with asyncio.timeout(10):
            await flood.hung_up.wait()
        assert flood.close_code == 1009
        await other.speak(b"\xff" * 160)
        assert not other.hung_up.is_set()
