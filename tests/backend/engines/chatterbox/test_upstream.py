"""Loading upstream's models from a folder: all four, without network, with either S3Gen."""

from __future__ import annotations

import copy
import math
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from chatterbox.models.t3.modules.cond_enc import T3Cond
from chatterbox.models.t3.modules.t3_config import T3Config
from chatterbox.models.voice_encoder import VoiceEncoder
from safetensors.torch import save_file

from backend.config import ChatterboxSettings
from backend.engines.base import Chunk, Release, Utterance
from backend.engines.chatterbox import upstream as upstream_module
from backend.engines.chatterbox.device.memory import slot_bytes
from backend.engines.chatterbox.model import ChatterboxModel
from backend.engines.chatterbox.speech_tokens.decoder import SpeechTokenDecoder, TokenSession
from backend.engines.chatterbox.speech_tokens.sampling import Sampling
from backend.engines.chatterbox.text.language_parts import create_multilingual_tokenizer
from backend.engines.chatterbox.text.text_tokens import TextTokens
from backend.engines.chatterbox.upstream import create_t3, load_upstream
from backend.engines.chatterbox.variants import FAST_SOUND, TURBO, VARIANTS, variant_of
from backend.engines.speed import measure_rtf
from backend.engines.weights import WEIGHTS
from backend.errors import ConfigError
from bench.chatterbox import random_weights
from bench.chatterbox.random_weights import ENGINES
from tests.support.chatterbox.small_tokenizers import MULTILINGUAL, write_bytes, write_graphemes
from tests.support.chatterbox.tiny import CharacterTokenizer, TinyS3Gen, quiet, tiny, tiny_t3, voice

engines = pytest.mark.parametrize("engine", ENGINES)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for models of tiny modules, on a machine without network."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(
        upstream_module,
        "create_t3",
        lambda variant: tiny_t3(turbo=variant.turbo, engine=variant.engine),
    )
    monkeypatch.setattr(
        upstream_module, "_create_s3gen", lambda path: TinyS3Gen(meanflow=path.name == FAST_SOUND)
    )
    return tmp_path


def write_model(models: Path, engine: str) -> tuple[Path, list[Any]]:
    """The folder of a model with weights other than a new one's, and its three modules."""
    variant, folder = VARIANTS[engine], models / engine
    folder.mkdir(parents=True)
    torch.manual_seed(7)
    t3 = copy.deepcopy(tiny_t3(turbo=variant.turbo, engine=engine))
    t3.text_emb.weight.data.add_(1)
    parts = [t3, TinyS3Gen(meanflow=variant.turbo), VoiceEncoder()]
    names = (variant.t3_file, variant.sound_file, "ve.safetensors")
    for part, name in zip(parts, names, strict=True):
        tensors = {key: each.clone().contiguous() for key, each in part.state_dict().items()}
        save_file(tensors, folder / name)
    with quiet():
        voice(3, turbo=variant.turbo).save(folder / "conds.pt")
    if engine == MULTILINGUAL.engine:
        write_graphemes(folder)
    elif variant.turbo:
        write_bytes(folder)
    else:
        write_graphemes(folder)
        (folder / "grapheme_mtl_merged_expanded_v1.json").rename(folder / "tokenizer.json")
    return folder, parts


@engines
def test_every_model_is_loaded_from_its_folder_without_network(engine: str, models: Path) -> None:
    folder, parts = write_model(models, engine)
    with quiet():
        upstream = load_upstream(folder, "cpu")
    assert variant_of(upstream.t3) is VARIANTS[engine]
    for loaded, written in zip((upstream.t3, upstream.s3gen, upstream.ve), parts, strict=True):
        written_weights = dict(written.named_parameters())
        for name, weight in loaded.named_parameters():
            assert torch.equal(weight, written_weights[name]), name
            assert not weight.requires_grad
        assert not loaded.training
    assert upstream.conds.gen["prompt_token"].shape == (1, 50)
    model = ChatterboxModel(upstream, ChatterboxSettings(watermark=False), models / "voices")
    assert model.info.name == engine
    assert speak(model, "the cat.").size > 0


