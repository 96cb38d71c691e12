//! Units against UDUNITS-2.

use super::*;
use proptest::prelude::*;

/// Texts from real files, by hand and made at random, with what UDUNITS-2 says of them: see
/// `scripts/units_oracle.py`.
const ORACLE: &str = include_str!("oracle.tsv");

/// What this parser takes and UDUNITS does not, or the other way round, and why.
fn differs_on_purpose(text: &str) -> bool {
    // Words of CF, observatories and beamlines.
    ["level", "none", "unitless", "dimensionless", "dB", "dB/km", "psu", "deg"].contains(&text)
        || text == "m⁻²"
        // A bracket that was never opened.
        || ["m)", "tesla)", "tesla*meter)", "volt/meter)", "kg/sec^2)", "amp/meter^2)"].contains(&text)
        // cf-units takes only `since` for a time; UDUNITS-2 itself takes these words as well.
        || ["days after 2000-01-01", "days @ 2000-01-01"].contains(&text)
}

#[test]
fn texts_mean_what_udunits_says() {
    let mut wrong = Vec::new();
    for line in ORACLE.lines() {
        let (text, expected) = line.split_once('\t').unwrap();
        let text: String = serde_json::from_str(text).unwrap();
        let own = Unit::parse(&text).map_or_else(
            |_| "-".to_owned(),
            |unit| match unit.scale {
                Scale::Linear => unit.to_string(),
                Scale::Moment { .. } => "moment".to_owned(),
                Scale::Logarithmic { .. } => {
                    format!("log {}", Unit { scale: Scale::Linear, ..unit })
                }
            },
        );
        if (own != expected) != differs_on_purpose(&text) {
            wrong.push(format!("{text:?}: {own:?}, UDUNITS {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

/// Conversions between random units and by hand, with the answers of UDUNITS-2: see
/// `scripts/units_conversions.py`.
const CONVERSIONS: &str = include_str!("conversions.tsv");

#[test]
fn numbers_convert_as_udunits_converts_them() {
    let mut wrong = Vec::new();
    for line in CONVERSIONS.lines().filter(|line| !line.starts_with("# ")) {
        let columns: Vec<&str> = line.split('\t').collect();
        let (from, to, number) = (columns[0], columns[1], columns[2].parse::<f64>().unwrap());
        let own = Conversion::with_reciprocals(from, to).map(|conversion| conversion.apply(number));
        let expected: Option<f64> = columns[3].parse().ok();
        let same = match (&own, expected) {
            (Ok(own), Some(expected)) => {
                let scale = expected.abs().max(own.abs()).max(f64::MIN_POSITIVE);
                // UDUNITS loses digits where offsets cancel.
                own.total_cmp(&expected).is_eq()
                    || (own - expected).abs() <= 1e-9 * scale + 1e-10
                    || (own.is_nan() && expected.is_nan())
            }
            (Err(_), None) => true,
            _ => false,
        };
        if !same {
            wrong.push(format!("{number} {from:?} in {to:?}: {own:?}, UDUNITS {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

/// Odd texts at random and by hand, with the answers of UDUNITS-2: see `scripts/units_grammar.py`.
const GRAMMAR: &str = include_str!("grammar.tsv");

#[test]
fn odd_texts_are_read_and_refused_as_udunits_reads_and_refuses_them() {
    let mut wrong = Vec::new();
    let lines = GRAMMAR.lines().filter(|line| !line.starts_with("# "));
    for line in lines {
        let columns: Vec<&str> = line.split('\t').collect();
        let (from, to, number) = (columns[0], columns[1], columns[2].parse::<f64>().unwrap());
        let own = Unit::parse(from)
            .and_then(|_| Conversion::with_reciprocals(from, to))
            .map(|conversion| conversion.apply(number));
        let same = match (&own, columns[3].parse::<f64>().ok()) {
            (Ok(own), Some(expected)) => {
                (own - expected).abs() <= 1e-9 * expected.abs() + f64::MIN_POSITIVE
            }
            (_, None) => Unit::parse(from).is_err(),
            (Err(_), Some(_)) => false,
        };
        if !same {
            wrong.push(format!("{number} {from:?} in {to:?}: {own:?}, UDUNITS {}", columns[3]));
        }
    }
    assert!(GRAMMAR.lines().count() > 3000);
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn reciprocals_convert_only_where_they_are_asked_for() {
    assert!(Conversion::parse("s", "Hz").is_err());
    // UDUNITS-2: 5 ms is 0.2 kHz, 4 Hz is 0.25 s, a level of 1 above 1 s is 10 s or 0.1 Hz.
    for (from, to, number, expected) in
        [("ms", "kHz", 5.0, 0.2), ("Hz", "s", 4.0, 0.25), ("lg(re 1 s)", "Hz", 1.0, 0.1)]
    {
        let got = Conversion::with_reciprocals(from, to).unwrap().apply(number);
        assert!((got - expected).abs() <= f64::EPSILON, "{from}: {got}");
    }
    for (from, to) in [("days since 2000-01-01", "Hz"), ("s2", "Hz"), ("kg-1", "K")] {
        assert!(Conversion::with_reciprocals(from, to).is_err(), "{from}, {to}");
    }
}

#[test]
fn conversions_of_everyday_are_exact() {
    for (value, from, to, expected) in [
        (0.0, "degC", "K", 273.15),
        (1013.25, "hPa", "Pa", 101_325.0),
        (0.3, "m", "mm", 300.0),
        (7.0, "mm", "mm", 7.0),
        (1.0, "day", "s", 86_400.0),
        (3.0, "dBZ", "dBZ", 3.0),
    ] {
        let got = Conversion::parse(from, to).unwrap().apply(value);
        assert!((got - expected).abs() <= f64::EPSILON * expected.abs(), "{from}: {got}");
    }
    for (from, to) in [
        ("K", "Pa"),
        ("days since 2000-02-30", "days since 2000-01-01"),
        ("days since 2000-01-01", "days"),
        ("dB/km", "km-1"),
        ("bananas", "m"),
    ] {
        assert!(Conversion::parse(from, to).is_err(), "{from}, {to}");
    }
}

#[test]
fn moments_need_a_date_that_some_calendar_has() {
    for good in ["days since 2001-02-30", "days since 1-1-1", "hours since 1900-01-01 24:00"] {
        assert!(Unit::parse(good).unwrap().is_moment(), "{good}");
    }
    for bad in [
        "days since 2000-13-45",
        "days since 2000-00-01",
        "days since 2000-01-32",
        "days since 2000-01-01 25:00",
        "days since 2000-01-01 10:61",
        "days since 2000-01-01 10:00 nowhere",
        "K since 2000-01-01",
    ] {
        assert!(Unit::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (text, word) in [
        ("bananas", "\"bananas\""),
        ("m (s", "not closed"),
        ("m) s(", "\")"),
        ("m/", "at the end"),
        ("K\u{7}", "\\u{7}"),
        ("m^x", "whole number"),
        ("m999", "exponent"),
        ("days since yesterday", "\"yesterday\""),
        (&"m ".repeat(150), "longer"),
    ] {
        let error = Unit::parse(text).unwrap_err().to_string();
        assert!(error.contains(word), "{text:?}: {error}");
    }
}

#[test]
fn conversion_needs_equal_dimensions() {
    let converts =
        |one: &str, other: &str| Unit::parse(one).unwrap().converts_to(Unit::parse(other).unwrap());
    for (one, other) in
        [("degC", "K"), ("hPa", "Pa"), ("days since 1850-01-01", "s"), ("degrees_north", "rad")]
    {
        assert!(converts(one, other) && converts(other, one), "{one}, {other}");
    }
    for (one, other) in [("K", "Pa"), ("s", "Hz"), ("dBZ", "m3"), ("mm day-1", "kg m-2 s-1")] {
        assert!(!converts(one, other), "{one}, {other}");
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in ".{0,60}", noise in "[a-zA-Z0-9()^*/@. -]{0,40}") {
        let _ = Unit::parse(&text);
        let _ = Unit::parse(&noise);
    }
}
