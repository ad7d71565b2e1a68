"""An engine thread's engine: dropped while it is idle, created again for the next utterance."""

from __future__ import annotations

import gc
import time

import structlog

from backend.engines.base import Engine, Model, UnloadableModel
from backend.engines.unavailable import UnavailableEngine
from backend.errors import DuplexError, EngineDead, EngineFailed

log = structlog.get_logger(__name__)


class OwnedEngine:
    """All methods but `is_loaded` are called by the thread that owns the engine, and block."""

    def __init__(self, model: Model) -> None:
        self.engine: Engine | None = None
        self._model = model
        self._unloaded = False  # the model is off its device
        self._since_s: float | None = None  # the utterance that waits for the model to return

    @property
    def is_loaded(self) -> bool:
        """Whether an utterance can be spoken without loading first. May be read anywhere."""
        return not self._unloaded

    def load(self) -> Engine:
        """The engine, created if there is none (seconds). If that fails, one that refuses every
        utterance with the reason; an unloaded model is tried again at the next call.
        """
        if self.engine is None or self._unloaded:
            self.engine = self._create()
        return self.engine

    def unload(self) -> None:
        """Drop the engine and move its model off the device, if it can."""
        if not isinstance(self._model, UnloadableModel) or self._unloaded:
            return
        self.engine = None
        self._unloaded = True
        # The server froze what it had at its start; cycles in there are else never collected.
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        try:
            self._model.release()
        except Exception as error:  # the engine boundary; `load` restores all of it
            log.error("engine.not_released", exc_info=error)
        else:
            log.info("engine.released", engine=self._model.info.name)

    def note_audio(self) -> None:
        """Log the first sound after a return."""
        if self._since_s is not None:
            seconds = round(time.perf_counter() - self._since_s, 3)
            log.info("engine.first_sound_after_reload", seconds=seconds)
            self._since_s = None

    def _create(self) -> Engine:
        started_s = time.perf_counter()
        try:
            if self._unloaded and isinstance(self._model, UnloadableModel):
                self._model.restore()
            engine = self._model.create_engine()
        except Exception as error:  # noqa: BLE001 - the engine boundary
            return UnavailableEngine(self._model.info, _to_refusal(self._model, error))
        if self._unloaded:
            self._unloaded, self._since_s = False, started_s
            seconds = round(time.perf_counter() - started_s, 3)
            log.info("engine.reloaded", engine=self._model.info.name, seconds=seconds)
        return engine


def to_client_error(engine: str, error: Exception) -> DuplexError:
    """The error that clients get for an engine's error; bugs are logged."""
    if isinstance(error, DuplexError):
        return error
    log.error("engine.failed", engine=engine, exc_info=error)
    return EngineFailed(f"the engine failed ({type(error).__name__}); its log says more")


def _to_refusal(model: Model, error: Exception) -> DuplexError:
    refusal = to_client_error(model.info.name, error)
    return refusal if isinstance(refusal, EngineDead) else EngineFailed(refusal.message)
