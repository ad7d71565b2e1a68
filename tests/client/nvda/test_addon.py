"""The add-on's protocol against a server, and its driver against stand-ins of NVDA's modules."""

import asyncio
import importlib
import sys
import threading
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.client.nvda.nvda_modules import WavePlayer, install_modules
from tests.support.engines.fake_engine import CHARACTER_MS, FakeModel
from tests.support.live_server import live_server
from tests.support.repository import ROOT

FOLDER = ROOT / "deploy" / "nvda"
BYTES_PER_CHARACTER = round(48 * CHARACTER_MS)


@pytest.fixture
def nvda(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    return install_modules(monkeypatch, tmp_path)


@pytest.fixture
def addon(nvda: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER / "addon" / "synthDrivers"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "duplexTts"]:
        monkeypatch.delitem(sys.modules, name)
    return importlib.import_module("duplexTts")


def test_only_the_standard_library_and_nvda_are_imported(addon: ModuleType) -> None:
    source = "".join(path.read_text() for path in (FOLDER / "addon").rglob("*.py"))
    for package in ("duplex_tts", "numpy", "websockets", "httpx"):
        assert f"import {package}" not in source
        assert f"from {package}" not in source


def test_a_sequence_is_one_text_with_indexes(addon: ModuleType) -> None:
    text = addon.speech_text
    items = [text.Index(1), "a < b", text.Index(2), text.Letters(True), "c", text.Letters(False),
             text.Pause(300), text.Index(3)]  # fmt: skip
    ssml, indexes = text.build_text(items)
    letters = '<say-as interpret-as="characters">c</say-as> '
    assert ssml == f'a &lt; b {letters}<break time="300ms"/>'
    assert indexes == [(0, 1), (9, 2), (len(ssml), 3)]


def test_audio_is_cut_at_the_indexes(addon: ModuleType) -> None:
    audio = addon.speech_client.Audio(bytes(480), ((0, 0.0), (4, 5.0)))
    parts = list(addon.speech_text.cut_at_indexes(iter([audio]), [(0, 1), (4, 2), (9, 3)]))
    index = addon.speech_text.Index
    assert parts == [index(1), bytes(240), index(2), bytes(240), index(3)]


async def test_the_client_speaks_and_lists_voices(addon: ModuleType) -> None:
    async with live_server() as live:
        client = addon.SpeechClient(live.address)
        assert next(iter(await asyncio.to_thread(client.voices))) == "heart"
        spoken = await asyncio.to_thread(lambda: list(client.speak("Hello there")))
    assert sum(len(audio.pcm) for audio in spoken) == 10 * BYTES_PER_CHARACTER
    assert [start for audio in spoken for start, _ in audio.words] == [0, 6]


async def test_a_refusal_and_a_missing_server_are_errors(addon: ModuleType) -> None:
    async with live_server() as live:
        client = addon.SpeechClient(live.address)
        with pytest.raises(addon.SpeechError, match="nobody"):
            await asyncio.to_thread(lambda: list(client.speak("Hello", voice="nobody")))
    with pytest.raises(addon.SpeechError, match="no speech server answers"):
        await asyncio.to_thread(client.voices)


@pytest.mark.parametrize("answer", [b"[]", b"{}", b'{"voices": [1], "default": "x"}'])
async def test_another_kind_of_server_is_an_error(addon: ModuleType, answer: bytes) -> None:
    async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"POST"):
            await reader.readuntil(b"}")  # else closing would reset the connection
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + answer)
        writer.close()

    async with await asyncio.start_server(answer_all, "127.0.0.1") as server:
        client = addon.SpeechClient(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        for call in (client.voices, lambda: list(client.speak("Hello"))):
            with pytest.raises(addon.SpeechError, match="not a Duplex TTS server"):
                await asyncio.to_thread(call)


async def test_a_cancel_ends_the_speech_wherever_it_waits(addon: ModuleType) -> None:
    gate = threading.Semaphore(1)  # for the warm-up
    async with live_server(FakeModel(gate=gate)) as live:
        client = addon.SpeechClient(live.address)
        (engine,) = live.model.engines
        engine.entered.clear()
        speaking = asyncio.create_task(asyncio.to_thread(lambda: list(client.speak("Hello"))))
        assert await asyncio.to_thread(engine.entered.wait, 5)
        client.cancel()
        async with asyncio.timeout(4):  # less than the client's own timeout
            assert await speaking == []
        gate.release(100)
        again = await asyncio.to_thread(lambda: list(client.speak("Again")))
    assert sum(len(audio.pcm) for audio in again) == 5 * BYTES_PER_CHARACTER


def start_driver(addon: ModuleType, folder: Path, address: str) -> Any:
    (folder / "duplex-tts.ini").write_text(f"[server]\naddress = {address}\n")
    return addon.SynthDriver()


async def test_the_driver_plays_a_sequence_and_reports_its_indexes(
    addon: ModuleType, nvda: SimpleNamespace, tmp_path: Path
) -> None:
    async with live_server() as live:
        driver = await asyncio.to_thread(start_driver, addon, tmp_path, live.address)
        sequence = [nvda.IndexCommand(index=7), "Hello ", "there", nvda.IndexCommand(index=8)]
        driver.speak(sequence)
        assert await asyncio.to_thread(nvda.done.happened.wait, 10)
        await asyncio.to_thread(driver.terminate)
    assert [seen["index"] for seen in nvda.reached.seen] == [7, 8]
    (player,) = WavePlayer.players
    assert len(player.fed) == 10 * BYTES_PER_CHARACTER
    assert player.closed


async def test_the_driver_drops_what_is_cancelled(
    addon: ModuleType, nvda: SimpleNamespace, tmp_path: Path
) -> None:
    async with live_server() as live:
        driver = await asyncio.to_thread(start_driver, addon, tmp_path, live.address)
        for number in range(40):
            driver.speak([f"Item {number} of a long menu"])
            driver.cancel()
        nvda.done.happened.clear()
        WavePlayer.players[0].fed = b""
        driver.speak(["Last"])
        assert await asyncio.to_thread(nvda.done.happened.wait, 10)
        await asyncio.to_thread(driver.terminate)
    assert WavePlayer.players[0].stops >= 40
    assert len(WavePlayer.players[0].fed) == 4 * BYTES_PER_CHARACTER


async def test_a_sequence_that_is_cancelled_when_it_is_taken_is_not_spoken(
    addon: ModuleType, nvda: SimpleNamespace, tmp_path: Path
) -> None:
    async with live_server() as live:
        driver = await asyncio.to_thread(start_driver, addon, tmp_path, live.address)
        await asyncio.to_thread(driver.terminate)  # the thread: here it runs afterwards
        driver.speak(["Cancelled"])
        taken = driver._jobs.get()
        driver.cancel()
        driver._jobs.put(taken)
        driver.speak(["Last"])
        driver._jobs.put(None)
        await asyncio.to_thread(driver._run)
    assert len(WavePlayer.players[0].fed) == 4 * BYTES_PER_CHARACTER


async def test_a_text_that_is_refused_does_not_replace_the_synthesizer(
    addon: ModuleType, nvda: SimpleNamespace, tmp_path: Path
) -> None:
    async with live_server() as live:
        driver = await asyncio.to_thread(start_driver, addon, tmp_path, live.address)
        for sequence in (["word " * 20_000, nvda.IndexCommand(index=7)], ["Last"]):
            nvda.done.happened.clear()
            driver.speak(sequence)
            assert await asyncio.to_thread(nvda.done.happened.wait, 10)
        await asyncio.to_thread(driver.terminate)
    assert not nvda.replaced.seen
    assert [seen["index"] for seen in nvda.reached.seen] == [7]
    assert len(WavePlayer.players[0].fed) == 4 * BYTES_PER_CHARACTER


def test_halves_of_characters_are_joined_or_replaced(addon: ModuleType) -> None:
    assert addon.speech_text.build_text(["\ud83d\ude00", "a\ud83d"])[0] == "😀 a\ufffd "


async def test_another_synthesizer_takes_over_when_the_server_is_lost(
    addon: ModuleType, nvda: SimpleNamespace, tmp_path: Path
) -> None:
    async with live_server() as live:
        driver = await asyncio.to_thread(start_driver, addon, tmp_path, live.address)
    driver.speak(["Anything"])
    assert await asyncio.to_thread(nvda.replaced.happened.wait, 10)
    assert nvda.replaced.seen == [{"name": "duplexTts"}]
    await asyncio.to_thread(driver.terminate)


async def test_pitch_is_the_rate_at_which_samples_are_played(
    addon: ModuleType, nvda: SimpleNamespace, tmp_path: Path
) -> None:
    async with live_server() as live:
        driver = await asyncio.to_thread(start_driver, addon, tmp_path, live.address)
        driver._set_pitch(100)
        await asyncio.to_thread(driver.terminate)
    assert [player.rate_hz for player in WavePlayer.players] == [24_000, round(24_000 * 2**0.5)]


def test_the_package_is_a_zip_file_with_a_manifest(tmp_path: Path) -> None:
    sys.path.insert(0, str(FOLDER))
    try:
        path = importlib.import_module("build_addon").build_addon(tmp_path)
    finally:
        sys.path.remove(str(FOLDER))
    names = zipfile.ZipFile(path).namelist()
    assert path.suffix == ".nvda-addon"
    assert {"manifest.ini", "synthDrivers/duplexTts/__init__.py"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]
