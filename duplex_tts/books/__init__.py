"""Books: their chapters from EPUB, Markdown and text files, and audiobooks with chapter marks."""
