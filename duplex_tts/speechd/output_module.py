"""Answers Speech Dispatcher's requests; one message is spoken at a time.

The daemon plays the audio ("server audio"), so its own settings choose the sound device.
"""

from __future__ import annotations

import asyncio
import string
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path

from duplex_tts.errors import ClientError, SpeechFailed
from duplex_tts.speechd import module_protocol as protocol
from duplex_tts.speechd.daemon_output import Output
from duplex_tts.speechd.fallback_module import FallbackFailed, FallbackModule, find_fallback
from duplex_tts.speechd.module_config import ModuleConfig
from duplex_tts.speechd.module_protocol import ListVoices, Message, Parameters, RequestReader
from duplex_tts.speechd.server_link import ServerLink
from duplex_tts.speechd.server_voice import RATE_HZ
from duplex_tts.speechd.speech_parts import Mark
from duplex_tts.speechd.spoken_text import NAMES, SpokenText, spoken_text
from duplex_tts.speechd.voice_settings import VoiceSettings

START_TIMEOUT_S = 60.0
"""How long INIT waits for the server where nothing else can speak meanwhile."""

BRIEF_WAIT_S = 0.5
"""How long it waits where a fallback speaks."""

_IDLE_S = 0.3
"""Letters are rendered ahead after this long without a request."""

REMEDY = "start it with `duplex-tts serve`, then restart speech-dispatcher"
_AHEAD = [*string.ascii_uppercase, *string.digits, *NAMES.values(), "backspace", "return", "enter",
          "delete", "escape", "blank"]  # fmt: skip


