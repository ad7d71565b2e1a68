import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex_tts.playback.jitter_buffer import LEAST_S, JitterBuffer
from duplex_tts.playback.mixer import RAMP_S, Mixer, MixerTrack, Pcm

RATE_HZ = 1000  # a sample is a millisecond
RAMP = round(RAMP_S * RATE_HZ)


def create_mixer(least_s: float = 0.0) -> Mixer:
    """A mixer without delay until it has measured lateness."""
    return Mixer(RATE_HZ, JitterBuffer(least_s))


def pcm(*samples: int) -> bytes:
    return np.array(samples, "<i2").tobytes()


def tone(first: int, count: int) -> list[int]:
    return list(range(first, first + count))


def pull_blocks(out: Mixer, count: int, *, frames: int = 10, start_s: float = 0.0) -> Pcm:
    """Pull `count` blocks from `start_s` on."""
    pulled = [out.pull_block(frames, start_s + n * frames / RATE_HZ) for n in range(count)]
    return np.concatenate(pulled)


def owed_track(out: Mixer, since_s: float = 0.0) -> MixerTrack:
    track = out.add_track()
    track.owed_since_s = since_s
    return track


# --- gapless --------------------------------------------------------------------------------------


def test_silence_before_and_after_speech() -> None:
    out = create_mixer()
    assert not pull_blocks(out, 2).any()
    track = out.add_track()
    out.push_audio(track, pcm(*tone(100, 15)), 0.02)
    out.end_track(track)
    heard = pull_blocks(out, 3, start_s=0.02)
    assert heard.tolist() == tone(100, 15) + [0] * 15


def test_chunks_follow_each_other_without_a_gap() -> None:
    out, whole = create_mixer(), tone(1, 60)
    track = out.add_track()
    for start in range(0, 60, 12):
        out.push_audio(track, pcm(*whole[start : start + 12]), 0.0)
    out.end_track(track)
    assert pull_blocks(out, 6).tolist() == whole


def test_the_next_track_begins_with_the_sample_after_the_last() -> None:
    out = create_mixer()
    first, second = out.add_track(), out.add_track()
    out.push_audio(second, pcm(*tone(200, 15)), 0.0)
    assert not pull_blocks(out, 1).any(), "the first track is not finished"
    out.push_audio(first, pcm(*tone(100, 15)), 0.01)
    out.end_track(first)
    out.end_track(second)
    assert pull_blocks(out, 3, start_s=0.01).tolist() == tone(100, 15) + tone(200, 15)


def test_an_empty_track_does_not_delay_the_next() -> None:
    out = create_mixer()
    silent, following = out.add_track(), out.add_track()
    out.push_audio(following, pcm(*tone(7, 10)), 0.0)
    out.push_audio(silent, b"", 0.0)
    out.end_track(silent)
    assert pull_blocks(out, 1).tolist() == tone(7, 10)
    assert out.is_played_out(silent, 0.0)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=12),
    st.lists(st.integers(1, 25), min_size=1, max_size=200),
)
def test_every_sample_is_heard_once_whatever_the_sizes(
    chunks: list[int], frames: list[int]
) -> None:
    out = create_mixer()
    whole = tone(1, sum(chunks))
    at = 0
    for number, size in enumerate(chunks):
        if number % 3 == 0:
            track = out.add_track()
        out.push_audio(track, pcm(*whole[at : at + size]), 0.0)
        at += size
        if number % 3 == 2 or number == len(chunks) - 1:
            out.end_track(track)
    now_s, heard = 0.0, []
    for size in frames:
        heard += out.pull_block(size, now_s).tolist()
        now_s += size / RATE_HZ
    assert heard[: len(whole)] == whole[: len(heard)]
    assert not any(heard[len(whole) :])


# --- the jitter buffer ----------------------------------------------------------------------------


