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
from torch import Tensor
from torch.nn.utils import parametrize

from backend.engines.chatterbox.excitation import FRAME_SAMPLES, Source
from backend.engines.chatterbox.flow import MEL_BANDS
from backend.engines.chatterbox.graphs import Graphs

SAMPLE_RATE_HZ = 24_000
_PAST_FRAMES = 20  # before the first new one: 5 for the pitch, 15 for the filter; nothing is lost
_LONGEST_WARM = 208  # frames of a run: what comes in an utterance's first seconds
_FRAMES_TO = 16  # runs are a multiple of this long, once there is so much past


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
    def warm_up(self, rows: int) -> None:
        """Capture the runs of usual lengths, of so many streams. Blocks shortly on a card."""
        for length in range(_LONGEST_WARM, _PAST_FRAMES, -_FRAMES_TO):
            frames = [self.hift.stft_window.new_zeros(MEL_BANDS, length)] * rows
            for _ in range(self._graphs.warm_ups):
                self._filtered(
                    frames, [self.hift.stft_window.new_zeros(length * FRAME_SAMPLES)] * rows
                )

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
        sounds = [part.stream.sound(part, spoken.get(n)) for n, part in enumerate(parts)]
        for n, each in spoken.items():
            parts[n].stream.go_on(parts[n], each)
        return sounds

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
        return self._graphs.run(tuple(mel.shape), self.hift.decode, mel, source)[: len(frames)]

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

    def sound(self, part: Frames, spoken: _Spoken | None) -> Tensor:
        """The samples of a part, (480 n,). None: it had no frames. The start of an utterance rises
        out of silence, over as many parts as that takes.
        """
        if spoken is None:
            return torch.zeros(0, device=self._rise.device)
        start, count = part.before * FRAME_SAMPLES, part.mel.size(1) * FRAME_SAMPLES
        rise = self._rise[:count]
        rise = F.pad(rise, (0, count - rise.numel()), value=1.0)
        return spoken.samples[start : start + count] * rise

    def go_on(self, part: Frames, spoken: _Spoken) -> None:
        """Be behind a part."""
        new = part.mel.size(1)
        end = part.before + new
        self.past = spoken.run.cut(max(0, end - _PAST_FRAMES - _FRAMES_TO), end)
        self.source.settle(new, spoken.cycles)
        self._rise = self._rise[new * FRAME_SAMPLES :]


def _rise(device: torch.device) -> Tensor:
    """Silence for 20 ms and a raised cosine for 20 ms, as upstream does against what spills over
    from the voice's prompt.
    """
    half = SAMPLE_RATE_HZ // 50
    ramp = (torch.cos(torch.linspace(math.pi, 0, half, device=device)) + 1) / 2
    return torch.cat([torch.zeros_like(ramp), ramp])
