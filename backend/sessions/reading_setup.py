"""Between a context and the reading of its text: the language with the lexicons that apply."""

from __future__ import annotations

from dataclasses import replace

import structlog

from backend.errors import DuplexError
from backend.events import Start
from backend.synthesis.lexicon_store import LexiconStore
from backend.synthesis.voice_list import ListedVoice
from backend.synthesis.voice_params import is_auto, without_auto
from backend.text.alphabets import needs_dictionary
from backend.text.language_choice import LanguageChooser, needs_detector
from backend.text.language_detector import load_detector
from backend.text.reading.language import Language
from backend.text.reading.languages import find_language
from backend.text.reading.lexicon import Lexicon, create_lexicon_rule
from backend.text.spaceless import HAS_DICTIONARIES

log = structlog.get_logger(__name__)

_NO_DETECTOR = (
    "languages that share a script are not told apart; pip install 'duplex-tts[languages]'"
)
_NO_WORDS = "its words are not known, only syllables; pip install 'duplex-tts[languages]'"


class ContextLanguage:
    """The language in which a context's current sentence is read and spoken.

    A context that names none speaks its voice's own. With `auto`, each sentence's is chosen from
    its first words; where those do not tell, it is that of the sentence before, at first the
    voice's own.
    """

    def __init__(self, start: Start, voice: ListedVoice, lexicons: LexiconStore) -> None:
        """Raises `BadLexicon`, `UnknownLexicon`."""
        self._start, self._voice, self._lexicons = start, voice, lexicons
        self._chooser = LanguageChooser(voice.languages) if is_auto(start) else None
        given = without_auto(start).language
        self._given = voice.find_tag(given) if given else None
        self.tag = self._given or voice.languages[0]
        self._own = self._before = self.tag
        self._lexicon = self._find_lexicon()
        self._warn_of_missing_parts()

    @property
    def chosen(self) -> str | None:
        """What the engine is told: None if the context leaves the language to it."""
        return self.tag if self._chooser else self._given

    @property
    def is_chosen_by_text(self) -> bool:
        """Whether `choose` must be asked about each sentence."""
        return self._chooser is not None and len(self._chooser.languages) > 1

    def __call__(self) -> Language:
        """The language, with the lexicons that apply: asked again for each sentence, since they
        change.
        """
        try:
            self._lexicon = self._find_lexicon()
        except DuplexError as error:  # a dictionary was removed: go on with the last ones
            log.warning("lexicon.gone", why=error.message)
        return add_lexicon(find_language(self.tag), self._lexicon)

    def choose(self, text: str, *, is_complete: bool) -> bool:
        """Choose the language of the sentence that begins with `text`. False: more is needed."""
        if self._chooser is None:
            return True
        found = self._chooser.choose(text, self._before, is_complete=is_complete)
        self.tag = found or self._before
        return found is not None

    def keep(self) -> None:
        """The sentence was spoken in the language that was chosen."""
        self._before = self.tag

    def guess(self, text: str) -> str:
        """The language of a sentence that begins with `text`, whatever was before it."""
        if self._chooser is None:
            return self.tag
        return self._chooser.choose(text, self._own, is_complete=True) or self._own

    def _warn_of_missing_parts(self) -> None:
        if self._chooser and needs_detector(self._voice.languages) and not load_detector():
            log.warning("language.detector_missing", remedy=_NO_DETECTOR)
        if needs_dictionary(self.tag) and not HAS_DICTIONARIES:
            log.warning("language.dictionaries_missing", language=self.tag, remedy=_NO_WORDS)

    def _find_lexicon(self) -> Lexicon:
        start, name = self._start, self._voice.voice.name
        return self._lexicons.lexicon_for(name, start.lexicon, start.dictionaries)


def add_lexicon(language: Language, lexicon: Lexicon) -> Language:
    """`language`, with what a lexicon says before its own rules."""
    return replace(language, rules=(create_lexicon_rule(lexicon), *language.rules))
