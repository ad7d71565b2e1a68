"""Weights that are not in a package: which files an engine needs, and where they lie.

Nothing here touches the network; `backend.engines.download` fetches.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Weights:
    """The files of one engine.

    `repository`: where they are on the hub. `needed`: without these the engine cannot start.
    `also`: patterns of small files beside them, of which the engine uses what there is.
    """

    engine: str
    repository: str
    needed: tuple[str, ...]
    also: tuple[str, ...] = ()

    def missing(self, folder: Path) -> list[str]:
        """What is needed and not in the folder. A file is there only when it is complete."""
        return [name for name in self.needed if not (folder / name).is_file()]

    def wants(self, name: str) -> bool:
        """Whether this file of the repository is one of ours."""
        return name in self.needed or any(_matches(name, pattern) for pattern in self.also)


def _matches(name: str, pattern: str) -> bool:
    return "/" not in name and Path(name).match(pattern)


WEIGHTS = {
    each.engine: each
    for each in (
        Weights(
            "chatterbox-turbo",
            "ResembleAI/chatterbox-turbo",
            (
                "tokenizer_config.json",
                "conds.pt",
                "ve.safetensors",
                "s3gen_meanflow.safetensors",
                "t3_turbo_v1.safetensors",
            ),
            ("*.json", "*.txt"),
        ),
        Weights(
            "chatterbox",
            "ResembleAI/chatterbox",
            (
                "tokenizer.json",
                "conds.pt",
                "ve.safetensors",
                "s3gen.safetensors",
                "t3_cfg.safetensors",
            ),
        ),
    )
}
"""By the engine's name, the best one first."""


def models_folder(setting: str = "", root: Path = _ROOT) -> Path:
    """Where weights and voices lie, there or not: what `engine.models` names; without it `models/`
    of a checkout, and for an installed package the user's folder for data.

    `root`: what holds our packages.
    """
    if setting:
        return Path(os.path.expanduser(setting)).absolute()
    if (root / "pyproject.toml").is_file():
        return root / "models"
    return platformdirs.user_data_path("duplex-tts", appauthor=False).absolute() / "models"


def folder_of(engine: str, models: Path | None = None) -> Path:
    """Where the engine's weights lie."""
    return (models or models_folder()) / engine
