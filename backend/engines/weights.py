"""Weights that are not in a package: which files an engine needs, and where they lie.

Nothing here touches the network; `backend.download` fetches.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MODELS = Path(__file__).resolve().parents[2] / "models"


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


def folder_of(engine: str, models: Path = MODELS) -> Path:
    """Where the engine's weights lie."""
    return models / engine
