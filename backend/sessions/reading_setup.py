"""Between a context and the reading of its text: the language with the lexicons that apply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog

from backend.errors import DuplexError
from backend.events import Start
from backend.synthesis.lexicon_store import LexiconStore
from backend.synthesis.voice_list import ListedVoice
from backend.text.reading.language import Language
from backend.text.reading.languages import find_language
from backend.text.reading.lexicon import Lexicon, create_lexicon_rule

log = structlog.get_logger(__name__)


def create_language_source(
    start: Start, voice: ListedVoice, lexicons: LexiconStore
) -> Callable[[], Language]:
    """How the next sentence is read: asked again for each, since lexicons change. A context that
    names no language has its voice's. Raises `BadLexicon`,
    `UnknownLexicon`.
    """
    language = find_language(start.language or voice.languages[0])
    name = voice.voice.name
    known = lexicons.lexicon_for(name, start.lexicon, start.dictionaries)

    def find_current() -> Language:
        nonlocal known
        try:
            known = lexicons.lexicon_for(name, start.lexicon, start.dictionaries)
        except DuplexError as error:  # a dictionary was removed: go on with the last ones
            log.warning("lexicon.gone", why=error.message)
        return add_lexicon(language, known)

    return find_current


def add_lexicon(language: Language, lexicon: Lexicon) -> Language:
    """`language`, with what a lexicon says before its own rules."""
    return replace(language, rules=(create_lexicon_rule(lexicon), *language.rules))
