"""Downloadable weights: which files an engine needs, and where they are stored.

Does not use the network; `backend.engines.download` does.
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

    `repository`: on the hub. `required`: files that the engine cannot start without. `optional`:
    patterns of small files that it can do without.
    """

    engine: str
    repository: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()

    def missing_files(self, folder: Path) -> list[str]:
        """The required files not in the folder. Files there are always complete."""
        return [name for name in self.required if not (folder / name).is_file()]

    def includes(self, name: str) -> bool:
        """Whether this file of the repository is to be downloaded."""
        return name in self.required or any(_matches(name, pattern) for pattern in self.optional)


def _matches(name: str, pattern: str) -> bool:
    return "/" not in name and Path(name).match(pattern)


WEIGHTS = {
    weights.engine: weights
    for weights in (
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
        Weights(
            "chatterbox-multilingual",
            "ResembleAI/chatterbox",
            (
                "grapheme_mtl_merged_expanded_v1.json",
                "Cangjie5_TC.json",
                "conds.pt",
                "ve.safetensors",
                "s3gen.safetensors",
                "t3_mtl23ls_v3.safetensors",
            ),
        ),
        Weights(
            "chatterbox-nano",
            "ResembleAI/chatterbox-nano",
            (
                "vocab.json",
                "merges.txt",
                "added_tokens.json",
                "conds.pt",
                "ve.safetensors",
                "s3gen_meanflow.safetensors",
                "t3_nano_v1.safetensors",
            ),
            ("*.json", "*.txt"),
        ),
    )
}
"""By engine name, best engine first."""


def models_folder(setting: str = "", root: Path = _ROOT) -> Path:
    """The folder of weights and voices, which may not exist: the setting `engine.models`, else
    `models/` of a checkout, else (installed package) the user's data folder.

    `root`: the folder of our packages.
    """
    if setting:
        return Path(os.path.expanduser(setting)).absolute()
    if (root / "pyproject.toml").is_file():
        return root / "models"
    return platformdirs.user_data_path("duplex-tts", appauthor=False).absolute() / "models"


def weights_folder(engine: str, models: Path | None = None) -> Path:
    """The folder of the engine's weights."""
    return (models or models_folder()) / engine
