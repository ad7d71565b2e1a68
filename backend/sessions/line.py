"""The line to one client, for its session: the bit rate, room for the next part, and probes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from backend.events import Audio
from backend.sessions.bit_rate_control import UNMEASURED_BITS, BitRateControl, Part
from backend.sessions.line_meter import LineMeter

TICK_S = 0.1  # between looks at a line on which something is awaited

_MAX_PROBES = 8  # without an answer
_PROBE_BYTES, _PROBE_S = 64 * 1024, 0.5  # between probes, for audio of a fixed rate


class Line:
    """Outlives its connections: each begins with new measurements.

    The connection reports what it writes and what is answered, the session what the client
    acknowledges and has heard. `is_adaptive`: a context chooses its bit rate by this line, so each
    of its messages is measured.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: seconds."""
        self._clock = clock
        self._meter = LineMeter()
        self._control = BitRateControl(self._meter)
        self._send_probe: Callable[[int], None] | None = None
        self._is_writing = False
        self._changed = asyncio.Event()
        self._is_busy = asyncio.Event()
        self._rank = 0
        self.is_adaptive = False

    # --- for the connection -----------------------------------------------------------------------

    def start_connection(self, send_probe: Callable[[int], None] | None) -> None:
        """Reset the measurements for a new connection. `send_probe`: sends a numbered WebSocket
        ping; None: the transport cannot send one.
        """
        self._meter = LineMeter()
        self._control = BitRateControl(self._meter)
        self._send_probe = send_probe
        self._is_writing = False
        self._is_busy.clear()
        self._changed.set()
        self._probe()  # before all audio: the time of an empty line

    def notify(self) -> None:
        """Wake the tasks in `wait_changed`: the send queue has changed."""
        self._changed.set()

    def on_taken(self) -> None:
        """Audio was taken from the send queue for writing."""
        self._is_writing = True

    def on_written(self, size_bytes: int, audio: Audio | None) -> None:
        """A message was given to the socket, with its audio if it has some."""
        if self._send_probe is not None:
            self._meter.on_written(size_bytes, self._clock(), audio)
        if audio is None:
            return
        self._is_writing = False
        if self._is_probe_due:
            self._probe()
        if self._meter.undelivered_bytes and self._send_probe:
            self._is_busy.set()
        self._changed.set()

    def on_answered(self, number: int) -> None:
        """The pong of a probe arrived."""
        self._meter.on_answered(number, self._clock())
        self._update()

    async def wait_busy(self) -> None:
        """Wait until audio is on its way; then `tick` is to be called. Cancel-safe."""
        await self._is_busy.wait()

    def tick(self) -> None:
        """Look again: an overdue answer says something, too."""
        if self._meter.unprobed_bytes and not self._meter.open_probes:
            self._probe()
        self._update()

    # --- for the session --------------------------------------------------------------------------

    def on_acknowledged(self, after: Mapping[str, int]) -> None:
        """By context, the `seq` of the last audio received."""
        for context, seq in after.items():
            self._meter.on_received(context, seq, self._clock())
        self._update()

    def on_played(self, context: str, heard_ms: float, unheard_s: float) -> None:
        """The client has heard so much; `unheard_s`: written and not heard."""
        now_s = self._clock()
        self._meter.on_heard(context, heard_ms, now_s)
        self._control.on_played(heard_ms / 1000, unheard_s, now_s)
        self._update()

    @property
    def late_context(self) -> str | None:
        """See `LineMeter.late_context`."""
        return self._meter.late_context(self._clock())

    # --- for contexts -----------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether the next part may be encoded, if none is queued."""
        if self._is_writing:
            return False
        return self._send_probe is None or self._control.has_room(self._clock())

    async def wait_changed(self) -> None:
        """Wait until `has_room` may have changed. Cancel-safe."""
        self._changed.clear()
        await self._changed.wait()

    @property
    def lead_s(self) -> float:
        """How much sooner than on a free line audio is to be released to arrive in time."""
        return self._control.lead_s(self._clock()) if self.is_adaptive else 0.0

    def next_rank(self) -> int:
        """The rank of a new context: where audio competes for the line, the oldest comes first,
        as a client plays one after the other.
        """
        self._rank += 1
        return self._rank

    def choose_part(self, ahead_s: float) -> Part:
        """See `BitRateControl`."""
        part = self._control.choose_part(ahead_s, self._clock())
        return part if self._send_probe else replace(part, bits_per_s=UNMEASURED_BITS)

    # --- internals --------------------------------------------------------------------------------

    @property
    def _is_probe_due(self) -> bool:
        meter = self._meter
        if meter.open_probes >= _MAX_PROBES:
            return False
        if self.is_adaptive or meter.unprobed_bytes >= _PROBE_BYTES:
            return True
        return not meter.open_probes and meter.probe_age_s(self._clock()) >= _PROBE_S

    def _probe(self) -> None:
        if self._send_probe is not None:
            self._send_probe(self._meter.begin_probe(self._clock()))

    def _update(self) -> None:
        self._control.update(self._clock())
        if not self._meter.undelivered_bytes:
            self._is_busy.clear()
        self._changed.set()
