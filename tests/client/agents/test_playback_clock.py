from duplex_tts.agents.playback_clock import PlaybackClock


class Now:
    s = 10.0

    def __call__(self) -> float:
        return self.s


def running_clock(added_ms: float) -> tuple[PlaybackClock, Now]:
    now = Now()
    clock = PlaybackClock(now)
    clock.add(added_ms)
    clock.run()
    return clock, now


def test_audio_is_played_in_real_time_from_the_start_on() -> None:
    now = Now()
    clock = PlaybackClock(now)
    clock.add(500.0)
    now.s += 1.0
    assert clock.played_ms == 0.0
    clock.run()
    now.s += 0.2
    assert round(clock.played_ms) == 200
    assert round(clock.buffered_ms) == 300


def test_no_more_is_played_than_was_added() -> None:
    clock, now = running_clock(100.0)
    now.s += 1.0
    assert clock.played_ms == 100.0
    clock.add(100.0)
    now.s += 0.05
    assert round(clock.played_ms) == 150


def test_a_pause_stops_it() -> None:
    clock, now = running_clock(1000.0)
    now.s += 0.1
    clock.pause()
    now.s += 5.0
    assert round(clock.played_ms) == 100
    clock.run()
    now.s += 0.1
    assert round(clock.played_ms) == 200
