"""Titles before names, and what they are behind names. Data; keys in small letters."""

from __future__ import annotations

from backend.text.reading.english.word_sets import word_set

TITLES = {
    "adm": "Admiral",
    "amb": "Ambassador",
    "atty": "Attorney",
    "brig": "Brigadier",
    "capt": "Captain",
    "cmdr": "Commander",
    "col": "Colonel",
    "cpl": "Corporal",
    "cpt": "Captain",
    "det": "Detective",
    "dr": "Doctor",
    "drs": "Doctors",
    "fr": "Father",
    "ft": "Fort",
    "gen": "General",
    "gov": "Governor",
    "hon": "Honorable",
    "insp": "Inspector",
    "lt": "Lieutenant",
    "maj": "Major",
    "messrs": "Messers",
    "mr": "Mister",
    "mrs": "Misses",
    "ms": "Miz",
    "msgr": "Monsignor",
    "mt": "Mount",
    "mx": "Mix",
    "ofc": "Officer",
    "pres": "President",
    "prof": "Professor",
    "pvt": "Private",
    "rep": "Representative",
    "rev": "Reverend",
    "sen": "Senator",
    "sgt": "Sergeant",
    "st": "Saint",
    "sts": "Saints",
    "ste": "Saint",
    "supt": "Superintendent",
}
"""Before a name, with a capital."""

BARE_TITLES = word_set("capt dr gov lt mr mrs ms mt prof rev sgt st")
"""Titles that are also written without a full stop."""

SMALL_TITLES = word_set("atty capt gen gov lt maj pres prof sen sgt supt")
"""Titles that are also written small, as nouns: "the pres. spoke"."""

STREETS = {"dr": "Drive", "st": "Street", "mt": "Mountain", "ft": "Fort", "ste": "Suite"}
"""The second sense of titles: behind a name."""
