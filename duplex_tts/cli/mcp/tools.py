"""The tools: what an agent reads about them, and what they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from textwrap import shorten
from typing import Any

import httpx
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from duplex_tts.channel.address import authorization
from duplex_tts.channel.context import Parameters
from duplex_tts.cli.mcp import descriptions
from duplex_tts.cli.mcp.descriptions import (
    FilePath,
    Language,
    LanguageOfVoices,
    Overwrite,
    SaidText,
    Speed,
    VoiceName,
    Wait,
)
from duplex_tts.cli.mcp.results import Said, Saved, Stopped, VoiceList
from duplex_tts.cli.mcp.saved_files import SavedFiles, absolute_path
from duplex_tts.cli.mcp.speech_queue import SpeechQueue, SpokenText
from duplex_tts.cli.mcp.speech_server import SpeechServer
from duplex_tts.cli.say_job import SayJob, SayReport, say_to_file
from duplex_tts.cli.server_api import RequestRefused, ServerApi
from duplex_tts.errors import ClientError, ConnectionLost
from duplex_tts.events import Word
from duplex_tts.playback.devices import DeviceFailed
from duplex_tts.playback.file_target import FileTarget
from duplex_tts.playback.queued_utterance import OnWord
from duplex_tts.sinks import file_format

RETURN_WITHIN_S = 1.0
"""`say` returns after this long, even if nothing was heard yet."""

LIST_TIMEOUT_S = 5.0
_SHOWN = 40  # characters of a text that failed


@dataclass(frozen=True, slots=True)
class SpeechTools:
    """The tools. `defaults`: the parameters of speech that a call leaves out."""

    queue: SpeechQueue
    server: SpeechServer
    key: str | None
    defaults: Parameters
    saved_files: SavedFiles = field(default_factory=SavedFiles)

    async def say(  # noqa: PLR0913 - a parameter is an argument of the tool
        self,
        context: Context,
        text: SaidText,
        voice: VoiceName = None,
        speed: Speed = None,
        language: Language = None,
        wait: Wait = False,
    ) -> Said:
        """Queue a text; with `wait` until it was heard. A cancelled call silences its text."""
        ahead = len(self.queue.texts)
        async with _reporting(context, len(text)) as on_word:
            with _tool_errors():
                parameters = self._parameters(voice, speed, language)
                spoken = self.queue.say(text, parameters, on_word if wait else None)
            try:
                if wait:
                    await spoken.over.wait()
                else:
                    await _wait_at_most(RETURN_WITHIN_S, spoken.begun)
            except asyncio.CancelledError:
                spoken.stop()
                raise
        problems = self._problems(spoken)
        if isinstance(spoken.error, ClientError):
            raise ToolError(" ".join([_explain(spoken.error), *problems]))
        if spoken.error is not None:
            raise spoken.error
        return Said.describe(spoken, ahead, problems)

    async def stop(self) -> Stopped:
        """Silence everything."""
        return Stopped.describe(self.queue.stop(), self._problems())

    async def list_voices(self, language: LanguageOfVoices = None) -> VoiceList:
        """List the voices."""
        with _tool_errors():
            address = await self.server.find_address()
            listing = await asyncio.to_thread(_fetch_voices, address, self.key, language)
            return VoiceList.describe(listing, language)

    async def save_to_file(  # noqa: PLR0913 - a parameter is an argument of the tool
        self,
        context: Context,
        text: SaidText,
        path: FilePath,
        voice: VoiceName = None,
        speed: Speed = None,
        language: Language = None,
        overwrite: Overwrite = False,
    ) -> Saved:
        """Write a file; a call that fails or is cancelled leaves none."""
        file = absolute_path(path)
        report, parameters = SayReport(), self._parameters(voice, speed, language)
        kept = self.saved_files.keep_complete(file, report, overwrite=overwrite)
        with kept, _tool_errors():
            file_format(file)
            FileTarget(file).check_writable()
            address = await self.server.find_address()
            async with _reporting(context, len(text)) as on_word:
                job = SayJob(address, self.key, text, parameters, on_word)
                await say_to_file(job, file, None, report)
        return Saved.describe(file, report)

    def _parameters(
        self, voice: str | None, speed: float | None, language: str | None
    ) -> Parameters:
        given = self.defaults
        return {
            **given,
            "voice": voice or given.get("voice"),
            "speed": speed or given.get("speed"),
            "language": language or given.get("language"),
        }

    def _problems(self, own: SpokenText | None = None) -> list[str]:
        """Describe what has failed since the last call, except `own`."""
        return [
            f"Not spoken to its end: {shorten(failed.text, _SHOWN)!r}: {_explain(failed.error)}"
            for failed in self.queue.take_failures()
            if failed is not own and failed.error is not None
        ]


def create_server(
    tools: SpeechTools, on_closed: Callable[[], None] = lambda: None
) -> MCPServer[None]:
    """Create the MCP server. When it ends, speech is stopped, then `on_closed` called."""

    @asynccontextmanager
    async def lifespan(_server: MCPServer[None]) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await tools.queue.close()
            await tools.server.close()
            on_closed()

    server = MCPServer(
        "duplex-tts",
        title="Duplex TTS",
        version=_own_version(),
        instructions=descriptions.INSTRUCTIONS,
        lifespan=lifespan,
        log_level="WARNING",
    )
    speaks = ToolAnnotations(destructive_hint=False, open_world_hint=False)
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    writes = ToolAnnotations(destructive_hint=True, open_world_hint=False)
    server.add_tool(tools.say, description=descriptions.SAY, annotations=speaks)
    server.add_tool(tools.stop, description=descriptions.STOP, annotations=speaks)
    server.add_tool(tools.list_voices, description=descriptions.LIST_VOICES, annotations=reads)
    server.add_tool(tools.save_to_file, description=descriptions.SAVE, annotations=writes)
    return server


def _own_version() -> str:
    try:
        return version("duplex-tts")
    except PackageNotFoundError:  # run without an installation
        return ""


async def _wait_at_most(seconds: float, event: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


@asynccontextmanager
async def _reporting(context: Context, length: int) -> AsyncIterator[OnWord]:
    """Yield a callback for words; it reports them as progress of the call, in characters."""
    latest: list[tuple[Word, str]] = []
    changed = asyncio.Event()

    def on_word(word: Word, text: str) -> None:
        latest[:] = [(word, text)]
        changed.set()

    async def report() -> None:
        while True:
            await changed.wait()
            changed.clear()
            word, text = latest[0]
            await context.report_progress(word.end, length, text)

    reporting = asyncio.create_task(report(), name="duplex-tts-progress")
    try:
        yield on_word
    finally:
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)


def _fetch_voices(address: str, key: str | None, language: str | None) -> dict[str, Any]:
    """Blocks. Raises `ClientError`."""
    query = {"params": {"language": language}} if language else {}
    headers = authorization(key)
    try:
        with httpx.Client(headers=headers, timeout=LIST_TIMEOUT_S, trust_env=False) as client:
            return ServerApi(client, address).send_request("GET", "/v1/voices", **query)
    except httpx.InvalidURL as error:  # a name that is too long, or not printable
        raise RequestRefused(f"{shorten(repr(language), _SHOWN)} is no language") from error
    except httpx.HTTPError as error:
        raise ConnectionLost(f"no speech server answers at {address} ({error})") from error


@contextmanager
def _tool_errors() -> Iterator[None]:
    """Raise errors of the block so that the agent reads them."""
    try:
        yield
    except ClientError as error:
        raise ToolError(_explain(error)) from error


def _explain(error: Exception) -> str:
    """The message, with what the agent can do."""
    remedy = " Until then `save_to_file` works." if isinstance(error, DeviceFailed) else ""
    return f"{error}.{remedy}"
