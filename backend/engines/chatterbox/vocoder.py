"""Sound from mel spectra: upstream's HiFT, streamed without a seam.

The source (harmonics of the pitch, and noise) runs on from chunk to chunk: every harmonic keeps its
phase, in double precision, and the noise belongs to its frame. The filter is run over the new
frames with enough old ones before them and some behind; it then gives the samples of one run over
everything.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.engines.chatterbox.flow import MEL_BANDS
from backend.engines.chatterbox.graphs import Graphs

FRAME_SAMPLES = 480
SAMPLE_RATE_HZ = 24_000
_PAST_FRAMES = 15  # that the filter sees before its first new frame: then nothing is lost
_PITCH_FRAMES = 5  # on either side, that the pitch of a frame depends on


class Vocoder:
    """Upstream's `HiFTGenerator` in evaluation mode, for any number of streams of one thread.

    Its `_istft` is replaced by one that does not wait for the device.
    """

    def __init__(self, hift: Any) -> None:
        self.hift = hift
        self._size: int = hift.istft_params["n_fft"]
        self._hop: int = hift.istft_params["hop_len"]
        hift._istft = self._inverse
        self._graphs = Graphs(hift.stft_window.device)

    def filter(self, mel: Tensor, excitation: Tensor) -> Tensor:
        """Samples (n,) from frames (1, 80, n / 480) and their excitation (1, 1, n)."""
        sound = self._graphs.run(mel.size(2), self.hift.decode, mel, excitation)
        return sound[0].clone()

    def _inverse(self, magnitude: Tensor, phase: Tensor) -> Tensor:
        """Inverse short-time Fourier transform by overlap and add: `torch.istft`, without its check
        of the window.
        """
        spectrum = torch.polar(magnitude.clip(max=100), phase)
        frames = torch.fft.irfft(spectrum, n=self._size, dim=1)
        window = self.hift.stft_window.to(frames)[:, None]
        weight = self._overlapped((window * window).expand_as(frames))
        edge = self._size // 2
        return (self._overlapped(frames * window) / weight)[:, edge:-edge]

    def _overlapped(self, frames: Tensor) -> Tensor:
        length = self._size + self._hop * (frames.size(2) - 1)
        size, hop = (1, self._size), (1, self._hop)
        return F.fold(frames, (1, length), size, stride=hop).flatten(1)


class VocoderStream:
    """One utterance's way from mel to samples."""

    def __init__(self, vocoder: Vocoder, generator: torch.Generator) -> None:
        self._vocoder = vocoder
        self._source = _Source(vocoder.hift, generator)
        device = generator.device
        self._mel = torch.zeros(1, MEL_BANDS, 0, device=device)  # settled, as far as needed
        self._excitation = torch.zeros(1, 1, 0, device=device)  # of the same frames
        self._rise = _rise(device)

    @torch.inference_mode()
    def push(self, mel: Tensor, following: Tensor) -> Tensor:
        """The samples of the new frames `mel`, (80, n): (480 n,).

        `following`: frames behind them, (80, m), as far as they are known and whether they are
        final or not: they shape the last new samples a little (20 of them: all that matters).
        """
        new, before = mel.size(1), self._mel.size(2)
        if not new:
            return torch.zeros(0, device=mel.device)
        frames = torch.cat([self._mel, mel[None], following[None]], 2)
        pitch = self._vocoder.hift.f0_predictor(frames)[:, before:]
        excitation = self._source.next(pitch[:, :new], pitch[:, new:])
        excitation = torch.cat([self._excitation, excitation], 2)
        sound = self._vocoder.filter(frames, excitation)[before * FRAME_SAMPLES :][
            : new * FRAME_SAMPLES
        ]
        keep = _PAST_FRAMES + _PITCH_FRAMES
        settled = before + new
        self._mel = frames[:, :, max(0, settled - keep) : settled]
        start = (settled - self._mel.size(2)) * FRAME_SAMPLES
        self._excitation = excitation[:, :, start : settled * FRAME_SAMPLES]
        return self._faded_in(sound)

    def _faded_in(self, sound: Tensor) -> Tensor:
        """The start of an utterance rises out of silence, over as many pushes as that takes."""
        rise = self._rise[: sound.numel()]
        self._rise = self._rise[rise.numel() :]
        return sound * F.pad(rise, (0, sound.numel() - rise.numel()), value=1.0)


class _Source:
    """The excitation, (1, 1, samples): upstream's `SourceModuleHnNSF`, with a state.

    Harmonic k of the pitch f has the phase 2 pi sum(k f / rate) + its random start; unvoiced frames
    get noise alone.
    """

    def __init__(self, hift: Any, generator: torch.Generator) -> None:
        self._module = hift.m_source
        self._generator = generator
        device = generator.device
        harmonics = self._module.l_sin_gen.harmonic_num + 1
        start = torch.rand(1, harmonics, 1, generator=generator, device=device)
        self._start = (2 * start - 1) * math.pi
        self._start[:, 0] = 0
        self._order = torch.arange(1, harmonics + 1, device=device)[None, :, None]
        self._cycles = torch.zeros(1, harmonics, 1, dtype=torch.float64, device=device)
        self._noise: list[Tensor] = []  # of frames that were drawn and not settled

    def next(self, settled: Tensor, following: Tensor) -> Tensor:
        """The excitation of frames with these pitches (1, n), (1, m) in Hz; the source goes on
        behind the settled ones.
        """
        pitch = torch.cat([settled, following], 1)
        new = settled.size(1)
        while len(self._noise) < pitch.size(1):  # one frame at a time: the same for any chunks
            self._noise.append(self._draw())
        noise = torch.cat(self._noise[: pitch.size(1)], 2)
        self._noise = self._noise[new:]
        samples = pitch.repeat_interleave(FRAME_SAMPLES, 1)[:, None]
        generator = self._module.l_sin_gen
        steps = (samples * self._order / generator.sampling_rate).double()
        cycles = self._cycles + steps.cumsum(-1)
        self._cycles = cycles[:, :, new * FRAME_SAMPLES - 1 : new * FRAME_SAMPLES] % 1
        sine = generator.sine_amp * torch.sin(2 * math.pi * (cycles % 1).float() + self._start)
        voiced = (samples > generator.voiced_threshold).float()
        level = voiced * generator.noise_std + (1 - voiced) * generator.sine_amp / 3
        waves = sine * voiced + level * noise
        merged: Tensor = self._module.l_tanh(self._module.l_linear(waves.transpose(1, 2)))
        return merged.transpose(1, 2)

    def _draw(self) -> Tensor:
        shape = (1, self._order.size(1), FRAME_SAMPLES)
        return torch.randn(shape, generator=self._generator, device=self._start.device)


def _rise(device: torch.device) -> Tensor:
    """Silence for 20 ms and a raised cosine for 20 ms, as upstream does against what spills over
    from the voice's prompt.
    """
    half = SAMPLE_RATE_HZ // 50
    ramp = (torch.cos(torch.linspace(math.pi, 0, half, device=device)) + 1) / 2
    return torch.cat([torch.zeros_like(ramp), ramp])
