"""The questions of the story, in SQL. Their expected answers are in expected.json."""

from dataclasses import dataclass

CMIP = "(SELECT * FROM ornl.cmip6.ta UNION ALL SELECT * FROM llnl.cmip6.ta)"


@dataclass(frozen=True)
class Question:
    """One question: at which lab it is asked, and which column is shown beside its expected value."""

    id: str
    title: str
    ask: str
    sql: str
    key: str


def warming(condition=""):
    """Mean of 1985-2014 minus mean of 1950-1979 at 1000 hPa, by model."""
    early, late = "FILTER (WHERE year BETWEEN 1950 AND 1979)", "FILTER (WHERE year BETWEEN 1985 AND 2014)"
    return f"""\
SELECT model, count(ta) {early} AS n1, avg(ta) {early} AS t1,
       count(ta) {late} AS n2, avg(ta) {late} AS t2,
       avg(ta) {late} - avg(ta) {early} AS warming
FROM {CMIP}
WHERE plev > 99999{condition} GROUP BY model HAVING count(ta) {early} > 0
ORDER BY warming DESC"""


Q1 = Question(
    "Q1",
    "What is there? Eight climate models of two labs, in five calendars",
    "ornl",
    f"""\
SELECT model, count(*) AS n, count(ta) AS not_null, min(year) AS y0, max(year) AS y1
FROM {CMIP}
GROUP BY model ORDER BY model""",
    "not_null",
)

Q2 = Question(
    "Q2", "Which model warms most at the North Pole, 1985-2014 against 1950-1979?", "ornl", warming(), "warming"
)

Q3 = Question(
    "Q3",
    "Is that true? Air at the pole below 180 K does not exist on Earth",
    "ornl",
    f"""\
SELECT model, year, month, lat, lon, ta, file
FROM {CMIP}
WHERE ta < 180 ORDER BY ta""",
    "ta",
)

Q3_WITHOUT = Question(
    "Q3b",
    "The same question without those eight cells",
    "ornl",
    warming(" AND ta >= 180"),
    "warming",
)

Q4 = Question(
    "Q4",
    "A join across labs: E3SM of ornl against each model of llnl, year by year",
    "ornl",
    """\
WITH e AS (SELECT year, avg(ta) AS t FROM ornl.cmip6.ta
           WHERE model = 'E3SM-1-0' AND plev > 99999 AND ta >= 180 GROUP BY year),
     x AS (SELECT model, year, avg(ta) AS t FROM llnl.cmip6.ta
           WHERE plev > 99999 AND ta >= 180 GROUP BY model, year)
SELECT x.model, count(*) AS years, avg(x.t - e.t) AS bias, corr(x.t, e.t) AS r
FROM e JOIN x USING (year) GROUP BY x.model ORDER BY x.model""",
    "bias",
)

Q5 = Question(
    "Q5",
    "Polar amplification: the pole of ornl's models over the land of llnl's scenario",
    "ornl",
    """\
WITH p AS (SELECT model, avg(ta) FILTER (WHERE year BETWEEN 1985 AND 2014)
                       - avg(ta) FILTER (WHERE year BETWEEN 1950 AND 1979) AS pole
           FROM ornl.cmip6.ta WHERE plev > 99999 AND ta >= 180 GROUP BY model),
     w AS (SELECT year, air_temperature * cos(radians(lat)) AS tw, cos(radians(lat)) AS w
           FROM llnl.scenarios.annual WHERE scenario = 'A1B'),
     c AS (SELECT sum(tw) FILTER (WHERE year BETWEEN 1985 AND 2014) / sum(w) FILTER (WHERE year BETWEEN 1985 AND 2014)
                - sum(tw) FILTER (WHERE year BETWEEN 1950 AND 1979) / sum(w) FILTER (WHERE year BETWEEN 1950 AND 1979)
                AS land FROM w)
SELECT model, pole, land, pole / land AS ratio FROM p CROSS JOIN c ORDER BY ratio DESC""",
    "ratio",
)

Q6 = Question(
    "Q6",
    "Scenario against scenario: what mitigation (E1) avoids of A1B, by decade",
    "ornl",
    """\
SELECT year / 10 * 10 AS decade,
       avg(air_temperature) FILTER (WHERE scenario = 'A1B') - avg(air_temperature) FILTER (WHERE scenario = 'E1') AS avoided
FROM llnl.scenarios.annual WHERE year >= 2050 GROUP BY year / 10 * 10 ORDER BY decade""",
    "avoided",
)

Q7 = Question(
    "Q7",
    "X-ray transmission: NeXus detector data joined with the text log of the beamline",
    "ornl",
    """\
WITH b AS (SELECT bin, r FROM anl.usaxs.reduced WHERE sample = 'Blank')
SELECT s.scan, s.macro, s.started, u.sample, count(*) AS bins, max(u.r) AS peak,
       max(u.r) / (SELECT max(r) FROM b) AS transmission,
       avg(u.r / b.r) FILTER (WHERE u.q BETWEEN 0.01 AND 0.03) AS excess
FROM anl.usaxs.reduced u JOIN anl.usaxs.scans s USING (scan) JOIN b USING (bin)
GROUP BY s.scan, s.macro, s.started, u.sample ORDER BY s.scan""",
    "transmission",
)


def kelvin(table, column, units):
    """Count and range of a column in kelvin, whatever its units."""
    value = f"""convert_units("{column}", '{units}', 'K')"""
    return f"SELECT count({value}) AS n, min({value}) AS low, max({value}) AS high FROM {table}"
