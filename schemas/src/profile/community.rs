//! Community profiles: what a record and its files have to satisfy besides lab-core.
//!
//! A profile is a JSON Schema (2020-12) of a document `{"record": …, "files": […]}`, where `files`
//! are [`FileFacts`] with their attributes as an object. Its `title` is its name. A subschema says
//! under `fix` how to mend what it refuses. `checks` names rules that no schema can say; see
//! [`CHECKS`].

use super::shape::violations;
use super::{Findings, Violation, shown};
use crate::facts::{FileFacts, VariableFacts};
use crate::record::Record;
use crate::standard_names;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// The profiles that ship: `cf-acdd` and `nexus`.
pub const SHIPPED: [(&str, &str); 2] = [
    ("cf-acdd", include_str!("published/cf-acdd.json")),
    ("nexus", include_str!("published/nexus.json")),
];

/// Rules that a profile may ask for by name.
const CHECKS: [(&str, fn(&[FileFacts], &mut Findings)); 2] =
    [("standard_names", check_standard_names), ("acdd_extent", check_acdd_extent)];
/// Unknown names that a suggestion is looked for; each costs a walk over the table.
const MOST_SUGGESTIONS: usize = 50;
/// Degrees that an attribute may differ from the coordinates: attributes are rounded by hand.
const DEGREES: f64 = 0.01;
/// Degrees of longitude from which on data go around the Earth.
const AROUND: f64 = 350.0;

/// A community profile.
#[derive(Debug)]
pub struct Community {
    name: String,
    document: Value,
    validator: Validator,
    checks: Vec<fn(&[FileFacts], &mut Findings)>,
}

impl Community {
    /// Reads a profile.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(text: &str) -> Result<Self, String> {
        let document: Value =
            serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
        let name = document
            .get("title")
            .and_then(Value::as_str)
            .filter(|name| {
                let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                (1..=64).contains(&name.len()) && name.chars().all(fits)
            })
            .ok_or("give it a name under `title`: a-z, 0-9 and -, at most 64 characters")?
            .to_owned();
        let validator = jsonschema::validator_for(&document)
            .map_err(|error| format!("no JSON Schema: {error}"))?;
        let wanted = document.get("checks").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut checks = Vec::new();
        for check in &wanted {
            let found = CHECKS.iter().find(|(name, _)| check.as_str() == Some(name));
            let (_, check) = found.ok_or_else(|| {
                let known: Vec<&str> = CHECKS.iter().map(|(name, _)| *name).collect();
                format!("no check {check}; there are {}", known.join(", "))
            })?;
            checks.push(*check);
        }
        Ok(Self { name, document, validator, checks })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The JSON Schema.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Every rule of the profile that a record with its files breaks. Pointers begin with
    /// `/record` or `/files`.
    pub fn check(&self, record: &Record, files: &[FileFacts]) -> Vec<Violation> {
        let document = describe(record, files);
        let mut findings =
            Findings(violations(&self.document, &self.validator, &document, &self.name));
        for check in &self.checks {
            check(files, &mut findings);
        }
        findings.0
    }
}

/// The document that profiles are about.
pub fn describe(record: &Record, files: &[FileFacts]) -> Value {
    let files = files.iter().map(|file| {
        let mut value = serde_json::to_value(file).unwrap_or_default();
        let attributes: Map<String, Value> = file
            .attributes
            .iter()
            .map(|(name, text)| (name.clone(), Value::String(text.clone())))
            .collect();
        if let Some(fields) = value.as_object_mut() {
            fields.insert("attributes".to_owned(), Value::Object(attributes));
        }
        value
    });
    json!({"record": record, "files": files.collect::<Vec<_>>()})
}

/// Standard names are names of the table, not aliases or misspelt.
fn check_standard_names(files: &[FileFacts], findings: &mut Findings) {
    let mut looked = 0_usize;
    for (place, file) in files.iter().enumerate() {
        for (number, variable) in file.variables.iter().enumerate() {
            let Some(name) = &variable.standard_name else { continue };
            if looked >= MOST_SUGGESTIONS {
                return;
            }
            if let Some(fix) = standard_names::problem(name) {
                looked = looked.saturating_add(1);
                findings.add(
                    format!("/files/{place}/variables/{number}/standard_name"),
                    "cf.standard_name",
                    shown(name),
                    format!("variable {}: {fix}", variable.name),
                );
            }
        }
    }
}

