"""English: the rules in the order in which they are asked."""

from backend.text.reading.english.numbers.numeric import NUMERIC_RULES
from backend.text.reading.english.words.sentence_ends import may_end_sentence
from backend.text.reading.english.words.wording import CODE_RULES, WORD_RULES
from backend.text.reading.language import Language

ENGLISH = Language(
    "en",
    rules=(*CODE_RULES, *NUMERIC_RULES, *WORD_RULES),
    may_end_sentence=may_end_sentence,
)
