//! Where, when, and between which values: conditions on numbers.
//!
//! A dataset has for each standard name the smallest and largest value of its variables, in the unit
//! that CF defines the name in, so that data in °C and in K are compared. Its time is one interval,
//! its longitudes one or two of -180 to 180.

use super::fields::Fields;
use crate::CatalogError;
use crate::model::Dataset;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use std::collections::BTreeMap;
use std::ops::Bound::{self, Excluded, Included, Unbounded};
use tantivy::query::{BooleanQuery, Occur, Query as Tantivy, RangeQuery};
use tantivy::schema::Field;
use tantivy::{TantivyDocument, Term};
use tarn_schemas::standard_names;
use tarn_schemas::units::{self, Conversion, Unit};

/// Keys of filters that hold an extent: `time` and `bbox` are met by what shares a part of it, the
/// others by what lies inside.
pub(super) const EXTENTS: [&str; 4] = ["time", "within_time", "bbox", "within_bbox"];

/// Names of the fields of numbers.
pub(super) const NUMBERS: [&str; 8] =
    ["time_first", "time_last", "south", "north", "west_1", "east_1", "west_2", "east_2"];

type Numbers = [Option<f64>; NUMBERS.len()];

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    /// A variable of this standard name has a value between these, in its canonical unit.
    Value { name: &'static str, low: Bound<f64>, high: Bound<f64> },
    /// Seconds since 1970.
    Time { first: f64, last: f64, within: bool },
    /// West and east once or twice, south, north.
    Place { sides: Vec<(f64, f64)>, south: f64, north: f64, within: bool },
}

fn argument(problem: String) -> CatalogError {
    CatalogError::Argument(problem)
}

/// The conditions in a text such as `sea_water_temperature > 20 degC`, and the text without them.
///
/// A condition is a standard name or one of its older names, `<`, `<=`, `=`, `>=` or `>`, a number,
/// and a unit, which may be left out where the number is in the canonical one. What stands behind the number is
/// a unit, unless another condition begins there: a misspelt unit that counted as a word would find nothing, and
/// say nothing. A sign between a word that is no standard name and something that is no number is text.
pub(super) fn of_text(text: &str) -> Result<(String, Vec<Condition>), CatalogError> {
    let (mut rest, mut conditions) = (String::new(), Vec::new());
    let spaced = spaced(text);
    let mut words = spaced.split_whitespace().peekable();
    let mut said: Option<&str> = None;
    while let Some(word) = words.next() {
        let (word, sign) = if SIGNS.contains(&word) {
            // A second condition on the same: `… >= 20 degC <= 25 degC`.
            let before = said.ok_or_else(|| {
                argument(format!(
                    "write a CF standard name before `{word}`, such as `air_temperature {word} 280`"
                ))
            })?;
            (before, word)
        } else if let Some(sign) = words.next_if(|next| SIGNS.contains(next)) {
            (word, sign)
        } else {
            rest.push_str(word);
            rest.push(' ');
            said = None;
            continue;
        };
        let known = standard_names::resolve(word);
        // `signal > noise`: who compares no number asks for no values.
        let number = words.peek().is_some_and(|next| number_of(next).is_some());
        if known.is_none() && !number && words.peek().is_some() {
            rest.push_str(word);
            rest.push(' ');
            said = None;
            continue;
        }
        said = Some(word);
        let name = known.ok_or_else(|| {
            let close = standard_names::suggest(word).join(" or ");
            let hint = if close.is_empty() { close } else { format!("; did you mean {close}?") };
            argument(format!("{word:?} is no CF standard name{hint}"))
        })?;
        let (number, behind) = words.next().and_then(number_of).ok_or_else(|| {
            argument(format!("write a number behind `{word} {sign}`, such as `{word} {sign} 20 K`"))
        })?;
        let canonical = standard_names::canonical_unit(name).unwrap_or("1");
        let mut ahead = words.clone();
        // A unit may have a sign behind it too: `… >= 20 degC <= 25 degC`.
        let another = |word: &str, mut ahead: Words<'_>| {
            SIGNS.contains(&word)
                || ahead.next().is_some_and(|next| SIGNS.contains(&next))
                    && (standard_names::resolve(word).is_some() || Unit::parse(word).is_err())
        };
        let unit = match (behind, ahead.next()) {
            ("", Some(next)) if !another(next, ahead) => words.next(),
            ("", _) => None,
            (unit, _) => Some(unit),
        };
        let value = match unit {
            Some(unit) => {
                conversion(unit, canonical, &format!("{word} {sign} {number}"))?.apply(number)
            }
            None => number,
        };
        let (low, high) = match sign {
            ">" => (Excluded(value), Unbounded),
            ">=" => (Included(value), Unbounded),
            "<" => (Unbounded, Excluded(value)),
            "<=" => (Unbounded, Included(value)),
            _ => (Included(value), Included(value)),
        };
        conditions.push(Condition::Value { name, low, high });
    }
    Ok((rest, conditions))
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// How numbers of a condition in a unit become numbers in the canonical one.
fn conversion(unit: &str, canonical: &str, condition: &str) -> Result<Conversion, CatalogError> {
    if let Err(problem) = Unit::parse(unit) {
        let close: Vec<String> = units::suggest(unit, canonical)
            .iter()
            .map(|close| format!("`{condition} {close}`"))
            .collect();
        let hint = if close.is_empty() {
            String::new()
        } else {
            format!("; did you mean {}?", close.join(" or "))
        };
        return Err(argument(format!(
            "{unit:?} behind `{condition}` is no unit ({problem}){hint} Words of the text stand before the condition, or \
             behind its unit, such as `{condition} {canonical} {unit}`"
        )));
    }
    Conversion::parse(unit, canonical).map_err(|error| argument(error.to_string()))
}

