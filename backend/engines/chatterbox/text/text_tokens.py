"""Text tokens: upstream's tokenizers, and the place of each token in the text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any
from unicodedata import normalize

import torch
from torch import Tensor

from backend.engines.chatterbox.text.punctuation import normalize_punctuation
from backend.engines.chatterbox.text.traced_text import TracedText

_DEFAULT_LANGUAGE = "en"
_SPACE = "[SPACE]"


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """`tokens`: (n,), with the model's start and stop; `ends`: the end offset of each in the text
    that was given. They never decrease; 0 for what precedes the text.
    """

    tokens: Tensor
    ends: tuple[int, ...]


class TextTokens:
    """Tokenizes as upstream does, for the T3 that it is created with."""

    def __init__(self, tokenizer: Any, t3: Any) -> None:
        """`tokenizer`: from `upstream.create_tokenizer`."""
        self._tokenizer = tokenizer
        self._hp = t3.hp
        self._read: Callable[[TracedText, str], tuple[Iterable[int], list[int]]]
        if t3.is_gpt:
            self._read = self._read_turbo
        elif t3.hp.is_multilingual:
            self._read = self._read_multilingual
        else:
            self._read = self._read_standard

    def __call__(self, text: str, language: str | None = None) -> TokenizedText:
        """The tokens of a text in a language (`pt-BR`); only the multilingual model has others than
        English. Blocks (about 1 ms).
        """
        code = (language or _DEFAULT_LANGUAGE).partition("-")[0].lower()
        ids, ends = self._read(TracedText.of(text), code)
        return TokenizedText(
            torch.tensor([*ids], dtype=torch.long),
            tuple(accumulate(ends, max)),
        )

    def _read_turbo(self, text: TracedText, _: str) -> tuple[Iterable[int], list[int]]:
        said = normalize_punctuation(text, turbo=True)
        encoded = self._tokenizer(said.text, return_offsets_mapping=True)
        return encoded["input_ids"], [said.end_at(end) for _, end in encoded["offset_mapping"]]

    def _read_standard(self, text: TracedText, _: str) -> tuple[Iterable[int], list[int]]:
        return self._encode(normalize_punctuation(text, turbo=False), text)

    def _read_multilingual(
        self, text: TracedText, language: str
    ) -> tuple[Iterable[int], list[int]]:
        # In lower case anyway: a capital would only lose the dot of the Turkish "\u0131".
        said = normalize_punctuation(text, turbo=False, language=language, capitalize=False)
        said = said.map(str.lower).map(partial(normalize, "NFKD"))
        if language in self._tokenizer.rewriters:
            said = self._tokenizer.rewriters[language](said)
        return self._encode(said.prepend(f"[{language}]"), text)

    def _encode(self, said: TracedText, text: TracedText) -> tuple[Iterable[int], list[int]]:
        said = said.replace(" ", _SPACE)
        encoded = self._tokenizer.tokenizer.encode(said.text)
        ends = [said.end_at(end) for _, end in encoded.offsets]
        ids = self._hp.start_text_token, *encoded.ids, self._hp.stop_text_token
        return ids, [0, *ends, len(text.text)]
