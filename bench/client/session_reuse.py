"""The time that an open session saves: the handshake, from the second utterance on.

Each pair speaks the same text twice, on a new connection and again on that open one, timed to the
first audible sample. A proxy counts the reconnects.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from bench.client.fault_proxy import fault_proxy
from bench.harness.recording_client import ServerError
from bench.harness.report import Figure, Result
from bench.harness.setup import Setup
from bench.harness.simulated_listener import SimulatedListener, decode_pcm
from duplex_tts import Session

PAIRS_SHARE = 0.3  # of the row's time, approximately

Times = NDArray[np.float64]


async def measure(setup: Setup) -> Result:
    """The share of the handshake that is saved, and the reconnects in many utterances."""
    pairs = await _time_pairs(setup)
    reconnects, ttfa_ms = await _speak_many(setup)
    figures = [_saved_figure(pairs), _reconnect_figure(reconnects, ttfa_ms)]
    details = {
        "handshake_ms": pairs[:, 0].round(2).tolist(),
        "fresh_ms": pairs[:, 1].round(2).tolist(),
        "second_ms": pairs[:, 2].round(2).tolist(),
        "ttfa_ms": ttfa_ms.round(2).tolist(),
    }
    return Result(figures, details)


async def _time_pairs(setup: Setup) -> Times:
    """Milliseconds of the handshake, from connecting to the first sound, and to the second
    utterance's; shape (pairs, 3). The first pair is a warm-up and left out.
    """
    times = []
    for number in range(setup.effort.reuses + 1):
        text = setup.speakable[number % len(setup.speakable)].text
        started_s = time.perf_counter()
        async with Session.connect(setup.url) as session:
            connected_s = time.perf_counter()
            first_s = await _time_first_sound(session, text)
            again_s = time.perf_counter()
            second_s = await _time_first_sound(session, text)
        times.append((connected_s - started_s, first_s - started_s, second_s - again_s))
        setup.progress(PAIRS_SHARE * (number + 1) / (setup.effort.reuses + 1))
    return np.array(times[1:]) * 1000


async def _time_first_sound(session: Session, text: str) -> float:
    """Speak a text to its end; returns when its first audible sample was played. Raises
    `ServerError` if there was none.
    """
    utterance, hearing = session.speak(text, seed=1), SimulatedListener(session.ready.sample_rate)
    async for audio in utterance:
        hearing.play_audio(decode_pcm(audio.data), time.perf_counter())
        if hearing.first_sound_s is not None:
            break
    await utterance.done()
    if hearing.first_sound_s is None:
        raise ServerError("silent", "the utterance ended without a sound")
    return hearing.first_sound_s


async def _speak_many(setup: Setup) -> tuple[int, Times]:
    """Reconnects during many utterances on a session, and each one's time to first sound."""
    count = setup.effort.utterances
    ttfa_ms = []
    async with fault_proxy(setup.url) as proxy, Session.connect(proxy.address) as session:
        for number in range(count):
            started_s = time.perf_counter()
            heard_s = await _time_first_sound(session, f"This is utterance number {number}.")
            ttfa_ms.append((heard_s - started_s) * 1000)
            setup.progress(PAIRS_SHARE + (1 - PAIRS_SHARE) * (number + 1) / count)
        return proxy.connections - 1, np.array(ttfa_ms)


def _saved_figure(pairs: Times) -> Figure:
    handshake, fresh, second = np.median(pairs, axis=0)
    share = float(np.median(pairs[:, 1] - pairs[:, 2]) / handshake)
    note = (
        f"handshake {handshake:.1f} ms; first sound after {fresh:.1f} ms on a fresh connection, "
        f"{second:.1f} ms on an open session; p50 of {len(pairs)} pairs"
    )
    return Figure("second utterance: share of the handshake saved", share, 1.0, False, "", note)


def _reconnect_figure(reconnects: int, ttfa_ms: Times) -> Figure:
    tenth = max(1, len(ttfa_ms) // 10)
    first, last = np.median(ttfa_ms[:tenth]), np.median(ttfa_ms[-tenth:])
    note = (
        f"in {len(ttfa_ms)} utterances; first sound p50 {first:.1f} ms in the first tenth, "
        f"{last:.1f} ms in the last"
    )
    return Figure("reconnects of a session", reconnects, 0, True, "", note)
