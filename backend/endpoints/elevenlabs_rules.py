"""ElevenLabs' JSON of pronunciation dictionaries, and the lexicon entries that it means."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from backend.errors import BadLexicon
from backend.protocols.json_fields import LenientModel
from backend.synthesis.lexicon_store import Dictionary
from backend.text.reading.arpabet import ARPABET, convert_arpabet
from backend.text.reading.lexicon_entry import LexiconEntry, create_entry


class Rule(LenientModel):
    """How a string is said: by other words, or by phonemes."""

    string_to_replace: str
    type: Literal["alias", "phoneme"] = "alias"
    alias: str = ""
    phoneme: str = ""
    alphabet: str = "ipa"
    case_sensitive: bool = True
    word_boundaries: bool = True

    def create_entry(self) -> LexiconEntry:
        """Raises `BadLexicon`."""
        is_alias = self.type == "alias"
        return create_entry(
            self.string_to_replace,
            self.alias if is_alias else f"/{self._convert_phoneme()}/",
            match_case=self.case_sensitive,
            parts=is_alias and not self.word_boundaries,
        )

    def _convert_phoneme(self) -> str:
        if self.alphabet.lower() in ARPABET:
            return convert_arpabet(self.phoneme)
        if self.alphabet.lower() != "ipa":
            raise BadLexicon(f"alphabet {self.alphabet[:40]!r}: choose ipa or cmu-arpabet")
        return self.phoneme.strip("/ ")


class RulesBody(LenientModel):
    """The body of requests that create a dictionary or change its rules."""

    rules: list[Rule] = Field(max_length=10_000)
    name: str = ""
    description: str = ""

    def create_entries(self) -> list[LexiconEntry]:
        """Blocks for milliseconds. Raises `BadLexicon`."""
        return [rule.create_entry() for rule in self.rules]


class RemovalBody(LenientModel):
    """The strings whose rules are to be removed."""

    rule_strings: list[str]


class ChangeBody(LenientModel):
    """A new name; archived dictionaries are deleted."""

    name: str | None = None
    archived: bool = False


def describe_created(dictionary: Dictionary) -> dict[str, Any]:
    """A dictionary that was just created."""
    return {
        "id": dictionary.id,
        "name": dictionary.name,
        "created_by": "duplex-tts",
        "creation_time_unix": dictionary.created_s,
        "version_id": dictionary.version,
        "version_rules_num": len(dictionary.lexicon),
        "description": dictionary.description or None,
        "permission_on_resource": "admin",
    }


def describe_dictionary(dictionary: Dictionary) -> dict[str, Any]:
    """A dictionary without its rules."""
    return {
        "id": dictionary.id,
        "latest_version_id": dictionary.version,
        "latest_version_rules_num": len(dictionary.lexicon),
        "name": dictionary.name,
        "permission_on_resource": "admin",
        "created_by": "duplex-tts",
        "creation_time_unix": dictionary.created_s,
        "archived_time_unix": None,
        "description": dictionary.description or None,
    }


def describe_rule(entry: LexiconEntry) -> dict[str, Any]:
    """An entry as a rule."""
    rule = {
        "string_to_replace": entry.written,
        "case_sensitive": entry.is_exact,
        "word_boundaries": not entry.parts,
    }
    if entry.phonemes is None:
        return {"type": "alias", "alias": entry.said, **rule}
    return {"type": "phoneme", "phoneme": entry.phonemes, "alphabet": "ipa", **rule}
