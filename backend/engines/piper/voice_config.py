"""What the file beside a Piper voice (`.onnx.json`) says of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAD, BEGIN, END = "_", "^", "$"
_RATES_HZ = (8000, 48_000)


@dataclass(frozen=True, slots=True)
class VoiceConfig:
    """`language`: a code such as "en-US". `espeak`: the voice of espeak-ng whose phonemes it was
    trained with; "" if it reads letters. `ids`: of each phoneme. `speakers`: their numbers by name,
    empty if there is one only.
    """

    sample_rate_hz: int
    language: str
    espeak: str
    ids: Mapping[str, tuple[int, ...]]
    speakers: Mapping[str, int]
    noise_scale: float
    length_scale: float
    noise_w: float
    quality: str


def read_config(path: Path) -> VoiceConfig:
    """Read a voice's file. Raises `ValueError` if it is not one, or of a kind that is not known;
    `OSError`.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return _parse(found)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path.name}: not the file of a Piper voice ({error!r})") from error


def group_ids(ids: Mapping[str, tuple[int, ...]], phonemes: str) -> list[list[int]]:
    """What a voice reads for phonemes: the ids of the beginning, of each phoneme, and of the end,
    with the pads behind them.
    """
    sounds = [(BEGIN, PAD), *((c, PAD) for c in phonemes.rstrip()), (END,)]
    return [[i for mark in sound for i in ids[mark]] for sound in sounds]


def _parse(found: Mapping[str, Any]) -> VoiceConfig:
    kind = found.get("phoneme_type", "espeak")
    if kind not in ("espeak", "text"):
        raise ValueError(f"its phonemes are of the kind {kind!r}; known are espeak and text")
    ids = {str(sound): _read_ids(value) for sound, value in found["phoneme_id_map"].items()}
    if missing := [mark for mark in (PAD, BEGIN, END) if not ids.get(mark)]:
        raise ValueError(f"its phonemes lack {', '.join(missing)}")
    rate, espeak = int(found["audio"]["sample_rate"]), str(found["espeak"]["voice"])
    if not _RATES_HZ[0] <= rate <= _RATES_HZ[1]:
        raise ValueError(f"its sample rate is {rate}")
    scales = found.get("inference", {})
    code = str(found.get("language", {}).get("code") or espeak)
    return VoiceConfig(
        sample_rate_hz=rate,
        language=_language_code(code),
        espeak=espeak if kind == "espeak" else "",
        ids=ids,
        speakers=_read_speakers(found),
        noise_scale=float(scales.get("noise_scale", 0.667)),
        length_scale=float(scales.get("length_scale", 1.0)) or 1.0,
        noise_w=float(scales.get("noise_w", 0.8)),
        quality=str(found["audio"].get("quality", "")),
    )


def _read_ids(value: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in (value if isinstance(value, list) else [value]))


def _read_speakers(found: Mapping[str, Any]) -> dict[str, int]:
    count = int(found.get("num_speakers", 1))
    named = {str(name): int(n) for name, n in (found.get("speaker_id_map") or {}).items()}
    unnamed = set(range(count)) - set(named.values())
    speakers = named | {str(n): n for n in sorted(unnamed)}
    return dict(sorted(speakers.items(), key=lambda one: one[1])) if count > 1 else {}


def _language_code(code: str) -> str:
    """Either of "en_US" and "en-us" as "en-US"; a name of espeak's, such as "cmn", stays."""
    language, _, region = code.replace("_", "-").partition("-")
    return f"{language.lower()}-{region.upper()}" if region else language.lower()
