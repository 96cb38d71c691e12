//! Search against a naive scan, policy, and an index that is missing, damaged or foreign.

use super::support::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use tarn_catalog::{ColumnInfo, SearchAnswer, SearchRequest};
use tarn_schemas::code::{Coded, ErrorCode};

fn text(text: &str) -> SearchRequest {
    SearchRequest { text: text.to_owned(), ..SearchRequest::default() }
}

async fn names(catalog: &Catalog, request: &SearchRequest) -> Vec<String> {
    let answer = catalog.search(&Principal::Anonymous, request).await.unwrap();
    answer.hits.into_iter().map(|hit| hit.name.to_string()).collect()
}

#[tokio::test]
async fn words_are_found_in_every_part_of_a_record_in_their_stem() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let mut sst = record("sst_monthly");
    sst.creators[0].name = "Skłodowska-Curie, María".to_owned();
    sst.keywords = vec!["marine climatology".to_owned()];
    let mut facts = file("/data/a.nc", "ab");
    facts.variables[0].long_name = Some("Surface Wetness".to_owned());
    catalog.register(&Principal::Owner, sst, vec![facts]).await.unwrap();
    let columns = vec![ColumnInfo {
        name: "siconc".to_owned(),
        data_type: "Float32".to_owned(),
        standard_name: Some("sea_ice_area_fraction".to_owned()),
        units: Some("%".to_owned()),
    }];
    let table = TableEntry { columns: columns.clone(), ..delta("grid_table", 0) };
    let name = "sst_monthly".parse().unwrap();
    catalog.put_tables(&Principal::Owner, &name, vec![table]).await.unwrap();
    catalog.register(&Principal::Owner, record("other"), data()).await.unwrap();

    for words in [
        "studies monthly",            // title
        "interpolating buoy",         // description
        "climatology MARINE",         // keywords
        "curie maria",                // creators, without accents
        "oak ridge ornl sst_monthly", // publisher, lab, dataset
        "tos",                        // variable of a file
        "sea_surface_temperature",    // standard name
        "wetness",                    // long name
        "degC",                       // units
        "siconc ice area",            // column of a table
        "grid_table",
    ] {
        let found = names(&catalog, &text(words)).await;
        assert!(found.contains(&"sst_monthly".to_owned()), "{words}: {found:?}");
    }
    for words in ["temperature glacier", "?!", "title_text:study", &"x".repeat(4000)] {
        assert_eq!(names(&catalog, &text(words)).await, Vec::<String>::new(), "{words}");
    }
    let answer = catalog.search(&Principal::Anonymous, &text("siconc")).await.unwrap();
    let hit = &answer.hits[0];
    assert_eq!((answer.total, hit.version, hit.tier), (1, 1, Tier::Public));
    assert_eq!(hit.tables, [("grid_table".parse().unwrap(), columns)]);
    assert!(hit.summary.starts_with("Monthly means") && hit.score > 0.0);
}

#[tokio::test]
async fn a_match_in_the_title_ranks_above_one_in_the_description() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let mut described = record("a_described");
    described.description.push_str(" It also mentions glaciers.");
    let mut titled = record("z_titled");
    titled.title = "Glacier outlines".to_owned();
    for record in [described, titled] {
        catalog.register(&Principal::Owner, record, data()).await.unwrap();
    }
    assert_eq!(names(&catalog, &text("glacier")).await, ["z_titled", "a_described"]);
    // Without words the order is that of the names.
    assert_eq!(names(&catalog, &text("")).await, ["a_described", "z_titled"]);
}

#[tokio::test]
async fn an_older_version_is_found_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let first = Record { title: "About glaciers".to_owned(), ..record("x") };
    catalog.register(&Principal::Owner, first, data()).await.unwrap();
    assert_eq!(names(&catalog, &text("glaciers")).await, ["x"]);
    let second = Record { title: "About volcanoes".to_owned(), ..record("x") };
    catalog.register(&Principal::Owner, second, data()).await.unwrap();
    assert_eq!(names(&catalog, &text("glaciers")).await, Vec::<String>::new());
    let answer = catalog.search(&Principal::Owner, &text("volcano")).await.unwrap();
    assert_eq!((answer.total, answer.hits[0].version), (1, 2));
}

