"""Chatterbox with random weights, from the benchmark of a checkout: full size, says no words."""

from __future__ import annotations

import importlib
from pathlib import Path

from backend.config import Settings
from backend.engines.base import Model
from backend.engines.weights import WEIGHTS
from backend.errors import ConfigError


def load_random_model(settings: Settings, voices: Path) -> Model:
    """The model that the settings name. Blocks (half a minute); takes 3.5 GB. Raises `ConfigError`
    outside a checkout, or if its packages are missing.
    """
    name = settings.engine.name
    if name not in WEIGHTS:
        names = ", ".join(WEIGHTS)
        raise ConfigError(f"there are no random weights of {name}; name one with --engine: {names}")
    try:
        # Not an import statement: the server does not depend on the benchmark.
        weights = importlib.import_module("bench.chatterbox.random_weights")
    except ImportError as error:
        if (error.name or "").startswith("bench"):
            why = "random weights are part of a checkout, not of the installed package"
            raise ConfigError(f"{why}; clone the repository and run the doctor there") from error
        why = f"{name}: {error}"
        raise ConfigError(f"{why}; in a checkout run: make install-chatterbox") from error
    import torch

    from backend.engines.chatterbox.model import ChatterboxModel

    if name not in weights.ENGINES:
        names = ", ".join(weights.ENGINES)
        raise ConfigError(f"there are no random weights of {name}; only of {names}")
    device = settings.chatterbox.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return ChatterboxModel(weights.random_upstream(name, device), settings.chatterbox, voices)
