"""The player on a virtual clock, with a device that records what it plays."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from duplex_tts.errors import ConnectionLost, SpeechFailed
from duplex_tts.events import Audio, Word
from duplex_tts.playback.devices import Device, DeviceFailed, Pull
from duplex_tts.playback.mixer import RAMP_S, Pcm
from duplex_tts.playback.queued_utterance import AHEAD_MS
from duplex_tts.player import REPORT_S, TICK_S, Player
from tests.support import clock

RATE_HZ = 1000  # a sample is a millisecond
BLOCK_S = 0.01
LATENCY_S = 0.03


class ScriptedDevice(Device):
    """Plays on the virtual clock, 30 ms after it pulls."""

    name = "scripted"

    def __init__(self, *, needs_drop: bool = False) -> None:
        self.blocks: list[Pcm] = []
        self.closed_how = ""
        self.dropped_at_s: list[float] = []
        self.needs_drop = needs_drop

    def open(self, sample_rate_hz: int, pull: Pull) -> None:
        assert sample_rate_hz == RATE_HZ
        self.pull = pull
        self.loop = asyncio.get_running_loop()
        self.next = self.loop.call_soon(self.tick)

    def tick(self) -> None:
        now_s = self.loop.time()
        self.blocks.append(self.pull(round(RATE_HZ * BLOCK_S), now_s, LATENCY_S))
        self.next = self.loop.call_at(now_s + BLOCK_S, self.tick)

    def drop(self) -> None:
        self.dropped_at_s.append(self.loop.time())

    def close(self, *, drain: bool) -> None:
        self.next.cancel()
        self.closed_how = "drained" if drain else "cut"

    def heard(self) -> list[int]:
        """The samples played, without silence."""
        return [int(sample) for sample in np.concatenate(self.blocks) if sample]

    def index_at(self, time_s: float) -> int:
        return round((time_s - LATENCY_S) * RATE_HZ)


class ScriptedSpeech:
    """An utterance whose audio the test supplies."""

    def __init__(self, text: str = "", **parameters: object) -> None:
        self.parameters: Mapping[str, object] = parameters
        self.text = text
        self.cancelled = False
        self.reports: list[float] = []
        self.reported_s = 0.0
        self.at_ms = 0.0
        self.events: asyncio.Queue[Audio | Exception | None] = asyncio.Queue()

    def say(self, samples: list[int], to: int = 0, words: tuple[Word, ...] = ()) -> None:
        data = np.array(samples, "<i2").tobytes()
        audio = Audio("c", 0, self.at_ms, len(samples), (0, to), words, data)
        self.at_ms += len(samples)
        self.events.put_nowait(audio)

    def end(self, error: Exception | None = None) -> None:
        self.events.put_nowait(error)

    def cancel(self) -> None:
        self.cancelled = True
        self.events.put_nowait(None)

    def played(self, ms: float) -> None:
        self.reports.append(ms)
        self.reported_s = asyncio.get_running_loop().time()

    async def __aiter__(self) -> AsyncIterator[Audio]:
        while (event := await self.events.get()) is not None and not self.cancelled:
            if isinstance(event, Exception):
                raise event
            yield event


def tone(first: int, count: int) -> list[int]:
    return list(range(first, first + count))


def complete_speech(samples: list[int]) -> ScriptedSpeech:
    """An utterance whose audio has all arrived."""
    speech = ScriptedSpeech()
    speech.say(samples)
    speech.end()
    return speech


def run_player(
    script: Callable[[Player], Awaitable[None]], device: ScriptedDevice | None = None
) -> ScriptedDevice:
    """Run a script in a player's block on the virtual clock; returns the device."""
    device = device or ScriptedDevice()

    async def play() -> None:
        async with Player(device, RATE_HZ) as player:
            await script(player)

    clock.run(play())
    return device


# --- in order and to the end ----------------------------------------------------------------------


def test_the_block_ends_when_everything_was_heard() -> None:
    async def script(player: Player) -> None:
        for first in (1, 1001, 2001):
            player.play(complete_speech(tone(first, 500)))

    device = run_player(script)
    assert device.heard() == tone(1, 500) + tone(1001, 500) + tone(2001, 500)
    assert device.closed_how == "drained"


def test_utterances_follow_each_other_without_a_gap() -> None:
    async def script(player: Player) -> None:
        first, second = complete_speech(tone(1, 105)), ScriptedSpeech()
        player.play(first)
        player.play(second)
        await asyncio.sleep(0.05)
        second.say(tone(1001, 100))
        second.end()

    samples = np.concatenate(run_player(script).blocks).tolist()
    start = samples.index(1)
    assert samples[start : start + 205] == tone(1, 105) + tone(1001, 100)


