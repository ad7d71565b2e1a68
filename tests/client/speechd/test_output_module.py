"""The module as a process, driven as the daemon drives it, against the real server's protocol."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from bench.speechd.module import ModuleEvent, ModuleFailed, SpeechdModule, speechd_module
from duplex_tts.speechd.__main__ import read_line
from duplex_tts.speechd.module_config import BadModuleConfig, ModuleConfig, read_config
from tests.support.engines.fake_engine import CHARACTER_MS, FakeModel
from tests.support.live_server import live_server

NO_SERVER = "127.0.0.1:9"  # discard: nothing listens there

FALLBACK = """#!{python}
import sys
for line in sys.stdin:
    line = line.strip()
    if line == "INIT": print("299 OK")
    elif line == "SPEAK": print("202 OK"); speaking = True
    elif line in ("SET", "AUDIO"): print("203 OK"); speaking = False
    elif line == "." and speaking:
        print("200 OK SPEAKING\\n701 BEGIN")
        print("705-bits=16\\n705-num_channels=1\\n705-sample_rate=22050\\n705-num_samples=1")
        print("705-big_endian=0\\n705-AUDIO\\0ab\\n705 AUDIO\\n700-m\\n700 INDEX MARK\\n702 END")
    elif line == ".": print("203 OK")
    sys.stdout.flush()
