"""English abbreviations and what is said for them. Data.

Keys are in lower case and without the last full stop. The reading and the ends of sentences ask
the same tables.
"""

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
    "ste": "Saint",
    "supt": "Superintendent",
}
"""Before a name, with a capital."""

BARE_TITLES = word_set("capt dr gov lt mr mrs ms mt prof rev sgt st")
"""Titles that are also written without a full stop."""

STREETS = {"dr": "Drive", "st": "Street", "mt": "Mountain", "ft": "Fort", "ste": "Suite"}
"""The second sense of titles: behind a name."""

NUMBERED = {
    "apt": "apartment",
    "art": "article",
    "arts": "articles",
    "bk": "book",
    "bldg": "building",
    "blk": "block",
    "ch": "chapter",
    "chap": "chapter",
    "chs": "chapters",
    "cl": "clause",
    "dist": "district",
    "div": "division",
    "eq": "equation",
    "eqn": "equation",
    "eqs": "equations",
    "ex": "example",
    "ext": "extension",
    "fig": "figure",
    "figs": "figures",
    "fl": "floor",
    "flt": "flight",
    "gr": "grade",
    "hwy": "highway",
    "iss": "issue",
    "lvl": "level",
    "no": "number",
    "nos": "numbers",
    "nr": "number",
    "op": "opus",
    "p": "page",
    "par": "paragraph",
    "para": "paragraph",
    "paras": "paragraphs",
    "pg": "page",
    "pgs": "pages",
    "pp": "pages",
    "pt": "part",
    "pts": "parts",
    "q": "question",
    "rm": "room",
    "rt": "route",
    "rte": "route",
    "sc": "scene",
    "sec": "section",
    "sect": "section",
    "secs": "sections",
    "ste": "suite",
    "tab": "table",
    "tel": "telephone",
    "ver": "version",
    "vol": "volume",
    "vols": "volumes",
}
"""Before a number, a Roman numeral or a letter."""

MAYBE_WORDS = word_set("art arts ex fig gr no op p par q sec secs tab")
"""Those that are also words or something else: a full stop alone does not make them read."""

COMMON = {
    "abbr": "abbreviation",
    "alt": "alternative",
    "approx": "approximately",
    "assn": "association",
    "assoc": "associate",
    "asst": "assistant",
    "attn": "attention",
    "ave": "Avenue",
    "avg": "average",
    "blvd": "Boulevard",
    "bros": "Brothers",
    "ca": "circa",
    "cf": "compare",
    "co": "Company",
    "cont": "continued",
    "corp": "Corporation",
    "ct": "Court",
    "dept": "department",
    "depts": "departments",
    "diff": "difference",
    "ed": "edition",
    "eds": "editors",
    "encl": "enclosed",
    "esp": "especially",
    "esq": "Esquire",
    "est": "estimated",
    "etc": "et cetera",
    "excl": "excluding",
    "freq": "frequency",
    "govt": "government",
    "ibid": "ibid",
    "inc": "Incorporated",
    "incl": "including",
    "intl": "international",
    "jr": "junior",
    "jct": "Junction",
    "ln": "Lane",
    "ltd": "limited",
    "max": "maximum",
    "mfg": "manufacturing",
    "mgr": "manager",
    "mgmt": "management",
    "min": "minimum",
    "misc": "miscellaneous",
    "natl": "national",
    "nat'l": "national",
    "int'l": "international",
    "gov't": "government",
    "orig": "original",
    "pkwy": "Parkway",
    "pl": "Place",
    "prev": "previous",
    "qty": "quantity",
    "rd": "Road",
    "ref": "reference",
    "req": "required",
    "resp": "respectively",
    "sq": "square",
    "sr": "senior",
    "std": "standard",
    "temp": "temperature",
    "temps": "temperatures",
    "univ": "university",
    "viz": "namely",
    "vs": "versus",
}
"""With their full stop."""

CAPITAL_ONLY = word_set("ave blvd bros co corp ct ed inc jct jr ln ltd pl rd sr")
"""Those of `COMMON` that need a capital: "ed." behind a number is the one exception."""

BARE = word_set(
    "approx attn blvd dept depts etc govt gov't int'l intl jr ltd mgmt misc nat'l qty sr vs"
)
"""Those of `COMMON` that are also written without a full stop."""

WORDLIKE = word_set("alt diff esp max min prev ref req temp temps")
"""Those of `COMMON` that are said as they are written at the end of a sentence."""

SILENT_STOP = word_set("al cit et ibid loc op")
"""Said as they are written; their full stop is no pause."""

LEADING = word_set("approx assoc asst ca cf esp est excl incl misc viz vs e.g i.e")
"""Abbreviations that no sentence ends with."""

NEVER_BEFORE_SMALL = word_set(
    "gal hr hrs lb lbs mi min mins mo mos mph oz pt pts qt sec secs tbsp tsp wk wks yd yds yr yrs"
    " a.m p.m mg kg km cm mm ml"
)
"""Units: their full stop ends no sentence before a small letter."""

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