def test_done_returns_when_the_last_sample_was_heard() -> None:
    async def script(player: Player) -> None:
        loop = asyncio.get_running_loop()
        queued = player.play(complete_speech([5] * 500))
        await queued.done()
        assert queued.finished
        assert not queued.cancelled
        assert 0.5 + LATENCY_S <= loop.time() <= 0.5 + LATENCY_S + 0.02 + BLOCK_S + TICK_S

    run_player(script)


def test_an_empty_block_ends_at_once() -> None:
    async def nothing(player: Player) -> None:
        pass

    assert run_player(nothing).heard() == []


def test_the_player_plays_again_after_a_minute_of_idleness() -> None:
    async def script(player: Player) -> None:
        await player.play(complete_speech(tone(1, 50))).done()
        await asyncio.sleep(60)
        await player.play(complete_speech(tone(101, 50))).done()

    assert run_player(script).heard() == tone(1, 50) + tone(101, 50)


def test_audio_beyond_the_buffer_limit_stays_in_the_utterance() -> None:
    async def script(player: Player) -> None:
        speech = ScriptedSpeech()
        for _ in range(100):
            speech.say([3] * 1000)
        speech.end()
        queued = player.play(speech)
        await asyncio.sleep(5)
        assert AHEAD_MS - 1000 <= queued.buffered_ms <= AHEAD_MS + 1000
        assert speech.events.qsize() > 80
        await queued.done()

    assert len(run_player(script).heard()) == 100_000


def test_an_utterance_in_another_format_or_rate_is_refused() -> None:
    async def script(player: Player) -> None:
        with pytest.raises(ValueError, match="format pcm_s16le, not opus"):
            player.play(ScriptedSpeech(format="opus"))
        with pytest.raises(ValueError, match="sample_rate 1000, not 24000"):
            player.play(ScriptedSpeech(sample_rate=24000))
        fine = ScriptedSpeech(format="pcm_s16le", sample_rate=None)
        fine.end()
        await player.play(fine).done()

    run_player(script)


# --- words and positions --------------------------------------------------------------------------


def test_on_word_is_called_when_a_word_is_heard_not_when_it_arrives() -> None:
    calls: list[tuple[float, str]] = []

    async def script(player: Player) -> None:
        loop = asyncio.get_running_loop()
        speech = ScriptedSpeech("Hello there")
        words = (Word(0, 5, 100, 400), Word(6, 11, 500, 900))
        speech.say([1] * 1000, 11, words)
        speech.end()
        queued = player.play(speech, lambda word, text: calls.append((loop.time(), text)))
        await asyncio.sleep(0.45)
        assert queued.heard_text == "Hello"
        assert 0.35 <= queued.heard_ms / 1000 <= 0.45
        await queued.done()
        assert queued.heard_text == "Hello there"

    run_player(script)
    assert [text for _, text in calls] == ["Hello", "there"]
    for (called_s, _), due_s in zip(calls, (0.1, 0.5), strict=True):
        late_s = called_s - due_s - LATENCY_S
        assert 0 <= late_s <= 0.02 + BLOCK_S + TICK_S


def test_the_first_word_of_a_queued_utterance_is_not_heard_before_its_turn() -> None:
    async def script(player: Player) -> None:
        speech = ScriptedSpeech("Hello")
        speech.say([1] * 400, 5, (Word(0, 5, 0, 400),))
        speech.end()
        player.play(complete_speech([2] * 1000))
        queued = player.play(speech)
        await asyncio.sleep(0.9)
        assert queued.heard_text == ""
        await queued.done()
        assert queued.heard_text == "Hello"

    run_player(script)


def test_on_word_is_not_called_for_cancelled_words() -> None:
    calls: list[str] = []

    async def script(player: Player) -> None:
        speech = ScriptedSpeech("Hello there")
        speech.say([1] * 1000, 11, (Word(0, 5, 0, 400), Word(6, 11, 500, 900)))
        queued = player.play(speech, lambda word, text: calls.append(text))
        await asyncio.sleep(0.3)
        queued.cancel()
        await queued.done()
        assert queued.heard_text == "Hello"

    run_player(script)
    assert calls == ["Hello"]


def test_an_exception_in_on_word_is_raised_by_done() -> None:
    def broken(word: Word, text: str) -> None:
        raise ZeroDivisionError

    async def script(player: Player) -> None:
        speech = ScriptedSpeech("Hi")
        speech.say([1] * 1000, 2, (Word(0, 2, 0, 400),))
        queued = player.play(speech, broken)
        with pytest.raises(ZeroDivisionError):
            await queued.done()
        with pytest.raises(ZeroDivisionError):
            await player.play(complete_speech([1])).done()

    run_player(script)


