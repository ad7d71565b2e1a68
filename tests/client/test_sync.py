import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from duplex_tts import Cancelled, ConnectionLost, Done, SpeechFailed, sync

TEXT = "Hello there, this is spoken without any async."


def slow_words() -> Iterator[str]:
    for word in TEXT.split(" "):
        time.sleep(0.005)
        yield word + " "


def test_a_sync_session_speaks_and_reports(url: str) -> None:
    with sync.Session(url) as session:
        assert session.ready.sample_rate == 24000
        utterance = session.speak(TEXT, seed=1)
        pcm = np.frombuffer(b"".join(audio.data for audio in utterance), "<i2")
        done = utterance.done()
        assert isinstance(done, Done)
        assert len(pcm) == round(done.audio_ms * 24)
        words = [utterance.text[word.start : word.end] for word in utterance.words]
        assert len(words) == len(TEXT.split())
        assert utterance.ttfa_ms is not None
        assert utterance.audio_ms == pytest.approx(done.audio_ms)
        assert utterance.restarts == []
        assert utterance.finished
        assert not utterance.cancelled
        assert session.ping() > 0
        assert session.stats().utterances == 1


def test_a_blocking_iterator_is_spoken_while_it_is_read(url: str) -> None:
    with sync.Session(url) as session:
        utterance = session.speak(slow_words())
        done = utterance.done()
        assert isinstance(done, Done)
        assert done.characters == len(TEXT) + 1


def test_utterances_can_be_cancelled_from_another_thread(url: str) -> None:
    with sync.Session(url) as session:
        utterance = session.speak(TEXT * 20)
        audio = iter(utterance)
        next(audio)
        thread = threading.Thread(target=utterance.cancel)
        thread.start()
        thread.join()
        assert list(audio) == []
        assert utterance.cancelled
        assert isinstance(utterance.done(), Cancelled)
        other = session.speak(TEXT * 20)
        session.cancel()
        assert isinstance(other.done(), Cancelled)


def test_errors_are_raised_in_the_calling_thread(url: str) -> None:
    with sync.Session(url) as session:
        with pytest.raises(SpeechFailed, match="unknown_voice"):
            session.speak(TEXT, voice="nobody").done()
        with pytest.raises(TypeError, match="cannot speak"):
            session.speak(5)  # type: ignore[arg-type]


def test_a_failed_connection_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(ConnectionLost):
        sync.Session("127.0.0.1:1")
    assert threading.active_count() == before


def test_closing_ends_the_thread_and_later_calls_raise(url: str) -> None:
    before = threading.active_count()
    session = sync.Session(url)
    utterance = session.speak(TEXT)
    session.close()
    session.close()
    assert threading.active_count() == before
    with pytest.raises(ConnectionLost, match="closed"):
        session.speak(TEXT)
    with pytest.raises(ConnectionLost, match="closed"):
        utterance.done()
