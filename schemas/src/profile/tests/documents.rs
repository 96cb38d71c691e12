//! Records read by the published schema, and community profiles.

use super::community::{Community, SHIPPED};
use super::*;
use serde_json::{Value, json};

fn wrong(value: &Value) -> Vec<(String, String)> {
    let violations = super::super::read(value).unwrap_err();
    violations
        .into_iter()
        .map(|violation| {
            assert!(!violation.found.is_empty() && !violation.rule.is_empty(), "{violation}");
            (violation.pointer, violation.fix)
        })
        .collect()
}

#[test]
fn a_record_reads_back_by_the_schema() {
    let whole = record();
    assert_eq!(super::super::read(&json!(whole)).unwrap(), whole);
    assert_eq!(
        super::super::read(&json!({"name": "x"})).unwrap(),
        Record::new("x".parse().unwrap())
    );
}

#[test]
fn a_field_that_is_still_empty_is_missed_like_one_that_is_not_there() {
    let value = json!({"name": "x", "tier": null, "publisher": {"name": "y", "ror": null}});
    let read = super::super::read(&value).unwrap();
    assert_eq!((read.tier, read.publisher.unwrap().ror), (None, None));
    assert!(!wrong(&json!({"name": null})).is_empty());
}

#[test]
fn every_wrong_shape_is_found_at_once_with_its_place() {
    let found = wrong(&json!({
        "name": "x", "titel": "t", "keywords": "one, two", "tier": "open",
        "creators": [{"nam": "Ada"}], "embargo": {"until": "soon", "reason": "r"},
        "extent": {"bounding_box": [1, 2]},
    }));
    let pointers: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
    for pointer in [
        "/titel",
        "/keywords",
        "/tier",
        "/creators/0/nam",
        "/creators/0/name",
        "/embargo/until",
        "/extent/bounding_box",
    ] {
        assert!(pointers.contains(&pointer), "{pointer}: {found:?}");
    }
    let fix = |pointer: &str| found.iter().find(|(at, _)| at == pointer).unwrap().1.clone();
    assert!(fix("/titel").contains("title"));
    assert!(fix("/creators/0/nam").contains("name"));
    assert!(fix("/tier").contains("aggregates_only"));
    assert!(fix("/embargo/until").contains("YYYY-MM-DD"));
}

#[test]
fn what_is_no_record_is_a_violation() {
    for value in [json!(null), json!([]), json!("x"), json!(7), json!({})] {
        assert!(!wrong(&value).is_empty(), "{value}");
    }
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    assert!(!wrong(&json!({"name": "x", "keywords": deep})).is_empty());
    let many: Vec<Value> = (0..5000).map(|number| json!(number)).collect();
    let found = wrong(&json!({"name": "x", "keywords": many}));
    assert_eq!(found.len(), 1001);
    assert!(found[1000].1.contains("first 1000"), "{:?}", found[1000]);
    let long = "é".repeat(100_000);
    let found = wrong(&json!({"name": "x", long.clone(): long}));
    assert!(found[0].0.len() < 400 && found[0].1.len() < 400);
}

#[test]
fn so_many_unknown_fields_take_no_time() {
    let mut fields = serde_json::Map::new();
    for number in 0..80_000 {
        fields.insert(format!("descriptio{number}"), json!(number));
    }
    fields.insert("name".to_owned(), json!("x"));
    fields.insert("y".repeat(1_000_000), json!(1));
    let began = std::time::Instant::now();
    let found = super::super::read(&Value::Object(fields)).unwrap_err();
    // In a debug build on a busy machine; before there was a bound it took minutes there.
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(found.len(), 1001);
    assert_eq!(found[1000].rule, "record.more");
    assert_eq!(found[1000].found, "79001 more of these");
}

