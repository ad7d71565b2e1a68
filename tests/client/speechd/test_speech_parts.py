import numpy as np

from duplex_tts.events import Audio, Word
from duplex_tts.speechd.speech_parts import Mark, MarkedAudio, SoundCache, SpeechPart, find_onset

RATE_HZ = 1_000  # a sample per millisecond


def audio(start_ms: int, words: list[tuple[int, int, int, int]], samples: list[int]) -> Audio:
    data = np.array(samples, "<i2").tobytes()
    span = (words[0][0], words[-1][1]) if words else (0, 0)
    timed = tuple(Word(*word) for word in words)
    return Audio("c", 0, start_ms, len(samples), span, timed, data)


def lengths(parts: list[SpeechPart]) -> list[int | str]:
    return [part.name if isinstance(part, Mark) else len(part) // 2 for part in parts]


def test_marks_stand_before_the_words_that_follow_them() -> None:
    marked = MarkedAudio([(0, "a"), (6, "b"), (6, "c"), (12, "end")], RATE_HZ)
    first = audio(0, [(0, 5, 0, 40)], [5000] * 50)
    second = audio(50, [(6, 11, 60, 100)], [5000] * 60)
    assert lengths(list(marked.add_audio(first))) == ["a", 50]
    assert lengths(list(marked.add_audio(second))) == [10, "b", "c", 50]
    assert lengths(list(marked.finish())) == ["end"]


def test_no_sample_is_lost_between_marks() -> None:
    marked = MarkedAudio([(3, "a"), (6, "b")], RATE_HZ)
    samples = list(range(5000, 5090))
    words = [(0, 2, 0, 30), (3, 5, 30, 60), (6, 8, 60, 90)]
    parts = list(marked.add_audio(audio(0, words, samples)))
    pcm = b"".join(part for part in parts if isinstance(part, bytes))
    assert np.frombuffer(pcm, "<i2").tolist() == samples


def test_what_cannot_be_heard_before_the_first_sound_is_dropped() -> None:
    marked = MarkedAudio([], RATE_HZ)
    assert list(marked.add_audio(audio(0, [], [3] * 40))) == []
    (part,) = marked.add_audio(audio(40, [], [3] * 40 + [5000] * 20))
    assert lengths([part]) == [25]  # 5 ms are kept before it
    (later,) = marked.add_audio(audio(100, [], [0] * 30))
    assert lengths([later]) == [30]


def test_the_onset_is_the_first_audible_window() -> None:
    pcm = np.array([0] * 12 + [5000] * 8, "<i2").tobytes()
    assert find_onset(pcm, RATE_HZ) == 10
    assert find_onset(pcm[:20], RATE_HZ) is None
    assert find_onset(b"", RATE_HZ) is None


def test_the_cache_is_bounded_in_bytes() -> None:
    cache = SoundCache(100)
    for name in "abcdefghijk":
        cache.put(name, bytes(10))
        assert cache.get("a") is not None  # used: kept
    assert cache.get("b") is None
    assert cache.get("k") == bytes(10)
    cache.put("long", bytes(11))
    assert cache.get("long") is None
