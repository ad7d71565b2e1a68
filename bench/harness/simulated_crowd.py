"""A crowd that comes to a simulated machine: what each listener hears, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from backend.config import Settings
from backend.errors import DuplexError
from backend.events import Audio, Cancel, Done, End, Event, Failed, Mode, Start, Text
from backend.sessions.services import Services
from backend.sessions.session import Session
from bench.harness import virtual_time
from bench.harness.simulated_machine import Costs, SimulatedModel, SimulatedTTS

_CONTEXT = "crowd"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A client that arrives `at_s`, sends the tokens at their rate and listens. `cancel_s`: when
    it cancels, after its start. `reads_after_s`: how long it reads nothing at first. `voice`: None
    is the main engine's.
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
    """What came to one listener. `first_s`: from its start to its first audio. `gaps_s`: how long
    it had nothing to hear although more was to come.
    """

    arrival: Arrival
    first_s: float | None = None
    gaps_s: list[float] = field(default_factory=list)
    refused_s: float | None = None
    spans: list[tuple[int, int]] = field(default_factory=list)
    done: Done | None = None
    _dry_s: float | None = None

    def take(self, event: Event, now_s: float, began_s: float) -> None:
        """An event came."""
        if isinstance(event, Done):
            self.done = event
        if isinstance(event, Failed):
            self.refused_s = now_s - began_s
        if not isinstance(event, Audio):
            return
        self.spans.append(event.text)
        if not event.duration_ms:
            return
        if self._dry_s is None:
            self.first_s = now_s - began_s
        elif now_s > self._dry_s:
            self.gaps_s.append(now_s - self._dry_s)
        self._dry_s = max(self._dry_s or now_s, now_s) + event.duration_ms / 1000


def simulate(
    arrivals: Sequence[Arrival], costs: Costs | None = None, threads: int = 2, max_batch: int = 1
) -> list[Heard]:
    """Serve them all with one engine. Blocks for the CPU time of it; the result is the same each
    time.
    """
    return simulate_mixed(arrivals, [SimulatedModel(costs or Costs(), max_batch)], threads)


def simulate_mixed(
    arrivals: Sequence[Arrival], models: Sequence[SimulatedModel], threads: int = 2
) -> list[Heard]:
    """Serve them all with several engines; the first model's is the main one. See `simulate`."""
    return virtual_time.run(_simulate(arrivals, models, threads))


async def _simulate(
    arrivals: Sequence[Arrival], models: Sequence[SimulatedModel], threads: int
) -> list[Heard]:
    loop = asyncio.get_running_loop()
    tts = SimulatedTTS(models[0], threads)
    for other in models[1:]:
        tts.add_engine(other)
    await tts.warm_up()
    services = Services(Settings(), tts, tts.metrics, loop.time)
    began_s = loop.time()
    heard = await asyncio.gather(*(_listen(services, each, began_s) for each in arrivals))
    tts.stop()
    return heard


async def _listen(services: Services, arrival: Arrival, crowd_began_s: float) -> Heard:
    clock = services.clock
    await asyncio.sleep(crowd_began_s + arrival.at_s - clock())
    heard, began_s = Heard(arrival), clock()
    async with asyncio.TaskGroup() as tasks:
        session = Session(services, tasks)

        async def read() -> None:
            await asyncio.sleep(arrival.reads_after_s)
            while True:
                event = await session.send_queue.get()
                heard.take(event, clock(), began_s)

        reading = tasks.create_task(read())
        writing = tasks.create_task(_write(session, arrival))
        try:
            session.handle_command(Start(context=_CONTEXT, mode=arrival.mode, voice=arrival.voice))
        except DuplexError:
            heard.refused_s = clock() - began_s
        else:
            await writing
            await session.wait_finished()
            await session.send_queue.wait_empty()
        writing.cancel()
        reading.cancel()
    return heard


async def _write(session: Session, arrival: Arrival) -> None:
    for number, token in enumerate(arrival.tokens):
        if arrival.cancel_s is not None and number / arrival.tokens_per_s > arrival.cancel_s:
            session.handle_command(Cancel(_CONTEXT))
            return
        session.handle_command(Text(_CONTEXT, token))
        await asyncio.sleep(1 / arrival.tokens_per_s)
    session.handle_command(End(_CONTEXT))