#[test]
fn a_field_that_stands_twice_is_named() {
    let text = "name: x\ntitle: one\ncontact: {name: a, name: b}\ntitle: two\ntitel: three\n";
    let document: Document = serde_yaml_ng::from_str(text).unwrap();
    let found = read_document(&document).unwrap_err();
    let at: Vec<(&str, &str)> =
        found.iter().map(|one| (one.pointer.as_str(), one.rule.as_str())).collect();
    assert_eq!(at[..2], [("/contact/name", "record.twice"), ("/title", "record.twice")]);
    assert!(at.iter().any(|(pointer, _)| *pointer == "/titel"), "{at:?}");
    let document: Document = serde_json::from_str(r#"{"name": "x"}"#).unwrap();
    assert!(read_document(&document).is_ok());
}

#[test]
fn a_name_that_is_none_is_told_what_a_name_is() {
    let long = "x".repeat(129);
    for name in ["_x", "X", "1x", "a-b", "", long.as_str()] {
        let found = wrong(&json!({"name": name}));
        assert_eq!(found[0].0, "/name", "{found:?}");
        assert!(found[0].1.contains("the first a letter, such as sea_ice_2020"), "{found:?}");
    }
}

fn shipped(name: &str) -> Community {
    let (_, text) = SHIPPED.iter().find(|(known, _)| *known == name).unwrap();
    Community::read(text).unwrap()
}

fn acdd() -> FileFacts {
    let mut file = file();
    file.attributes = [
        ("Conventions", "CF-1.8, ACDD-1.3"),
        ("title", "Sea surface temperature"),
        ("summary", "Monthly means on a grid"),
        ("keywords", "sea surface temperature"),
        ("license", "CC-BY-4.0"),
        ("creator_name", "Ada"),
        ("institution", "ORNL"),
        ("source", "buoys"),
        ("date_created", "2026-11-22"),
        ("time_coverage_start", "1970-01-01T00:00:00Z"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec();
    file
}

#[test]
fn cf_acdd_asks_for_attributes_names_and_true_extents() {
    let profile = shipped("cf-acdd");
    assert_eq!(profile.check(&record(), &[acdd()]), []);
    let pointers = |file: FileFacts| -> Vec<String> {
        let found = profile.check(&record(), &[file]);
        assert!(found.iter().all(|v| !v.fix.is_empty() && !v.found.is_empty()), "{found:?}");
        found.into_iter().map(|violation| violation.pointer).collect()
    };
    for name in ["title", "summary", "license", "Conventions", "date_created"] {
        let mut without = acdd();
        without.attributes.retain(|(key, _)| key != name);
        assert_eq!(pointers(without), [format!("/files/0/attributes/{name}")]);
    }
    let mut old = acdd();
    old.attributes[0].1 = "CF-1.0".to_owned();
    assert_eq!(pointers(old), ["/files/0/attributes/Conventions"]);
    let mut late = acdd();
    late.attributes[9].1 = "1971-01-01T00:00:00Z".to_owned();
    assert_eq!(pointers(late), ["/files/0/attributes/time_coverage_start"]);
    // The file of the tests holds 0.5 to 359.5 degrees: around the Earth, where any west is right.
    let sides = |west: &str, east: &str, bounds: Option<[f64; 4]>| {
        let mut file = acdd();
        file.extent.bounding_box = bounds;
        for (name, text) in [("geospatial_lon_min", west), ("geospatial_lon_max", east)] {
            file.attributes.push((name.to_owned(), text.to_owned()));
        }
        pointers(file)
    };
    let wrong = |side: &str| format!("/files/0/attributes/geospatial_lon_{side}");
    assert_eq!(sides("-180.0", "180.0", acdd().extent.bounding_box), [] as [String; 0]);
    let region = Some([170.0, -5.0, 190.0, 5.0]);
    assert_eq!(sides("170", "190.0", region), [] as [String; 0]);
    assert_eq!(sides("170.0", "-170.0", region), [] as [String; 0]);
    assert_eq!(sides("-180.0", "180.0", region), [wrong("min"), wrong("max")]);
    assert_eq!(sides("170.0", "east", region), [wrong("max")]);
    let mut misspelt = acdd();
    misspelt.variables[0].standard_name = Some("sea_surface_temprature".to_owned());
    let found = profile.check(&record(), &[misspelt]);
    assert_eq!(found[0].pointer, "/files/0/variables/0/standard_name");
    assert!(found[0].fix.contains("sea_surface_temperature"), "{}", found[0].fix);
    let mut nameless = acdd();
    nameless.variables[0].standard_name = None;
    assert_eq!(pointers(nameless), ["/files/0/variables/0"]);
    assert!(!profile.check(&record(), &[]).is_empty());
}

#[test]
fn nexus_asks_for_an_entry() {
    let profile = shipped("nexus");
    let mut file = file();
    file.media_type = "application/x-hdf5".to_owned();
    file.attributes = vec![("NX_class".to_owned(), "NXroot".to_owned())];
    let variable = file.variables[0].clone();
    file.variables = ["entry/title", "entry/start_time", "entry/definition", "entry/data/counts"]
        .map(|name| crate::facts::VariableFacts { name: name.to_owned(), ..variable.clone() })
        .to_vec();
    assert_eq!(profile.check(&record(), &[file.clone()]), []);
    file.variables.remove(1);
    let found = profile.check(&record(), &[file.clone()]);
    assert!(found.len() == 1 && found[0].fix.contains("start_time"), "{found:?}");
    file.attributes.clear();
    assert_eq!(profile.check(&record(), &[file]).len(), 2);
}

#[test]
fn a_record_names_its_profiles_and_a_lab_asks_for_more() {
    let known = [shipped("cf-acdd"), shipped("nexus")];
    let mut record = record();
    assert_eq!(community::check(&known, &[], &record, &[acdd()]), []);
    record.profiles = vec!["cf-acdd".to_owned(), "none".to_owned()];
    let found = community::check(&known, &[], &record, &[acdd()]);
    assert_eq!(found.len(), 1);
    assert_eq!((&*found[0].pointer, &*found[0].rule), ("/profiles/1", "profiles.unknown"));
    record.profiles.clear();
    assert!(!community::check(&known, &["nexus".to_owned()], &record, &[acdd()]).is_empty());
}

#[test]
fn what_is_left_of_a_document_of_the_wrong_shape_is_checked_too() {
    let text = r#"{"name": "x", "titel": "y", "title": "ab", "keywords": "one", "tier": "open",
        "creators": [{"nam": "Ada"}], "issued": "yesterday", "license": "MIT-0-ish",
        "contact": {"name": "Desk", "email": "nobody", "phone": 7}}"#;
    let document: Document = serde_json::from_str(text).unwrap();
    let shape = read_document(&document).unwrap_err();
    let rest = salvage(&document, &shape).unwrap();
    assert_eq!((rest.record.title.as_str(), rest.record.tier), ("ab", None));
    let others: Vec<String> = rest
        .others(validate(&rest.record, &[], &setting()))
        .map(|violation| violation.pointer)
        .collect();
    for pointer in ["/title", "/license", "/description", "/publisher"] {
        assert!(others.iter().any(|found| found == pointer), "{pointer}: {others:?}");
    }
    // What the shape tells is told once.
    for pointer in ["/titel", "/tier", "/keywords", "/issued", "/contact/phone"] {
        assert_eq!(shape.iter().filter(|found| found.pointer == pointer).count(), 1, "{pointer}");
    }
    // What was taken out is not missed.
    for pointer in ["/tier", "/keywords", "/creators", "/titel"] {
        assert!(!others.iter().any(|found| found == pointer), "{pointer}: {others:?}");
    }
    // A code that is none stops no rule between the others.
    let text = r#"{"name": "x", "tier": "public", "markings": ["UNL", "CUI", "XXX"]}"#;
    let document: Document = serde_json::from_str(text).unwrap();
    let shape = read_document(&document).unwrap_err();
    assert!(shape.iter().any(|found| found.pointer == "/markings/2"));
    let rest = salvage(&document, &shape).unwrap();
    let others: Vec<Violation> = rest.others(validate(&rest.record, &[], &setting())).collect();
    assert!(others.iter().any(|found| found.pointer == "/markings/1"), "{others:?}");
    assert!(!others.iter().any(|found| found.pointer == "/markings/2"), "{others:?}");
    // A name that is wrong stops no check.
    let document: Document =
        serde_json::from_str(r#"{"name": "Not A Name", "title": "ab"}"#).unwrap();
    let shape = read_document(&document).unwrap_err();
    let rest = salvage(&document, &shape).unwrap();
    let others = rest.others(validate(&rest.record, &[], &setting()));
    assert!(others.count() > 3);
}
