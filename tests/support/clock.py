"""A virtual clock: an event loop that jumps to the next timer instead of sleeping."""

from __future__ import annotations

from bench.simulation.virtual_time import VirtualLoop as ScriptedLoop
from bench.simulation.virtual_time import run

__all__ = ["ScriptedLoop", "run"]
