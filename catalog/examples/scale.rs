//! A catalog of many generated records: how fast it takes them, decides, finds and gives them out.
//!
//! `cargo run --release -p tarn-catalog --example scale -- [RECORDS] [DATABASE-URL]` prints one line of
//! JSON. The records have the shape of those of a climate lab; a tenth are for the signed in.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;
use tarn_catalog::{Action, Catalog, LabDefaults, SearchRequest};
use tarn_schemas::facts::{Extent, FileFacts, VariableFacts};
use tarn_schemas::record::{Contact, Organisation};
use tarn_schemas::{LabName, Principal, Record};

const MODELS: [&str; 8] =
    ["E3SM", "CESM2", "GFDL", "MIROC6", "UKESM1", "IPSL", "CanESM5", "NorESM2"];
const VARIABLES: [(&str, &str, &str); 6] = [
    ("tas", "air_temperature", "K"),
    ("pr", "precipitation_flux", "kg m-2 s-1"),
    ("tos", "sea_surface_temperature", "degC"),
    ("psl", "air_pressure_at_mean_sea_level", "Pa"),
    ("uas", "eastward_wind", "m s-1"),
    ("thetao", "sea_water_potential_temperature", "degC"),
];
const TEXTS: [&str; 4] = [
    "air temperature E3SM",
    "monthly precipitation flux",
    "sea_surface_temperature > 300 K",
    "ensemble 7 CESM2",
];
const FACETS: [&str; 5] = ["tier", "keyword", "standard_name", "variable", "creator"];
/// Records of one transaction.
const TOGETHER: u32 = 500;

/// One of an endless series of records, with the facts of its file.
fn generated(number: u32) -> Result<(Record, Vec<FileFacts>), Box<dyn Error>> {
    let pick = |of: usize, salt: u32| {
        usize::try_from(number.wrapping_mul(2_654_435_761).wrapping_add(salt)).map(|n| n % of)
    };
    let model = MODELS.get(pick(MODELS.len(), 1)?).copied().unwrap_or_default();
    let (name, standard_name, units) =
        VARIABLES.get(pick(VARIABLES.len(), 2)?).copied().unwrap_or_default();
    let (words, year) = (standard_name.replace('_', " "), 1850 + pick(250, 3)?);
    let tier = if number % 10 == 3 { "registered" } else { "public" };
    let mut json = serde_json::json!({
        "name": format!("cmip_{number}"),
        "title": format!("Monthly {words} of {model}, realisation {}, from {year}", pick(40, 7)?),
        "description": format!(
            "Output number {number} of a historical run of {model}: monthly means of {words} on the grid \
             of the model, regridded to one degree; good for climatologies and trends, not for storms."
        ),
        "creators": [{"name": format!("Modeller {}", pick(500, 11)?)}],
        "license": "CC-BY-4.0",
        "keywords": ["climate", model, format!("ensemble {}", pick(60, 13)?)],
        "tier": tier,
        "provenance": {"activity": "historical run", "software": model},
    });
    if tier == "registered" {
        json["terms"] =
            serde_json::json!({"id": "https://lab.gov/terms", "sha256": "ab".repeat(32)});
    }
    let low = f64::from(u32::try_from(pick(100, 17)?)?);
    let file = FileFacts {
        location: format!("s3://lab/cmip/{number}.nc"),
        media_type: "application/x-netcdf".to_owned(),
        bytes: 50_000_000,
        sha256: format!("{number:064x}"),
        variables: vec![VariableFacts {
            name: name.to_owned(),
            data_type: "Float32".to_owned(),
            dimensions: vec!["time".to_owned(), "lat".to_owned(), "lon".to_owned()],
            shape: vec![1980, 180, 360],
            standard_name: Some(standard_name.to_owned()),
            long_name: None,
            units: Some(units.to_owned()),
            min: Some(low),
            max: Some(low + 30.0),
            missing: Some(0),
        }],
        extent: Extent {
            time: Some((-3.0e9 + low * 1.0e7, 1.0e9)),
            bounding_box: Some([0.0, -90.0, 359.0, 90.0]),
        },
        attributes: Vec::new(),
    };
    Ok((serde_json::from_value(json)?, vec![file]))
}

