"""Names of currencies: CLDR's, by the package babel. Pure; babel's data is loaded at first use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from babel.core import get_global
from babel.numbers import get_currency_name

from backend.text.reading.english.word_sets import word_set

_SIGNS = {
    "$": "USD",
    "£": "GBP",
    "€": "EUR",
    "¥": "JPY",
    "₹": "INR",
    "Rs": "INR",
    "Rs.": "INR",
    "₽": "RUB",
    "₩": "KRW",
    "₺": "TRY",
    "₴": "UAH",
    "₦": "NGN",
    "₫": "VND",
    "₪": "ILS",
    "₱": "PHP",
    "฿": "THB",
    "₡": "CRC",
    "₲": "PYG",
    "₵": "GHS",
    "₸": "KZT",
    "₮": "MNT",
    "₭": "LAK",
    "৳": "BDT",
    "₾": "GEL",
    "zł": "PLN",
    "Kč": "CZK",
    "Ft": "HUF",
    "Fr": "CHF",
}
_PREFIXED = {
    "US$": "USD",
    "C$": "CAD",
    "CA$": "CAD",
    "CAD$": "CAD",
    "A$": "AUD",
    "AU$": "AUD",
    "NZ$": "NZD",
    "HK$": "HKD",
    "S$": "SGD",
    "SG$": "SGD",
    "NT$": "TWD",
    "MX$": "MXN",
    "R$": "BRL",
    "CN¥": "CNY",
    "EC$": "XCD",
    "J$": "JMD",
}
_MINOR = {
    "dollar": ("cent", "cents"),
    "euro": ("cent", "cents"),
    "pound": ("penny", "pence"),
    "rupee": ("paisa", "paise"),
    "ruble": ("kopeck", "kopecks"),
    "franc": ("centime", "centimes"),
    "peso": ("centavo", "centavos"),
    "real": ("centavo", "centavos"),
    "zloty": ("grosz", "groszy"),
    "hryvnia": ("kopiyka", "kopiykas"),
    "rand": ("cent", "cents"),
}
# Codes that are words: capitals are often shouted.
_WORDS = word_set("ALL TOP CUP PEN SOS")
CODES_NOT_BEFORE = word_set("TRY MAD COP GEL MOP BAM")
"""Codes that are read behind a number only."""


@dataclass(frozen=True, slots=True)
class Currency:
    """Names in the singular and the plural; `minor` is None if its hundredths have no name."""

    one: str
    many: str
    minor: tuple[str, str] | None


_CENT = Currency("cent", "cents", None)
_CROWN = Currency("krone", "kroner", None)  # of any of the countries
_BITCOIN = Currency("bitcoin", "bitcoin", None)


@lru_cache(256)
def find_currency(text: str) -> Currency | None:
    """The currency of a sign ("$", "US$", "zł") or of an ISO code in capitals."""
    if text in ("¢", "₿", "BTC"):
        return _CENT if text == "¢" else _BITCOIN
    if text == "kr":
        return _CROWN
    if code := _SIGNS.get(text):
        return _create_currency(code, is_short=True)
    if code := _PREFIXED.get(text):
        return _create_currency(code, is_short=False)
    if is_currency_code(text):
        return _create_currency(text, is_short=text in ("EUR", "JPY"))
    prefix, sign = text[:-1], find_currency(text[-1]) if text[-1:] in _SIGNS else None
    if not sign or not prefix.isalpha():
        return None
    if is_currency_code(prefix):
        return find_currency(prefix)
    spelled = " ".join(prefix)
    return Currency(f"{spelled} {sign.one}", f"{spelled} {sign.many}", sign.minor)


def is_currency_code(text: str) -> bool:
    """Whether it is the ISO code of a currency in use that is no English word."""
    return len(text) == 3 and text.isupper() and text in _current_codes()


@lru_cache(1)
def _current_codes() -> frozenset[str]:
    currencies = get_global("territory_currencies").values()
    codes = {code for used in currencies for code, _, end, tender in used if tender and not end}
    return frozenset(codes - _WORDS | {"BTC"})


def _create_currency(code: str, *, is_short: bool) -> Currency:
    one, many = (_say_name(get_currency_name(code, count, locale="en")) for count in (1, 2))
    if is_short:
        one, many = one.split()[-1], many.split()[-1]
    return Currency(one, many, _MINOR.get(one.split()[-1]))


def _say_name(name: str) -> str:
    """Without marks; capitals are spelled: "U S dollars"."""
    name = name.replace("&", "and").replace("-", " ").replace("ʻ", "").replace("St.", "Saint")
    return re.sub(r"[A-Z]{2,}", lambda capitals: " ".join(capitals[0]), name).replace(
        "Lira", "lira"
    )
