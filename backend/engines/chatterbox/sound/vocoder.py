"""Sound from mel spectra: upstream's HiFT, streamed without seams.

The excitation (pitch harmonics and noise) is continuous across chunks: every harmonic keeps its
phase, in double precision, and noise belongs to its frame. The filter runs over the new frames with
enough past and following frames to give the samples of a single run over everything. Extra past
frames do no harm: they round runs to few lengths, and streams of equal length share a batch.
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

from backend.engines.chatterbox.device.graphs import GraphCache
from backend.engines.chatterbox.sound.excitation import (
    FRAME_SAMPLES,
    ExcitationSource,
    ExcitationState,
    compute_excitation,
)
from backend.engines.chatterbox.sound.flow import MEL_BANDS

SAMPLE_RATE_HZ = 24_000
_PAST_FRAMES = 20  # context needed for exact samples: 5 for the pitch, 15 for the filter
_LONGEST_WARM = 208  # frames of a run: the longest in an utterance's first seconds
_LENGTH_MULTIPLE = 16  # frames: run lengths are multiples, once there are enough past frames


@dataclass(frozen=True, slots=True)
class PastFrames:
    """Frames (80, n) and their excitation (480 n,)."""

    mel: Tensor
    excitation: Tensor

    def cut(self, start: int, end: int) -> PastFrames:
        """The frames from `start` to `end`."""
        samples = slice(start * FRAME_SAMPLES, end * FRAME_SAMPLES)
        return PastFrames(self.mel[:, start:end], self.excitation[samples])

    def last(self, count: int) -> PastFrames:
        """The last `count` frames."""
        end = self.mel.size(1)
        return self.cut(end - count, end)


@dataclass(frozen=True, slots=True)
class VocoderInput:
    """A stream's new frames `mel`, (80, n), and the `following` ones, (80, m), as far as known and
    final or not: they slightly affect the last new samples (20 frames suffice).
    """

    stream: VocoderStream
    mel: Tensor
    following: Tensor

    @property
    def before(self) -> int:
        """How many past frames are run with them."""
        minimum: int = _PAST_FRAMES + self.mel.size(1) + self.following.size(1)
        available: int = self.stream.past.mel.size(1)
        return min(available, _PAST_FRAMES + -minimum % _LENGTH_MULTIPLE)

    @property
    def length(self) -> int:
        """Frames of the run. Runs of equal length share a batch."""
        rest: int = self.mel.size(1) + self.following.size(1)
        return self.before + rest


@dataclass(frozen=True, slots=True)
class _VocoderRun:
    """A stream's run: its samples, its frames, the cycles after each of them."""

    samples: Tensor
    frames: PastFrames
    cycles: Tensor


