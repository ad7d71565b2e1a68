"""The fake engine on a card that can be lost, and the program that serves with it:
`python -m tests.support.engines.dying_engine --port 0`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from unittest.mock import patch

from backend import main
from backend.engines.base import Chunk, Engine, Failure
from backend.errors import EngineDead
from tests.support.engines.fake_engine import FakeEngine, FakeModel

DEADLY_WORD = "die"  # the card is lost when it is to be spoken
STUCK_WORD = "stick"  # and a thread waits for it, for ever
SLOW_WORD = "linger"  # never rendered, never refused
MESSAGE = "the card computes no more (a test); start the server anew"


class DyingEngine(FakeEngine):
    dead = False

    def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
        releases = {id_: self._jobs[id_].release for id_ in urgent}
        texts = {id_: release.text for id_, release in releases.items() if release is not None}
        if not self.dead and any(STUCK_WORD in text for text in texts.values()):
            threading.Thread(target=threading.Event().wait, daemon=False).start()
        words = (DEADLY_WORD, STUCK_WORD)
        self.dead = self.dead or any(word in text for text in texts.values() for word in words)
        self.check()
        quick = [id_ for id_, text in texts.items() if SLOW_WORD not in text]
        if not quick:
            time.sleep(0.005)  # a step takes its time
        return super().step(quick)

    def abort(self, utterance_id: str) -> None:
        super().abort(utterance_id)
        self.check()

    def check(self) -> None:
        if self.dead:
            raise EngineDead(MESSAGE)


class DyingModel(FakeModel):
    def __init__(self) -> None:
        super().__init__(max_batch=64)

    def create_engine(self) -> Engine:
        self.engines.append(DyingEngine(self.info))
        return self.engines[-1]


if __name__ == "__main__":
    with patch.multiple(main, load_model=lambda settings, models: DyingModel(), _EXIT_AFTER_S=2.0):
        main.main(sys.argv[1:])