def test_how_fast_nano_speaks_is_measured_with_its_own_engine(models: Path) -> None:
    folder, _ = write_model(models, "chatterbox-nano")
    settings = ChatterboxSettings(device="cpu", watermark=False)
    with quiet():
        model = ChatterboxModel.load(folder, settings, models / "voices")
        assert 0 < measure_rtf(model) < math.inf


def speak(model: ChatterboxModel, text: str, language: str | None = None) -> Any:
    engine = model.create_engine()
    engine.begin(Utterance("a", model.default_voice, seed=3, language=language))
    engine.extend("a", Release(text, len(text), final=True))
    pcm: list[Any] = []
    for _ in range(200):
        for result in engine.step(["a"]):
            assert isinstance(result, Chunk), result
            pcm.append(result.pcm)
            if result.caught_up:
                return np.concatenate(pcm)
    raise AssertionError("never caught up")


@engines
def test_the_files_of_a_model_are_those_that_are_downloaded(engine: str) -> None:
    variant, weights = VARIANTS[engine], WEIGHTS[engine]
    assert {variant.t3_file, variant.sound_file, "ve.safetensors", "conds.pt"} <= set(
        weights.required
    )


def test_models_are_listed_once_in_one_order() -> None:
    assert list(WEIGHTS) == list(VARIANTS)


def test_lost_weights_are_named(models: Path) -> None:
    folder, (t3, *_) = write_model(models, TURBO)
    tensors = {key: each.clone() for key, each in t3.state_dict().items()}
    del tensors["text_emb.weight"]
    save_file(tensors, folder / VARIANTS[TURBO].t3_file)
    with (
        quiet(),
        pytest.raises(ValueError, match=r"t3_turbo_v1.safetensors has no text_emb.weight"),
    ):
        load_upstream(folder, "cpu")


# --- meanflow -------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["chatterbox", "chatterbox-multilingual"])
def test_meanflow_speaks_the_standard_tokens_with_turbos_sound(engine: str, models: Path) -> None:
    folder, _ = write_model(models, engine)
    _, (_, fast, _) = write_model(models, TURBO)
    settings = ChatterboxSettings(device="cpu", meanflow=True, watermark=False)
    with quiet():
        model = ChatterboxModel.load(folder, settings, models / "voices")
    assert model.info.name == engine
    assert "cfg_weight" in model.info.parameters
    loaded = model._upstream.s3gen
    assert loaded.meanflow
    assert torch.equal(loaded.mel2wav.conv_pre.bias, fast.mel2wav.conv_pre.bias)
    assert np.isfinite(speak(model, "the cat.")).all()


def test_meanflow_without_turbos_weights_names_the_command(models: Path) -> None:
    folder, _ = write_model(models, "chatterbox")
    settings = ChatterboxSettings(device="cpu", meanflow=True)
    with pytest.raises(ConfigError, match=r"s3gen_meanflow.*duplex-tts download chatterbox-turbo"):
        ChatterboxModel.load(folder, settings, models / "voices")


def test_meanflow_changes_nothing_for_a_model_that_has_it(models: Path) -> None:
    folder, _ = write_model(models, "chatterbox-nano")
    with quiet():
        assert load_upstream(folder, "cpu", meanflow=True).s3gen.meanflow


# --- multilingual ---------------------------------------------------------------------------------


def test_multilingual_tokens_equal_upstream_without_its_analyzer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_graphemes(tmp_path)
    upstream = tiny(turbo=False, engine="chatterbox-multilingual")
    upstream.tokenizer = create_multilingual_tokenizer(tmp_path)
    model = ChatterboxModel(upstream, ChatterboxSettings(), tmp_path / "voices")
    text = "\u0645\u0631\u062d\u0628\u0627, the cat."
    tokens = TextTokens(upstream.tokenizer, upstream.t3)(text, "ar").tokens
    conditioning = model.conditioning("default")
    cond = T3Cond(
        speaker_emb=conditioning.speaker,
        cond_prompt_speech_tokens=conditioning.prompt_tokens,
        emotion_adv=0.5 * torch.ones(1, 1, 1),
    )
    monkeypatch.setattr(T3Config, "is_multilingual", False)
    torch.manual_seed(5)
    with quiet():
        expected = upstream.t3.inference(
            t3_cond=cond,
            text_tokens=torch.stack([tokens, tokens]),
            max_new_tokens=30,
            temperature=0.8,
            cfg_weight=0.5,
            repetition_penalty=1.2,
            min_p=0.05,
            top_p=1.0,
        )[0].tolist()
    monkeypatch.undo()
    assert decode(model, tokens, seed=5, count=30) == expected
    assert model.params_for(Utterance("a", "default")).sampling == Sampling()


