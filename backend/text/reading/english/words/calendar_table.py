"""Short names of months and days. Data; keys in small letters, without the last full stop."""

from __future__ import annotations

from backend.text.reading.english.word_sets import word_set

MONTHS = {
    "jan": "January",
    "feb": "February",
    "mar": "March",
    "apr": "April",
    "jun": "June",
    "jul": "July",
    "aug": "August",
    "sep": "September",
    "sept": "September",
    "oct": "October",
    "nov": "November",
    "dec": "December",
}
DAYS = {
    "mon": "Monday",
    "tue": "Tuesday",
    "tues": "Tuesday",
    "wed": "Wednesday",
    "weds": "Wednesday",
    "thu": "Thursday",
    "thur": "Thursday",
    "thurs": "Thursday",
    "fri": "Friday",
    "sat": "Saturday",
    "sun": "Sunday",
}
"""With a capital: "I sat." is a verb."""

CALENDAR = MONTHS | DAYS
DATE_CUES = word_set(
    "by each early every from in last late mid next on since this through till to until you"
)
"""Words before a month or a day that is written without a full stop."""
