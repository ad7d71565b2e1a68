"""Sound from mel spectra: upstream's HiFT, streamed without a seam.

The source (harmonics of the pitch, and noise) runs on from chunk to chunk: every harmonic keeps its
phase, in double precision, and the noise belongs to its frame. The filter is run over the new
frames with enough old ones before them and some behind; it then gives the samples of one run over
everything. More old ones do no harm, so that few lengths come, and streams of a length go through
it together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from backend.engines.chatterbox.flow import MEL_BANDS
from backend.engines.chatterbox.graphs import Graphs

FRAME_SAMPLES = 480
SAMPLE_RATE_HZ = 24_000
_PAST_FRAMES = 20  # before the first new one: 5 for the pitch, 15 for the filter; nothing is lost
_FRAMES_TO = 16  # runs are a multiple of this long, once there is so much past
_NOISE_FRAMES = 50  # drawn at once, so that the noise does not depend on the chunks


@dataclass(frozen=True, slots=True)
class Past:
    """Frames (80, n) and their excitation (480 n,)."""

    mel: Tensor
    excitation: Tensor

    def cut(self, start: int, end: int) -> Past:
        """Those from `start` to `end`."""
        samples = slice(start * FRAME_SAMPLES, end * FRAME_SAMPLES)
        return Past(self.mel[:, start:end], self.excitation[samples])

    def last(self, count: int) -> Past:
        """The last ones."""
        end = self.mel.size(1)
        return self.cut(end - count, end)


@dataclass(frozen=True, slots=True)
class Frames:
    """What a stream is to speak: the new frames `mel`, (80, n), and those behind them, (80, m), as
    far as they are known and whether they are final or not: they shape the last new samples a
    little (20 of them: all that matters).
    """

    stream: VocoderStream
    mel: Tensor
    following: Tensor

    @property
    def before(self) -> int:
        """Old frames that are run with them."""
        least: int = _PAST_FRAMES + self.mel.size(1) + self.following.size(1)
        there: int = self.stream.past.mel.size(1)
        return min(there, _PAST_FRAMES + -least % _FRAMES_TO)

    @property
    def length(self) -> int:
        """Frames of the run. Those of a length are run together."""
        behind: int = self.mel.size(1) + self.following.size(1)
        return self.before + behind


@dataclass(frozen=True, slots=True)
class _Spoken:
    """A stream's run: the samples, the frames, the phases at the end of the new ones."""

    samples: Tensor
    run: Past
    cycles: Tensor


class Vocoder:
    """Upstream's `HiFTGenerator` in evaluation mode, for any number of streams of one thread.

    It is changed in place: weights stand as they are, instead of being made of their norms at every
    call; the window lies where the weights do; `_istft` does not wait for the device.
    """

    def __init__(self, hift: Any) -> None:
        self.hift = hift
        device = hift.m_source.l_linear.weight.device
        self._size: int = hift.istft_params["n_fft"]
        self._hop: int = hift.istft_params["hop_len"]
        hift.stft_window = hift.stft_window.to(device)
        hift._istft = self._inverse
        for module in hift.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")
        self._graphs = Graphs(device)

    @torch.inference_mode()
    def speak(self, parts: Sequence[Frames]) -> list[Tensor]:
        """The samples of each part's new frames, 480 a frame. All or none: when it raises, every
        stream is where it was.
        """
        spoken: dict[int, _Spoken] = {}
        sounding = [n for n, part in enumerate(parts) if part.mel.numel()]
        for length in {parts[n].length for n in sounding}:
            alike = [n for n in sounding if parts[n].length == length]
            spoken |= zip(alike, self._alike([parts[n] for n in alike]), strict=True)
        return [part.stream.take(part, spoken.get(n)) for n, part in enumerate(parts)]

    def _alike(self, parts: Sequence[Frames]) -> list[_Spoken]:
        pasts = [part.stream.past.last(part.before) for part in parts]
        frames = [
            torch.cat([past.mel, part.mel, part.following], 1)
            for past, part in zip(pasts, parts, strict=True)
        ]
        pitch = self.hift.f0_predictor(torch.stack(frames))
        waves, excitation = [], []
        for part, past, each in zip(parts, pasts, pitch, strict=True):
            start, end = part.before, part.before + part.mel.size(1)
            waves.append(part.stream.source.next(each[start:end], each[end:]))
            excitation.append(torch.cat([past.excitation, waves[-1].samples]))
        sounds = self._filtered(frames, excitation)
        return [
            _Spoken(sound, Past(frames[n], excitation[n]), waves[n].cycles)
            for n, sound in enumerate(sounds)
        ]

    def _filtered(self, frames: Sequence[Tensor], excitation: Sequence[Tensor]) -> Tensor:
        """Samples (n, 480 m) from frames (80, m) and their excitation (480 m,) each."""
        mel = torch.stack(self._graphs.padded(frames))
        source = torch.stack(self._graphs.padded(excitation))[:, None]
        sound = self._graphs.run(tuple(mel.shape), self.hift.decode, mel, source)
        return sound[: len(frames)].clone()

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
        self.source = Source(vocoder.hift.m_source, generator)
        device = generator.device
        self.past = Past(torch.zeros(MEL_BANDS, 0, device=device), torch.zeros(0, device=device))
        self._rise = _rise(device)

    def take(self, part: Frames, spoken: _Spoken | None) -> Tensor:
        """Go on behind a part that was spoken; its samples, (480 n,). None: it had no frames."""
        if spoken is None:
            return torch.zeros(0, device=self._rise.device)
        new = part.mel.size(1)
        start, end = part.before, part.before + new
        self.past = spoken.run.cut(max(0, end - _PAST_FRAMES - _FRAMES_TO), end)
        self.source.settle(new, spoken.cycles)
        return self._faded_in(spoken.samples[start * FRAME_SAMPLES : end * FRAME_SAMPLES])

    def _faded_in(self, sound: Tensor) -> Tensor:
        """The start of an utterance rises out of silence, over as many pushes as that takes."""
        rise = self._rise[: sound.numel()]
        self._rise = self._rise[rise.numel() :]
        return sound * F.pad(rise, (0, sound.numel() - rise.numel()), value=1.0)