/// The number that a text begins with, and the rest.
fn number_of(text: &str) -> Option<(f64, &str)> {
    // `1e999` is no number with a unit behind it.
    if text.parse::<f64>().is_ok_and(|number| !number.is_finite()) {
        return None;
    }
    let ends = text.char_indices().map(|(at, _)| at).skip(1).chain([text.len()]);
    let parts = ends.filter_map(|end| text.split_at_checked(end));
    let numbers = parts.filter_map(|(number, rest)| Some((number.parse::<f64>().ok()?, rest)));
    numbers.filter(|(number, _)| number.is_finite()).last()
}

const SIGNS: [&str; 5] = ["<", "<=", "=", ">=", ">"];

/// The text with spaces around every sign.
fn spaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut last = ' ';
    for character in text.chars() {
        let sign = |c: char| matches!(c, '<' | '>' | '=');
        if sign(last) != sign(character) {
            out.push(' ');
        }
        out.push(character);
        last = character;
    }
    out
}

/// The condition of a filter with one of the keys of [`EXTENTS`].
pub(super) fn of_filter(key: &str, value: &str) -> Result<Condition, CatalogError> {
    let within = key.starts_with("within");
    if key.ends_with("time") {
        let wrong = || {
            argument(format!(
                "{key}={value:?}: write two days or moments, such as 1990-01-01/1999-12-31"
            ))
        };
        let (first, last) = value.split_once('/').ok_or_else(wrong)?;
        let (first, last) =
            (moment(first, false).ok_or_else(wrong)?, moment(last, true).ok_or_else(wrong)?);
        return if first <= last {
            Ok(Condition::Time { first, last, within })
        } else {
            Err(wrong())
        };
    }
    let wrong = || {
        argument(format!(
            "{key}={value:?}: write west,south,east,north in degrees, such as -20,30,40,70"
        ))
    };
    let degrees: Option<Vec<f64>> = value.split(',').map(|text| text.trim().parse().ok()).collect();
    let Some([west, south, east, north]) = degrees.and_then(|all| <[f64; 4]>::try_from(all).ok())
    else {
        return Err(wrong());
    };
    let latitudes = (-90.0..=90.0).contains(&south) && (south..=90.0).contains(&north);
    let longitudes = [west, east].iter().all(|degrees| (-360.0..=720.0).contains(degrees));
    if !latitudes || !longitudes {
        return Err(wrong());
    }
    // A box whose west is east of its east crosses the 180th meridian.
    let east = if east < west { east + 360.0 } else { east };
    Ok(Condition::Place { sides: sides(west, east), south, north, within })
}

/// Seconds since 1970; of a day its beginning, or its last second.
fn moment(text: &str, last: bool) -> Option<f64> {
    let text = text.trim();
    let at: DateTime<Utc> = match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(day) => {
            let time = if last { NaiveTime::from_hms_opt(23, 59, 59)? } else { NaiveTime::MIN };
            day.and_time(time).and_utc()
        }
        Err(_) => DateTime::parse_from_rfc3339(text).ok()?.to_utc(),
    };
    // Dates of chrono are within 2^53 seconds.
    at.timestamp().to_string().parse().ok()
}

/// Longitudes from west to east, which are not to the west of them, as intervals of -180 to 180.
fn sides(west: f64, east: f64) -> Vec<(f64, f64)> {
    if east - west >= 360.0 {
        return vec![(-180.0, 180.0)];
    }
    let start = (west + 180.0).rem_euclid(360.0) - 180.0;
    let end = start + (east - west);
    if end > 180.0 { vec![(start, 180.0), (-180.0, end - 360.0)] } else { vec![(start, end)] }
}

