"""Collects the text of a document."""

from __future__ import annotations

PARAGRAPH = "\n\n"


class TextBuilder:
    """Text with white space collapsed, in paragraphs."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._done_length = 0
        self._paragraph = ""
        self._space = False

    @property
    def length(self) -> int:
        """The offset of what is added next, but for white space."""
        return self._done_length + len(self._paragraph)

    @property
    def paragraph(self) -> str:
        """The text of the current paragraph."""
        return self._paragraph

    def add(self, text: str) -> None:
        """Add text; its white space becomes single spaces."""
        words = text.split()
        if not words:
            self._space |= bool(text)
            return
        spaced = self._space or text[0].isspace()
        if spaced and self._paragraph and self._paragraph[-1] not in "\n ":
            self._paragraph += " "
        self._paragraph += " ".join(words)
        self._space = text[-1].isspace()

    def add_line_break(self) -> None:
        """Begin a line of the paragraph, such as one of a verse."""
        if self._paragraph:
            self._paragraph = self._paragraph.rstrip(" ") + "\n"
        self._space = False

    def add_comma(self) -> None:
        """Separate what follows, unless it begins the paragraph."""
        if self._paragraph:
            self._paragraph = self._paragraph.rstrip(" ,") + ", "
        self._space = False

    def end_paragraph(self) -> None:
        """End the paragraph; no effect on an empty one."""
        if text := self._paragraph.strip():
            self._done.append(text + PARAGRAPH)
            self._done_length += len(self._done[-1])
        self._paragraph, self._space = "", False

    def cut_paragraph(self, length: int) -> None:
        """Take back what was added to the current paragraph beyond this length."""
        self._paragraph = self._paragraph[:length]

    def finish(self) -> str:
        """Return the text; each paragraph ends with a blank line."""
        self.end_paragraph()
        return "".join(self._done)
