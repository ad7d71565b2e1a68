"""Saving, loading and deleting learned voices on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from backend.engines.chatterbox.voices.recording import conditioning_of
from backend.engines.chatterbox.voices.voice import Conditioning
from backend.engines.chatterbox.voices.voice_folder import VoiceFolder
from backend.errors import BadMessage
from tests.support.chatterbox.tiny import voice


def create_voice(seed: int = 1) -> Conditioning:
    return conditioning_of(voice(seed, turbo=False))


def test_saved_voice_is_loaded_unchanged(tmp_path: Path) -> None:
    folder, kept = VoiceFolder(tmp_path / "voices"), create_voice()
    assert dict(folder.load_voices()) == {}
    folder.save_voice("anna", kept, {"name": "anna"})
    folder.save_voice("bob", create_voice(2), {})
    loaded = dict(folder.load_voices())
    assert list(loaded) == ["anna", "bob"]
    assert torch.equal(loaded["anna"].speaker, kept.speaker)
    assert torch.equal(loaded["anna"].prompt_tokens, kept.prompt_tokens)
    assert loaded["anna"].sound.keys() == kept.sound.keys()
    assert all(torch.equal(loaded["anna"].sound[key], kept.sound[key]) for key in kept.sound)


def test_voice_is_replaced_and_deleted(tmp_path: Path) -> None:
    folder = VoiceFolder(tmp_path)
    folder.save_voice("anna", create_voice(1), {})
    folder.save_voice("anna", create_voice(2), {})
    assert torch.equal(dict(folder.load_voices())["anna"].speaker, create_voice(2).speaker)
    folder.delete_voice("anna")
    folder.delete_voice("anna")
    assert list(tmp_path.iterdir()) == []


def test_unreadable_voice_is_skipped(tmp_path: Path) -> None:
    folder = VoiceFolder(tmp_path)
    folder.save_voice("anna", create_voice(), {})
    folder.save_voice("bob", create_voice(), {})
    (tmp_path / "anna" / "conditioning.safetensors").write_bytes(b"garbage")
    (tmp_path / "empty").mkdir()
    assert list(dict(folder.load_voices())) == ["bob"]


@pytest.mark.parametrize(
    "name", ["", "..", "a/b", "../etc", ".hidden", "-x", "a b", "\u00e4", "x" * 65]
)
def test_invalid_voice_name_raises(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadMessage, match="voice name"):
        VoiceFolder(tmp_path / "voices").save_voice(name, create_voice(), {})
    with pytest.raises(BadMessage):
        VoiceFolder(tmp_path / "voices").delete_voice(name)
    assert not (tmp_path / "voices").exists()
