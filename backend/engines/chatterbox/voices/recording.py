"""Voice conditioning from a recording, computed with upstream's encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from backend.audio.formats import Pcm
from backend.engines.chatterbox.device.background import background_stream, exact_matmuls
from backend.engines.chatterbox.sound.vocoder import SAMPLE_RATE_HZ
from backend.engines.chatterbox.voices.voice import Conditioning
from backend.errors import BadMessage

SHORTEST_S = 2.5
LONGEST_S = 30.0
_ENCODER_HZ = 16_000
_SILENCE = 1e-3  # peak amplitude below which a recording is silent


def read_recording(path: Path) -> Pcm:
    """Read a recording of 2.5 to 30 s, which the server has decoded, as mono at 24 kHz. Blocks.
    Raises `BadMessage`.
    """
    import librosa

    try:
        frames, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise BadMessage(
            "the recording could not be read: expected WAV, FLAC, MP3 or OGG"
        ) from error
    seconds = len(frames) / rate_hz
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise BadMessage(
            f"the recording is {seconds:.1f} s long: expected {SHORTEST_S:g} to {LONGEST_S:g} s"
        )
    samples = frames.mean(1)
    if not np.isfinite(samples).all() or np.abs(samples).max() < _SILENCE:
        raise BadMessage("the recording is silent")
    resampled: Pcm = librosa.resample(samples, orig_sr=rate_hz, target_sr=SAMPLE_RATE_HZ)
    return resampled


@torch.inference_mode()
def compute_conditioning(upstream: Any, recording: Pcm) -> Conditioning:
    """The voice of a recording at 24 kHz, bit for bit as upstream's `prepare_conditionals` computes
    it. Blocks: 75 GFLOP for 10 s. Shares no state with the engine: safe during synthesis.
    """
    with background_stream(torch.device(upstream.device)), exact_matmuls():
        return _compute(upstream, recording)


def _compute(upstream: Any, recording: Pcm) -> Conditioning:
    import librosa

    s3gen, t3 = upstream.s3gen, upstream.t3
    if t3.is_gpt:  # Turbo expects a fixed loudness
        recording = upstream.norm_loudness(recording, SAMPLE_RATE_HZ)
    recording = np.asarray(recording, np.float32)
    encoder_input = librosa.resample(recording, orig_sr=SAMPLE_RATE_HZ, target_sr=_ENCODER_HZ)
    sound = s3gen.embed_ref(
        recording[: upstream.DEC_COND_LEN], SAMPLE_RATE_HZ, device=upstream.device
    )
    prompt, _ = s3gen.tokenizer.forward(
        [encoder_input[: upstream.ENC_COND_LEN]], max_len=t3.hp.speech_cond_prompt_len
    )
    speaker = upstream.ve.embeds_from_wavs([encoder_input], sample_rate=_ENCODER_HZ)
    return Conditioning(
        torch.from_numpy(np.asarray(speaker, np.float32)).mean(0, keepdim=True),
        torch.atleast_2d(prompt).cpu(),
        _flow_tensors(sound),
    )


def conditioning_of(conds: Any) -> Conditioning:
    """A voice from upstream's `Conditionals`."""
    t3 = conds.t3
    return Conditioning(
        t3.speaker_emb.cpu(), t3.cond_prompt_speech_tokens.cpu(), _flow_tensors(conds.gen)
    )


def _flow_tensors(reference: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors of upstream's `embed_ref` that the flow needs, on the CPU."""
    names = ("prompt_token", "prompt_feat", "embedding")
    return {name: reference[name].detach().cpu().contiguous() for name in names}
