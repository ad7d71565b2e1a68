import asyncio
import sys

import pytest

from duplex_tts.cli.shared_options import is_ready
from duplex_tts.errors import ConnectionLost
from duplex_tts.local_server import ServerFailed, local_server
from duplex_tts.session import Session
from tests.support.live_server import wait_until

_CALLER = """
from duplex_tts.local_server import local_server
with local_server() as url:
    print(url, flush=True)
    input()
"""


@pytest.mark.slow
async def test_a_local_server_runs_during_the_block() -> None:
    with local_server() as url:
        async with Session.connect(url) as session:
            assert session.ready.sample_rate > 0
    with pytest.raises(ConnectionLost):
        await Session.connect(url)


@pytest.mark.slow
async def test_a_local_server_is_the_callers_own_in_a_container_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And beside a server for Home Assistant, for holders of a key, with several replicas."""
    monkeypatch.setenv("DUPLEX_TTS_SERVER__HOST", "0.0.0.0")
    monkeypatch.setenv("DUPLEX_TTS_WYOMING__HOST", "0.0.0.0")
    monkeypatch.setenv("DUPLEX_TTS_WYOMING__PORT", "10200")
    monkeypatch.setenv("DUPLEX_TTS_ACCESS__CREATE_KEY", "true")
    monkeypatch.setenv("DUPLEX_TTS_ACCESS__API_KEYS", "of-others")
    monkeypatch.setenv("DUPLEX_TTS_ACCESS__API_KEYS_FILE", "/of/others.keys")
    monkeypatch.setenv("DUPLEX_TTS_ACCESS__ADMIN_KEY", "of-the-operator")
    monkeypatch.setenv("DUPLEX_TTS_CLUSTER__REPLICAS", "2")
    with local_server() as url:
        assert url.startswith("http://127.0.0.1:")
        async with Session.connect(url) as session:  # without a key
            assert session.ready.sample_rate > 0


@pytest.mark.slow
def test_a_local_server_that_does_not_start_raises_with_its_log() -> None:
    with (
        pytest.raises(ServerFailed, match=r"(?s)did not start.*no-such-voice"),
        local_server("--voice", "no-such-voice"),
    ):
        pass


def test_a_local_server_that_starts_too_slowly_raises() -> None:
    with pytest.raises(ServerFailed, match="not ready"), local_server(start_timeout_s=0.01):
        pass


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="by the shell")
async def test_a_server_that_ends_with_its_input_ends_without_one() -> None:
    server = [sys.executable, "-m", "backend.main", "--port", "0", "--stop-with-stdin"]
    ended = await asyncio.create_subprocess_exec(
        *("sh", "-c", 'exec "$@" <&-', "-"), *server, stderr=asyncio.subprocess.PIPE
    )
    _, log = await asyncio.wait_for(ended.communicate(), 60)
    assert b"Traceback" not in log


@pytest.mark.slow
async def test_a_local_server_ends_with_a_caller_that_is_killed() -> None:
    caller = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CALLER, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert caller.stdout is not None
    url = (await caller.stdout.readline()).decode().strip()
    assert is_ready(url)
    caller.kill()
    await caller.wait()
    await wait_until(lambda: not is_ready(url), 20)
