"""What a check reports, and what it is given."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from backend.config import Settings
from backend.engines.weights import WEIGHTS, models_folder

CHECKOUT = Path(__file__).resolve().parents[2]
"""The folder of our packages; a checkout has a `pyproject.toml` there."""


class Status(StrEnum):
    """`ERROR`: the server cannot run as the settings ask. `ABSENT`: missing, and not needed."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    `remedy`: what mends it, in words; `command`: for a shell. One of the two is there unless the
    status is `OK`. `values`: the figures behind the text, JSON.
    """

    name: str
    status: Status
    text: str
    remedy: str = ""
    command: str = ""
    values: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """The finding as JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Finding:
        """The finding of `to_json`."""
        status = Status(str(data["status"]))
        return cls(**{**data, "status": status})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class CheckInputs:
    """What the checks go by. `engine`: the one that a self-test speaks with; empty: the one that
    the settings choose. `budget_s`: seconds that a self-test may take.
    """

    settings: Settings = field(default_factory=Settings)
    engine: str = ""
    random_weights: bool = False
    budget_s: float = 300.0

    @property
    def models(self) -> Path:
        """The folder of weights and voices."""
        return models_folder(self.settings.engine.models)

    @property
    def needs_chatterbox(self) -> bool:
        """Whether the settings name an engine with weights of its own."""
        return self.settings.engine.name in WEIGHTS

    @property
    def if_missing(self) -> Status:
        """The status of a part of Chatterbox that is not there."""
        return Status.ERROR if self.needs_chatterbox else Status.ABSENT

    @property
    def if_broken(self) -> Status:
        """The status of a part of Chatterbox that is there and does not work."""
        return Status.ERROR if self.needs_chatterbox else Status.WARNING

    def to_json(self) -> dict[str, object]:
        """The inputs as JSON. Contains the API keys."""
        return {**dataclasses.asdict(self), "settings": self.settings.model_dump()}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> CheckInputs:
        """The inputs of `to_json`."""
        settings = Settings.model_validate(data["settings"])
        return cls(**{**data, "settings": settings})  # type: ignore[arg-type]


def is_checkout(root: Path = CHECKOUT) -> bool:
    """Whether the program runs from a checkout, not from an installed package."""
    return (root / "pyproject.toml").is_file()


def is_installed(package: str) -> bool:
    """Whether a top-level package is installed, without importing it."""
    return importlib.util.find_spec(package) is not None