@dataclass(frozen=True, slots=True)
class Wave:
    """Excitation (480 n,), and the phases at the end of what is settled of it, in cycles."""

    samples: Tensor
    cycles: Tensor


class Source:
    """The excitation: upstream's `SourceModuleHnNSF`, with a state.

    Harmonic k of the pitch f has the phase 2 pi sum(k f / rate) + its random start; unvoiced frames
    get noise alone.
    """

    def __init__(self, module: nn.Module, generator: torch.Generator) -> None:
        self._module: Any = module
        self._generator = generator
        device = generator.device
        harmonics = self._module.l_sin_gen.harmonic_num + 1
        start = torch.rand(harmonics, 1, generator=generator, device=device)
        self._start = (2 * start - 1) * math.pi
        self._start[0] = 0
        self._order = torch.arange(1, harmonics + 1, device=device)[:, None]
        self._cycles = torch.zeros(harmonics, 1, dtype=torch.float64, device=device)
        self._noise = torch.zeros(harmonics, 0, device=device)  # from the first unsettled frame on

    def next(self, settled: Tensor, following: Tensor) -> Wave:
        """The excitation of frames with these pitches, (n,) and (m,), in Hz. The source stays where
        it is (`settle`).
        """
        pitch = torch.cat([settled, following])
        samples = pitch.repeat_interleave(FRAME_SAMPLES)
        generator = self._module.l_sin_gen
        steps = (samples * self._order / generator.sampling_rate).double()
        cycles = self._cycles + steps.cumsum(-1)
        sine = generator.sine_amp * torch.sin(2 * math.pi * (cycles % 1).float() + self._start)
        voiced = (samples > generator.voiced_threshold).float()
        level = voiced * generator.noise_std + (1 - voiced) * generator.sine_amp / 3
        waves = sine * voiced + level * self._noise_of(samples.numel())
        merged = self._module.l_tanh(self._module.l_linear(waves.T))[:, 0]
        end = len(settled) * FRAME_SAMPLES
        return Wave(merged, cycles[:, end - 1 : end] % 1)

    def settle(self, frames: int, cycles: Tensor) -> None:
        """Go on behind so many frames, with the phases there."""
        self._cycles = cycles
        self._noise = self._noise[:, frames * FRAME_SAMPLES :]

    def _noise_of(self, samples: int) -> Tensor:
        while self._noise.size(1) < samples:
            shape = (len(self._order), _NOISE_FRAMES * FRAME_SAMPLES)
            drawn = torch.randn(shape, generator=self._generator, device=self._noise.device)
            self._noise = torch.cat([self._noise, drawn], 1)
        return self._noise[:, :samples]


def _rise(device: torch.device) -> Tensor:
    """Silence for 20 ms and a raised cosine for 20 ms, as upstream does against what spills over
    from the voice's prompt.
    """
    half = SAMPLE_RATE_HZ // 50
    ramp = (torch.cos(torch.linspace(math.pi, 0, half, device=device)) + 1) / 2
    return torch.cat([torch.zeros_like(ramp), ramp])
