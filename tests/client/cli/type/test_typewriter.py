"""The typewriter on a real server with the fake engine: what is heard is the text left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from duplex_tts import ClientError, Parameters, Session, SpeechFailed
from duplex_tts.cli.type.typewriter import SpokenLine, Typewriter
from duplex_tts.playback.devices import NullDevice
from duplex_tts.player import Player
from tests.support.live_server import live_server, wait_until

WITHIN_S = 20.0


@dataclass
class TypingSession:
    """A typewriter, and its finished lines with their errors."""

    finished: list[tuple[SpokenLine, ClientError | None]] = field(default_factory=list)
    redrawn: int = 0
    typewriter: Typewriter = field(init=False)

    def redraw(self) -> None:
        self.redrawn += 1

    def line_finished(self, line: SpokenLine, error: ClientError | None) -> None:
        self.finished.append((line, error))

    async def type_keys(self, text: str) -> None:
        """Type keys one after the other; `<` is Backspace."""
        for key in text:
            if key == "<":
                self.typewriter.erase_character()
            else:
                self.typewriter.insert_text(key)
            await asyncio.sleep(0)

    @property
    def heard(self) -> list[str]:
        """The text heard of each finished line."""
        return [line.text[: line.buffer.heard_to] for line, _ in self.finished]


@asynccontextmanager
async def open_typing_session(parameters: Parameters | None = None) -> AsyncIterator[TypingSession]:
    typing_session = TypingSession()
    async with (
        live_server() as live,
        Session.connect(live.address) as session,
        Player(NullDevice(), session.ready.sample_rate) as player,
        Typewriter(
            session,
            player,
            parameters or Parameters(),
            typing_session.redraw,
            typing_session.line_finished,
        ) as typing_session.typewriter,
        asyncio.timeout(WITHIN_S),
    ):
        yield typing_session


async def test_lines_are_heard_completely_and_in_order() -> None:
    async with open_typing_session() as typing_session:
        await typing_session.type_keys("One two.")
        typing_session.typewriter.end_line()
        await typing_session.type_keys("Three")
        await typing_session.typewriter.finish_lines()
        assert typing_session.heard == ["One two.", "Three"]
        assert [error for _, error in typing_session.finished] == [None, None]
        assert typing_session.redrawn > 0
        first, _ = typing_session.finished[0]
        assert first.ttfa_ms is not None


async def test_a_line_is_spoken_before_it_is_complete() -> None:
    async with open_typing_session() as typing_session:
        await typing_session.type_keys("One two three four ")
        line = typing_session.typewriter.open_line
        assert line is not None
        await wait_until(lambda: line.buffer.heard_to > 0, WITHIN_S)
        assert not line.buffer.ended
        typing_session.typewriter.stop_speech()


async def test_erased_text_is_not_heard() -> None:
    async with open_typing_session() as typing_session:
        await typing_session.type_keys("One wrong<<<<<two")
        await typing_session.typewriter.finish_lines()
        assert typing_session.heard == ["One two"]


async def test_a_word_and_a_line_can_be_erased() -> None:
    async with open_typing_session() as typing_session:
        typing_session.typewriter.insert_text("never said this")
        assert typing_session.typewriter.erase_word() == 4
        assert typing_session.typewriter.erase_line() == 11
        assert typing_session.typewriter.erase_character() == 0
        await typing_session.type_keys("but that")
        await typing_session.typewriter.finish_lines()
        assert typing_session.heard == ["but that"]


async def test_spoken_text_cannot_be_erased_from_a_line() -> None:
    async with open_typing_session() as typing_session:
        await typing_session.type_keys("One two three four ")
        line = typing_session.typewriter.open_line
        assert line is not None
        await wait_until(lambda: line.buffer.spoken_to >= 4, WITHIN_S)
        typing_session.typewriter.erase_line()
        assert line.text.startswith("One")
        await typing_session.type_keys("five")
        await typing_session.typewriter.finish_lines()
        assert typing_session.heard[0].startswith("One")
        assert typing_session.heard[0].endswith("five")


async def test_stopping_cancels_all_lines_and_the_next_is_heard() -> None:
    async with open_typing_session() as typing_session:
        await typing_session.type_keys("A very long line. " * 20)
        typing_session.typewriter.end_line()
        await typing_session.type_keys("another")
        first = typing_session.typewriter.lines[0]
        await wait_until(lambda: first.buffer.heard_to > 0, WITHIN_S)
        typing_session.typewriter.stop_speech()
        await wait_until(lambda: len(typing_session.finished) == 2, WITHIN_S)
        assert [line.cancelled for line, _ in typing_session.finished] == [True, True]
        assert all(len(heard) < 200 for heard in typing_session.heard)
        await typing_session.type_keys("Hello")
        await typing_session.typewriter.finish_lines()
        assert typing_session.heard[2] == "Hello"


async def test_a_refused_line_finishes_with_its_error() -> None:
    async with open_typing_session(Parameters(voice="nobody")) as typing_session:
        await typing_session.type_keys("Hello")
        await typing_session.typewriter.finish_lines()
        ((_, error),) = typing_session.finished
        assert isinstance(error, SpeechFailed)
        assert error.errors[0].code == "unknown_voice"


async def test_lone_surrogates_are_replaced() -> None:
    async with open_typing_session() as typing_session:
        typing_session.typewriter.insert_text("a\ud800b")
        await typing_session.typewriter.finish_lines()
        assert typing_session.finished[0][0].text == "a?b"
        assert typing_session.finished[0][1] is None
