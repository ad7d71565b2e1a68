import pytest

from duplex_tts.channel.reassembly import AudioForm, AudioReassembly
from duplex_tts.errors import ProtocolError
from duplex_tts.events import Audio, Cancelled, Done, Restarted, Word

SAMPLES_PER_MS = 24


def samples(first_ms: float, last_ms: float) -> bytes:
    """PCM whose samples are numbered, to detect lost and repeated ones."""
    numbers = range(round(first_ms * SAMPLES_PER_MS), round(last_ms * SAMPLES_PER_MS))
    return b"".join(number.to_bytes(2, "little") for number in numbers)


def audio_message(seq: int, text: tuple[int, int], ms: tuple[float, float], *words: Word) -> Audio:
    """An audio message: its samples are numbered by their time on the wire."""
    return Audio("wire", seq, ms[0], ms[1] - ms[0], text, words, samples(*ms))


def span_of(word: Word) -> tuple[int, int]:
    return word.start, word.end


def test_each_audio_message_is_accepted_once_and_in_order() -> None:
    reassembly = AudioReassembly("c", AudioForm("pcm_s16le", 24000))
    first = audio_message(0, (0, 3), (0, 10), Word(0, 3, 0, 10))
    assert reassembly.add_audio(first) is not None
    assert reassembly.add_audio(first) is None
    assert reassembly.last_seq == 0
    with pytest.raises(ProtocolError, match="missing"):
        reassembly.add_audio(audio_message(2, (3, 5), (10, 20)))


def test_events_are_renumbered_for_the_context() -> None:
    reassembly = AudioReassembly("c", AudioForm("pcm_s16le", 24000))
    heard = reassembly.add_audio(audio_message(0, (0, 3), (0, 10), Word(0, 3, 0, 10)))
    assert heard is not None
    assert (heard.context, heard.seq) == ("c", 0)
    assert reassembly.translate_cancelled(Cancelled("wire", 3, 10.0)) == Cancelled("c", 3, 10.0)


def test_offsets_times_and_numbers_continue_after_a_restart() -> None:
    reassembly = AudioReassembly("c", AudioForm("pcm_s16le", 24000))
    reassembly.add_audio(audio_message(0, (0, 6), (0, 100), Word(0, 5, 0, 90)))
    assert reassembly.restart() == Restarted("c", 6, 100.0)
    assert reassembly.last_seq == -1
    heard = reassembly.add_audio(audio_message(0, (0, 4), (0, 50), Word(0, 4, 10, 40)))
    assert heard is not None
    assert (heard.seq, heard.text, heard.start_ms) == (1, (6, 10), 100.0)
    assert heard.words == (Word(6, 10, 110, 140),)
    assert (
        reassembly.from_wire_offset(4),
        reassembly.to_wire_offset(10),
        reassembly.to_wire_offset(2),
    ) == (10, 4, 0)
    assert (reassembly.to_wire_ms(120.0), reassembly.to_wire_ms(20.0)) == (20.0, 0.0)
    assert reassembly.finish(Done("wire", 50.0, 4, 1)) == (None, Done("c", 150.0, 10, 2))


def test_a_word_cut_by_a_message_is_held_back_until_complete() -> None:
    reassembly = AudioReassembly("c", AudioForm("pcm_s16le", 24000))
    one, two = Word(0, 4, 0, 40), Word(4, 8, 40, 90)
    first = reassembly.add_audio(audio_message(0, (0, 8), (0, 60), one, two))
    assert first is not None
    assert (first.text, first.words, first.data) == ((0, 4), (one,), samples(0, 40))
    assert reassembly.text_to == 4
    second = reassembly.add_audio(audio_message(1, (8, 11), (60, 120), Word(8, 11, 95, 110)))
    assert second is not None
    assert (second.text, second.start_ms, second.duration_ms) == ((4, 11), 40.0, 80.0)
    assert second.data == samples(40, 120)
    assert list(map(span_of, second.words)) == [(4, 8), (8, 11)]
    assert reassembly.finish(Done("wire", 120.0, 11, 2)) == (None, Done("c", 120.0, 11, 2))


