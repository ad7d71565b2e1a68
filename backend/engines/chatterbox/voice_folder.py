"""Learned voices on the disk: a folder each, `conditioning.safetensors` and `voice.json`."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import structlog
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from backend.engines.chatterbox.voice import Conditioning
from backend.errors import BadMessage

log = structlog.get_logger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_TENSORS = "conditioning.safetensors"
_ABOUT = "voice.json"
_SOUND = "sound."


class VoiceFolder:
    """Keeps voices in `path`, which is made when the first one comes. All methods block shortly."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Iterator[tuple[str, Conditioning]]:
        """The voices there are; one that cannot be read is left out, with a warning."""
        for about in sorted(self._path.glob(f"*/{_ABOUT}")):
            name = about.parent.name
            try:
                yield name, _read(about.parent)
            except (OSError, KeyError, ValueError, SafetensorError) as error:
                log.warning("voice.unreadable", voice=name, why=str(error))

    def keep(self, name: str, voice: Conditioning, about: dict[str, object]) -> None:
        """Write a voice: all of it or nothing, whatever happens meanwhile."""
        target = self._path / checked(name)
        self._path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=self._path) as scratch:
            fresh = Path(scratch) / "voice"
            fresh.mkdir()
            tensors = {"speaker": voice.speaker, "prompt_tokens": voice.prompt_tokens}
            tensors |= {_SOUND + key: each for key, each in voice.sound.items()}
            save_file({key: each.contiguous() for key, each in tensors.items()}, fresh / _TENSORS)
            (fresh / _ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
            if target.exists():
                target.rename(Path(scratch) / "old")
            fresh.rename(target)

    def drop(self, name: str) -> None:
        """Delete a voice; one that is not there is fine."""
        shutil.rmtree(self._path / checked(name), ignore_errors=True)


def checked(name: str) -> str:
    """The name, when it can be a voice's and a folder's. Raises `BadMessage`."""
    if not _NAME.fullmatch(name):
        raise BadMessage(
            f"voice name {name[:40]!r}: expected 1 to 64 letters, digits, '-' or '_', "
            "a letter or digit first"
        )
    return name


def _read(folder: Path) -> Conditioning:
    tensors = load_file(folder / _TENSORS)
    sound = {
        key.removeprefix(_SOUND): each for key, each in tensors.items() if key.startswith(_SOUND)
    }
    return Conditioning(tensors["speaker"], tensors["prompt_tokens"], sound)
