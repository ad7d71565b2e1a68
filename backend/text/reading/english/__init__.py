"""English: the rules in the order in which they are asked."""

from backend.text.reading.english.numeric import NUMERIC_RULES
from backend.text.reading.language import Language

ENGLISH = Language("en", rules=(*NUMERIC_RULES,))
