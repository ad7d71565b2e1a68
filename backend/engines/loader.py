"""Loads the engine that the settings name, or the best one that this machine can run."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from backend.config import ChatterboxSettings, Settings
from backend.engines.base import Model
from backend.engines.weights import WEIGHTS, Weights, weights_folder
from backend.errors import ConfigError, DuplexError

log = structlog.get_logger(__name__)

_EMBEDDED = "hibari"
_INSTALL = "in a checkout run: make install-chatterbox"


def load_model(settings: Settings, models: Path) -> Model:
    """Choose and load the engine, and log the reason. Blocks (seconds); does not use the network.
    `models`: the folder of weights and voices. Raises `ConfigError`.
    """
    requested = settings.engine.name
    name, why = _choose_best(models) if requested == "auto" else (requested, "set by engine.name")
    log.info("engine.chosen", engine=name, why=why, models=str(models))
    if name == _EMBEDDED:
        return _load_hibari(models)
    return _load_chatterbox(WEIGHTS[name], settings.chatterbox, models)


def cuda_device() -> str | None:
    """The name of this machine's CUDA device. Blocks for seconds if torch is installed."""
    if not is_installed("torch"):
        return None
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else None


def explain_no_device() -> str:
    """The reason why torch finds no CUDA device."""
    if not is_installed("torch"):
        return f"torch is not installed; {_INSTALL}"
    import torch

    if not torch.version.cuda:
        return "this torch is built without CUDA"
    return f"torch for CUDA {torch.version.cuda} finds none; check GPU and driver with nvidia-smi"


def is_installed(package: str) -> bool:
    """Whether a package is installed, without importing it."""
    return importlib.util.find_spec(package) is not None


def _choose_best(models: Path) -> tuple[str, str]:
    """The name of the best engine, and the reason."""
    present = [w for w in WEIGHTS.values() if not w.missing_files(weights_folder(w.engine, models))]
    if not present:  # checked first: torch takes seconds to look for a device
        best = next(iter(WEIGHTS))
        return _EMBEDDED, f"no weights of Chatterbox found (get them: duplex-tts download {best})"
    engine = present[0].engine
    if not is_installed("chatterbox"):
        return _EMBEDDED, f"weights of {engine} found, but its package is missing; {_INSTALL}"
    device = cuda_device()
    if device is None:
        return _EMBEDDED, f"weights of {engine} found, but no CUDA device: {explain_no_device()}"
    return engine, f"its weights and a CUDA device are present ({device})"


def _load_hibari(models: Path) -> Model:
    from backend.engines.hibari.engine import REINSTALL, HibariModel

    with _wrap_load_errors(_EMBEDDED, REINSTALL):
        return HibariModel(models / "hibari")


def _load_chatterbox(weights: Weights, settings: ChatterboxSettings, models: Path) -> Model:
    folder = weights_folder(weights.engine, models)
    if missing := weights.missing_files(folder):
        raise ConfigError(
            f"{weights.engine}: no {', '.join(missing)} in {folder}; "
            f"run: duplex-tts download {weights.engine}"
        )
    try:
        from backend.engines.chatterbox.model import ChatterboxModel
    except ImportError as error:
        raise ConfigError(f"{weights.engine}: {error}; {_INSTALL}") from error
    _check_device(settings.device)
    remedy = f"`duplex-tts download {weights.engine}` checks its files"
    with _wrap_load_errors(weights.engine, remedy):
        return ChatterboxModel.load(folder, settings, models / "voices" / weights.engine)


@contextmanager
def _wrap_load_errors(engine: str, remedy: str) -> Iterator[None]:
    """Turn any error of loading a model's files into one `ConfigError` line with a remedy."""
    try:
        yield
    except DuplexError:
        raise
    except Exception as error:
        log.debug("engine.not_loaded", engine=engine, exc_info=error)
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConfigError(f"{engine} could not be loaded ({why}); {remedy}") from error


def _check_device(requested: str) -> None:
    if requested != "cpu" and cuda_device():
        return
    why = "chatterbox.device is cpu" if requested == "cpu" else explain_no_device()
    if requested == "cuda":
        raise ConfigError(f"chatterbox.device = cuda: no CUDA device found ({why}); use auto")
    log.warning("engine.slow", why=f"Chatterbox is slower than real time on a CPU ({why})")
