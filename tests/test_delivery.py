"""From PCM to messages: cutting, counting, and how well a listener is served."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.audio import parse_format
from backend.delivery import Delivery, Listener, Output, Piece, joined, split
from backend.events import Audio, Done, Word
from backend.metrics import Metrics
from backend.outbox import Outbox
from backend.pacer import Pacer, Pacing
from tests import clock

RATE_HZ = 1000  # a sample is a millisecond


def piece(samples: int, text: tuple[int, int], *words: Word) -> Piece:
    return Piece(np.linspace(0, 0.5, samples).astype(np.float32), text, words)


def spread(count: int, samples: int, offset: int = 0) -> tuple[Word, ...]:
    """`count` words of two characters, evenly in time."""
    each = samples / max(1, count)
    return tuple(
        Word(offset + 2 * n, offset + 2 * n + 2, n * each, (n + 1) * each) for n in range(count)
    )


# --- cutting -------------------------------------------------------------------------------------


@given(
    samples=st.integers(0, 500),
    longest=st.integers(1, 200),
    count=st.integers(0, 20),
    start_ms=st.sampled_from([0.0, 1000.0]),
)
def test_a_cut_piece_is_the_same_piece(
    samples: int, longest: int, count: int, start_ms: float
) -> None:
    words = tuple(
        Word(w.start, w.end, w.start_ms + start_ms, w.end_ms + start_ms)
        for w in spread(count, samples, offset=7)
    )
    whole = piece(samples, (7, 7 + 2 * count), *words)
    parts = list(split(whole, start_ms, RATE_HZ, longest))
    assert all(len(part.pcm) <= longest for part in parts)
    assert np.array_equal(np.concatenate([part.pcm for part in parts]), whole.pcm)
    assert tuple(word for part in parts for word in part.words) == words
    assert (parts[0].text[0], parts[-1].text[1]) == whole.text
    for part, following in pairwise(parts):
        assert part.text[0] <= part.text[1] == following.text[0]
    for part in parts:
        for word in part.words:
            assert part.text[0] <= word.start < word.end <= part.text[1]


def test_a_word_goes_with_the_part_in_which_it_begins() -> None:
    parts = list(split(piece(100, (0, 6), *spread(3, 90)), 0.0, RATE_HZ, 50))
    assert [part.text for part in parts] == [(0, 4), (4, 6)]
    assert [len(part.words) for part in parts] == [2, 1]


def test_a_piece_without_samples_is_one_part() -> None:
    assert len(list(split(piece(0, (3, 5)), 0.0, RATE_HZ, 50))) == 1


def test_joined_pieces_are_one() -> None:
    whole = joined([piece(10, (0, 2), *spread(1, 10)), piece(0, (2, 3)), piece(5, (3, 9))])
    assert (len(whole.pcm), whole.text, len(whole.words)) == (15, (0, 9), 1)


# --- counting ------------------------------------------------------------------------------------


def delivered(
    pieces: list[Piece], name: str = "pcm_s16le", rate_hz: int | None = None
) -> tuple[list[Audio], Done]:
    outbox = Outbox(10_000)

    async def deliver() -> Done:
        delivery = Delivery("a", Output(parse_format(name, rate_hz)), 24000, outbox)
        for each in pieces:
            await delivery.send(each, silent_s=0.0)
        return await delivery.finish()

    done = clock.run(deliver())
    return outbox.purge("a"), done


formats = st.sampled_from(
    [("pcm_s16le", 24000), ("pcm_s16le", 44100), ("pcm_f32le", 8000), ("mulaw", 8000)]
)


@given(st.lists(st.integers(0, 3000), max_size=8), formats)
def test_the_messages_add_up_to_what_is_said_at_the_end(
    lengths: list[int], target: tuple[str, int]
) -> None:
    pieces = [piece(samples, (n, n + 1)) for n, samples in enumerate(lengths)]
    messages, done = delivered(pieces, *target)
    assert done.audio_ms == pytest.approx(sum(message.duration_ms for message in messages))
    assert done.audio_ms == pytest.approx(
        sum(lengths) / 24, abs=4.0
    )  # a filter longer than the audio
    assert (done.characters, done.chunks) == (len(lengths), len(messages))
    ends_ms = [0.0, *(message.start_ms + message.duration_ms for message in messages)]
    for message, end_ms in zip(messages, ends_ms, strict=False):
        assert message.start_ms == pytest.approx(end_ms)


def test_what_the_encoder_holds_back_comes_at_the_end_without_text() -> None:
    messages, _ = delivered([piece(2400, (0, 5))], "pcm_s16le", 8000)
    assert [message.text for message in messages] == [(0, 5), (5, 5)]
    assert sum(len(message.data) for message in messages) == 2 * 800


def test_nothing_is_sent_of_nothing() -> None:
    messages, done = delivered([])
    assert messages == []
    assert done == Done("a", 0.0, 0, 0)


def test_sent_without_what_was_dropped() -> None:
    async def deliver() -> None:
        outbox = Outbox(10)
        delivery = Delivery("a", Output(parse_format(None, None)), 24000, outbox)
        for n in range(3):
            await delivery.send(piece(240, (n, n + 1)), silent_s=0.0)
        assert delivery.sent_without([]) == (3, 30.0)
        await outbox.get()
        assert delivery.sent_without(outbox.purge("a")) == (1, 10.0)

    clock.run(deliver())


# --- the listener --------------------------------------------------------------------------------


class Figures(Metrics):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def first_audio(self, seconds: float) -> None:
        self.seen.append(("first", round(seconds, 3)))

    def underrun(self) -> None:
        self.seen.append("underrun")


def listener(*, live: bool = True) -> tuple[Listener, Figures]:
    figures = Figures()
    return Listener(Pacer(Pacing(live=live)), figures), figures


def test_the_wait_for_the_first_audio_counts_from_its_release() -> None:
    served, figures = listener()
    served.released(1.0)
    served.sent(0.0, 1.1)  # no sound yet
    served.sent(0.5, 1.25)
    served.released(1.3)
    served.sent(0.5, 1.4)
    assert figures.seen == [("first", 0.25)]


def test_an_underrun_is_a_gap_that_the_engine_made() -> None:
    served, figures = listener()
    served.released(0.0)
    served.sent(0.5, 0.0)
    served.released(0.4)  # in time, but rendered too late
    served.sent(0.5, 0.6)
    assert figures.seen[1:] == ["underrun"]


def test_a_gap_that_the_writer_made_is_no_underrun() -> None:
    served, figures = listener()
    served.released(0.0)
    served.sent(0.5, 0.0)
    served.released(3.0)
    served.sent(0.5, 3.1)
    assert figures.seen[1:] == []


def test_a_gap_within_a_release_is_an_underrun_however_it_began() -> None:
    served, figures = listener()
    served.released(0.0)
    served.sent(0.5, 0.0)
    served.released(3.0)
    served.sent(0.1, 3.1)
    served.sent(0.1, 3.3)
    assert figures.seen[1:] == ["underrun"]


def test_nobody_listens_to_a_batch() -> None:
    served, figures = listener(live=False)
    served.released(0.0)
    served.sent(0.1, 0.0)
    served.released(0.05)
    served.sent(0.1, math.pi)
    assert "underrun" not in figures.seen