"""


def write_config(folder: Path, address: str, fallback: str = "") -> Path:
    path = folder / "module.conf"
    path.write_text(f'Server "{address}"\nStartServer no\nFallback "{fallback}"\n')
    return path


@asynccontextmanager
async def module_of(folder: Path, model: FakeModel | None = None) -> AsyncIterator[SpeechdModule]:
    async with (
        live_server(model) as live,
        speechd_module(write_config(folder, live.address)) as module,
    ):
        yield module


def codes(events: list[ModuleEvent]) -> list[int]:
    return [event.code for event in events if event.code != 705]


def audio_ms(events: list[ModuleEvent]) -> float:
    """Duration of what was heard, as played."""
    parts = [event for event in events if event.code == 705]
    return sum(500 * len(part.data) / part.rate_hz for part in parts)


def test_the_configuration_names_its_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "module.conf"
    assert read_config(path) == ModuleConfig()
    path.write_text('# comment\nServer "host:9000"\nFallback ""\n')
    assert read_config(path) == ModuleConfig("ws://host:9000/ws/tts", fallback="")
    for line, problem in [("Sever x", "unknown Sever"), ("Voice", r":1: expected"),
                          ("StartServer maybe", "yes or no")]:  # fmt: skip
        path.write_text(line)
        with pytest.raises(BadModuleConfig, match=problem):
            read_config(path)


async def test_a_message_begins_sounds_and_ends(tmp_path: Path) -> None:
    async with module_of(tmp_path) as module:
        events = await module.speak("<speak>Hello there.</speak>")
        assert codes(events) == [701, 702]
        assert audio_ms(events) == pytest.approx(11 * CHARACTER_MS)


async def test_marks_are_reported_between_the_words(tmp_path: Path) -> None:
    text = 'One <mark name="a"/>two.<mark name="__spd_0"/> Three<mark name="b"/>'
    async with module_of(tmp_path) as module:
        events = await module.speak(f"<speak>{text}</speak>")
    names = [event.data.decode() for event in events if event.code == 700]
    assert names == ["a", "__spd_0", "b"]
    before = audio_ms(events[: [event.data for event in events].index(b"a")])
    assert before == pytest.approx(3 * CHARACTER_MS, abs=CHARACTER_MS)


async def test_characters_and_keys_are_spoken_by_name(tmp_path: Path) -> None:
    async with module_of(tmp_path) as module:
        assert audio_ms(await module.speak("_", "CHAR")) == len("underscore") * CHARACTER_MS
        assert audio_ms(await module.speak("shift_a", "KEY")) == len("shiftA") * CHARACTER_MS


async def test_the_second_time_needs_no_server(tmp_path: Path) -> None:
    async with live_server() as live:
        module_process = speechd_module(write_config(tmp_path, live.address))
        module = await module_process.__aenter__()
        first = await module.speak("Settings")
    second = await module.speak("Settings")
    await module_process.__aexit__(None, None, None)
    assert [event.data for event in second] == [event.data for event in first]


async def test_what_is_kept_does_not_depend_on_how_the_voice_was_chosen(tmp_path: Path) -> None:
    async with live_server() as live:
        module_process = speechd_module(write_config(tmp_path, live.address))
        module = await module_process.__aenter__()
        await module.speak("Settings")
    await module.set_values({"language": "en-GB", "synthesis_voice": "heart"})
    assert audio_ms(await module.speak("Settings")) == 8 * CHARACTER_MS
    await module_process.__aexit__(None, None, None)


async def test_volume_and_pitch_are_applied_to_kept_sounds(tmp_path: Path) -> None:
    async with module_of(tmp_path) as module:
        loud = await module.speak("Settings")
        await module.set_values({"volume": 0, "pitch": 0, "rate": 0})
        soft = await module.speak("Settings")
        await module.set_values({"volume": 0, "pitch": 100, "rate": 0})
        high = await module.speak("Settings")
    peaks = [
        max(np.abs(np.frombuffer(event.data, "<i2")).max() for event in events if event.code == 705)
        for events in (loud, soft)
    ]
    assert peaks[1] == pytest.approx(peaks[0] / 2, rel=0.01)
    assert {event.rate_hz for event in high if event.code == 705} == {round(24_000 * 2**0.5)}


async def test_a_stop_is_answered_at_once_and_nothing_follows(tmp_path: Path) -> None:
    gate = threading.Semaphore(1)  # for the warm-up
    async with module_of(tmp_path, FakeModel(gate=gate)) as module:
        await module.start_message("Never heard.")
        assert (await module.read_event()).code == 701
        module.send("STOP")
        assert codes(await module.read_events()) == [703]
        gate.release(100_000)
        events = await module.speak("Next")
        assert codes(events) == [701, 702]
        assert audio_ms(events) == 4 * CHARACTER_MS


async def test_a_stop_that_comes_too_late_is_not_answered(tmp_path: Path) -> None:
    async with module_of(tmp_path) as module:
        await module.speak("Done")
        module.send("STOP")
        module.send("PAUSE")
        assert codes(await module.speak("Next")) == [701, 702]


async def test_a_pause_comes_at_the_end_of_the_sentence(tmp_path: Path) -> None:
    gate = threading.Semaphore(1)  # for the warm-up
    text = '<speak>One <mark name="a"/>two.<mark name="__spd_0"/> Three.</speak>'
    async with module_of(tmp_path, FakeModel(gate=gate)) as module:
        await module.start_message(text)
        assert (await module.read_event()).code == 701
        module.send("PAUSE")
        gate.release(100_000)
        events = await module.read_events()
        assert codes(events) == [700, 700, 704]
        assert audio_ms(events) == pytest.approx(7 * CHARACTER_MS, abs=2 * CHARACTER_MS)
        assert codes(await module.speak("Next")) == [701, 702]


async def test_rapid_cancels_leave_the_next_message_whole(tmp_path: Path) -> None:
    async with module_of(tmp_path) as module:
        for number in range(60):
            await module.start_message(f"Item {number} of a long menu that nobody listens to.")
            module.send("STOP")
            assert codes(await module.read_events()) in ([701, 703], [701, 702])
        assert audio_ms(await module.speak("Last")) == 4 * CHARACTER_MS


async def test_a_daemon_that_reads_slowly_can_still_stop(tmp_path: Path) -> None:
    async with module_of(tmp_path) as module:
        await module.start_message("word " * 2_000)  # more than the pipes take
        await asyncio.sleep(0.3)
        module.send("STOP")
        assert codes(await module.read_events()) == [701, 703]
        assert audio_ms(await module.speak("Last")) == 4 * CHARACTER_MS


async def test_values_that_cannot_be_set_are_refused(tmp_path: Path) -> None:
    async with module_of(tmp_path) as module:
        with pytest.raises(ModuleFailed, match="303"):
            await module.set_values({"rate": 1000})
        with pytest.raises(ModuleFailed, match=r"0\.11"):
            await module.set_values({"audio_output_method": "pulse"}, "AUDIO")


async def test_of_a_line_that_is_too_long_the_rest_is_read() -> None:
    reader = asyncio.StreamReader(limit=8)
    reader.feed_data(b"SPEAK\n" + b"x" * 20)
    assert await read_line(reader) == b"SPEAK\n"
    asyncio.get_running_loop().call_soon(reader.feed_data, b"rest\n.\n")
    assert [await read_line(reader), await read_line(reader)] == [b"rest\n", b".\n"]


async def test_voices_are_listed_by_language(tmp_path: Path) -> None:
    async with module_of(tmp_path) as module:
        voices = await module.request("LIST VOICES")
        assert voices[0].split("\t")[0].startswith("200-")
        assert await module.request("LIST VOICES en") != []
        with pytest.raises(ModuleFailed, match="304"):
            await module.request("LIST VOICES xx")


@pytest.mark.slow
async def test_without_a_server_the_fallback_speaks(tmp_path: Path) -> None:
    fallback = tmp_path / "sd_other"
    fallback.write_text(FALLBACK.format(python=sys.executable))
    fallback.chmod(0o755)
    config = write_config(tmp_path, NO_SERVER, str(fallback))
    async with speechd_module(config, initialize=False) as module:
        lines = await module.request("INIT")
        assert "espeak-ng speaks for now" in lines[0]
        await module.set_values({"audio_output_method": "server"}, "AUDIO")
        for _ in range(2):
            events = await module.speak("Hello")
            assert [(event.code, event.data) for event in events] == [
                (701, b"BEGIN"), (705, b"ab"), (700, b"m"), (702, b"END"),
            ]  # fmt: skip


async def test_a_voice_that_cannot_be_loaded_is_replaced_by_the_default(tmp_path: Path) -> None:
    async with module_of(tmp_path) as module:
        for voice in ("remote", "nobody"):
            await module.set_values({"synthesis_voice": voice})
            for word in ("Hello", "there"):
                assert audio_ms(await module.speak(f"{word} {voice}")) > 5 * CHARACTER_MS


async def test_a_configured_voice_that_is_missing_does_not_silence(tmp_path: Path) -> None:
    async with live_server() as live:
        config = write_config(tmp_path, live.address)
        config.write_text(config.read_text() + "Voice nobody\n")
        async with speechd_module(config) as module:
            assert audio_ms(await module.speak("Hello")) == 5 * CHARACTER_MS


async def test_what_the_server_cannot_say_is_said_by_the_fallback(tmp_path: Path) -> None:
    fallback = tmp_path / "sd_other"
    fallback.write_text(FALLBACK.format(python=sys.executable))
    fallback.chmod(0o755)
    async with live_server() as live:
        config = write_config(tmp_path, live.address, str(fallback))
        async with speechd_module(config) as module:
            silent = await module.speak("\u200b")  # nothing to pronounce
            assert b"ab" in [event.data for event in silent]
            assert codes(await module.speak("<speak> </speak>")) == [701, 702]
            await module.set_values({"language": "ja"})
            assert b"ab" in [event.data for event in await module.speak("Hello")]


@pytest.mark.slow
async def test_a_server_that_dies_is_replaced_by_the_fallback_and_used_again(
    tmp_path: Path,
) -> None:
    fallback = tmp_path / "sd_other"
    fallback.write_text(FALLBACK.format(python=sys.executable))
    fallback.chmod(0o755)
    gate = threading.Semaphore(1)  # for the warm-up
    async with live_server(FakeModel(gate=gate)) as live:
        config = write_config(tmp_path, live.address, str(fallback))
        async with speechd_module(config) as module:
            events = await module.speak("Nothing comes")  # the engine hangs
            assert b"ab" in [event.data for event in events]
            gate.release(100_000)
            spoken = [b"ab"]
            for attempt in range(20):
                spoken = [e.data for e in await module.speak(f"Try {attempt}") if e.code == 705]
                if b"ab" not in spoken:
                    break
                await asyncio.sleep(0.2)
            assert b"ab" not in spoken
