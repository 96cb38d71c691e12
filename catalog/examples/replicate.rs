//! How fast one lab's records come to another, and how fast drift is found.
//!
//! `cargo run --release -p tarn-catalog --example replicate -- [CHANGES] [RECORDS]` prints one line of JSON: that many
//! changes from one catalog to another, in this process, without a network; and ten that differ among that many, by
//! two hash trees alone.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};
use tarn_catalog::{Catalog, LabDefaults, Peer, SearchRequest, Tree, TreeWalk, new_peer_secret};
use tarn_schemas::facts::{Extent, FileFacts};
use tarn_schemas::record::{Contact, Organisation};
use tarn_schemas::{LabName, Principal, Record};

/// Records of one transaction.
const TOGETHER: u32 = 500;

fn generated(number: u32) -> Result<(Record, Vec<FileFacts>), Box<dyn Error>> {
    let record = serde_json::from_value(serde_json::json!({
        "name": format!("cmip_{number}"),
        "title": format!("Monthly temperature, realisation {number}"),
        "description": format!(
            "Output number {number} of a historical run: monthly means on the grid of the model, regridded to one \
             degree; good for climatologies and trends, not for storms."
        ),
        "creators": [{"name": format!("Modeller {}", number % 500)}],
        "license": "CC-BY-4.0",
        "keywords": ["climate", format!("ensemble {}", number % 60)],
        "tier": "public",
        "provenance": {"activity": "historical run", "software": "model"},
    }))?;
    let file = FileFacts {
        location: format!("/data/cmip_{number}.nc"),
        media_type: "application/x-netcdf".to_owned(),
        bytes: 1000,
        sha256: format!("{number:064x}"),
        variables: Vec::new(),
        extent: Extent::default(),
        attributes: Vec::new(),
    };
    Ok((record, vec![file]))
}

async fn replicate(changes: u32) -> Result<BTreeMap<&'static str, f64>, Box<dyn Error>> {
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let defaults = LabDefaults {
        publisher: Some(Organisation { name: "Lab".to_owned(), ror: None }),
        contact: Some(Contact { name: "Desk".to_owned(), email: "desk@lab.gov".to_owned() }),
        ..LabDefaults::default()
    };
    let [owner, asker] = [LabName::new("ornl")?, LabName::new("anl")?];
    let ornl = Catalog::create(folders[0].path(), owner.clone(), defaults.clone()).await?;
    let anl = Catalog::create(folders[1].path(), asker.clone(), defaults).await?;
    let secret = new_peer_secret();
    let peer = |of: &Catalog| -> Result<Peer, Box<dyn Error>> {
        Ok(Peer {
            lab: of.lab().clone(),
            flight: "http://127.0.0.1:1".to_owned(),
            http: "http://127.0.0.1:1".to_owned(),
            secret: secret.clone(),
            since: "2026-11-22T00:00:00Z".to_owned(),
            key: Some(of.public_key()?),
        })
    };
    let known = peer(&ornl)?;
    anl.put_peer(known.clone()).await?;
    ornl.put_peer(peer(&anl)?).await?;
    let mut number = 0;
    while number < changes {
        let end = number.saturating_add(TOGETHER).min(changes);
        let records: Result<Vec<_>, _> = (number..end).map(generated).collect();
        ornl.register_many(&Principal::Owner, records?).await?;
        number = end;
    }
    let started = Instant::now();
    loop {
        let request = anl.next_page_request(&owner).await?;
        let page = ornl.feed_page(&asker, &request, Duration::from_secs(60)).await?;
        if anl.apply_page(&known, &request, &page).await?.complete {
            break;
        }
    }
    let read = started.elapsed();
    let found = anl.search_replicas(&SearchRequest::default()).await?.total;
    let searchable = started.elapsed();
    if found != u64::from(changes) {
        return Err(format!("{found} records of {changes} are found").into());
    }
    let started = Instant::now();
    let walk: TreeWalk = anl.begin_walk_of(&owner).await?;
    let tree = started.elapsed();
    Ok(BTreeMap::from([
        ("changes", f64::from(changes)),
        ("read_seconds", read.as_secs_f64()),
        ("searchable_seconds", searchable.as_secs_f64()),
        ("records", f64::from(u32::try_from(walk.records())?)),
        ("tree_from_catalog_seconds", tree.as_secs_f64()),
    ]))
}

fn drift(records: u32) -> Result<BTreeMap<&'static str, f64>, Box<dyn Error>> {
    let lab = LabName::new("ornl")?;
    let all =
        || (0..records).map(|at| (format!("cmip_{at}"), format!("{at:064x}"))).collect::<Vec<_>>();
    let mut changed = all();
    for at in 0..10_usize {
        if let Some(record) = changed.get_mut(at.saturating_mul(7919)) {
            record.1 = "f".repeat(64);
        }
    }
    let own = all();
    let started = Instant::now();
    let (own, theirs) = (Tree::new(&lab, own), Tree::new(&lab, changed));
    let built = started.elapsed();
    let started = Instant::now();
    let found = own.drift_from(&lab, &theirs)?;
    let walked = started.elapsed();
    if found.names().len() != 10 {
        return Err(format!("{} of 10 were found", found.names().len()).into());
    }
    Ok(BTreeMap::from([
        ("drift_records", f64::from(records)),
        ("both_trees_seconds", built.as_secs_f64()),
        ("drift_seconds", walked.as_secs_f64()),
    ]))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1);
    let mut number = |usual: u32| numbers.next().map_or(Ok(usual), |text| text.parse());
    let (changes, records) = (number(100_000)?, number(1_000_000)?);
    let mut figures = drift(records)?;
    figures.extend(replicate(changes).await?);
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
