"""Writes times.tsv: dates that cftime gives for random times in every CF calendar.

Run with cftime 1.6.6: `python make_times.py > times.tsv`.
"""

import random

import cftime

random.seed(20261122)
CALENDARS = [
    "standard",
    "gregorian",
    "proleptic_gregorian",
    "julian",
    "noleap",
    "365_day",
    "all_leap",
    "366_day",
    "360_day",
]
UNITS = {"days": 1, "hours": 24, "minutes": 1440, "seconds": 86400}
REFERENCES = [
    "1850-01-01",
    "0001-01-01 00:00:00",
    "1970-1-1 0:00:00",
    "2000-02-28 06:30:00",
    "1582-10-15",
    "1500-03-01 12:00:00",
    "2300-12-30",
]

print("units\tcalendar\tvalue\tyear\tmonth\tday\tmicroseconds")
for calendar in CALENDARS:
    for case in range(180):
        word = random.choice(list(UNITS))
        units = f"{word} since {random.choice(REFERENCES)}"
        days = random.uniform(-400_000, 800_000)
        value = round(days * UNITS[word] * 8) / 8 if case % 3 else round(days * UNITS[word])
        date = cftime.num2date(value, units, calendar=calendar)
        microseconds = ((date.hour * 60 + date.minute) * 60 + date.second) * 1_000_000 + date.microsecond
        print(f"{units}\t{calendar}\t{value}\t{date.year}\t{date.month}\t{date.day}\t{microseconds}")