class OutputModule:
    """Answers the daemon's requests."""

    def __init__(self, config: ModuleConfig, link: ServerLink, output: Output) -> None:
        self._config = config
        self._link = link
        self._output = output
        self._reader = RequestReader()
        self._values: dict[str, str] = {}
        self._settings = VoiceSettings()
        self._speaking: asyncio.Task[None] | None = None
        self._pausing = False  # at the end of the sentence, from where the daemon goes on later
        self._ahead: asyncio.Task[None] | None = None
        self._fallback: FallbackModule | None = None
        self.over = False

    async def process_line(self, line: bytes) -> None:
        """Process a line of the daemon, without its end."""
        request = self._reader.read_line(line.decode(errors="replace"))
        if isinstance(request, bytes):
            self._output.write(request)
        elif isinstance(request, Message):
            self._start_speaking(request)
        elif isinstance(request, Parameters):
            self._set_parameters(request)
        elif isinstance(request, ListVoices):
            self._output.write(self._list_voices(request.language))
        elif request is not None:
            await self._process_command(request.name)

    async def close(self) -> None:
        """End what runs."""
        tasks = [task for task in (self._speaking, self._ahead) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._fallback is not None:
            self._fallback.close()

    async def _process_command(self, name: str) -> None:
        if name == "INIT":
            await self._initialize()
        elif name == "PAUSE":
            self._pausing = self._speaking is not None
        else:
            self._stop()
            if name == "QUIT":
                self._output.write(protocol.QUIT)
                self.over = True

    async def _initialize(self) -> None:
        """Answer INIT; with a fallback at once, so that the daemon never waits for a server."""
        with suppress(FallbackFailed):
            await self._start_fallback()
        wait_s = START_TIMEOUT_S if self._fallback is None else BRIEF_WAIT_S
        connected = await self._link.wait_connected(wait_s)
        if connected:
            message = "speech comes from the Duplex TTS server"
        elif self._fallback is not None:
            message = f"espeak-ng speaks for now: {self._link.problem}"
        else:
            message = f"{self._link.problem}; {REMEDY}"
        self._output.write(
            protocol.encode_init(message, ready=connected or self._fallback is not None)
        )
        self._prepare_ahead()

    async def _start_fallback(self) -> None:
        program = find_fallback() if self._config.fallback is None else self._config.fallback
        if program:
            self._fallback = await FallbackModule.start(Path(program))

    def _list_voices(self, language: str | None) -> bytes:
        if self._link.voice is None:
            return protocol.encode_voices([("duplex-tts", language or "en-US")])
        offer = self._link.voice.offer
        voices = [(voice.name, tag) for voice in offer.voices for tag in voice.languages]
        voices.sort(key=lambda voice: voice[0] != offer.default)
        if language is not None:
            primary = language.lower().split("-")[0]
            voices = [v for v in voices if v[1].lower() in (language.lower(), primary)
                      or v[1].lower().split("-")[0] == language.lower()]  # fmt: skip
        return protocol.encode_voices(voices)

    def _set_parameters(self, request: Parameters) -> None:
        if request.command == "AUDIO" and request.values.get("audio_output_method") != "server":
            # Since version 0.11 the daemon plays; older ones are not supported.
            self._output.write(b"300-this module needs speech-dispatcher 0.11\n300 MODULE ERROR\n")
            return
        if request.command == "SET":
            try:
                self._settings = self._settings.update(request.values)
            except ValueError:
                self._output.write(b"303 ERROR INVALID PARAMETER OR VALUE\n")
                return
            self._values.update(request.values)
        self._output.write(request.accepted)

    # --- speaking ---------------------------------------------------------------------------------

    def _start_speaking(self, message: Message) -> None:
        if self._speaking is not None:  # the daemon waits for the end of a message: not to happen
            self._output.write(protocol.CANNOT_SPEAK)
            return
        if self._ahead is not None:
            self._ahead.cancel()
        if self._link.voice is None and self._fallback is None:
            self._output.write(protocol.CANNOT_SPEAK)
            return
        self._output.write(protocol.SPEAKING + protocol.BEGIN)
        self._pausing = False
        self._speaking = asyncio.create_task(self._speak(message), name="speech")

    def _stop(self) -> None:
        """Stop the speech, if there is one, and say so at once: nothing of it is sent later."""
        if self._speaking is None:
            return
        self._speaking.cancel()
        self._speaking = None
        self._output.write(protocol.STOP)
        self._prepare_ahead()

    async def _speak(self, message: Message) -> None:
        """Send the events of a message, the last one in any case unless it was stopped: without it
        the daemon would never send another.
        """
        try:
            async with aclosing(self._speech_events(message)) as events:
                async for event in events:
                    self._output.write(event)
                    await self._output.drain()
                    if self._pausing and protocol.ends_sentence(event):
                        break
        finally:
            if self._speaking is asyncio.current_task():
                self._speaking = None
                self._output.write(protocol.PAUSE if self._pausing else protocol.END)
                self._prepare_ahead()

    async def _speech_events(self, message: Message) -> AsyncGenerator[bytes, None]:
        """The events of a message: of the server or, if nothing is heard of it, of the fallback."""
        text, heard = spoken_text(message, self._settings), False
        if self._is_spoken_by_server():
            try:
                async with aclosing(self._server_events(text)) as events:
                    async for event in events:
                        heard = heard or event.startswith(b"705")
                        yield event
            except ClientError as error:
                self._note_failure(error)
            else:
                heard = heard or not text.text.strip()
        if self._fallback is not None and not heard:
            async with aclosing(self._fallback_events(message)) as events:
                async for event in events:
                    yield event

    def _note_failure(self, error: ClientError) -> None:
        """Log it; unless the server itself has refused, it is lost."""
        print(f"the server failed: {error}", file=sys.stderr, flush=True)
        if not (isinstance(error, SpeechFailed) and error.errors):
            self._link.report_lost(error)

    def _is_spoken_by_server(self) -> bool:
        """Whether it has a voice for the language; the fallback may have one."""
        voice = self._link.voice
        return voice is not None and (
            self._fallback is None or voice.offer.choose(self._settings) is not None
        )

    async def _server_events(self, text: SpokenText) -> AsyncGenerator[bytes, None]:
        assert self._link.voice is not None
        settings = self._settings
        rate_hz = round(RATE_HZ * settings.pitch_factor)  # the daemon's resampling raises the pitch
        async with aclosing(self._link.voice.speak(text, settings)) as parts:
            async for part in parts:
                if isinstance(part, Mark):
                    yield protocol.encode_mark(part.name)
                    continue
                for event in protocol.encode_audio(settings.apply_volume(part), rate_hz):
                    yield event

    async def _fallback_events(self, message: Message) -> AsyncGenerator[bytes, None]:
        assert self._fallback is not None
        values = {**self._values, "synthesis_voice": "NULL"}
        try:
            async with aclosing(self._fallback.speak(message, values)) as events:
                async for event in events:
                    yield event
        except FallbackFailed as error:
            print(f"the fallback failed: {error}", file=sys.stderr, flush=True)

    def _prepare_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.cancel()
        self._ahead = asyncio.create_task(self._render_ahead(), name="ahead")

    async def _render_ahead(self) -> None:
        """Render letters, digits and signs while nothing is said, so that they sound at once."""
        await asyncio.sleep(_IDLE_S)
        if self._link.voice is not None:
            texts = [SpokenText(text) for text in _AHEAD]
            await self._link.voice.prepare(texts, self._settings)
