//! A record made from the files: what they say is filled in, the rest is for the steward.

use crate::fill::fill;
use crate::model::LabDefaults;
use chrono::Utc;
use std::collections::BTreeSet;
use tarn_schemas::facts::{FORMULA, FileFacts};
use tarn_schemas::formula;
use tarn_schemas::profile::identifier::is_orcid;
use tarn_schemas::profile::license::from_words;
use tarn_schemas::record::{AgentKind, Contact, Creator, Organisation, Provenance};
use tarn_schemas::{DatasetName, Record};

/// Most keywords taken from standard names.
const MOST_KEYWORDS: usize = 12;

/// A record of files, with everything filled in that they (attributes of CF and ACDD 1.3) and the
/// lab's defaults tell. Where no file names who made the data it is the lab, under the name of its
/// publisher. What only a person knows is left empty; the tier always is.
pub fn prefill(name: DatasetName, facts: &[FileFacts], defaults: &LabDefaults) -> Record {
    let mut record = Record {
        title: only(facts, "title").unwrap_or_default(),
        description: only(facts, "summary").unwrap_or_default(),
        creators: creators(facts, defaults),
        license: license(facts),
        keywords: keywords(facts),
        provenance: provenance(facts),
        conforms_to: conventions(facts),
        formulas: formulas(facts),
        files: facts.iter().map(|file| file.location.clone()).collect(),
        ..Record::new(name)
    };
    if defaults.publisher.is_none() {
        record.publisher = publisher(facts);
    }
    if defaults.contact.is_none() {
        record.contact = contact(facts, &record.creators);
    }
    fill(record, defaults, None, Utc::now().date_naive())
}

/// An attribute of all files that have it, if they agree.
fn only(facts: &[FileFacts], name: &str) -> Option<String> {
    match all(facts, name).as_slice() {
        [text] => Some(text.clone()),
        _ => None,
    }
}

