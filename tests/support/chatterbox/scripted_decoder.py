"""A decoder whose tokens are scripted, and a sound in which every token can be heard."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from backend.engines.chatterbox.engine import ChatterboxEngine
from backend.engines.chatterbox.speech_tokens.decoder import TokenSession

STOP = None  # the stop token, in a script
SILENT = 4299
TOKEN_SAMPLES = 960

Script = Callable[[int], "int | None"]
"""The token that the model draws as the nth of a passage."""


class ScriptedDecoder:
    """Draws what `scripts` say, one for each session in the order of joining (the last for all that
    follow). As the model's: it draws no stop before a session's `min_tokens`; the script's is then
    skipped.
    """

    def __init__(self, *scripts: Script, slots: int = 4) -> None:
        self._scripts = list(scripts)
        self._slots = slots
        self._drawn: dict[int, tuple[Script, int]] = {}  # by session: its script and place in it
        self.sessions: list[TokenSession] = []

    @property
    def free_slots(self) -> int:
        """See `SpeechTokenDecoder`."""
        return self._slots - sum(session.slot >= 0 for session in self.sessions)

    def join(self, session: TokenSession, prefix: Any, text: Tensor) -> None:
        """See `SpeechTokenDecoder`."""
        if session not in self.sessions:
            script = self._scripts[min(len(self.sessions), len(self._scripts) - 1)]
            self.sessions.append(session)
            self._drawn[id(session)] = (script, 0)
        session.slot, session.text, session.ended = 0, text, False

    def leave(self, session: TokenSession) -> None:
        """See `SpeechTokenDecoder`."""
        session.slot = -1

    def advance(self, sessions: Sequence[TokenSession], counts: Sequence[int]) -> None:
        """See `SpeechTokenDecoder`."""
        for session, count in zip(sessions, counts, strict=True):
            for _ in range(count):
                if session.slot >= 0 and not session.ended:
                    self._draw(session)

    def _draw(self, session: TokenSession) -> None:
        script, place = self._drawn[id(session)]
        while (token := script(place)) is STOP and len(session.tokens) < session.min_tokens:
            place += 1
        self._drawn[id(session)] = script, place + 1
        if token is STOP:
            session.ended = True
        else:
            session.tokens.append(token)


def say(*parts: Iterable[int]) -> Script:
    """Draws the tokens of `parts`, then stops; where no stop may be drawn, it goes on."""
    tokens = [token for part in parts for token in part]
    return lambda n: tokens[n] if n < len(tokens) else STOP if n == len(tokens) else 1000 + n


def loop(start: Sequence[int], period: Sequence[int]) -> Script:
    """Draws `start`, then `period` for ever."""
    return lambda n: start[n] if n < len(start) else period[(n - len(start)) % len(period)]


def endless(n: int) -> int:
    """Never stops, never repeats."""
    return n


def use_script(
    engine: ChatterboxEngine, monkeypatch: pytest.MonkeyPatch, *scripts: Script
) -> ScriptedDecoder:
    """Give the engine a scripted decoder, and a sound that `heard_tokens` can read."""
    decoder, renderer = ScriptedDecoder(*scripts), engine._parts.renderer
    parts = dataclasses.replace(engine._parts, decoder=cast(Any, decoder))
    monkeypatch.setattr(engine, "_parts", parts)
    monkeypatch.setattr(engine._parts.voices, "prefix", lambda *_: None)
    monkeypatch.setattr(type(renderer.flow), "render", lambda _, jobs: [*map(_spell_mel, jobs)])
    monkeypatch.setattr(
        type(renderer.vocoder),
        "synthesize",
        lambda _, parts: [part.mel[0].repeat_interleave(480) for part in parts],
    )
    return decoder


def _spell_mel(job: Any) -> Tensor:
    levels = torch.tensor([level_of(token) for token in job.tokens.tolist()])
    return levels.repeat_interleave(2).expand(80, -1)


def level_of(token: int) -> float:
    """The level of a token's sound."""
    return 0.0 if token == SILENT else 0.1 + token / 10_000


def heard_tokens(pcm: Any) -> list[int]:
    """The tokens in the sound, without silence; a repeated one counts as one."""
    read = np.round((pcm[::48] - 0.1) * 10_000).astype(int).tolist()
    sounds = [token for token in read if token >= 0]
    return sounds[:1] + [other for one, other in pairwise(sounds) if one != other]


def silences_s(pcm: Any) -> list[float]:
    """The lengths of the silences in the sound, in order; the first and the last may be 0."""
    edges = np.flatnonzero(np.diff(np.concatenate([[1], pcm != 0, [1]])))
    lengths = [(high - low) / 24_000 for low, high in zip(edges[::2], edges[1::2], strict=True)]
    start = [] if len(pcm) and pcm[0] == 0 else [0.0]
    end = [] if len(pcm) and pcm[-1] == 0 else [0.0]
    return [*start, *(round(length, 3) for length in lengths), *end]