def test_audio_is_delayed_by_the_jitter_buffer() -> None:
    out = create_mixer(least_s=0.03)
    track = out.add_track()
    out.push_audio(track, pcm(*tone(1, 100)), 0.0)
    assert not pull_blocks(out, 3).any()
    assert pull_blocks(out, 1, start_s=0.03).tolist() == tone(1, 10)
    assert out.held_ms(track) == pytest.approx(30)


def test_an_ended_track_is_not_delayed() -> None:
    out = create_mixer(least_s=0.03)
    track = out.add_track()
    out.push_audio(track, pcm(5, 6), 0.0)
    out.end_track(track)
    assert pull_blocks(out, 1).tolist() == [5, 6] + [0] * 8


def test_late_audio_increases_the_delay() -> None:
    out = create_mixer()
    track = owed_track(out)
    out.push_audio(track, pcm(*tone(1, 20)), 0.0)
    pull_blocks(out, 10)  # dry from 0.02 on
    out.push_audio(track, pcm(*[50] * 100), 0.1)
    assert not pull_blocks(out, 8, start_s=0.1).any(), "80 ms late: 80 ms held back"
    assert pull_blocks(out, 2, start_s=0.18)[-1] == 50


def test_lateness_hidden_by_the_jitter_buffer_is_measured() -> None:
    out = create_mixer(least_s=0.03)
    track = owed_track(out)
    out.push_audio(track, pcm(*tone(1, 20)), 0.0)
    pull_blocks(out, 4)
    out.push_audio(track, pcm(*tone(21, 20)), 0.04)  # 20 ms late without a jitter buffer
    out.end_track(track)
    assert pull_blocks(out, 3, start_s=0.04).tolist() == tone(11, 30)
    assert out.stats.underruns == 0
    following = owed_track(out)
    out.push_audio(following, pcm(*[9] * 100), 0.08)
    assert not pull_blocks(out, 5, start_s=0.08).any()
    assert pull_blocks(out, 1, start_s=0.13).all()


def test_a_queued_track_is_not_late() -> None:
    out = create_mixer(least_s=0.02)
    first, second = owed_track(out), owed_track(out)
    out.push_audio(first, pcm(*[1] * 300), 0.0)
    out.end_track(first)
    out.push_audio(second, pcm(*[2] * 50), 0.0)
    pull_blocks(out, 31)
    out.push_audio(second, pcm(*[2] * 50), 0.31)  # 310 ms after its first 50
    out.end_track(second)
    pull_blocks(out, 20, start_s=0.31)
    following = owed_track(out)
    out.push_audio(following, pcm(*[3] * 50), 1.0)
    pull_blocks(out, 3, start_s=1.0)
    assert out.held_ms(following) == pytest.approx(LEAST_S * 1000)
    assert out.stats.underruns == 0


# --- gaps -----------------------------------------------------------------------------------------


def test_an_underrun_is_counted_with_its_length() -> None:
    out = create_mixer()
    track = owed_track(out)
    out.push_audio(track, pcm(*tone(1, 20)), 0.0)
    pull_blocks(out, 5)
    out.push_audio(track, pcm(*tone(21, 20)), 0.05)
    out.end_track(track)
    pull_blocks(out, 5, start_s=0.05)
    assert out.stats.underruns == 1
    assert out.stats.underrun_s == pytest.approx(0.03)
    assert out.stats.pauses == 0


def test_a_pause_of_the_writer_is_neither_underrun_nor_lateness() -> None:
    out = create_mixer()
    track = out.add_track()
    out.push_audio(track, pcm(*tone(1, 20)), 0.0)
    pull_blocks(out, 10)
    track.owed_since_s = 0.08  # the next words were written long after it had run dry
    out.push_audio(track, pcm(*[7] * 20), 0.1)
    assert pull_blocks(out, 2, start_s=0.1)[-1] == 7, "nothing is held back"
    assert (out.stats.underruns, out.stats.pauses) == (0, 1)


