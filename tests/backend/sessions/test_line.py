"""`Line`: probes, and who is woken when."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from backend.events import Audio
from backend.sessions.bit_rate_control import UNMEASURED_BITS
from backend.sessions.line import Line


@dataclass
class ProbedLine:
    now_s: float = 0.0
    probes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.line = Line(lambda: self.now_s)
        self.line.start_connection(self.probes.append)

    def write(self, size_bytes: int = 1000) -> None:
        self.line.on_taken()
        self.line.on_written(size_bytes, Audio("a", 0, 0, 400, (0, 0), (), b""))


def test_an_empty_line_is_probed_first() -> None:
    assert len(ProbedLine().probes) == 1


def test_each_message_of_an_adaptive_context_is_probed() -> None:
    probed = ProbedLine()
    probed.line.is_adaptive = True
    for _ in range(3):
        probed.write()
    assert len(probed.probes) == 4


def test_audio_of_a_fixed_rate_is_probed_twice_a_second_and_at_the_end() -> None:
    probed = ProbedLine()
    probed.line.on_answered(1)
    probed.now_s = 1.0
    probed.write()
    probed.line.on_answered(2)
    probed.now_s = 1.1
    probed.write()
    assert len(probed.probes) == 2
    probed.line.tick()
    assert len(probed.probes) == 3
    probed.write(100_000)
    assert len(probed.probes) == 4  # much is on its way


def test_there_is_no_room_before_the_last_part_has_arrived() -> None:
    probed = ProbedLine()
    probed.line.is_adaptive = True
    probed.line.on_answered(1)
    assert probed.line.has_room
    probed.line.on_taken()
    assert not probed.line.has_room
    probed.write()
    assert not probed.line.has_room
    probed.line.on_answered(2)
    assert probed.line.has_room


async def test_who_waits_is_woken_by_an_answer() -> None:
    probed = ProbedLine()
    probed.line.is_adaptive = True
    probed.line.on_answered(1)
    probed.write()
    waiting = asyncio.create_task(probed.line.wait_changed())
    busy = asyncio.create_task(probed.line.wait_busy())
    await asyncio.sleep(0)
    assert not waiting.done()
    probed.line.on_answered(2)
    await waiting
    await busy


def test_a_new_connection_begins_anew() -> None:
    probed = ProbedLine()
    probed.write()
    assert not probed.line.has_room
    probed.line.start_connection(probed.probes.append)
    assert probed.line.has_room


def test_a_connection_that_cannot_be_probed_has_room_and_a_middling_rate() -> None:
    line = Line(lambda: 0.0)
    line.start_connection(None)
    for _ in range(3):
        line.on_taken()
        line.on_written(1000, Audio("a", 0, 0, 400, (0, 0), (), b""))
        assert line.has_room
    assert line.choose_part(1.0).bits_per_s == UNMEASURED_BITS