class HiftVocoder:
    """Upstream's `HiFTGenerator` in evaluation mode, for any number of streams of one thread.

    Changes it in place: fuses weight norms into the weights, moves the window to the weights'
    device, and replaces `_istft` by one that does not synchronise with the device.
    """

    def __init__(self, hift: Any) -> None:
        self.hift = hift
        device = hift.m_source.l_linear.weight.device
        self._size: int = hift.istft_params["n_fft"]
        self._hop: int = hift.istft_params["hop_len"]
        hift.stft_window = hift.stft_window.to(device)
        hift._istft = self._inverse_stft
        for module in hift.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")
        self._graphs = GraphCache(device)

    @torch.inference_mode()
    def warm_up(self, rows: int) -> None:
        """Capture runs of the usual lengths for `rows` streams. Blocks briefly on CUDA."""
        window = self.hift.stft_window
        stream = VocoderStream(self, torch.Generator(window.device))
        for length in range(_LONGEST_WARM, _PAST_FRAMES, -_LENGTH_MULTIPLE):
            part = VocoderInput(stream, *window.new_zeros(2, MEL_BANDS, length // 2))
            for _ in range(self._graphs.warm_ups):
                self._run_same_length([part] * rows)

    @torch.inference_mode()
    def synthesize(self, parts: Sequence[VocoderInput]) -> list[Tensor]:
        """The samples of each part's new frames, 480 per frame. If it raises, all streams are
        unchanged.
        """
        runs: dict[int, _VocoderRun] = {}
        nonempty = [n for n, part in enumerate(parts) if part.mel.numel()]
        for length in {parts[n].length for n in nonempty}:
            batch = [n for n in nonempty if parts[n].length == length]
            runs |= zip(batch, self._run_same_length([parts[n] for n in batch]), strict=True)
        sounds = [part.stream.cut_samples(part, runs.get(n)) for n, part in enumerate(parts)]
        for n, run in runs.items():
            parts[n].stream.commit(parts[n], run)
        return sounds

    def _run_same_length(self, parts: Sequence[VocoderInput]) -> list[_VocoderRun]:
        batch, length = self._graphs.pad_rows(parts), parts[0].length
        frames, state = _stack_inputs(batch, length)
        inputs = state.past, state.noise, state.cycles, state.phases, state.first
        sounds, excitation, cycles = self._graphs.run(
            (len(batch), length), self._synthesize_frames, frames, *inputs
        )
        return [
            _VocoderRun(sounds[n], PastFrames(frames[n], excitation[n]), cycles[n])
            for n in range(len(parts))
        ]

    def _synthesize_frames(self, frames: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Samples, excitation and cycles of frames (n, 80, m)."""
        pitch = self.hift.f0_predictor(frames)
        excitation, cycles = compute_excitation(self.hift.m_source, pitch, ExcitationState(*state))
        return self.hift.decode(frames, excitation[:, None]), excitation, cycles

    def _inverse_stft(self, magnitude: Tensor, phase: Tensor) -> Tensor:
        """`torch.istft` by overlap-add, without its check of the window, which synchronises."""
        spectrum = torch.polar(magnitude.clip(max=100), phase)
        frames = torch.fft.irfft(spectrum, n=self._size, dim=1)
        window = self.hift.stft_window.to(frames)[:, None]
        weight = self._overlap_add((window * window).expand_as(frames))
        edge = self._size // 2
        return (self._overlap_add(frames * window) / weight)[:, edge:-edge]

    def _overlap_add(self, frames: Tensor) -> Tensor:
        length = self._size + self._hop * (frames.size(2) - 1)
        size, hop = (1, self._size), (1, self._hop)
        return F.fold(frames, (1, length), size, stride=hop).flatten(1)


def _stack_inputs(parts: Sequence[VocoderInput], length: int) -> tuple[Tensor, ExcitationState]:
    """The frames of parts that share a length, (n, 80, length), and their streams' state."""
    streams = [part.stream for part in parts]
    phases = torch.stack([stream.source.phases for stream in streams])
    past = phases.new_zeros(len(parts), length * FRAME_SAMPLES)
    noise = phases.new_zeros(len(parts), phases.size(1), length * FRAME_SAMPLES)
    frames = []
    for n, part in enumerate(parts):
        before, start = part.stream.past.last(part.before), part.before * FRAME_SAMPLES
        frames.append(torch.cat([before.mel, part.mel, part.following], 1))
        past[n, :start] = before.excitation
        noise[n, :, start:] = part.stream.source.noise_for(length * FRAME_SAMPLES - start)
    cycles = torch.stack([stream.source.cycles for stream in streams])
    first = torch.tensor([part.before for part in parts], device=phases.device)
    return torch.stack(frames), ExcitationState(past, noise, cycles, phases, first)


class VocoderStream:
    """The vocoder state of one passage."""

    def __init__(self, vocoder: HiftVocoder, generator: torch.Generator) -> None:
        self.source = ExcitationSource(vocoder.hift.m_source, generator)
        device = generator.device
        self.past = PastFrames(
            torch.zeros(MEL_BANDS, 0, device=device), torch.zeros(0, device=device)
        )
        self._fade_in = _fade_in(device)

    def cut_samples(self, part: VocoderInput, run: _VocoderRun | None) -> Tensor:
        """The samples of a part, (480 n,); `run` None: it had no frames. Fades in the start of
        the stream, across parts if necessary.
        """
        if run is None:
            return torch.zeros(0, device=self._fade_in.device)
        start, count = part.before * FRAME_SAMPLES, part.mel.size(1) * FRAME_SAMPLES
        fade = self._fade_in[:count]
        fade = F.pad(fade, (0, count - fade.numel()), value=1.0)
        return run.samples[start : start + count] * fade

    def commit(self, part: VocoderInput, run: _VocoderRun) -> None:
        """Advance past a part."""
        new = part.mel.size(1)
        end = part.before + new
        self.past = run.frames.cut(max(0, end - _PAST_FRAMES - _LENGTH_MULTIPLE), end)
        self.source.commit(new, run.cycles[:, end - 1 : end])
        self._fade_in = self._fade_in[new * FRAME_SAMPLES :]


def _fade_in(device: torch.device) -> Tensor:
    """Silence for 20 ms, then a raised cosine for 20 ms: upstream's fade against leakage from the
    voice's prompt.
    """
    half = SAMPLE_RATE_HZ // 50
    ramp = (torch.cos(torch.linspace(math.pi, 0, half, device=device)) + 1) / 2
    return torch.cat([torch.zeros_like(ramp), ramp])