#[tokio::test]
async fn records_of_public_registered_and_embargoed_data_are_found_by_anyone() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let mut embargoed = record("embargoed");
    let until = (chrono::Utc::now() + chrono::Days::new(100)).format("%Y-%m-%d").to_string();
    embargoed.embargo =
        serde_json::from_value(serde_json::json!({"until": until, "reason": "later"})).unwrap();
    for record in [record("open"), registered("signed_in"), embargoed] {
        catalog.register(&Principal::Owner, record, data()).await.unwrap();
    }
    let request = SearchRequest { facets: vec!["tier".to_owned()], ..SearchRequest::default() };
    for who in [Principal::Anonymous, person(Scope::Read), Principal::Owner] {
        let answer = catalog.search(&who, &request).await.unwrap();
        assert_eq!(answer.total, 3);
        let tiers = [("public".to_owned(), 2), ("registered".to_owned(), 1)];
        assert_eq!(answer.facets["tier"], tiers);
    }
}

#[tokio::test]
async fn an_unknown_filter_or_too_long_a_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let filter = SearchRequest {
        filters: vec![("colour".to_owned(), "red".to_owned())],
        ..SearchRequest::default()
    };
    let facet = SearchRequest { facets: vec!["colour".to_owned()], ..SearchRequest::default() };
    let many: Vec<String> = (0..65).map(|number| format!("w{number}")).collect();
    for request in [filter, facet, text(&many.join(" ")), text(&"a".repeat(10_000))] {
        let error = catalog.search(&Principal::Anonymous, &request).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{error}");
    }
}

/// Words with the stem they have in English; forms of one stem find each other.
const WORDS: [(&str, &str); 12] = [
    ("temperature", "temperature"),
    ("temperatures", "temperature"),
    ("measured", "measure"),
    ("measuring", "measure"),
    ("ocean", "ocean"),
    ("oceans", "ocean"),
    ("salinity", "salinity"),
    ("radiation", "radiation"),
    ("cloud", "cloud"),
    ("clouds", "cloud"),
    ("ice", "ice"),
    ("krypton", "krypton"),
];
const KEYWORDS: [&str; 4] = ["climate", "x-ray", "sea ice", "neutron scattering"];
const NAMES: [(&str, &str, &str); 4] = [
    ("tas", "air_temperature", "K"),
    ("tos", "sea_surface_temperature", "degC"),
    ("pr", "precipitation_flux", "kg m-2 s-1"),
    ("q", "momentum_transfer", "1/angstrom"),
];

/// What a naive scan knows of a dataset.
#[derive(Debug, Clone)]
struct Scanned {
    name: String,
    stems: BTreeSet<&'static str>,
    values: BTreeMap<&'static str, BTreeSet<String>>,
}

/// The dataset that a number stands for.
fn dataset_of(number: usize) -> (Record, Vec<FileFacts>, Scanned) {
    let name = format!("set_{number:02}");
    let pick = |start: usize, step: usize, count: usize| -> Vec<(&str, &'static str)> {
        (0..count).map(|at| WORDS[(start + at * step) % WORDS.len()]).collect()
    };
    let title = pick(number, 5, 1 + number % 3);
    let described = pick(number / 3, 7, number % 4);
    let forms = |words: &[(&str, &str)]| -> String {
        words.iter().map(|(form, _)| *form).collect::<Vec<_>>().join(" ")
    };
    let mut record = if number.is_multiple_of(3) { registered(&name) } else { record(&name) };
    record.title = format!("Dataset {number} of {}", forms(&title));
    record.description = format!("{}; {}", "z".repeat(100), forms(&described));
    let keywords: BTreeSet<String> = (0..=number % 2)
        .map(|at| KEYWORDS[(number / 2 + at) % KEYWORDS.len()].to_owned())
        .collect();
    record.keywords = keywords.iter().cloned().collect();
    record.license =
        Some(if number.is_multiple_of(5) { "CC0-1.0" } else { "CC-BY-4.0" }.to_owned());
    record.creators[0].name =
        if number.is_multiple_of(4) { "Curie, Marie" } else { "Noether, Emmy" }.to_owned();
    let (variable_name, standard_name, units) = NAMES[number % NAMES.len()];
    let mut facts = file(&format!("/data/{name}.nc"), "ab");
    facts.variables = vec![variable(variable_name, Some(standard_name), Some(units))];
    if number.is_multiple_of(7) {
        facts.media_type = "application/x-hdf5".to_owned();
    }
    let one = |value: &str| BTreeSet::from([value.to_owned()]);
    let values = BTreeMap::from([
        ("lab", one("ornl")),
        ("tier", one(if number.is_multiple_of(3) { "registered" } else { "public" })),
        ("keyword", keywords),
        ("standard_name", one(standard_name)),
        ("variable", one(variable_name)),
        ("units", one(units)),
        ("format", one(if number.is_multiple_of(7) { "hdf5" } else { "netcdf" })),
        ("creator", one(&record.creators[0].name)),
        ("license", one(record.license.as_deref().unwrap())),
    ]);
    let mut stems: BTreeSet<&'static str> =
        title.iter().chain(&described).map(|(_, stem)| *stem).collect();
    // Words of names count as well.
    if standard_name.contains("temperature") {
        stems.insert("temperature");
    }
    if record.keywords.iter().any(|keyword| keyword == "sea ice") {
        stems.insert("ice");
    }
    (record, vec![facts], Scanned { name, stems, values })
}

