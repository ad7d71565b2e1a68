"""Speech Dispatcher for real: Debian's daemon, `spd-say`, Orca's commands, and a recorded sink."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from bench.speechd.daemon import (
    RATE_HZ,
    REMEDY,
    SpeechdDaemon,
    SsipClient,
    missing_programs,
    speechd_daemon,
)
from duplex_tts.local_server import local_server
from duplex_tts.speechd.fallback_module import find_fallback

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing_programs()), reason=f"needs {REMEDY}"),
]
LONG_TEXT = "The quick brown fox jumps over the lazy dog, and then it sleeps for quite a while."
SETTLED_S = 0.3  # until the sink has played what it was given


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with local_server("--log-level", "warning") as address:
        yield address


@asynccontextmanager
async def orca(folder: Path, address: str) -> AsyncIterator[tuple[SpeechdDaemon, SsipClient]]:
    settings = {"Server": address, "StartServer": "no", "Fallback": ""}
    async with speechd_daemon(folder, settings) as daemon, daemon.connect() as client:
        await wait_for_server(client)
        yield daemon, client


async def wait_for_server(client: SsipClient) -> None:
    """Until the module has reached the server; before, espeak-ng speaks."""
    async with asyncio.timeout(60):
        voices: list[str] = []
        while not any("heart" in line for line in voices):
            await asyncio.sleep(0.2)
            voices = await client.request("LIST SYNTHESIS_VOICES")


async def hear(daemon: SpeechdDaemon, client: SsipClient, command: str, text: str) -> np.ndarray:
    """The audible samples of a message that is spoken to its end."""
    await asyncio.sleep(SETTLED_S)
    speaking = client.speak(text) if command == "SPEAK" else client.say(command, text)
    message, sent_s = await speaking
    assert (await client.wait_event(message, 702, 703))[-1].code == 702
    await asyncio.sleep(SETTLED_S)
    return audible(daemon.recording.samples_since(sent_s))


def audible(samples: np.ndarray) -> np.ndarray:
    """The audible 5 ms windows, joined: a busy machine may leave gaps between them."""
    window = RATE_HZ // 200
    rows = samples[: len(samples) // window * window].reshape(-1, window)
    heard: np.ndarray = rows[np.abs(rows).max(axis=1) > 300].ravel()
    return heard


def pitch_hz(samples: np.ndarray) -> float:
    """Median fundamental frequency of the voiced frames, by autocorrelation."""
    found, frame = [], RATE_HZ // 20
    for start in range(0, len(samples) - frame, frame // 2):
        part = samples[start : start + frame].astype(float)
        repeats = np.correlate(part, part, "full")[frame - 1 :]
        low, high = RATE_HZ // 450, RATE_HZ // 90
        lag = low + int(np.argmax(repeats[low:high]))
        if repeats[lag] > 0.5 * repeats[0] > 0:
            found.append(RATE_HZ / lag)
    return float(np.median(found))


async def test_spd_say_speaks_with_this_server(tmp_path: Path, server: str) -> None:
    async with orca(tmp_path, server) as (daemon, client):
        assert "251-duplex-tts" in await client.request("GET OUTPUT_MODULE")
        sent_s = time.perf_counter()
        say = await asyncio.create_subprocess_exec(
            "spd-say", "--wait", "Hello there", env=daemon.environment
        )
        assert await say.wait() == 0
        await asyncio.sleep(SETTLED_S)
        heard = audible(daemon.recording.samples_since(sent_s))
    assert 0.4 < len(heard) / RATE_HZ < 2
    assert 120 < pitch_hz(heard) < 350  # a voice, not noise


async def test_orcas_index_marks_come_back_in_order(tmp_path: Path, server: str) -> None:
    async with orca(tmp_path, server) as (_, client):
        await client.request("SET SELF SSML_MODE on")
        text = '<mark name="0:5"/>Files &amp; <mark name="8:14"/>folders. <mark name="15:18"/>End'
        message, _ = await client.speak(f"<speak>{text}</speak>")
        events = await client.wait_event(message, 702)
    assert [event.code for event in events] == [701, 700, 700, 700, 702]
    assert [event.mark for event in events if event.code == 700] == ["0:5", "8:14", "15:18"]
    times = [event.arrived_s for event in events]
    assert times[3] - times[1] > 0.3  # with the words, not all at once


async def test_characters_keys_and_punctuation_are_heard(tmp_path: Path, server: str) -> None:
    async with orca(tmp_path, server) as (daemon, client):
        letter = await hear(daemon, client, "CHAR", "b")
        space = await hear(daemon, client, "CHAR", "space")
        key = await hear(daemon, client, "KEY", "shift_a")
        silent = await hear(daemon, client, "SPEAK", "well (done)")
        await client.request("SET SELF PUNCTUATION all")
        named = await hear(daemon, client, "SPEAK", "well (done)")
    for sound in (letter, space, key):
        assert 0.1 < len(sound) / RATE_HZ < 1.5
    assert len(key) > len(letter)
    assert len(named) > 1.8 * len(silent)


async def test_rate_pitch_and_volume_are_heard(tmp_path: Path, server: str) -> None:
    text = "Where are all the women"
    async with orca(tmp_path, server) as (daemon, client):
        normal = await hear(daemon, client, "SPEAK", text)
        await client.request("SET SELF RATE 100")
        fast = await hear(daemon, client, "SPEAK", text)
        await client.request("SET SELF RATE 0")
        await client.request("SET SELF PITCH 100")
        high = await hear(daemon, client, "SPEAK", text)
        await client.request("SET SELF PITCH 0")
        await client.request("SET SELF VOLUME 0")
        soft = await hear(daemon, client, "SPEAK", text)
    assert 0.4 < len(fast) / len(normal) < 0.72
    assert 1.1 < pitch_hz(high) / pitch_hz(normal) < 1.5  # slower speech is lower by itself
    assert len(high) == pytest.approx(len(normal), rel=0.15)
    assert np.abs(soft).max() == pytest.approx(np.abs(normal).max() / 2, rel=0.25)


async def test_arrowing_through_a_menu_ends_with_the_last_item(tmp_path: Path, server: str) -> None:
    async with orca(tmp_path, server) as (daemon, client):
        alone = await hear(daemon, client, "SPEAK", "Preferences")
        for number in range(40):
            message, _ = await client.speak(f"Menu item number {number}, which is long")
            await asyncio.sleep(1 / 20)
            await client.request("CANCEL SELF")
            assert (await client.wait_event(message, 702, 703))[-1].code == 703
        await asyncio.sleep(SETTLED_S)
        silent_s = time.perf_counter()
        after = await hear(daemon, client, "SPEAK", "Preferences")
        heard = audible(daemon.recording.samples_since(silent_s))
    assert len(after) == pytest.approx(len(alone), rel=0.25)
    assert len(heard) == pytest.approx(len(after), rel=0.05)  # nothing of the items before


async def test_an_important_message_is_heard_at_once(tmp_path: Path, server: str) -> None:
    async with orca(tmp_path, server) as (_, client):
        await client.request("SET SELF PRIORITY text")
        text, _ = await client.speak(LONG_TEXT)
        await client.wait_event(text, 701)
        await client.request("SET SELF PRIORITY important")
        urgent, _ = await client.speak("Battery low")
        assert (await client.wait_event(text, 702, 703))[-1].code == 703
        assert (await client.wait_event(urgent, 702, 703))[-1].code == 702


async def test_a_paused_message_goes_on_where_it_was(tmp_path: Path, server: str) -> None:
    async with orca(tmp_path, server) as (_, client):
        message, _ = await client.speak(f"{LONG_TEXT} And then it is morning.")
        await client.wait_event(message, 701)
        await client.request("PAUSE SELF")
        assert (await client.wait_event(message, 704, 702, 703))[-1].code == 704
        await client.request("RESUME SELF")
        events = await client.wait_event(message, 702, 703)
    assert [event.code for event in events if event.code != 700] == [705, 702]


@pytest.mark.skipif(find_fallback() is None, reason=f"needs {REMEDY}")
async def test_no_message_is_silent_while_the_server_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    try:
        async with (
            speechd_daemon(tmp_path, {"Server": f"127.0.0.1:{port}"}) as daemon,
            daemon.connect() as client,
        ):
            fallback = await hear(daemon, client, "SPEAK", "Hello there")
            await wait_for_server(client)
            voice = await hear(daemon, client, "SPEAK", "Hello there")
        assert pitch_hz(fallback) < 120 < pitch_hz(voice)  # espeak-ng's voice is a man's
    finally:
        with suppress(FileNotFoundError, ProcessLookupError):
            pid_file = tmp_path / "home/.local/state/duplex-tts/speechd/server.pid"
            os.kill(int(pid_file.read_text()), signal.SIGTERM)