def test_silence_after_the_last_sample_is_no_gap() -> None:
    out = create_mixer()
    track = owed_track(out)
    out.push_audio(track, pcm(*tone(1, 20)), 0.0)
    pull_blocks(out, 5)
    out.end_track(track)
    pull_blocks(out, 5, start_s=0.05)
    assert (out.stats.underruns, out.stats.pauses) == (0, 0)
    assert out.is_played_out(track, 0.1)


def test_steps_around_a_gap_are_smoothed() -> None:
    out = create_mixer()
    track = owed_track(out)
    out.push_audio(track, pcm(*[1000] * 15), 0.0)
    broken = pull_blocks(out, 3)
    assert broken[14] == 1000
    assert np.abs(np.diff(broken[14:])).max() <= 1000 / RAMP + 1
    assert not broken[15 + RAMP :].any()
    out.push_audio(track, pcm(*[1000] * 30), 0.03)
    out.end_track(track)
    begun = pull_blocks(out, 6, start_s=0.03)
    first = int(np.flatnonzero(begun)[0])
    assert np.abs(np.diff(begun[first - 1 : first + RAMP + 1])).max() <= 1000 / RAMP + 1
    assert begun[first + RAMP] == 1000


def test_a_regular_start_and_end_are_not_smoothed() -> None:
    out = create_mixer()
    track = out.add_track()
    out.push_audio(track, pcm(*[1000] * 15), 0.0)
    out.end_track(track)
    assert pull_blocks(out, 2).tolist() == [1000] * 15 + [0] * 5


# --- cancel ---------------------------------------------------------------------------------------


def test_a_cancel_fades_to_silence_within_the_ramp() -> None:
    out = create_mixer()
    track = out.add_track()
    out.push_audio(track, pcm(*[1000] * 500), 0.0)
    assert pull_blocks(out, 1).all()
    out.cancel_track(track, 0.01)
    fading = pull_blocks(out, 2, start_s=0.01)
    assert np.abs(np.diff(fading, prepend=1000)).max() <= 1000 / RAMP + 1
    assert not fading[RAMP:].any()


def test_audio_after_the_cancel_is_dropped_and_counted() -> None:
    out = create_mixer()
    track = out.add_track()
    out.push_audio(track, pcm(*[1000] * 10), 0.0)
    pull_blocks(out, 1)
    out.cancel_track(track, 0.01)
    out.push_audio(track, pcm(*[1000] * 500), 0.01)
    assert not pull_blocks(out, 20, start_s=0.01)[RAMP:].any()
    assert out.stats.dropped_s == pytest.approx(0.5)


def test_the_track_after_a_cancelled_one_plays_from_its_start() -> None:
    out = create_mixer()
    first, second = out.add_track(), out.add_track()
    out.push_audio(first, pcm(*[0] * 500), 0.0)
    out.push_audio(second, pcm(*tone(1, 20)), 0.0)
    out.end_track(second)
    pull_blocks(out, 3)
    out.cancel_track(first, 0.01)
    assert pull_blocks(out, 2, start_s=0.03).tolist() == tone(1, 20)


def test_cancelling_a_queued_track_does_not_affect_the_playing_one() -> None:
    out = create_mixer()
    first, second = out.add_track(), out.add_track()
    out.push_audio(first, pcm(*tone(1, 20)), 0.0)
    out.end_track(first)
    out.push_audio(second, pcm(*[99] * 20), 0.0)
    pull_blocks(out, 1)
    out.cancel_track(second, 0.01)
    assert pull_blocks(out, 2, start_s=0.01).tolist() == tone(11, 10) + [0] * 10


def test_cancelling_a_track_that_was_heard_changes_nothing() -> None:
    out = create_mixer()
    track = out.add_track()
    out.push_audio(track, pcm(*tone(1, 20)), 0.0)
    out.end_track(track)
    heard = pull_blocks(out, 2)
    assert not out.cancel_track(track, 0.02)
    assert not pull_blocks(out, 1, start_s=0.02).any()
    assert not track.cancelled
    assert heard.tolist() == tone(1, 20)


