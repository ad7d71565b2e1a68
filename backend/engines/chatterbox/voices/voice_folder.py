"""Learned voices on disk: a folder each, with `conditioning.safetensors` and `voice.json`."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import structlog
import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save, save_file

from backend.engines.chatterbox.voices.voice import Conditioning
from backend.errors import BadMessage

log = structlog.get_logger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_TENSORS = "conditioning.safetensors"
_ABOUT = "voice.json"
_SOUND = "sound."


class VoiceFolder:
    """Voices in `path`, which is created on the first save. All methods block briefly."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load_voices(self) -> Iterator[tuple[str, Conditioning]]:
        """Load all voices; unreadable ones are skipped with a warning."""
        for about in sorted(self._path.glob(f"*/{_ABOUT}")):
            name = about.parent.name
            try:
                yield name, _read_voice(about.parent)
            except (OSError, KeyError, ValueError, SafetensorError) as error:
                log.warning("voice.unreadable", voice=name, why=str(error))

    def save_voice(self, name: str, voice: Conditioning, about: dict[str, object]) -> None:
        """Write a voice atomically."""
        target = self._path / check_name(name)
        self._path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=self._path) as scratch:
            fresh = Path(scratch) / "voice"
            fresh.mkdir()
            save_file(_to_tensors(voice), fresh / _TENSORS)
            (fresh / _ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
            if target.exists():
                target.rename(Path(scratch) / "old")
            fresh.rename(target)

    def delete_voice(self, name: str) -> None:
        """Delete a voice; does nothing if there is none."""
        shutil.rmtree(self._path / check_name(name), ignore_errors=True)


def check_name(name: str) -> str:
    """Return the name if valid as a voice and a folder. Raises `BadMessage`."""
    if not _NAME.fullmatch(name):
        raise BadMessage(
            f"voice name {name[:40]!r}: expected 1 to 64 letters, digits, '-' or '_', "
            "starting with a letter or digit"
        )
    return name


def pack_voice(voice: Conditioning) -> bytes:
    """A voice as one piece, for `unpack_voice`."""
    packed: bytes = save(_to_tensors(voice))
    return packed


def unpack_voice(packed: bytes) -> Conditioning:
    """The voice of `pack_voice`. Raises `BadMessage`."""
    try:
        return _from_tensors(load(packed))
    except (KeyError, ValueError, SafetensorError) as error:
        raise BadMessage(f"not a voice of this engine: {error}") from error


def _read_voice(folder: Path) -> Conditioning:
    return _from_tensors(load_file(folder / _TENSORS))


def _to_tensors(voice: Conditioning) -> dict[str, torch.Tensor]:
    tensors = {"speaker": voice.speaker, "prompt_tokens": voice.prompt_tokens}
    tensors |= {_SOUND + key: each for key, each in voice.sound.items()}
    return {key: each.contiguous() for key, each in tensors.items()}


def _from_tensors(tensors: dict[str, torch.Tensor]) -> Conditioning:
    sound = {
        key.removeprefix(_SOUND): each for key, each in tensors.items() if key.startswith(_SOUND)
    }
    return Conditioning(tensors["speaker"], tensors["prompt_tokens"], sound)