/// The numbers of a dataset, and the values of its standard names.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    numbers: Numbers,
    values: BTreeMap<&'static str, (f64, f64)>,
}

impl Ranges {
    pub(super) fn new(dataset: &Dataset) -> Self {
        let mut ranges = Self::default();
        let [first, last, south, north, west_1, east_1, west_2, east_2] = &mut ranges.numbers;
        if let Some((from, to)) = dataset.extent.time {
            (*first, *last) = (Some(from), Some(to));
        }
        if let Some([west, bottom, east, top]) = dataset.extent.bounding_box {
            (*south, *north) = (Some(bottom), Some(top));
            let sides = sides(west, east);
            // One interval stands there twice, so that conditions need not know how many there are.
            for (place, (west, east)) in
                [(west_1, east_1), (west_2, east_2)].into_iter().enumerate()
            {
                let side = sides.get(place).or(sides.first());
                (*west, *east) = (side.map(|side| side.0), side.map(|side| side.1));
            }
        }
        for variable in dataset.files.iter().flat_map(|file| &file.variables) {
            let name = variable.standard_name.as_deref().map(standard_names::without_modifier);
            let Some(name) = name.and_then(standard_names::resolve) else { continue };
            let (Some(min), Some(max)) = (variable.min, variable.max) else { continue };
            let canonical = standard_names::canonical_unit(name).unwrap_or("1");
            let unit = variable.units.as_deref().unwrap_or(canonical);
            // What does not convert cannot be compared: it is not found by its values.
            let Ok(conversion) = Conversion::parse(unit, canonical) else { continue };
            let (one, other) = (conversion.apply(min), conversion.apply(max));
            if !one.is_finite() || !other.is_finite() {
                continue;
            }
            let (low, high) = (one.min(other), one.max(other));
            let known = ranges.values.entry(name).or_insert((low, high));
            *known = (known.0.min(low), known.1.max(high));
        }
        ranges
    }

    pub(super) fn fill(&self, fields: &Fields, document: &mut TantivyDocument) {
        for (field, number) in fields.numbers.iter().zip(&self.numbers) {
            if let Some(number) = number.filter(|number| number.is_finite()) {
                document.add_f64(*field, number);
            }
        }
        if self.values.is_empty() {
            return;
        }
        let values = self.values.iter().flat_map(|(name, (low, high))| {
            [(format!("{name}_min"), (*low).into()), (format!("{name}_max"), (*high).into())]
        });
        document.add_object(fields.values, values.collect());
    }
}

impl Condition {
    /// The query of what fits.
    pub(super) fn compile(&self, fields: &Fields) -> Box<dyn Tantivy> {
        let number = |field: Field| move |value: f64| Term::from_field_f64(field, value);
        let [first, last, south, north, west_1, east_1, west_2, east_2] = fields.numbers;
        // Inside, an interval begins and ends between the bounds; otherwise it ends after the first
        // and begins before the second.
        let interval = |(from, to): (f64, f64), begin: Field, end: Field, within: bool| {
            let (low, high) = if within { (begin, end) } else { (end, begin) };
            all(vec![
                range(Included(from), Unbounded, number(low)),
                range(Unbounded, Included(to), number(high)),
            ])
        };
        match self {
            Self::Value { name, low, high } => {
                let of = |end: &str| {
                    let (field, path) = (fields.values, format!("{name}_{end}"));
                    move |value: f64| {
                        let mut term = Term::from_field_json_path(field, &path, false);
                        term.append_type_and_fast_value(value);
                        term
                    }
                };
                // The largest is above the lower bound, the smallest below the upper one.
                let mut both = Vec::new();
                if *low != Unbounded {
                    both.push(range(*low, Unbounded, of("max")));
                }
                if *high != Unbounded {
                    both.push(range(Unbounded, *high, of("min")));
                }
                all(both)
            }
            Self::Time { first: from, last: to, within } => {
                interval((*from, *to), first, last, *within)
            }
            Self::Place { sides, south: bottom, north: top, within } => {
                let side = |west: Field, east: Field| {
                    any(sides.iter().map(|side| interval(*side, west, east, *within)).collect())
                };
                let sides = vec![side(west_1, east_1), side(west_2, east_2)];
                let longitudes = if *within { all(sides) } else { any(sides) };
                all(vec![interval((*bottom, *top), south, north, *within), longitudes])
            }
        }
    }
}

fn range(low: Bound<f64>, high: Bound<f64>, term: impl Fn(f64) -> Term) -> Box<dyn Tantivy> {
    Box::new(RangeQuery::new(low.map(&term), high.map(&term)))
}