/// The 95th percentile of seconds, in milliseconds.
fn p95(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len().saturating_mul(95) / 100).copied().unwrap_or_default() * 1e3
}

fn since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let records: u32 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let url = arguments.next();
    let folder = std::env::temp_dir().join(format!("tarn-scale-{}", std::process::id()));
    let defaults = LabDefaults {
        publisher: Some(Organisation { name: "Oak Ridge".to_owned(), ror: None }),
        contact: Some(Contact { name: "Desk".to_owned(), email: "desk@lab.gov".to_owned() }),
        ..LabDefaults::default()
    };
    let lab = LabName::new("ornl")?;
    let catalog = Catalog::create_in(&folder, url.as_deref(), lab, defaults).await?;
    let (owner, everyone) = (Principal::Owner, Principal::Anonymous);
    let mut figures = BTreeMap::from([("records", f64::from(records))]);

    let started = Instant::now();
    let mut number = 0;
    while number < records {
        let end = records.min(number.saturating_add(TOGETHER));
        let batch = (number..end).map(generated).collect::<Result<Vec<_>, _>>()?;
        for answer in Box::pin(catalog.register_many(&owner, batch)).await? {
            answer?;
        }
        number = end;
    }
    figures.insert("stored_per_s", f64::from(records) / since(started));
    // The first search brings the index up to date.
    catalog.search(&owner, &SearchRequest::default()).await?;
    figures.insert("stored_and_indexed_per_s", f64::from(records) / since(started));

    let (mut one, mut visible) = (Vec::new(), Vec::new());
    for number in records..records.saturating_add(100) {
        let (record, files) = generated(number)?;
        let started = Instant::now();
        catalog.register(&owner, record, files).await?;
        one.push(since(started));
        let (started, text) = (Instant::now(), format!("cmip_{number}"));
        let request = SearchRequest { text: text.clone(), ..SearchRequest::default() };
        let answer = catalog.search(&owner, &request).await?;
        if !answer.hits.iter().any(|hit| hit.name.as_str() == text) {
            return Err(format!("{text} is not found").into());
        }
        visible.push(since(started));
    }
    figures.insert("registration_p95_ms", p95(one));
    figures.insert("visible_to_search_p95_ms", p95(visible));

    let (mut plain, mut faceted) = (Vec::new(), Vec::new());
    for text in TEXTS.iter().cycle().take(60) {
        let mut request = SearchRequest { text: (*text).to_owned(), ..SearchRequest::default() };
        let started = Instant::now();
        catalog.search(&everyone, &request).await?;
        plain.push(since(started));
        request.facets = FACETS.map(str::to_owned).to_vec();
        let started = Instant::now();
        catalog.search(&everyone, &request).await?;
        faceted.push(since(started));
    }
    figures.insert("search_p95_ms", p95(plain));
    figures.insert("search_five_facets_p95_ms", p95(faceted));

    // Of nobody in particular nothing is looked up: that is the decision by itself.
    let dataset = catalog.dataset(&owner, &"cmip_3".parse()?).await?;
    let reader = Principal::person("ada", tarn_schemas::Scope::Read);
    for (figure, who) in [("decision_us", &everyone), ("decision_with_person_us", &reader)] {
        let started = Instant::now();
        for _ in 0..2000 {
            catalog.decide(who, Action::Read, &dataset).await?;
        }
        figures.insert(figure, since(started) / 2000.0 * 1e6);
    }

    let (started, mut harvested, mut after) = (Instant::now(), 0_u32, None);
    loop {
        let (page, next) = catalog.harvest(after, (None, None), 200).await?;
        harvested = harvested.saturating_add(u32::try_from(page.len())?);
        after = next;
        if after.is_none() {
            break;
        }
    }
    figures.insert("harvest_per_s", f64::from(harvested) / since(started));
    drop(catalog);
    let started = Instant::now();
    let again = Catalog::open_in(&folder, url.as_deref()).await?;
    again.search(&owner, &SearchRequest::default()).await?;
    figures.insert("reopen_and_search_s", since(started));
    println!("{}", serde_json::json!(figures));
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
