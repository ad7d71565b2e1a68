"""`AudioSender`: splitting and counting."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.audio.formats import parse_format
from backend.events import Audio, Done, Word
from backend.sessions.audio_sender import (
    AudioSender,
    OutputParams,
    RenderedSpan,
    join_spans,
    split_span,
)
from backend.sessions.send_queue import SendQueue
from tests.support import clock

RATE_HZ = 1000  # a sample is a millisecond


def span(samples: int, text: tuple[int, int], *words: Word) -> RenderedSpan:
    return RenderedSpan(np.linspace(0, 0.5, samples).astype(np.float32), text, words)


def spaced_words(count: int, samples: int, offset: int = 0) -> tuple[Word, ...]:
    """`count` words of two characters, evenly spaced in time."""
    word_ms = samples / max(1, count)
    return tuple(
        Word(offset + 2 * n, offset + 2 * n + 2, n * word_ms, (n + 1) * word_ms)
        for n in range(count)
    )


# --- splitting ------------------------------------------------------------------------------------


@given(
    samples=st.integers(0, 500),
    longest=st.integers(1, 200),
    count=st.integers(0, 20),
    start_ms=st.sampled_from([0.0, 1000.0]),
)
def test_split_spans_join_to_the_original(
    samples: int, longest: int, count: int, start_ms: float
) -> None:
    words = tuple(
        Word(w.start, w.end, w.start_ms + start_ms, w.end_ms + start_ms)
        for w in spaced_words(count, samples, offset=7)
    )
    whole = span(samples, (7, 7 + 2 * count), *words)
    parts = list(split_span(whole, start_ms, RATE_HZ, longest))
    assert all(len(part.pcm) <= longest for part in parts)
    assert np.array_equal(np.concatenate([part.pcm for part in parts]), whole.pcm)
    assert tuple(word for part in parts for word in part.words) == words
    assert (parts[0].text[0], parts[-1].text[1]) == whole.text
    for part, following in pairwise(parts):
        assert part.text[0] <= part.text[1] == following.text[0]
    for part in parts:
        for word in part.words:
            assert part.text[0] <= word.start < word.end <= part.text[1]


def test_a_word_belongs_to_the_part_in_which_it_begins() -> None:
    parts = list(split_span(span(100, (0, 6), *spaced_words(3, 90)), 0.0, RATE_HZ, 50))
    assert [part.text for part in parts] == [(0, 4), (4, 6)]
    assert [len(part.words) for part in parts] == [2, 1]


def test_a_span_without_samples_is_one_part() -> None:
    assert len(list(split_span(span(0, (3, 5)), 0.0, RATE_HZ, 50))) == 1


def test_consecutive_spans_are_joined() -> None:
    whole = join_spans([span(10, (0, 2), *spaced_words(1, 10)), span(0, (2, 3)), span(5, (3, 9))])
    assert (len(whole.pcm), whole.text, len(whole.words)) == (15, (0, 9), 1)


# --- counting -------------------------------------------------------------------------------------


def send_spans(
    pieces: list[RenderedSpan], name: str = "pcm_s16le", rate_hz: int | None = None
) -> tuple[list[Audio], Done]:
    send_queue = SendQueue(10_000)

    async def deliver() -> Done:
        audio_sender = AudioSender(
            "a", OutputParams(parse_format(name, rate_hz)), 24000, send_queue
        )
        for part in pieces:
            await audio_sender.send_span(part, silent_s=0.0)
        return await audio_sender.send_rest()

    done = clock.run(deliver())
    return send_queue.drop_audio("a"), done


formats = st.sampled_from(
    [("pcm_s16le", 24000), ("pcm_s16le", 44100), ("pcm_f32le", 8000), ("mulaw", 8000)]
)


@given(st.lists(st.integers(0, 3000), max_size=8), formats)
def test_message_sums_equal_done(lengths: list[int], target: tuple[str, int]) -> None:
    pieces = [span(samples, (n, n + 1)) for n, samples in enumerate(lengths)]
    messages, done = send_spans(pieces, *target)
    assert done.audio_ms == pytest.approx(sum(message.duration_ms for message in messages))
    assert done.audio_ms == pytest.approx(
        sum(lengths) / 24, abs=4.0
    )  # a filter longer than the audio
    assert (done.characters, done.chunks) == (len(lengths), len(messages))
    ends_ms = [0.0, *(message.start_ms + message.duration_ms for message in messages)]
    for message, end_ms in zip(messages, ends_ms, strict=False):
        assert message.start_ms == pytest.approx(end_ms)


def test_the_encoder_rest_is_sent_at_the_end_without_text() -> None:
    messages, _ = send_spans([span(2400, (0, 5))], "pcm_s16le", 8000)
    assert [message.text for message in messages] == [(0, 5), (5, 5)]
    assert sum(len(message.data) for message in messages) == 2 * 800


def test_no_audio_sends_no_messages() -> None:
    messages, done = send_spans([])
    assert messages == []
    assert done == Done("a", 0.0, 0, 0)


def test_position_without_dropped_audio() -> None:
    async def deliver() -> None:
        send_queue = SendQueue(10)
        audio_sender = AudioSender("a", OutputParams(parse_format(None, None)), 24000, send_queue)
        for n in range(3):
            await audio_sender.send_span(span(240, (n, n + 1)), silent_s=0.0)
        assert audio_sender.position_without([]) == (3, 30.0)
        await send_queue.get()
        assert audio_sender.position_without(send_queue.drop_audio("a")) == (1, 10.0)

    clock.run(deliver())