fn all(queries: Vec<Box<dyn Tantivy>>) -> Box<dyn Tantivy> {
    Box::new(BooleanQuery::new(queries.into_iter().map(|query| (Occur::Must, query)).collect()))
}

fn any(queries: Vec<Box<dyn Tantivy>>) -> Box<dyn Tantivy> {
    Box::new(BooleanQuery::new(queries.into_iter().map(|query| (Occur::Should, query)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_taken_out_of_a_text() {
        let (rest, found) =
            of_text("warm sea_water_temperature>20 degC gulf air_temperature <= 250 K stream")
                .unwrap();
        assert_eq!(rest.split_whitespace().collect::<Vec<_>>(), ["warm", "gulf", "stream"]);
        assert_eq!(
            found,
            [
                Condition::Value {
                    name: "sea_water_temperature",
                    low: Excluded(293.15),
                    high: Unbounded
                },
                Condition::Value { name: "air_temperature", low: Unbounded, high: Included(250.0) },
            ]
        );
        assert_eq!(of_text("salt water").unwrap(), ("salt water ".to_owned(), vec![]));
        let (_, twice) = of_text("air_temperature >= 20 degC <= 25 degC").unwrap();
        let of = |low, high| Condition::Value { name: "air_temperature", low, high };
        assert_eq!(twice, [of(Included(293.15), Unbounded), of(Unbounded, Included(298.15))]);
        for wrong in ["<= 25 degC", "air_temperature > -1e999 K", "air_temperature > 3 K warm < 5"]
        {
            assert!(of_text(wrong).is_err(), "{wrong}");
        }
        for wrong in ["air_temperature > 3 m", "air_temperature > 300 degrees Celsius"] {
            assert!(of_text(wrong).unwrap_err().to_string().contains('K'), "{wrong}");
        }
        for (text, expected) in [
            ("signal > noise", "signal noise "),
            ("heat -> work", "heat - work "),
            ("a >= b of c", "a b of c "),
        ] {
            assert_eq!(of_text(text).unwrap(), (expected.to_owned(), vec![]), "{text}");
        }
        // Without a unit another condition may follow.
        let (rest, found) = of_text("air_temperature > 250 air_temperature < 300 <= 290").unwrap();
        assert_eq!((rest.as_str(), found.len()), ("", 3));
        for (wrong, meant) in [
            ("sea_water_temperature > 20 degX", "degc"),
            ("air_temperature > 20degX", "degc"),
            ("air_temperature > 300 kelvn", "kelvin"),
            ("air_temperature > 20 celcius", "celsius"),
            ("air_temperature > 20 Frobnitz", "Words of the text"),
            ("air_temperature > 250 stream", "250 K stream"),
        ] {
            let error = of_text(wrong).unwrap_err().to_string();
            let unit = wrong.rsplit(' ').next().unwrap().trim_start_matches("20");
            assert!(error.contains(meant) && error.contains(unit), "{error}");
        }
        for wrong in ["sea_water_temprature > 20", "air_temperature >", "air_temperature > warm"] {
            let error = of_text(wrong).unwrap_err().to_string();
            assert!(
                error.contains("did you mean")
                    || error.contains("write a number")
                    || error.contains("no CF"),
                "{error}"
            );
        }
    }

    #[test]
    fn longitudes_are_one_interval_or_two() {
        assert_eq!(sides(0.0, 357.5), [(0.0, 180.0), (-180.0, -2.5)]);
        assert_eq!(sides(0.0, 360.0), [(-180.0, 180.0)]);
        assert_eq!(sides(350.0, 370.0), [(-10.0, 10.0)]);
        assert_eq!(sides(-20.0, 40.0), [(-20.0, 40.0)]);
        assert_eq!(sides(170.0, 190.0), [(170.0, 180.0), (-180.0, -170.0)]);
    }

    #[test]
    fn extents_are_checked() {
        let time = of_filter("time", "1970-01-01/1970-01-02").unwrap();
        assert_eq!(time, Condition::Time { first: 0.0, last: 172_799.0, within: false });
        assert!(matches!(of_filter("within_bbox", "170,-10,-170,10").unwrap(),
            Condition::Place { sides, within: true, .. } if sides.len() == 2));
        for (key, wrong) in [
            ("time", "1970"),
            ("time", "1971-01-01/1970-01-01"),
            ("within_time", "x/y"),
            ("bbox", "1,2,3"),
            ("bbox", "0,50,10,40"),
            ("bbox", "0,-91,10,40"),
            ("bbox", "NaN,0,1,1"),
        ] {
            assert!(of_filter(key, wrong).is_err(), "{key} {wrong}");
        }
    }
}
