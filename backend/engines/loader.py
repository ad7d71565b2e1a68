"""Loads the engines that the settings name, or the best one that this machine can run."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import structlog

from backend.config import ChatterboxSettings, EngineSettings, Settings
from backend.engines.base import Model
from backend.engines.speed import measure_rtf
from backend.engines.weights import WEIGHTS, weights_folder
from backend.errors import ConfigError, DuplexError

log = structlog.get_logger(__name__)

_EMBEDDED = "hibari"
_PIPER = "piper"
_NANO = "chatterbox-nano"  # the only one that may keep up on a CPU
_HIGHEST_RTF = 0.7  # of speech on a CPU, which the server's other work shares
_INSTALL = "in a checkout run: make install-chatterbox"


def load_model(settings: Settings, models: Path) -> Model:
    """Choose and load the engine, and log the reason. Blocks (seconds); does not use the network.
    `models`: the folder of weights and voices. Raises `ConfigError`.
    """
    model: Model | None = None
    name, why = str(settings.engine.name), "set by engine.name"
    if name == "auto":
        name, why, model = _choose_best(settings.chatterbox, models)
    log.info("engine.chosen", engine=name, why=why, models=str(models))
    return model or _load_engine(name, settings, models)


def load_other_models(settings: Settings, models: Path, main: str) -> list[Model]:
    """Load the further engines that `engine.also` names, besides the main one. Blocks as
    `load_model` does. One that cannot be loaded is left out, with a warning. Raises `ConfigError`
    for a name that is none.
    """
    loaded: list[Model] = []
    for name in _other_names(settings.engine.also, models):
        if name in (main, *(model.info.name for model in loaded)):
            continue
        try:
            loaded.append(_load_engine(name, settings, models))
        except ConfigError as error:
            log.warning("engine.left_out", engine=name, why=error.message)
        else:
            log.info("engine.also", engine=name)
    return loaded


def _other_names(also: str, models: Path) -> list[str]:
    if also.strip() == "auto":
        return [_PIPER] if any((models / _PIPER).glob("*.onnx")) else []
    names = [name.strip() for name in also.split(",") if name.strip() not in ("", "none")]
    known = get_args(EngineSettings.model_fields["name"].annotation)
    for name in names:
        if name == "auto" or name not in known:
            choices = ", ".join(each for each in known if each != "auto")
            raise ConfigError(f"engine.also: {name[:40]!r} is no engine; engines: {choices}")
    return names


def _load_engine(name: str, settings: Settings, models: Path) -> Model:
    if name == _EMBEDDED:
        return _load_hibari(models)
    _check_device(name, settings.chatterbox.device)
    return _load_chatterbox(name, settings.chatterbox, models)


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


def _choose_best(settings: ChatterboxSettings, models: Path) -> tuple[str, str, Model | None]:
    """The name of the best engine, the reason, and the model if it had to be loaded to know."""
    present = [
        name for name, w in WEIGHTS.items() if not w.missing_files(weights_folder(name, models))
    ]
    if not present:  # checked first: torch takes seconds to look for a device
        best = next(iter(WEIGHTS))
        why = f"no weights of Chatterbox found (get them: duplex-tts download {best})"
        return _EMBEDDED, why, None
    found = f"weights of {present[0]} found"
    if not is_installed("chatterbox"):
        return _EMBEDDED, f"{found}, but its package is missing; {_INSTALL}", None
    device = None if settings.device == "cpu" else cuda_device()
    if device is not None:
        return present[0], f"its weights and a CUDA device are present ({device})", None
    no_device = "chatterbox.device is cpu" if settings.device == "cpu" else explain_no_device()
    if _NANO not in present:
        return _EMBEDDED, f"{found}, but no CUDA device: {no_device}", None
    model, speed = _load_if_fast(settings, models)
    return _NANO if model else _EMBEDDED, f"{speed}; no CUDA device: {no_device}", model


def _load_if_fast(settings: ChatterboxSettings, models: Path) -> tuple[Model | None, str]:
    """Nano, loaded, if it keeps up on this CPU, and what was measured."""
    model = _load_chatterbox(_NANO, settings.model_copy(update={"device": "cpu"}), models)
    rtf = measure_rtf(model)
    verdict = "keeps up" if rtf <= _HIGHEST_RTF else "does not keep up"
    why = (
        f"{_NANO} {verdict} on this CPU: {rtf:.2f} s for a second of speech, {_HIGHEST_RTF} allowed"
    )
    return model if rtf <= _HIGHEST_RTF else None, why


def _load_hibari(models: Path) -> Model:
    from backend.engines.hibari.engine import REINSTALL, HibariModel

    with _wrap_load_errors(_EMBEDDED, REINSTALL):
        return HibariModel(models / "hibari")


def _load_chatterbox(name: str, settings: ChatterboxSettings, models: Path) -> Model:
    weights, folder = WEIGHTS[name], weights_folder(name, models)
    if missing := weights.missing_files(folder):
        raise ConfigError(
            f"{name}: no {', '.join(missing)} in {folder}; run: duplex-tts download {name}"
        )
    try:
        from backend.engines.chatterbox.model import ChatterboxModel
    except ImportError as error:
        raise ConfigError(f"{name}: {error}; {_INSTALL}") from error
    with _wrap_load_errors(name, f"`duplex-tts download {name}` checks its files"):
        return ChatterboxModel.load(folder, settings, models / "voices" / name)


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


def _check_device(engine: str, requested: str) -> None:
    if requested != "cpu" and cuda_device():
        return
    why = "chatterbox.device is cpu" if requested == "cpu" else explain_no_device()
    if requested == "cuda":
        raise ConfigError(f"chatterbox.device = cuda: no CUDA device found ({why}); use auto")
    slow = "may be slower" if engine == _NANO else "is slower"
    log.warning("engine.slow", why=f"{engine} {slow} than real time on a CPU ({why})")
