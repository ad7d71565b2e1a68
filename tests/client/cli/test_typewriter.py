"""The typewriter on a real server with the fake engine: what is heard is the text left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from duplex_tts import ClientError, Parameters, Session, SpeechFailed
from duplex_tts.cli.typewriter import SpokenLine, Typewriter
from duplex_tts.playback.devices import NullDevice
from duplex_tts.player import Player
from tests.support.live_server import eventually, live_server

WITHIN_S = 20.0


@dataclass
class Typist:
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
async def typing(parameters: Parameters | None = None) -> AsyncIterator[Typist]:
    typist = Typist()
    async with (
        live_server() as live,
        Session.connect(live.address) as session,
        Player(NullDevice(), session.ready.sample_rate) as player,
        Typewriter(
            session, player, parameters or Parameters(), typist.redraw, typist.line_finished
        ) as typist.typewriter,
        asyncio.timeout(WITHIN_S),
    ):
        yield typist


async def test_lines_are_heard_completely_and_in_order() -> None:
    async with typing() as typist:
        await typist.type_keys("One two.")
        typist.typewriter.end_line()
        await typist.type_keys("Three")
        await typist.typewriter.finish_lines()
        assert typist.heard == ["One two.", "Three"]
        assert [error for _, error in typist.finished] == [None, None]
        assert typist.redrawn > 0
        first, _ = typist.finished[0]
        assert first.ttfa_ms is not None


async def test_a_line_is_spoken_before_it_is_complete() -> None:
    async with typing() as typist:
        await typist.type_keys("One two three four ")
        line = typist.typewriter.open_line
        assert line is not None
        await eventually(lambda: line.buffer.heard_to > 0, WITHIN_S)
        assert not line.buffer.ended
        typist.typewriter.stop_speech()


async def test_erased_text_is_not_heard() -> None:
    async with typing() as typist:
        await typist.type_keys("One wrong<<<<<two")
        await typist.typewriter.finish_lines()
        assert typist.heard == ["One two"]


async def test_a_word_and_a_line_can_be_erased() -> None:
    async with typing() as typist:
        typist.typewriter.insert_text("never said this")
        assert typist.typewriter.erase_word() == 4
        assert typist.typewriter.erase_line() == 11
        assert typist.typewriter.erase_character() == 0
        await typist.type_keys("but that")
        await typist.typewriter.finish_lines()
        assert typist.heard == ["but that"]


async def test_spoken_text_cannot_be_erased_from_a_line() -> None:
    async with typing() as typist:
        await typist.type_keys("One two three four ")
        line = typist.typewriter.open_line
        assert line is not None
        await eventually(lambda: line.buffer.spoken_to >= 4, WITHIN_S)
        typist.typewriter.erase_line()
        assert line.text.startswith("One")
        await typist.type_keys("five")
        await typist.typewriter.finish_lines()
        assert typist.heard[0].startswith("One")
        assert typist.heard[0].endswith("five")


async def test_stopping_cancels_all_lines_and_the_next_is_heard() -> None:
    async with typing() as typist:
        await typist.type_keys("A very long line. " * 20)
        typist.typewriter.end_line()
        await typist.type_keys("another")
        first = typist.typewriter.lines[0]
        await eventually(lambda: first.buffer.heard_to > 0, WITHIN_S)
        typist.typewriter.stop_speech()
        await eventually(lambda: len(typist.finished) == 2, WITHIN_S)
        assert [line.cancelled for line, _ in typist.finished] == [True, True]
        assert all(len(heard) < 200 for heard in typist.heard)
        await typist.type_keys("Hello")
        await typist.typewriter.finish_lines()
        assert typist.heard[2] == "Hello"


async def test_a_refused_line_finishes_with_its_error() -> None:
    async with typing(Parameters(voice="nobody")) as typist:
        await typist.type_keys("Hello")
        await typist.typewriter.finish_lines()
        ((_, error),) = typist.finished
        assert isinstance(error, SpeechFailed)
        assert error.errors[0].code == "unknown_voice"


async def test_lone_surrogates_are_replaced() -> None:
    async with typing() as typist:
        typist.typewriter.insert_text("a\ud800b")
        await typist.typewriter.finish_lines()
        assert typist.finished[0][0].text == "a?b"
        assert typist.finished[0][1] is None
