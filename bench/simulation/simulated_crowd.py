"""A crowd that comes to a simulated server: what each listener hears, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from backend.config import Settings
from backend.errors import DuplexError
from backend.events import Audio, Cancel, Done, End, Event, Failed, Mode, Start, Text
from backend.sessions.services import Services
from backend.sessions.session import Session
from bench.simulation import virtual_time
from bench.simulation.simulated_engine import Costs, Machine
from bench.simulation.simulated_machine import SimulatedTTS


@dataclass(frozen=True, slots=True)
class Arrival:
    """A client that arrives `at_s`, sends the tokens at their rate and listens. `cancel_s`: when
    it cancels, after its start. `reads_after_s`: how long it reads nothing at first. `voice`: None
    is the first engine's.
    """

    at_s: float
    tokens: Sequence[str]
    tokens_per_s: float = 20.0
    mode: Mode = "live"
    cancel_s: float | None = None
    reads_after_s: float = 0.0
    voice: str | None = None


@dataclass(slots=True)
class Heard:
    """What came to one listener. `began_s`: when its text began; None: not yet. `first_s`: from
    then to its first audio. `gaps_s`: how long it had nothing to hear although more was to come;
    `moved_gaps_s`: because its server had died. `spans`: of the text, spoken so far. `dry_s`: when
    it has heard all that came.
    """

    arrival: Arrival
    began_s: float | None = None
    first_s: float | None = None
    gaps_s: list[float] = field(default_factory=list)
    moved_gaps_s: list[float] = field(default_factory=list)
    refused_s: float | None = None
    spans: list[tuple[int, int]] = field(default_factory=list)
    done: Done | None = None
    dry_s: float | None = None
    _moved: bool = False
    _base: int = 0  # offset of the current server's text in the client's

    @property
    def spoken_to(self) -> int:
        """The text offset up to which audio has come."""
        return self.spans[-1][1] if self.spans else 0

    def refuse(self, now_s: float) -> None:
        """It was refused."""
        self.refused_s = now_s - (self.began_s or 0.0)

    def move(self) -> None:
        """Its server has died; the rest of the text goes to another one."""
        self._moved, self._base = True, self.spoken_to

    def take(self, event: Event, now_s: float) -> None:
        """An event came."""
        if isinstance(event, Done):
            self.done = event
        if isinstance(event, Failed):
            self.refuse(now_s)
        if not isinstance(event, Audio):
            return
        self.spans.append((self._base + event.text[0], self._base + event.text[1]))
        if not event.duration_ms:
            return
        if self.dry_s is None:
            self.first_s = now_s - (self.began_s or 0.0)
        elif now_s > self.dry_s:
            (self.moved_gaps_s if self._moved else self.gaps_s).append(now_s - self.dry_s)
        self._moved = False
        self.dry_s = max(self.dry_s or now_s, now_s) + event.duration_ms / 1000


@dataclass(frozen=True, slots=True)
class Line:
    """A context of a session of a server."""

    services: Services
    session: Session
    context: str


def simulate(
    arrivals: Sequence[Arrival], costs: Costs | None = None, threads: int = 2, max_batch: int = 1
) -> list[Heard]:
    """Serve them all by one server. Blocks for the CPU time of it; the result is the same each
    time.
    """
    return simulate_engines(arrivals, [Machine(costs or Costs(), threads, max_batch)])


def simulate_engines(arrivals: Sequence[Arrival], machines: Sequence[Machine]) -> list[Heard]:
    """Serve them all by one server with several engines; see `simulate`."""
    return virtual_time.run(_simulate(arrivals, machines))


async def _simulate(arrivals: Sequence[Arrival], machines: Sequence[Machine]) -> list[Heard]:
    loop = asyncio.get_running_loop()
    tts = SimulatedTTS(machines[0], machines[1:])
    await tts.warm_up()
    services = Services(Settings(), tts, tts.metrics, loop.time)
    began_s = loop.time()
    heard = await asyncio.gather(*(_arrive(services, each, began_s) for each in arrivals))
    tts.stop()
    return heard


async def _arrive(services: Services, arrival: Arrival, crowd_began_s: float) -> Heard:
    await asyncio.sleep(crowd_began_s + arrival.at_s - services.clock())
    heard = Heard(arrival, services.clock())
    async with asyncio.TaskGroup() as tasks:
        session = Session(services, tasks)
        await listen(Line(services, session, "crowd"), heard)
    return heard


async def listen(line: Line, heard: Heard) -> None:
    """Send what is not spoken yet of the arrival's text and hear it to its end. Cancel-safe."""
    clock, session, arrival = line.services.clock, line.session, heard.arrival
    async with asyncio.TaskGroup() as tasks:

        async def read() -> None:
            await asyncio.sleep(arrival.reads_after_s)
            while True:
                heard.take(await session.send_queue.get(), clock())

        reading = tasks.create_task(read())
        try:
            session.handle_command(
                Start(context=line.context, mode=arrival.mode, voice=arrival.voice)
            )
        except DuplexError:
            heard.refuse(clock())
        else:
            await _write(line, heard)
            await session.wait_finished()
            await session.send_queue.wait_empty()
        reading.cancel()


async def _write(line: Line, heard: Heard) -> None:
    """Send each token when it is written, those that are written already at once."""
    arrival, session, context = heard.arrival, line.session, line.context
    spoken_to, end, began_s = heard.spoken_to, 0, heard.began_s or 0.0
    for number, token in enumerate(arrival.tokens):
        written_s = number / arrival.tokens_per_s
        start, end = end, end + len(token)
        if end <= spoken_to:
            continue
        await asyncio.sleep(began_s + written_s - line.services.clock())
        if arrival.cancel_s is not None and written_s > arrival.cancel_s:
            session.handle_command(Cancel(context))
            return
        session.handle_command(Text(context, token[max(0, spoken_to - start) :]))
    session.handle_command(End(context))
