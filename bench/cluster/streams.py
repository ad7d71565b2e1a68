"""How many real-time streams two replicas serve, over one server with as many threads."""

from __future__ import annotations

from collections.abc import Mapping

from bench.harness.report import Figure
from bench.server.streams import count_served, run_load_process

GOAL_SHARE = 0.9
_GROWTH = 1.1


async def measure(urls: Mapping[str, str], first: int, steps: int, for_s: float) -> list[Figure]:
    """The most streams without an underrun at each server, of `steps` numbers from `first` on,
    each tried at both. `urls`: by name, the one server first.
    """
    served = dict.fromkeys(urls, 0)
    streams = first
    for _ in range(steps):
        for name, url in urls.items():
            probe = await run_load_process(url, streams, for_s)
            served[name] = max(served[name], count_served(probe))
        streams = round(streams * _GROWTH)
    single, replicas = served.values()
    share = replicas / single if single else float("nan")
    note = f"{replicas} and {single} streams, of up to {round(streams / _GROWTH)} that came"
    return [Figure("streams of two replicas over one server", share, GOAL_SHARE, False, "", note)]
