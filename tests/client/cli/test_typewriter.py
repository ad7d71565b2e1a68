"""Typing aloud, against a real server with the fake engine: what is heard is what was left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from duplex_tts import ClientError, Parameters, Session, SpeechFailed
from duplex_tts.cli.typewriter import TypedLine, Typewriter
from duplex_tts.playback.devices import NullDevice
from duplex_tts.player import Player
from tests.support.live_server import eventually, live_server

WITHIN_S = 20.0


@dataclass
class Typing:
    """A typewriter, and the lines that are gone, with their errors."""

    gone: list[tuple[TypedLine, ClientError | None]] = field(default_factory=list)
    redrawn: int = 0
    typewriter: Typewriter = field(init=False)

    def redraw(self) -> None:
        self.redrawn += 1

    def went(self, line: TypedLine, error: ClientError | None) -> None:
        self.gone.append((line, error))

    async def keys(self, text: str) -> None:
        """One after the other, each sent on its own; `<` takes back a character."""
        for key in text:
            if key == "<":
                self.typewriter.erase()
            else:
                self.typewriter.insert(key)
            await asyncio.sleep(0)

    @property
    def heard(self) -> list[str]:
        """Of each line that is gone."""
        return [line.text[: line.typed.heard_to] for line, _ in self.gone]


@asynccontextmanager
async def typing(parameters: Parameters | None = None) -> AsyncIterator[Typing]:
    found = Typing()
    async with (
        live_server() as live,
        Session.connect(live.address) as session,
        Player(NullDevice(), session.ready.sample_rate) as player,
        Typewriter(
            session, player, parameters or Parameters(), found.redraw, found.went
        ) as found.typewriter,
        asyncio.timeout(WITHIN_S),
    ):
        yield found


async def test_lines_are_heard_one_after_the_other_to_their_ends() -> None:
    async with typing() as person:
        await person.keys("One two.")
        person.typewriter.enter()
        await person.keys("Three")
        await person.typewriter.finish()
        assert person.heard == ["One two.", "Three"]
        assert [error for _, error in person.gone] == [None, None]
        assert person.redrawn > 0
        first, _ = person.gone[0]
        assert first.ttfa_ms is not None


async def test_a_line_is_spoken_before_it_is_complete() -> None:
    async with typing() as person:
        await person.keys("One two three four ")
        line = person.typewriter.open_line
        assert line is not None
        await eventually(lambda: line.typed.heard_to > 0, WITHIN_S)
        assert not line.typed.ended
        person.typewriter.stop()


async def test_what_is_taken_back_is_not_heard() -> None:
    async with typing() as person:
        await person.keys("One wrong<<<<<two")
        await person.typewriter.finish()
        assert person.heard == ["One two"]


async def test_a_word_and_a_line_can_be_taken_back() -> None:
    async with typing() as person:
        person.typewriter.insert("never said this")
        assert person.typewriter.erase_word() == 4
        assert person.typewriter.erase_line() == 11
        assert person.typewriter.erase() == 0
        await person.keys("but that")
        await person.typewriter.finish()
        assert person.heard == ["but that"]


async def test_what_was_spoken_cannot_be_taken_back() -> None:
    async with typing() as person:
        await person.keys("One two three four ")
        line = person.typewriter.open_line
        assert line is not None
        await eventually(lambda: line.typed.spoken_to >= 4, WITHIN_S)
        person.typewriter.erase_line()
        assert line.text.startswith("One")
        await person.keys("five")
        await person.typewriter.finish()
        assert person.heard[0].startswith("One")
        assert person.heard[0].endswith("five")


async def test_a_stop_silences_all_lines_and_the_next_one_is_heard() -> None:
    async with typing() as person:
        await person.keys("A very long line. " * 20)
        person.typewriter.enter()
        await person.keys("another")
        first = person.typewriter.lines[0]
        await eventually(lambda: first.typed.heard_to > 0, WITHIN_S)
        person.typewriter.stop()
        await eventually(lambda: len(person.gone) == 2, WITHIN_S)
        assert [line.cancelled for line, _ in person.gone] == [True, True]
        assert all(len(heard) < 200 for heard in person.heard)
        await person.keys("Hello")
        await person.typewriter.finish()
        assert person.heard[2] == "Hello"


async def test_a_line_that_is_refused_says_why() -> None:
    async with typing(Parameters(voice="nobody")) as person:
        await person.keys("Hello")
        await person.typewriter.finish()
        ((_, error),) = person.gone
        assert isinstance(error, SpeechFailed)
        assert error.errors[0].code == "unknown_voice"


async def test_half_a_character_is_replaced_not_an_error() -> None:
    async with typing() as person:
        person.typewriter.insert("a\ud800b")
        await person.typewriter.finish()
        assert person.gone[0][0].text == "a?b"
        assert person.gone[0][1] is None