def test_positions_are_reported_at_a_limited_rate_until_everything_was_heard() -> None:
    async def script(player: Player) -> None:
        first, second = ScriptedSpeech(), ScriptedSpeech()
        first.say([1] * 2000)
        second.say([2] * 500)
        second.end()
        queued = player.play(first)
        player.play(second)
        await asyncio.sleep(10)
        assert len(first.reports) == pytest.approx(2 / REPORT_S, abs=2)
        assert first.reports == sorted(first.reports)
        assert first.reports[-1] == 2000, "no reports after everything was heard"
        assert second.reports == [], "its speech is complete"
        first.end()
        await queued.done()

    run_player(script)


def test_a_queued_utterance_reports_zero_played() -> None:
    async def script(player: Player) -> None:
        first, second = ScriptedSpeech(), ScriptedSpeech()
        first.say([1] * 2000)
        second.say([2] * 500)
        player.play(first)
        player.play(second)
        await asyncio.sleep(1.9)
        first.end()
        assert len(second.reports) >= 1.9 / REPORT_S - 1
        assert set(second.reports) == {0.0}
        second.end()

    run_player(script)


def test_reported_positions_exclude_the_jitter_buffer_delay() -> None:
    """Otherwise the server would delay audio by the length of the jitter buffer."""

    async def script(player: Player) -> None:
        speech = ScriptedSpeech()
        speech.say([1] * 2000)
        player.play(speech)
        await asyncio.sleep(1.5)
        undelayed_ms = (speech.reported_s - LATENCY_S) * 1000
        assert speech.reports[-1] == pytest.approx(undelayed_ms, abs=BLOCK_S * 1000)
        speech.end()

    run_player(script)


# --- gaps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "underruns", "pauses"),
    [
        pytest.param("There is a lot of text that could have been spoken.", 1, 0, id="owed"),
        pytest.param("Hello there", 0, 1, id="not written yet"),
    ],
)
def test_silence_is_an_underrun_only_while_audio_is_due(
    text: str, underruns: int, pauses: int
) -> None:
    async def script(player: Player) -> None:
        speech = ScriptedSpeech(text)
        speech.say([1] * 200, 5)
        player.play(speech)
        await asyncio.sleep(0.5)
        speech.say([1] * 200, len(text))
        speech.end()
        await player.finish()
        assert (player.account.underruns, player.account.pauses) == (underruns, pauses)

    run_player(script)


def test_short_text_unspoken_for_a_second_is_due() -> None:
    async def script(player: Player) -> None:
        speech = ScriptedSpeech("Hello there")
        speech.say([1] * 1500, 5)
        player.play(speech)
        await asyncio.sleep(2)
        speech.say([1] * 200, 11)
        speech.end()
        await player.finish()
        assert player.account.underruns == 1

    run_player(script)


# --- cancel and stop ------------------------------------------------------------------------------


@pytest.mark.parametrize("cancelled_by", ["queued", "utterance", "player"])
def test_a_cancel_silences_within_30_ms(cancelled_by: str) -> None:
    cancelled_s = 0.0

    async def script(player: Player) -> None:
        nonlocal cancelled_s
        speech = ScriptedSpeech()
        speech.say([1000] * 5000)
        queued = player.play(speech)
        await asyncio.sleep(0.437)
        cancelled_s = asyncio.get_running_loop().time()
        cancels = {"queued": queued.cancel, "utterance": speech.cancel, "player": player.stop}
        cancels[cancelled_by]()
        speech.say([1000] * 500)  # in transit at the cancel
        await queued.done()
        assert queued.cancelled
        assert speech.cancelled
        await asyncio.sleep(1)

    device = run_player(script)
    samples = np.concatenate(device.blocks)
    # Audio pulled before the cancel is still heard; later blocks must be silent.
    silent_from = device.index_at(cancelled_s + LATENCY_S + BLOCK_S + RAMP_S)
    assert samples[silent_from - 20] != 0
    assert not samples[silent_from:].any()


def test_barge_in_cancels_the_queue_and_new_speech_plays() -> None:
    async def script(player: Player) -> None:
        queue = [player.play(complete_speech([1] * 1000)), player.play(complete_speech([2] * 1000))]
        await asyncio.sleep(0.5)
        player.stop()
        await asyncio.gather(*(queued.done() for queued in queue))
        await player.play(complete_speech(tone(101, 100))).done()

    heard = run_player(script).heard()
    assert 2 not in heard
    assert heard[-100:] == tone(101, 100)


