"""Days, weeks and calendar months counted from an anchor, in integers from Unix milliseconds (UTC).

The n-th boundary is computed from the anchor, never from the boundary before: an anchor of 31 January gives 28 or 29
February, then 31 March. A month without that day ends the period on its last day, at the anchor's time of day.

Source: the calendar rule of the MPP subscription draft; civil dates by the proleptic Gregorian calendar.
"""

from __future__ import annotations

from typing import Final

from aitoken.types import Moment

DAY_MS: Final = 86_400_000
_ERA_DAYS: Final = 146_097
"""Days of 400 years."""
_MARCH_1970: Final = 719_468
"""Days from 1 March of year 0 to 1 January 1970."""
_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def civil(days: int) -> tuple[int, int, int]:
    """Return year, month and day of a number of days since 1 January 1970; years are counted from March inside."""
    era, day = divmod(days + _MARCH_1970, _ERA_DAYS)
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month = month + 3 if month < 10 else month - 9
    return era * 400 + year + (month <= 2), month, day + 1


def days_of(year: int, month: int, day: int) -> int:
    """Return the days since 1 January 1970 of a date."""
    year -= month <= 2
    era, rest = divmod(year, 400)
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * _ERA_DAYS + rest * 365 + rest // 4 - rest // 100 + of_year - _MARCH_1970


def month_length(year: int, month: int) -> int:
    """Return how many days a month has."""
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return _DAYS[month - 1] + leap


def add_months(anchor: Moment, months: int) -> Moment:
    """Return the same day and time so many months later, or the last day of that month where it has no such day."""
    days, rest = divmod(anchor, DAY_MS)
    year, month, day = civil(days)
    year, month = divmod(year * 12 + month - 1 + months, 12)
    month += 1
    return Moment(days_of(year, month, min(day, month_length(year, month))) * DAY_MS + rest)