def test_a_word_over_several_messages_is_held_back_until_complete() -> None:
    reassembly = AudioReassembly("c", AudioForm("pcm_s16le", 24000))
    heard = [
        reassembly.add_audio(audio_message(0, (0, 8), (0, 50), Word(0, 8, 0, 140))),
        reassembly.add_audio(audio_message(1, (8, 8), (50, 100))),
        reassembly.add_audio(audio_message(2, (8, 8), (100, 150))),
    ]
    texts = [chunk.text for chunk in heard if chunk is not None]
    assert texts == [(0, 0), (0, 0), (0, 8)]
    assert b"".join(chunk.data for chunk in heard if chunk is not None) == samples(0, 150)


def test_a_restart_within_a_word_speaks_the_word_again() -> None:
    reassembly = AudioReassembly("c", AudioForm("pcm_s16le", 24000))
    one, two = Word(0, 4, 0, 40), Word(4, 8, 40, 90)
    first = reassembly.add_audio(audio_message(0, (0, 8), (0, 60), one, two))
    assert reassembly.restart() == Restarted("c", 4, 40.0)
    second = reassembly.add_audio(audio_message(0, (0, 4), (0, 50), Word(0, 4, 0, 50)))
    assert first is not None
    assert second is not None
    assert first.data + second.data == samples(0, 40) + samples(0, 50)
    assert second.text == (4, 8)


def test_samples_held_back_by_a_resampler_do_not_delay_a_word() -> None:
    reassembly = AudioReassembly("c", AudioForm("mulaw", 8000))
    word = Word(0, 4, 0, 42)
    heard = reassembly.add_audio(Audio("wire", 0, 0.0, 40.0, (0, 4), (word,), b"\xff" * 320))
    assert heard is not None
    assert (heard.text, len(heard.data)) == ((0, 4), 320)


def test_a_format_without_samples_is_never_cut() -> None:
    reassembly = AudioReassembly("c", AudioForm("mp3", 24000))
    heard = reassembly.add_audio(
        Audio("wire", 0, 0.0, 40.0, (0, 8), (Word(0, 8, 0, 90),), b"frame")
    )
    assert heard is not None
    assert heard.data == b"frame"
    assert reassembly.restart() == Restarted("c", 8, 40.0)


def test_held_back_audio_is_returned_at_the_end() -> None:
    reassembly = AudioReassembly("c", AudioForm("pcm_s16le", 24000))
    reassembly.add_audio(audio_message(0, (0, 8), (0, 60), Word(0, 8, 20, 90)))
    held, done = reassembly.finish(Done("wire", 60.0, 8, 1))
    assert held is not None
    assert (held.text, held.data) == ((0, 8), samples(20, 60))
    assert (done.characters, done.audio_ms) == (8, 60.0)


@pytest.mark.parametrize("done", [(70.0, 8, 1), (60.0, 7, 1), (60.0, 8, 2)])
def test_totals_that_differ_raise(done: tuple[float, int, int]) -> None:
    reassembly = AudioReassembly("c", AudioForm("pcm_s16le", 24000))
    reassembly.add_audio(audio_message(0, (0, 8), (0, 60)))
    with pytest.raises(ProtocolError):
        reassembly.finish(Done("wire", *done))


@pytest.mark.parametrize(
    "second",
    [
        Audio("wire", 1, 10.0, 20.0, (3, 5), (), samples(10, 20)),
        Audio("wire", 1, 10.0, 0.0, (3, 5), (), samples(10, 20)),
        Audio("wire", 1, 10.0, 10.0, (3, 5), (), b""),
        Audio("wire", 1, 500.0, 10.0, (3, 5), (), samples(10, 20)),
        Audio("wire", 1, 0.0, 10.0, (3, 5), (), samples(10, 20)),
    ],
)
def test_times_that_contradict_the_samples_raise(second: Audio) -> None:
    reassembly = AudioReassembly("c", AudioForm("pcm_s16le", 24000))
    reassembly.add_audio(audio_message(0, (0, 3), (0, 10)))
    with pytest.raises(ProtocolError, match="ms"):
        reassembly.add_audio(second)


def test_durations_rounded_on_the_wire_never_contradict_the_samples() -> None:
    reassembly = AudioReassembly("c", AudioForm("pcm_s16le", 24000))
    at_ms = 0.0
    for seq in range(20_000):  # a duration that thousandths cannot hold exactly
        reassembly.add_audio(Audio("wire", seq, at_ms, 0.042, (seq, seq + 1), (), b"\0\0"))
        at_ms = round(at_ms + 0.042, 3)