def test_a_cancel_drops_the_buffer_of_a_device_that_needs_it() -> None:
    async def script(player: Player) -> None:
        first, second = (
            player.play(complete_speech([1] * 1000)),
            player.play(complete_speech([2] * 1000)),
        )
        await asyncio.sleep(0.5)
        second.cancel()  # not played yet: the device has none of it
        await asyncio.sleep(0.1)
        first.cancel()

    device = run_player(script, ScriptedDevice(needs_drop=True))
    assert device.dropped_at_s == [pytest.approx(0.6)]


def test_an_exception_in_the_block_silences_at_once() -> None:
    device, speech = ScriptedDevice(), ScriptedSpeech()

    async def script(player: Player) -> None:
        speech.say([1000] * 5000)
        player.play(speech)
        await asyncio.sleep(0.3)
        raise KeyError("of the caller")

    with pytest.raises(KeyError, match="of the caller"):
        run_player(script, device)
    assert len(device.heard()) <= 300
    assert device.closed_how == "cut"
    assert speech.cancelled


def test_a_cancelled_block_leaves_no_task() -> None:
    async def play() -> None:
        async with Player(ScriptedDevice(), RATE_HZ) as player:
            player.play(ScriptedSpeech())

    async def cancelled() -> None:
        task = asyncio.create_task(play())
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    clock.run(cancelled())


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [SpeechFailed("no voice"), ConnectionLost("gone"), ValueError("from the text")]
)
def test_audio_before_an_error_is_heard_then_the_error_is_raised(error: Exception) -> None:
    async def script(player: Player) -> None:
        speech = ScriptedSpeech()
        speech.say(tone(1, 300))
        speech.end(error)
        queued = player.play(speech)
        with pytest.raises(type(error), match=str(error)):
            await queued.done()

    assert run_player(script).heard() == tone(1, 300)


def test_an_unreported_error_is_raised_at_the_end_of_the_block() -> None:
    async def script(player: Player) -> None:
        failing = ScriptedSpeech()
        failing.end(ConnectionLost("gone"))
        player.play(failing)
        await asyncio.sleep(0.1)
        player.play(complete_speech(tone(1, 100)))

    device = ScriptedDevice()
    with pytest.raises(ConnectionLost, match="gone"):
        run_player(script, device)
    assert device.heard() == tone(1, 100)


def test_a_failed_utterance_does_not_stop_the_next() -> None:
    async def script(player: Player) -> None:
        failing = ScriptedSpeech()
        failing.say(tone(1, 50))
        failing.end(SpeechFailed("engine"))
        first, second = player.play(failing), player.play(complete_speech(tone(101, 50)))
        with pytest.raises(SpeechFailed):
            await first.done()
        await second.done()

    assert run_player(script).heard() == tone(1, 50) + tone(101, 50)


def test_a_device_failure_is_raised_by_all_utterances() -> None:
    device, speech = ScriptedDevice(), ScriptedSpeech()

    async def script(player: Player) -> None:
        speech.say([1] * 1000)
        queued = player.play(speech)
        await asyncio.sleep(0.1)
        device.failure = DeviceFailed("unplugged")
        with pytest.raises(DeviceFailed, match="unplugged"):
            await queued.done()
        with pytest.raises(DeviceFailed, match="unplugged"):
            await player.play(ScriptedSpeech()).done()

    run_player(script, device)
    assert speech.cancelled


def test_a_device_that_cannot_be_opened_raises() -> None:
    class UnopenableDevice(ScriptedDevice):
        def open(self, sample_rate_hz: int, pull: Pull) -> None:
            raise DeviceFailed("in use")

    async def script(player: Player) -> None:
        raise AssertionError("never entered")

    with pytest.raises(DeviceFailed, match="in use"):
        run_player(script, UnopenableDevice())


# --- choice of the device -------------------------------------------------------------------------


async def test_without_a_device_the_player_is_silent_and_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        async with Player() as player:
            assert (player.device.name, player.device.audible) == ("null", False)
            await player.play(complete_speech([1] * 240)).done()
    assert "playing without sound" in caplog.text


async def test_a_player_program_is_used_without_portaudio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "aplay").write_text(f"#!/bin/sh\nexec /bin/cat > {tmp_path}/heard\n")
    (tmp_path / "aplay").chmod(0o755)
    async with Player() as player:
        assert player.device.name == "aplay"
        await player.play(complete_speech(tone(1, 500))).done()
    heard = np.frombuffer((tmp_path / "heard").read_bytes(), "<i2")
    assert heard[heard != 0].tolist() == tone(1, 500)
