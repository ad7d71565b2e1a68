"""Learned voices on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from backend.engines.chatterbox.recording import conditioning_of
from backend.engines.chatterbox.voice import Conditioning
from backend.engines.chatterbox.voice_folder import VoiceFolder
from backend.errors import BadMessage
from tests.support.chatterbox.tiny import voice


def a_voice(seed: int = 1) -> Conditioning:
    return conditioning_of(voice(seed, turbo=False))


def test_a_voice_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    folder, kept = VoiceFolder(tmp_path / "voices"), a_voice()
    assert dict(folder.load()) == {}
    folder.keep("anna", kept, {"name": "anna"})
    folder.keep("bob", a_voice(2), {})
    loaded = dict(folder.load())
    assert list(loaded) == ["anna", "bob"]
    assert torch.equal(loaded["anna"].speaker, kept.speaker)
    assert torch.equal(loaded["anna"].prompt_tokens, kept.prompt_tokens)
    assert loaded["anna"].sound.keys() == kept.sound.keys()
    assert all(torch.equal(loaded["anna"].sound[key], kept.sound[key]) for key in kept.sound)


def test_a_voice_is_replaced_and_dropped(tmp_path: Path) -> None:
    folder = VoiceFolder(tmp_path)
    folder.keep("anna", a_voice(1), {})
    folder.keep("anna", a_voice(2), {})
    assert torch.equal(dict(folder.load())["anna"].speaker, a_voice(2).speaker)
    folder.drop("anna")
    folder.drop("anna")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_voice_does_not_keep_the_others_away(tmp_path: Path) -> None:
    folder = VoiceFolder(tmp_path)
    folder.keep("anna", a_voice(), {})
    folder.keep("bob", a_voice(), {})
    (tmp_path / "anna" / "conditioning.safetensors").write_bytes(b"garbage")
    (tmp_path / "empty").mkdir()
    assert list(dict(folder.load())) == ["bob"]


@pytest.mark.parametrize(
    "name", ["", "..", "a/b", "../etc", ".hidden", "-x", "a b", "\u00e4", "x" * 65]
)
def test_a_name_that_is_no_folders_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadMessage, match="voice name"):
        VoiceFolder(tmp_path / "voices").keep(name, a_voice(), {})
    with pytest.raises(BadMessage):
        VoiceFolder(tmp_path / "voices").drop(name)
    assert not (tmp_path / "voices").exists()
