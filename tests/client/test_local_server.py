import pytest

from duplex_tts.errors import ConnectionLost
from duplex_tts.local_server import ServerFailed, local_server
from duplex_tts.session import Session


async def test_a_local_server_runs_during_the_block() -> None:
    with local_server() as url:
        async with Session.connect(url) as session:
            assert session.ready.sample_rate > 0
    with pytest.raises(ConnectionLost):
        await Session.connect(url)


def test_a_local_server_that_does_not_start_raises_with_its_log() -> None:
    with (
        pytest.raises(ServerFailed, match=r"(?s)did not start.*no-such-voice"),
        local_server("--voice", "no-such-voice"),
    ):
        pass


def test_a_local_server_that_starts_too_slowly_raises() -> None:
    with pytest.raises(ServerFailed, match="not ready"), local_server(start_timeout_s=0.01):
        pass