fn any_request() -> impl Strategy<Value = SearchRequest> {
    let value = prop_oneof![
        (0..4_usize).prop_map(|at| ("keyword", KEYWORDS[at].to_owned())),
        (0..4_usize).prop_map(|at| ("variable", NAMES[at].0.to_owned())),
        (0..4_usize).prop_map(|at| ("standard_name", NAMES[at].1.to_owned())),
        (0..4_usize).prop_map(|at| ("units", NAMES[at].2.to_owned())),
        prop_oneof![Just("public"), Just("registered"), Just("restricted")]
            .prop_map(|tier| ("tier", tier.to_owned())),
        prop_oneof![Just("netcdf"), Just("hdf5")].prop_map(|format| ("format", format.to_owned())),
        prop_oneof![Just("Curie, Marie"), Just("Curie")]
            .prop_map(|name| ("creator", name.to_owned())),
        Just(("license", "CC0-1.0".to_owned())),
        prop_oneof![Just("ornl"), Just("anl")].prop_map(|lab| ("lab", lab.to_owned())),
    ]
    .prop_map(|(key, value)| (key.to_owned(), value));
    let facet = prop_oneof![
        Just("lab"),
        Just("tier"),
        Just("keyword"),
        Just("standard_name"),
        Just("variable"),
        Just("units"),
        Just("format"),
        Just("creator"),
        Just("license")
    ];
    (
        proptest::collection::vec(0..WORDS.len(), 0..3),
        proptest::collection::vec(value, 0..3),
        proptest::collection::btree_set(facet, 0..4),
        0..30_usize,
    )
        .prop_map(|(words, filters, facets, limit)| SearchRequest {
            text: words.iter().map(|&at| WORDS[at].0).collect::<Vec<_>>().join(", "),
            filters,
            facets: facets.into_iter().map(str::to_owned).collect(),
            limit,
            cursor: None,
        })
}