def test_two_cancels_in_one_ramp_do_not_click() -> None:
    out = create_mixer()
    first, second = out.add_track(), out.add_track()
    out.push_audio(first, pcm(*[1000] * 50), 0.0)
    out.push_audio(second, pcm(*[1000] * 50), 0.0)
    last = pull_blocks(out, 1)[-1]
    out.cancel_track(first, 0.01)
    middle = out.pull_block(2, 0.01)
    out.cancel_track(second, 0.01)
    rest = out.pull_block(20, 0.012)
    steps = np.diff(np.concatenate([[last], middle, rest]).astype(int))
    assert steps[2:].min() >= -2000 / RAMP - 1
    assert not rest[RAMP:].any()


# --- positions ------------------------------------------------------------------------------------


def test_the_position_counts_heard_samples_not_pulled_ones() -> None:
    out = create_mixer()
    track = out.add_track()
    out.push_audio(track, pcm(*tone(1, 100)), 0.0)
    out.pull_block(50, 1.0, 0.04)
    assert out.heard_ms(track, 1.03) == 0
    assert out.heard_ms(track, 1.04) == 0
    assert out.heard_ms(track, 1.06) == pytest.approx(20)
    assert out.heard_ms(track, 2.0) == pytest.approx(50), "not more than was taken"
    assert out.buffered_ms(track, 2.0) == pytest.approx(50)


def test_the_position_stops_during_a_gap_and_never_decreases() -> None:
    out = create_mixer()
    track = owed_track(out)
    out.push_audio(track, pcm(*tone(1, 20)), 0.0)
    pull_blocks(out, 6)
    out.push_audio(track, pcm(*tone(21, 100)), 0.06)
    out.pull_block(60, 0.06)  # held back: it was late
    out.pull_block(60, 0.12)
    positions = [out.heard_ms(track, ms / 1000) for ms in range(160)]
    assert positions[40] == positions[60] == 20
    assert positions == sorted(positions)
    assert positions[150] == 20 + 150 - 120


def test_a_track_is_played_out_when_its_last_sample_was_heard() -> None:
    out = create_mixer()
    track = out.add_track()
    out.push_audio(track, pcm(*tone(1, 20)), 0.0)
    out.end_track(track)
    out.pull_block(30, 0.0, 0.1)
    assert not out.is_played_out(track, 0.11)
    assert out.is_played_out(track, 0.12)


def test_positions_of_a_long_track_stay_exact() -> None:
    out = create_mixer()
    track = out.add_track()
    out.push_audio(track, pcm(*[1] * 20_000), 0.0)
    out.end_track(track)
    for number in range(1000):
        out.pull_block(10, number / 100, 0.02)
    assert out.heard_ms(track, 9.52) == pytest.approx(9500)
    assert len(track.spans) < 200, "old spans are dropped"


def test_a_cancel_without_ramp_is_silent_at_once() -> None:
    out = create_mixer()
    track = out.add_track()
    out.push_audio(track, pcm(*[1000] * 500), 0.0)
    pull_blocks(out, 1)
    out.cancel_track(track, 0.01, ramp=False)
    assert not pull_blocks(out, 1, start_s=0.01).any()


def test_audio_in_the_devices_buffer_can_be_cancelled() -> None:
    out = create_mixer()
    first, second = out.add_track(), out.add_track()
    out.push_audio(first, pcm(*tone(1, 20)), 0.0)
    out.push_audio(second, pcm(*[77] * 40), 0.0)
    out.end_track(first)
    out.pull_block(40, 0.0, 0.1)
    assert out.cancel_track(first, 0.11), "half of it was heard"
    assert out.pull_block(20, 0.04).tolist() == [77] * 20, "the one that sounds now goes on"
