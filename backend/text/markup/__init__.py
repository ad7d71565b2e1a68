"""Markup in raw text: masks it at equal length, and says what it asks for.

`reader` is the loop and the state; `characters`, `markdown`, `html`, `brackets` and `ssml` decide
about one kind of mark each.
"""