def decode(model: ChatterboxModel, tokens: Any, *, seed: int, count: int) -> list[int]:
    """The speech tokens of our decoder, the stop token included."""
    parts = model._create_parts()
    generator = torch.Generator().manual_seed(seed)
    session = TokenSession(Sampling(), generator)
    prefix = parts.voices.prefix(model.conditioning("default"), 0.5)
    parts.decoder.join(session, prefix, tokens)
    while not session.ended and len(session.tokens) < count:
        parts.decoder.advance([session])
    return session.tokens + [parts.decoder.stop_token] * session.ended


def test_the_language_of_an_utterance_reaches_the_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = tiny(turbo=False, engine="chatterbox-multilingual")
    model = ChatterboxModel(upstream, ChatterboxSettings(watermark=False), tmp_path)
    joined: list[list[int]] = []
    join = SpeechTokenDecoder.join

    def record(self: SpeechTokenDecoder, session: Any, prefix: Any, text: Any) -> None:
        joined.append(text.tolist())
        join(self, session, prefix, text)

    monkeypatch.setattr(SpeechTokenDecoder, "join", record)
    read = TextTokens(upstream.tokenizer, upstream.t3)
    for language, expected in (("de", "de"), ("tr-TR", "tr"), (None, "en")):
        speak(model, "the cat.", language)
        assert joined.pop() == read("the cat.", expected).tokens.tolist()


# --- full size ------------------------------------------------------------------------------------

MILLIONS = {  # of parameters, computed from upstream's own configurations
    "chatterbox-turbo": 427,
    "chatterbox": 532,
    "chatterbox-multilingual": 536,
    "chatterbox-nano": 179,
}


@engines
def test_full_size_language_models_have_their_parameters_and_slots(engine: str) -> None:
    with quiet(), torch.device("meta"):
        t3 = create_t3(VARIANTS[engine])
    assert variant_of(t3) is VARIANTS[engine]
    count = sum(weight.numel() for weight in t3.parameters())
    assert round(count / 1e6) == MILLIONS[engine]
    assert all(weight.is_meta for weight in t3.parameters())
    assert slot_bytes(t3, 1536) > 0


@engines
def test_random_weights_are_made_on_the_device_itself(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Any] = []
    monkeypatch.setattr(random_weights, "assemble", lambda _, parts, *rest: built.extend(parts))
    random_weights.random_upstream(engine, "meta")
    assert len(built) == 3
    for part in built:
        weights = list(part.parameters())
        elsewhere = sum(weight.numel() for weight in weights if not weight.is_meta)
        assert elsewhere < 0.01 * sum(weight.numel() for weight in weights)


def test_full_size_nano_decodes(tmp_path: Path) -> None:
    with quiet():
        torch.manual_seed(0)
        t3 = create_t3(VARIANTS["chatterbox-nano"]).eval()
    decoder = SpeechTokenDecoder(t3, 1, 512)
    with torch.inference_mode():
        prefix = decoder.compute_prefix(torch.zeros(1, 376, 768))
    session = TokenSession(Sampling(min_p=0.0, top_p=0.95), torch.Generator().manual_seed(1))
    text = TextTokens(CharacterTokenizer(), SimpleNamespace(hp=t3.hp, is_gpt=True))("Hi there.")
    decoder.join(session, prefix, text.tokens)
    for _ in range(3):
        decoder.advance([session])
    assert len(session.tokens) >= 3
