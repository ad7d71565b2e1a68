"""A fake engine whose first voice speaks several languages."""

from __future__ import annotations

from dataclasses import replace

from backend.engines.base import Engine, Utterance
from backend.events import Voice
from tests.support.engines.fake_engine import FakeEngine, FakeModel

LANGUAGES = ("en", "de", "ru")


class MultilingualModel(FakeModel):
    """`heart` speaks English, German and Russian, `second` only English. `spoken`: the language of
    each utterance.
    """

    def __init__(self) -> None:
        super().__init__()
        self.info = replace(self.info, languages=LANGUAGES)
        self.spoken: list[str | None] = []

    def voices(self) -> tuple[Voice, ...]:
        own, *others = LANGUAGES
        return (
            Voice("heart", own, "", True, other_languages=tuple(others)),
            Voice("second", own, "", True),
        )

    def create_engine(self) -> Engine:
        engine = _RecordingEngine(self.info)
        engine.spoken = self.spoken
        self.engines.append(engine)
        return engine


class _RecordingEngine(FakeEngine):
    spoken: list[str | None]

    def begin(self, utterance: Utterance) -> None:
        self.spoken.append(utterance.language)
        super().begin(utterance)