/// What ACDD's attributes say of the extent is what the coordinates say.
fn check_acdd_extent(files: &[FileFacts], findings: &mut Findings) {
    for (place, file) in files.iter().enumerate() {
        let attribute = |name: &str| {
            let found = file.attributes.iter().find(|(key, _)| key == name);
            found.map(|(_, text)| text.trim())
        };
        let range = |is: fn(&VariableFacts) -> bool| {
            let axes = file.variables.iter().filter(|variable| is(variable));
            axes.filter_map(|axis| axis.min.zip(axis.max))
                .reduce(|(a, b), (c, d)| (a.min(c), b.max(d)))
        };
        let latitudes =
            range(|variable| axis(variable) == Some(crate::facts::Horizontal::Latitude));
        let longitudes = file.extent.bounding_box.map(|[west, _, east, _]| (west, east));
        let times = file.extent.time;
        let mut check = |name: &str, found: Option<f64>, kind: &Stated| {
            let Some(text) = attribute(name) else { return };
            if found.is_some_and(|found| (kind.agrees)(text, found)) {
                return;
            }
            let what = kind.what;
            let fix = match found {
                Some(found) => format!("the {what} say {}", (kind.written)(found)),
                None => format!("no variable has {what}"),
            };
            findings.add(
                format!("/files/{place}/attributes/{name}"),
                "acdd.extent",
                shown(text),
                format!("{}: {fix}", file.location),
            );
        };
        // Of a grid around the Earth every longitude is west and east.
        if !longitudes.is_some_and(|(west, east)| east - west >= AROUND) {
            check("geospatial_lon_min", longitudes.map(|(west, _)| west), &LONGITUDE);
            check("geospatial_lon_max", longitudes.map(|(_, east)| east), &LONGITUDE);
        }
        check("geospatial_lat_min", latitudes.map(|(low, _)| low), &LATITUDE);
        check("geospatial_lat_max", latitudes.map(|(_, high)| high), &LATITUDE);
        check("time_coverage_start", times.map(|(first, _)| first), &TIME);
        check("time_coverage_end", times.map(|(_, last)| last), &TIME);
    }
}

/// What an attribute of ACDD states of an axis.
struct Stated {
    what: &'static str,
    agrees: fn(&str, f64) -> bool,
    written: fn(f64) -> String,
}

const LATITUDE: Stated = Stated {
    what: "latitudes",
    agrees: |text, found| text.parse::<f64>().is_ok_and(|stated| (stated - found).abs() <= DEGREES),
    written: |found| found.to_string(),
};

/// By any turn: files write 0 to 360 and -180 to 180.
const LONGITUDE: Stated = Stated {
    what: "longitudes",
    agrees: |text, found| {
        let off = text.parse::<f64>().map(|stated| (stated - found).rem_euclid(360.0));
        off.is_ok_and(|off| off <= DEGREES || 360.0 - off <= DEGREES)
    },
    written: |found| found.to_string(),
};

const TIME: Stated = Stated {
    what: "times",
    // The day has to be right; how a time is written differs too much.
    agrees: |text, found| {
        let day = text.get(..10);
        day.is_some() && crate::time::day_or_time(found).get(..10) == day
    },
    written: crate::time::day_or_time,
};

fn axis(variable: &VariableFacts) -> Option<crate::facts::Horizontal> {
    crate::facts::Horizontal::of(variable.standard_name.as_deref(), variable.units.as_deref())
}

/// What the named profiles say of a record. `known` are those of the lab, the shipped ones among
/// them; `wanted` are those that the lab asks of every record.
pub fn check(
    known: &[Community],
    wanted: &[String],
    record: &Record,
    files: &[FileFacts],
) -> Vec<Violation> {
    let mut findings = Findings::default();
    let own = record.profiles.iter().enumerate();
    let own = own.map(|(place, name)| (format!("/profiles/{place}"), name));
    let lab = wanted.iter().filter(|name| !record.profiles.contains(name));
    for (pointer, name) in own.chain(lab.map(|name| ("/profiles".to_owned(), name))) {
        match known.iter().find(|profile| profile.name() == name) {
            Some(profile) => findings.0.extend(profile.check(record, files)),
            None => {
                let names: Vec<&str> = known.iter().map(Community::name).collect();
                findings.add(
                    pointer,
                    "profiles.unknown",
                    shown(name),
                    format!("this lab has the profiles {}", names.join(", ")),
                );
            }
        }
    }
    findings.0
}
