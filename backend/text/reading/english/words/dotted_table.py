"""Abbreviations of single letters. Data."""

from __future__ import annotations

from backend.text.reading.english.word_sets import word_set

DOTTED = {
    "a.m": "A M",
    "p.m": "P M",
    "e.g": "for example",
    "i.e": "that is",
    "w.r.t": "with respect to",
    "ph.d": "P H D",
    "ph.ds": "P H D's",
    "ph.d.s": "P H D's",
    "b.sc": "B S C",
    "m.sc": "M S C",
    "ed.d": "E D D",
    "psy.d": "sigh D",
    "n.b": "N B",
    "a.k.a": "A K A",
    "r.i.p": "R I P",
    "q.e.d": "Q E D",
    "r.s.v.p": "R S V P",
    "p.s": "P S",
    "c.v": "C V",
    "a.d": "A D",
    "b.c": "B C",
    "b.c.e": "B C E",
    "c.e": "C E",
    "i.q": "I Q",
    "o.k": "okay",
    "d.i.y": "D I Y",
    "t.b.d": "T B D",
    "t.b.a": "T B A",
    "a.s.a.p": "A S A P",
    "p.o": "P O",
    "c.o.d": "C O D",
}
"""Letters with full stops between them: with or without the last one, in small letters too."""

DIRECTIONS = {"N": "North", "S": "South", "E": "East", "W": "West"}
PLACES = word_set(
    """Africa America Asia Carolina China Dakota Europe Germany Hollywood Ireland Jersey Korea
    London Macedonia Sudan Sussex Virginia Yorkshire"""
)
"""Places that have a North or a South, an East or a West."""