/// What a scan of everything finds.
fn scan(
    all: &[Scanned],
    request: &SearchRequest,
) -> (BTreeSet<String>, BTreeMap<String, Vec<(String, u64)>>) {
    let stem_of = |form: &str| WORDS.iter().find(|(known, _)| *known == form).unwrap().1;
    let found: Vec<&Scanned> = all
        .iter()
        .filter(|dataset| {
            let words = request.text.split(", ").filter(|word| !word.is_empty());
            words.map(stem_of).all(|stem| dataset.stems.contains(stem))
        })
        .filter(|dataset| {
            request.filters.iter().all(|(key, value)| dataset.values[key.as_str()].contains(value))
        })
        .collect();
    let mut facets = BTreeMap::new();
    for key in &request.facets {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for value in found.iter().flat_map(|dataset| &dataset.values[key.as_str()]) {
            *counts.entry(value.clone()).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        facets.insert(key.clone(), counts);
    }
    (found.into_iter().map(|dataset| dataset.name.clone()).collect(), facets)
}

fn check(
    answer: &SearchAnswer,
    all: &[Scanned],
    request: &SearchRequest,
) -> Result<(), TestCaseError> {
    let (expected, facets) = scan(all, request);
    let found: BTreeSet<String> = answer.hits.iter().map(|hit| hit.name.to_string()).collect();
    let limit = if request.limit == 0 { 20 } else { request.limit };
    prop_assert_eq!(answer.total, expected.len() as u64);
    prop_assert_eq!(answer.hits.len(), expected.len().min(limit));
    prop_assert_eq!(found.len(), answer.hits.len());
    prop_assert!(found.is_subset(&expected));
    prop_assert_eq!(&answer.facets, &facets);
    let by_rank = |pair: &[tarn_catalog::SearchHit]| {
        pair[0].score > pair[1].score
            || (pair[0].score >= pair[1].score && pair[0].name < pair[1].name)
    };
    prop_assert!(answer.hits.windows(2).all(by_rank));
    Ok(())
}

#[test]
fn search_finds_exactly_what_a_scan_of_everything_finds() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (handles, all) = runtime.block_on(async {
        let handles = [catalog(folder.path()).await, Catalog::open(folder.path()).await.unwrap()];
        let mut all = Vec::new();
        for number in 0..40 {
            // Every fourth was something else before, and is replaced.
            let catalog = &handles[number % 2];
            if number % 4 == 1 {
                let before = record(&format!("set_{number:02}"));
                catalog.register(&Principal::Owner, before, data()).await.unwrap();
            }
            let (record, files, scanned) = dataset_of(number);
            catalog.register(&Principal::Owner, record, files).await.unwrap();
            all.push(scanned);
        }
        (handles, all)
    });
    let mut runner = TestRunner::new(Config { cases: 200, ..Config::default() });
    runner
        .run(&any_request(), |request| {
            for catalog in &handles {
                let answer = runtime
                    .block_on(catalog.search(&Principal::Anonymous, &request))
                    .map_err(|error| TestCaseError::fail(error.to_string()))?;
                check(&answer, &all, &request)?;
            }
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn an_index_that_is_gone_or_damaged_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let first = catalog(folder.path()).await;
    for name in ["a", "b", "c"] {
        first.register(&Principal::Owner, record(name), data()).await.unwrap();
    }
    let search = folder.path().join("search");
    let whole = ["a", "b", "c"];
    assert_eq!(names(&first, &text("")).await, whole);

    // Gone, under an open handle and for a new one.
    std::fs::remove_dir_all(&search).unwrap();
    assert_eq!(names(&first, &text("study")).await.len(), 3);
    std::fs::remove_dir_all(&search).unwrap();
    let second = Catalog::open(folder.path()).await.unwrap();
    assert_eq!(names(&second, &text("")).await, whole);

    // Every file in turn is emptied, cut or filled with something else.
    let files: Vec<_> =
        std::fs::read_dir(&search).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        for damage in ["", "cut", "{\"a\": 1}"] {
            let Ok(bytes) = std::fs::read(&file) else { continue };
            let damaged =
                if damage == "cut" { bytes[..bytes.len() / 2].to_vec() } else { damage.into() };
            std::fs::write(&file, damaged).unwrap();
            let fresh = Catalog::open(folder.path()).await.unwrap();
            assert_eq!(names(&fresh, &text("study")).await.len(), 3, "{} {damage}", file.display());
            assert_eq!(names(&fresh, &text("")).await, whole, "{} {damage}", file.display());
        }
    }
    assert_eq!(names(&first, &text("")).await, whole);
}

#[tokio::test]
async fn the_index_of_another_catalog_or_a_later_state_is_not_believed() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = catalog(one.path()).await;
    first.register(&Principal::Owner, record("only_in_one"), data()).await.unwrap();
    assert_eq!(names(&first, &text("")).await, ["only_in_one"]);
    {
        let second = catalog(two.path()).await;
        second.register(&Principal::Owner, record("only_in_two"), data()).await.unwrap();
        assert_eq!(names(&second, &text("")).await, ["only_in_two"]);
    }
    std::fs::remove_dir_all(two.path().join("search")).unwrap();
    copy_folder(&one.path().join("search"), &two.path().join("search"));
    let second = Catalog::open(two.path()).await.unwrap();
    assert_eq!(names(&second, &text("")).await, ["only_in_two"]);

    // A database that was set back, as by restoring a backup, with an index that knows more.
    super::tamper(
        two.path(),
        &[
            "DELETE FROM change",
            "DELETE FROM version",
            "DELETE FROM dataset_file",
            "DELETE FROM dataset",
        ],
    )
    .await;
    assert_eq!(names(&second, &text("")).await, Vec::<String>::new());
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// A dataset with one variable between two values, somewhere and at some time.
fn measured(
    name: &str,
    (standard_name, units, min, max): (&str, &str, f64, f64),
    bounding_box: [f64; 4],
    days: (f64, f64),
) -> (Record, Vec<FileFacts>) {
    let of = VariableFacts {
        min: Some(min),
        max: Some(max),
        ..variable("v", Some(standard_name), Some(units))
    };
    let extent = Extent {
        time: Some((days.0 * 86_400.0, days.1 * 86_400.0)),
        bounding_box: Some(bounding_box),
    };
    let facts =
        FileFacts { variables: vec![of], extent, ..file(&format!("/data/{name}.nc"), "ab") };
    (Record { extent: None, ..record(name) }, vec![facts])
}

#[tokio::test]
async fn data_are_found_by_values_in_any_unit_by_time_and_by_place() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let temperature = "sea_water_temperature";
    for (record, facts) in [
        measured("cold", (temperature, "degC", -1.8, 4.0), [0.0, 60.0, 40.0, 80.0], (0.0, 10.0)),
        measured("warm", (temperature, "K", 290.0, 300.0), [350.0, 0.0, 370.0, 30.0], (5.0, 20.0)),
        measured(
            "dateline",
            (temperature, "degF", 70.0, 75.0),
            [170.0, -20.0, 190.0, 0.0],
            (30.0, 40.0),
        ),
        measured(
            "salt",
            ("sea_water_practical_salinity", "1", 30.0, 40.0),
            [0.0, -90.0, 360.0, 90.0],
            (0.0, 1.0),
        ),
    ] {
        catalog.register(&Principal::Owner, record, facts).await.unwrap();
    }
    let find = async |text: &str, filters: &[(&str, &str)]| {
        let filters = filters.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let request = SearchRequest { text: text.to_owned(), filters, ..SearchRequest::default() };
        let answer = catalog.search(&Principal::Anonymous, &request).await.unwrap();
        let mut names: Vec<String> = answer.hits.iter().map(|hit| hit.name.to_string()).collect();
        assert_eq!(answer.total, names.len() as u64);
        names.sort();
        names
    };
    for (text, expected) in [
        ("sea_water_temperature > 20 degC", vec!["dateline", "warm"]),
        ("sea_water_temperature > 300 K", vec![]),
        ("sea_water_temperature >= 300 K", vec!["warm"]),
        ("sea_water_temperature<0degC", vec!["cold"]),
        ("sea_water_temperature = 290", vec!["warm"]),
        ("study sea_water_temperature > 20 degC sea_water_temperature < 20 degC", vec!["warm"]),
        ("sea_water_practical_salinity > 35", vec!["salt"]),
        ("study", vec!["cold", "dateline", "salt", "warm"]),
    ] {
        assert_eq!(find(text, &[]).await, expected, "{text}");
    }
    for (key, value, expected) in [
        ("time", "1970-01-11/1970-01-25", vec!["cold", "warm"]),
        ("within_time", "1970-01-01/1970-01-20", vec!["cold", "salt"]),
        ("within_time", "1970-01-01/1970-01-21", vec!["cold", "salt", "warm"]),
        ("time", "1970-02-09/2000-01-01", vec!["dateline"]),
        ("bbox", "-5,10,5,20", vec!["salt", "warm"]),
        ("bbox", "355,10,365,20", vec!["salt", "warm"]),
        ("bbox", "-179,-10,-175,-5", vec!["dateline", "salt"]),
        ("bbox", "175,-10,-175,-5", vec!["dateline", "salt"]),
        ("within_bbox", "160,-30,-160,10", vec!["dateline"]),
        ("within_bbox", "160,-30,180,10", vec![]),
        ("within_bbox", "-20,0,40,80", vec!["cold", "warm"]),
        ("within_bbox", "-180,-90,180,90", vec!["cold", "dateline", "salt", "warm"]),
    ] {
        assert_eq!(find("", &[(key, value)]).await, expected, "{key} {value}");
    }
    let both = [("bbox", "-180,-90,180,90"), ("tier", "registered")];
    assert_eq!(find("", &both).await, Vec::<String>::new());
}
