"""English abbreviations and what is said for them. Data.

Keys are in lower case and without the last full stop. The reading and the ends of sentences ask
the same tables.
"""

from __future__ import annotations

from backend.text.reading.english.word_sets import word_set

NUMBERED = {
    "amend": "amendment",
    "app": "appendix",
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
    "cor": "corollary",
    "def": "definition",
    "dist": "district",
    "div": "division",
    "ep": "episode",
    "eq": "equation",
    "eqn": "equation",
    "eqs": "equations",
    "ex": "example",
    "exh": "exhibit",
    "ext": "extension",
    "fig": "figure",
    "figs": "figures",
    "fl": "floor",
    "flr": "floor",
    "flt": "flight",
    "gr": "grade",
    "hwy": "highway",
    "iss": "issue",
    "lat": "latitude",
    "lem": "lemma",
    "ln": "line",
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
    "prop": "proposition",
    "pt": "part",
    "pts": "parts",
    "q": "question",
    "rev": "revision",
    "rm": "room",
    "rt": "route",
    "rte": "route",
    "sc": "scene",
    "sec": "section",
    "secs": "sections",
    "sect": "section",
    "ste": "suite",
    "tab": "table",
    "tbl": "table",
    "tel": "telephone",
    "thm": "theorem",
    "ver": "version",
    "vol": "volume",
    "vols": "volumes",
}
"""Before a number, a Roman numeral or a letter."""

MAYBE_WORDS = word_set(
    "amend app art arts cor def ep ex fig gr lat no op p par prop q rev sec secs tab"
)
"""Those that are also words or something else: a full stop alone does not make them read."""

COMMON = {
    "abbr": "abbreviation",
    "acad": "academic",
    "acct": "account",
    "accts": "accounts",
    "addr": "address",
    "adj": "adjective",
    "alt": "alternative",
    "amt": "amount",
    "ans": "answer",
    "appt": "appointment",
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
    "cert": "certificate",
    "cf": "compare",
    "co": "Company",
    "cont": "continued",
    "corp": "Corporation",
    "ct": "Court",
    "dept": "department",
    "dia": "diameter",
    "depts": "departments",
    "diff": "difference",
    "dir": "director",
    "doz": "dozen",
    "ea": "each",
    "ed": "edition",
    "eds": "editors",
    "encl": "enclosed",
    "esp": "especially",
    "esq": "Esquire",
    "est": "estimated",
    "etc": "et cetera",
    "excl": "excluding",
    "freq": "frequency",
    "fwd": "forward",
    "gov't": "government",
    "govt": "government",
    "hosp": "hospital",
    "hr": "hour",
    "hrs": "hours",
    "ht": "height",
    "ibid": "ibid",
    "inc": "Incorporated",
    "incl": "including",
    "int'l": "international",
    "intl": "international",
    "jct": "Junction",
    "jr": "junior",
    "lang": "language",
    "lb": "pound",
    "lbs": "pounds",
    "ln": "Lane",
    "ltd": "limited",
    "max": "maximum",
    "long": "longitude",
    "mfg": "manufacturing",
    "mfr": "manufacturer",
    "mgmt": "management",
    "mgr": "manager",
    "min": "minimum",
    "misc": "miscellaneous",
    "nat'l": "national",
    "natl": "national",
    "orig": "original",
    "pct": "percent",
    "pkg": "package",
    "pkwy": "Parkway",
    "pl": "Place",
    "pls": "please",
    "pop": "population",
    "prev": "previous",
    "qty": "quantity",
    "rd": "Road",
    "ref": "reference",
    "req": "required",
    "resp": "respectively",
    "sci": "science",
    "sq": "square",
    "sr": "senior",
    "std": "standard",
    "temp": "temperature",
    "temps": "temperatures",
    "tot": "total",
    "univ": "university",
    "vel": "velocity",
    "viz": "namely",
    "vs": "versus",
    "wk": "week",
    "wks": "weeks",
    "wt": "weight",
    "yr": "year",
    "yrs": "years",
}
"""With their full stop."""

CAPITAL_ONLY = word_set("ave blvd bros co corp ct ed inc jct jr ln ltd pl rd sr")
"""Those of `COMMON` that need a capital: "ed." behind a number is the one exception."""

BARE = word_set(
    "approx attn ave blvd dept depts etc govt gov't int'l intl jr ltd mgmt misc nat'l qty rd sr vs"
)
"""Those of `COMMON` that are also written without a full stop."""

WORDLIKE = word_set("adj alt diff dir esp max min prev ref req temp temps")
"""Those of `COMMON` that are said as they are written at the end of a sentence."""

ALSO_WORDS = word_set("long pop")
"""Those of `COMMON` that are words: read behind "the" and before a small letter or a number."""

CLIPPED = word_set("dev eng exec info intro prob tech")
"""Said as they are written; their full stop before a small letter is no end."""

SILENT_STOP = word_set("al cit et ibid loc op")
"""Said as they are written; their full stop is no pause."""

LEADING = word_set("approx assoc asst ca cf esp est excl incl misc viz vs e.g i.e")
"""Abbreviations that no sentence ends with."""

NEVER_BEFORE_SMALL = word_set(
    "gal hr hrs lb lbs mi min mins mo mos mph oz pt pts qt sec secs tbsp tsp wk wks yd yds yr yrs"
    " a.m p.m mg kg kgs km cm mm ml pcs pc qts gals doz cu fl bbl tbsps tsps"
)
"""Units: their full stop ends no sentence before a small letter."""
