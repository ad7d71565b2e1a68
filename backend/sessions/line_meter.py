"""Measures the line to one client: what is on its way, the delay, and the speed of delivery.

Writing does not show that a line is thin: the buffers of the kernel and of proxies accept hundreds
of kilobytes at once. So a WebSocket ping (a *probe*) follows the audio: when its pong arrives, all
that was written before it has reached the client. Plain and synchronous; the caller passes the
time.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from backend.events import Audio

_MIN_SAMPLE_BYTES = 400  # a smaller one measures the delay, not the speed
_MIN_SAMPLE_S = 0.001
_OVERDUE_S = 0.1  # an answer later than this says that the line is thinner than it was
_BLIND_S = 3.0  # without any answer
_MAX_AUDIO = 1000  # messages on their way; oldest forgotten beyond this
_LATE_S = 1.0  # heard nothing for this long, while audio is on its way for longer


@dataclass(frozen=True, slots=True)
class _Probe:
    number: int
    written: int  # bytes before it
    sent_s: float


@dataclass(frozen=True, slots=True)
class _AudioOnItsWay:
    context: str
    seq: int
    end_ms: float
    audio_s: float
    written: int  # bytes up to its end
    written_s: float


class LineMeter:
    """Measurements of one connection; a new connection needs a new one."""

    def __init__(self) -> None:
        self._written = 0  # bytes
        self._audio_written = 0  # up to the end of the last audio
        self._delivered = 0
        self._busy_since_s = -math.inf  # when the line was idle, or delivered something, last
        self._is_from_idle = True
        self._probes: deque[_Probe] = deque()
        self._numbers = 0
        self._probed = 0  # bytes written before the last probe
        self._began_s = math.inf  # with a probe or audio
        self._probe_s = -math.inf  # when the last one was sent
        self._samples: deque[float] = deque(maxlen=2)  # bit/s, the latest
        self._audio: deque[_AudioOnItsWay] = deque(maxlen=_MAX_AUDIO)
        self._dry_at_s: dict[str, float] = {}  # by context: when what was delivered is heard
        self.rtt_s = math.inf  # the shortest
        self.answers = 0  # of probes

    # --- what was written -------------------------------------------------------------------------

    def on_written(self, size_bytes: int, now_s: float, audio: Audio | None = None) -> None:
        """Count a message given to the socket, with its audio if it has some."""
        if audio is not None and not self.undelivered_bytes:
            self._busy_since_s, self._is_from_idle = now_s, True
            self._delivered = self._written  # answers to messages: no probe follows them
        self._written += size_bytes
        if audio is None:
            return
        self._audio_written = self._written
        self._began_s = min(self._began_s, now_s)
        seconds, end_ms = audio.duration_ms / 1000, audio.start_ms + audio.duration_ms
        self._audio.append(
            _AudioOnItsWay(audio.context, audio.seq, end_ms, seconds, self._written, now_s)
        )

    @property
    def undelivered_bytes(self) -> int:
        """Written up to the end of the last audio, and not known to have arrived."""
        return max(0, self._audio_written - self._delivered)

    @property
    def unprobed_bytes(self) -> int:
        """Written after the last probe, up to the end of the last audio."""
        return max(0, self._audio_written - self._probed)

    @property
    def open_probes(self) -> int:
        """Probes without an answer."""
        return len(self._probes)

    def probe_age_s(self, now_s: float) -> float:
        """Time since the last probe was sent."""
        return now_s - self._probe_s

    def begin_probe(self, now_s: float) -> int:
        """Returns the number of the probe to send now."""
        self._numbers = (self._numbers + 1) & 0xFFFF
        self._probes.append(_Probe(self._numbers, self._written, now_s))
        self._probed, self._probe_s = self._written, now_s
        self._began_s = min(self._began_s, now_s)
        return self._numbers

    # --- what arrived -----------------------------------------------------------------------------

    def on_answered(self, number: int, now_s: float) -> None:
        """The pong of a probe arrived; unknown numbers are ignored."""
        probe = next((probe for probe in self._probes if probe.number == number), None)
        if probe is None:
            return
        while self._probes.popleft() is not probe:  # a peer may answer only the latest
            pass
        self.answers += 1
        self.rtt_s = min(self.rtt_s, now_s - probe.sent_s)
        self._take_sample(probe.written, now_s)
        self._on_delivered(probe.written, now_s)

    def on_received(self, context: str, seq: int, now_s: float) -> None:
        """The client acknowledged a context's audio up to `seq`."""
        self._on_known(
            [each for each in self._audio if each.context == context and each.seq <= seq], now_s
        )

    def on_heard(self, context: str, heard_ms: float, now_s: float) -> None:
        """The client reported that a context's audio was heard up to `heard_ms`."""
        self._on_known(
            [each for each in self._audio if each.context == context and each.end_ms <= heard_ms],
            now_s,
        )

    def _on_known(self, arrived: list[_AudioOnItsWay], now_s: float) -> None:
        if arrived:
            self._on_delivered(arrived[-1].written, now_s)

    def _take_sample(self, written: int, now_s: float) -> None:
        size_bytes = written - self._delivered
        if size_bytes >= _MIN_SAMPLE_BYTES:
            self._samples.append(size_bytes * 8 / max(self._transmitting_s(now_s), _MIN_SAMPLE_S))

    def _transmitting_s(self, now_s: float) -> float:
        """How long the undelivered bytes have been transmitted. After an idle line that excludes
        the way there and back, up to half of the time: it may have been measured too long.
        """
        seconds = now_s - self._busy_since_s
        return seconds - min(self.rtt_s, seconds / 2) if self._is_from_idle else seconds

    def _on_delivered(self, written: int, now_s: float) -> None:
        if written <= self._delivered:
            return
        self._delivered = written
        self._busy_since_s, self._is_from_idle = now_s, False
        while self._probes and self._probes[0].written < written:
            self._probes.popleft()  # known by other means
        while self._audio and self._audio[0].written <= written:
            audio = self._audio.popleft()
            dry_at_s = self._dry_at_s.pop(audio.context, -math.inf)
            self._dry_at_s[audio.context] = max(dry_at_s, now_s) + audio.audio_s
            if len(self._dry_at_s) > _MAX_AUDIO:
                del self._dry_at_s[next(iter(self._dry_at_s))]

    # --- conclusions ------------------------------------------------------------------------------

    def bits_per_s(self, now_s: float) -> float | None:
        """What the line delivers at least, by the last two answers and by the answer that is
        overdue. None before the first answer.
        """
        if not self._samples:
            return None
        bounds = [*self._samples]
        if self._probes and now_s - self._busy_since_s > self.rtt_s + _OVERDUE_S:
            size_bytes = self._probes[0].written - self._delivered
            bounds.append(size_bytes * 8 / self._transmitting_s(now_s))
        return min(bounds)

    @property
    def fastest_bits_per_s(self) -> float:
        """The faster of the last two answers; infinite before the first."""
        return max(self._samples, default=math.inf)

    @property
    def has_two_samples(self) -> bool:
        """Whether a burst that a shaper let pass cannot be all that is known."""
        return len(self._samples) > 1

    def is_blind(self, now_s: float) -> bool:
        """Whether no probe was ever answered: something between does not pass pings on."""
        return not self.answers and now_s - self._began_s > _BLIND_S

    def late_context(self, now_s: float) -> str | None:
        """A context whose listener has heard nothing for a second, while its audio is on its way;
        None if there is none.
        """
        for audio in self._audio:
            due_s = max(self._dry_at_s.get(audio.context, -math.inf), audio.written_s + _LATE_S / 2)
            if now_s - due_s > _LATE_S:
                return audio.context
        return None