/// The different values of an attribute in the order of the files, without empty ones.
fn all(facts: &[FileFacts], name: &str) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    let attributes = facts.iter().flat_map(|file| &file.attributes);
    for (_, value) in attributes.filter(|(key, _)| key.eq_ignore_ascii_case(name)) {
        let value = value.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned();
        if !value.is_empty() && !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

/// The SPDX licence of the files, if each that states one states the same, in whatever words.
fn license(facts: &[FileFacts]) -> Option<String> {
    let licenses: BTreeSet<Option<String>> =
        all(facts, "license").iter().map(|text| from_words(text)).collect();
    match licenses.into_iter().collect::<Vec<_>>().as_slice() {
        [license] => license.clone(),
        _ => None,
    }
}

/// From ACDD's `creator_name`, or names in `contact`; institutions where nobody is named, and the lab where
/// the files name none.
fn creators(facts: &[FileFacts], defaults: &LabDefaults) -> Vec<Creator> {
    let names = all(facts, "creator_name").into_iter();
    let mut creators: Vec<Creator> = names.map(Creator::named).collect();
    if let [creator] = creators.as_mut_slice() {
        creator.orcid = only(facts, "creator_url").filter(|url| is_orcid(url));
    }
    if creators.is_empty() {
        let people = all(facts, "contact").into_iter().filter_map(|text| person(&text).0);
        creators = people.map(Creator::named).collect();
    }
    if creators.is_empty() {
        let institutions = all(facts, "institution").into_iter();
        creators =
            institutions.filter(|name| name.chars().count() <= 200).map(Creator::named).collect();
    }
    if creators.is_empty() {
        let lab = defaults.publisher.iter().map(|publisher| Creator {
            kind: Some(AgentKind::Organization),
            ror: publisher.ror.clone(),
            ..Creator::named(publisher.name.clone())
        });
        creators = lab.collect();
    }
    creators
}

/// From ACDD's `publisher_name`, or the one institution.
fn publisher(facts: &[FileFacts]) -> Option<Organisation> {
    let name = only(facts, "publisher_name").or_else(|| only(facts, "institution"))?;
    (name.chars().count() <= 200).then_some(Organisation { name, ror: None })
}

/// Name and mail address in texts such as `Ada Lovelace (ada@lab.gov)`.
fn person(text: &str) -> (Option<String>, Option<String>) {
    let is_mail = |word: &&str| word.contains('@') && word.contains('.');
    let separators = |c: char| c.is_whitespace() || "()<>,;[]\"".contains(c);
    let mail = text
        .split(separators)
        .find(is_mail)
        .map(|mail| mail.trim_start_matches("mailto:").trim_matches(['.', ':']).to_owned());
    let is_name = text.len() <= 200 && !text.contains("http") && !text.contains(':');
    let name: Vec<&str> = text
        .split_whitespace()
        .filter(|word| !word.contains('@'))
        .map(|word| word.trim_matches(|c: char| "()<>;[]\"".contains(c)))
        .filter(|word| !word.is_empty())
        .collect();
    let name = name.join(" ").trim_matches([',', ' ']).to_owned();
    ((is_name && name.contains(char::is_alphabetic)).then_some(name), mail)
}

fn contact(facts: &[FileFacts], creators: &[Creator]) -> Option<Contact> {
    if let Some(email) = only(facts, "creator_email").filter(|email| email.contains('@')) {
        let name = creators.first().map_or_else(|| email.clone(), |creator| creator.name.clone());
        return Some(Contact { name, email });
    }
    let (name, email) = person(&only(facts, "contact")?);
    let email = email?;
    Some(Contact { name: name.unwrap_or_else(|| email.clone()), email })
}

/// Standard names of the variables in words, without those of coordinates, and ACDD's `keywords`.
fn keywords(facts: &[FileFacts]) -> Vec<String> {
    const COORDINATES: [&str; 6] =
        ["time", "latitude", "longitude", "height", "grid_latitude", "grid_longitude"];
    let mut keywords: Vec<String> = Vec::new();
    let mut seen = BTreeSet::new();
    let given = all(facts, "keywords");
    let given = given.iter().flat_map(|text| text.split([',', ';'])).map(str::trim);
    let names = facts.iter().flat_map(|file| &file.variables);
    let names = names.filter_map(|variable| variable.standard_name.as_deref());
    let names = names.filter(|name| !COORDINATES.contains(name));
    for keyword in names.map(|name| name.replace('_', " ")).chain(given.map(str::to_owned)) {
        let fits = (1..=200).contains(&keyword.chars().count());
        if fits && keywords.len() < MOST_KEYWORDS && seen.insert(keyword.to_lowercase()) {
            keywords.push(keyword);
        }
    }
    keywords
}

/// `source` (CF: model or instrument), `institution` and `history`, where the files agree.
fn provenance(facts: &[FileFacts]) -> Option<Provenance> {
    let source = only(facts, "source");
    let institution = only(facts, "institution").map(|name| format!("produced at {name}"));
    // The first line of a history is what was done last; the rest is in the file.
    let history = only(facts, "history").and_then(|text| {
        text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
    });
    let activity: Vec<String> = institution.into_iter().chain(history).collect();
    let activity = if activity.is_empty() { None } else { Some(activity.join("; ")) };
    let instrument = only(facts, "instrument");
    if source.is_none() && activity.is_none() && instrument.is_none() {
        return None;
    }
    Some(Provenance { activity, software: source, instrument, ..Provenance::default() })
}

/// Formulas of samples, those that can be read.
fn formulas(facts: &[FileFacts]) -> Vec<String> {
    let mut formulas = all(facts, FORMULA);
    formulas.retain(|text| formula::elements(text).is_ok());
    formulas
}

/// Standards in `Conventions`, such as `CF-1.7, ACDD-1.3`.
fn conventions(facts: &[FileFacts]) -> Vec<String> {
    let mut standards: Vec<String> = Vec::new();
    for text in all(facts, "Conventions") {
        let parts = text.split([',', ' ', '/']).map(str::trim).filter(|part| !part.is_empty());
        for part in parts.filter(|part| part.contains(|c: char| c.is_ascii_digit())) {
            if !standards.iter().any(|known| known == part) {
                standards.push(part.to_owned());
            }
        }
    }
    standards
}

#[cfg(test)]
mod tests {
    use super::*;
    use tarn_schemas::facts::Extent;

    fn file(attributes: &[(&str, &str)], standard_names: &[&str]) -> FileFacts {
        let variables = standard_names.iter().map(|name| {
            serde_json::from_value(serde_json::json!({
                "name": name, "data_type": "Float32", "dimensions": [], "shape": [],
                "standard_name": name,
            }))
            .unwrap()
        });
        FileFacts {
            location: "/data/a.nc".to_owned(),
            media_type: "application/x-netcdf".to_owned(),
            bytes: 1,
            sha256: "ab".repeat(32),
            variables: variables.collect(),
            extent: Extent::default(),
            attributes: attributes
                .iter()
                .map(|&(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    fn record(facts: &[FileFacts]) -> Record {
        prefill(DatasetName::new("x").unwrap(), facts, &LabDefaults::default())
    }

    #[test]
    fn what_files_say_is_filled_in() {
        let record = record(&[file(
            &[
                ("title", "E3SM output prepared for CMIP6"),
                ("contact", "Dave Bader (bader2@llnl.gov)"),
                (
                    "license",
                    "CMIP6 model data is licensed under a Creative Commons Attribution-ShareAlike 4.0 International License",
                ),
                ("source", "E3SM 1.0 (2018)"),
                ("institution", "LLNL"),
                ("history", "2019-06-12 rewrote data\nolder"),
                ("Conventions", "CF-1.7 CMIP-6.2"),
            ],
            &["time", "air_temperature", "latitude"],
        )]);
        assert_eq!(record.title, "E3SM output prepared for CMIP6");
        assert_eq!(record.creators[0].name, "Dave Bader");
        assert_eq!(record.contact.as_ref().unwrap().email, "bader2@llnl.gov");
        assert_eq!(record.license.as_deref(), Some("CC-BY-SA-4.0"));
        assert_eq!(record.keywords, ["air temperature"]);
        let provenance = record.provenance.unwrap();
        assert_eq!(provenance.software.as_deref(), Some("E3SM 1.0 (2018)"));
        assert_eq!(
            provenance.activity.as_deref(),
            Some("produced at LLNL; 2019-06-12 rewrote data")
        );
        assert_eq!(record.conforms_to, ["CF-1.7", "CMIP-6.2"]);
        assert_eq!(record.tier, None);
        assert_eq!(record.files, ["/data/a.nc"]);
    }

    #[test]
    fn what_files_disagree_on_or_do_not_say_is_left_to_the_steward() {
        let two = [
            file(&[("title", "One"), ("license", "free for research")], &[]),
            file(&[("title", "Two")], &[]),
        ];
        let record = record(&two);
        assert_eq!(record.title, "");
        assert_eq!(record.license, None);
        assert!(record.creators.is_empty() && record.provenance.is_none());
    }

    #[test]
    fn where_no_file_names_who_made_it_the_lab_did() {
        let publisher = Organisation {
            name: "Oak Ridge National Laboratory".to_owned(),
            ror: Some("https://ror.org/01qz5mb56".to_owned()),
        };
        let defaults = LabDefaults { publisher: Some(publisher), ..LabDefaults::default() };
        let of = |facts| prefill(DatasetName::new("x").unwrap(), &[facts], &defaults).creators;
        let [lab] = of(file(&[], &[])).try_into().unwrap();
        assert_eq!(lab.name, "Oak Ridge National Laboratory");
        assert_eq!(lab.ror.as_deref(), Some("https://ror.org/01qz5mb56"));
        assert!(!lab.is_person());
        assert_eq!(of(file(&[("institution", "NCAR")], &[]))[0].name, "NCAR");
    }

    #[test]
    fn files_may_state_one_licence_in_different_words() {
        let state = |text: &str| file(&[("license", text)], &[]);
        let one = "data by LLNL are under a Creative Commons Attribution 4.0 International License";
        assert_eq!(record(&[state(one), state("CC-BY-4.0")]).license.as_deref(), Some("CC-BY-4.0"));
        assert_eq!(record(&[state(one), state("CC0-1.0")]).license, None);
        assert_eq!(record(&[state(one), state("ask the author")]).license, None);
    }

    #[test]
    fn a_mail_address_alone_is_no_creator() {
        let record = record(&[file(&[("contact", "help@lab.gov"), ("institution", "NCAR")], &[])]);
        assert_eq!(record.creators[0].name, "NCAR");
        assert_eq!(record.contact.unwrap().name, "help@lab.gov");
    }
}
