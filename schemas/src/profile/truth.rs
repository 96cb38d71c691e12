//! Whether what a record says is true. The published FAIR metrics look at form alone; these look at
//! the bytes and the numbers behind it.

use super::identifier::{is_orcid, is_ror};
use super::license::is_open;
use super::rights::is_sha256;
use super::{Findings, contents, stated};
use crate::facts::FileFacts;
use crate::record::Record;
use crate::standard_names;
use crate::tier::Tier;
use crate::units::Unit;
use serde::{Deserialize, Serialize};

/// Most names in an answer.
const MOST: usize = 5;

/// One check and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Name, such as `units`.
    pub name: String,
    /// Things that were looked at.
    pub checked: usize,
    /// What is not true or not known, by name; at most five and how many more. Empty is good.
    pub wrong: Vec<String>,
    /// What to do; empty if nothing is wrong.
    pub fix: String,
}

/// Looks at everything that can be compared. Checks that find nothing to look at are left out.
pub fn truth(record: &Record, files: &[FileFacts]) -> Vec<Truth> {
    let variables = || files.iter().flat_map(|file| &file.variables);
    let with_units = || variables().filter_map(|v| v.units.as_deref().map(|units| (v, units)));
    let named = || variables().filter_map(|v| v.standard_name.as_deref().map(|name| (v, name)));
    let mut stated_wrong = Findings::default();
    stated::check(record, files, &mut stated_wrong);
    let stated_wrong = |prefix: &str| {
        let found = stated_wrong.0.iter().filter(|violation| violation.rule.starts_with(prefix));
        found.map(|violation| violation.pointer.clone()).collect::<Vec<_>>()
    };
    let mut axes = Findings::default();
    for file in files {
        contents::check_axes(file, "", &mut axes);
    }

    let checksums = files.iter().filter(|file| !is_sha256(&file.sha256));
    let mut checksums: Vec<String> = checksums.map(|file| file.location.clone()).collect();
    checksums.extend(stated_wrong("checksums."));
    let units = with_units().filter(|(_, units)| Unit::parse(units).is_err());
    let units = units.map(|(variable, units)| format!("{}: {units:?}", variable.name)).collect();
    let names = named().filter(|(_, name)| {
        standard_names::resolve(standard_names::without_modifier(name)).is_none()
    });
    let names = names.map(|(variable, name)| format!("{}: {name:?}", variable.name)).collect();
    let measured = || {
        with_units().filter_map(|(variable, units)| {
            let name = variable.standard_name.as_deref()?;
            if contents::is_scan_angle(name, units) {
                return None;
            }
            let canonical = standard_names::canonical_unit(name)?;
            Some((variable, Unit::parse(units).ok()?, Unit::parse(canonical).ok()?))
        })
    };
    let canonical = measured().filter(|(_, unit, canonical)| !unit.converts_to(*canonical));
    let canonical = canonical.map(|(variable, ..)| variable.name.clone()).collect();
    let mut extents = stated_wrong("extent.");
    extents.extend(axes.0.iter().map(|violation| violation.fix.clone()));

    let orcids = record.creators.iter().filter_map(|creator| creator.orcid.as_deref());
    let affiliations = record.creators.iter().filter_map(|creator| creator.affiliation.as_ref());
    let organisations =
        affiliations.chain(&record.publisher).chain(&record.facility).map(|o| o.ror.as_deref());
    let rors = organisations
        .chain(record.creators.iter().map(|creator| creator.ror.as_deref()))
        .chain(record.funding.iter().map(|funding| funding.ror.as_deref()))
        .flatten();
    let (orcids, rors): (Vec<&str>, Vec<&str>) = (orcids.collect(), rors.collect());
    let wrong_ids =
        orcids.iter().filter(|id| !is_orcid(id)).chain(rors.iter().filter(|id| !is_ror(id)));
    let wrong_ids = wrong_ids.map(|id| (*id).to_owned()).collect();
    let contradicts =
        record.tier == Some(Tier::Restricted) && record.license.as_deref().is_some_and(is_open);
    let license = if contradicts { vec!["license".to_owned()] } else { Vec::new() };

    let stated_extents = usize::from(record.extent.is_some());
    let checks = [
        (
            "checksums",
            files.len(),
            checksums,
            "the bytes are not those that were stated: fetch the files again from their source",
        ),
        ("units", with_units().count(), units, "write units as UDUNITS does, such as K or m s-1"),
        (
            "standard_names",
            named().count(),
            names,
            "use names of the CF standard name table, or `long_name` for words of your own",
        ),
        (
            "canonical_units",
            measured().count(),
            canonical,
            "correct `units` or `standard_name`: they measure different things",
        ),
        (
            "extents",
            files.len().saturating_add(stated_extents),
            extents,
            "correct the coordinates, or what was stated of them",
        ),
        (
            "identifiers",
            orcids.len().saturating_add(rors.len()),
            wrong_ids,
            "copy ORCID iDs and RORs again: their check digits do not fit",
        ),
        (
            "licence",
            usize::from(record.license.is_some()),
            license,
            "an open licence contradicts the tier restricted",
        ),
    ];
    let looked =
        checks.into_iter().filter(|(_, checked, wrong, _)| *checked > 0 || !wrong.is_empty());
    looked
        .map(|(name, checked, wrong, fix): (&str, usize, Vec<String>, &str)| Truth {
            name: name.to_owned(),
            checked,
            fix: if wrong.is_empty() { String::new() } else { fix.to_owned() },
            wrong: few(wrong),
        })
        .collect()
}

fn few(mut wrong: Vec<String>) -> Vec<String> {
    let more = wrong.len().saturating_sub(MOST);
    if more > 0 {
        wrong.truncate(MOST);
        wrong.push(format!("and {more} more"));
    }
    wrong
}
