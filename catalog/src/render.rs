//! A record as YAML for people: every field that matters, with a hint where something is missing.

use serde::Serialize;
use tarn_schemas::Record;
use tarn_schemas::facts::{Extent, FileFacts, VariableFacts};
use tarn_schemas::record::AgentKind;
use tarn_schemas::time::day_or_time;

/// Most variables listed in the comment at the end.
const MOST_VARIABLES: usize = 60;

/// The record as YAML with comments: what the steward still has to type, what may be said besides,
/// and what was found in the files. It reads back as the same record.
pub fn render_yaml(record: &Record, files: &[FileFacts]) -> String {
    let mut page = Page(String::new());
    page.note("Fill in what is marked TYPE, then: tarn register THIS_FILE --dry-run");
    page.field("name", &record.name);
    page.text("title", &record.title, 8, "what, where and when, 8 to 300 characters, no file name");
    page.text(
        "description",
        &record.description,
        100,
        "at least 100 characters: what this is, how it was made, what it is good for",
    );
    let lab = record.publisher.as_ref().map(|publisher| publisher.name.as_str());
    if matches!(record.creators.as_slice(), [only] if only.kind == Some(AgentKind::Organization)
        && Some(only.name.as_str()) == lab)
    {
        page.note(
            "no file names who made the data, so it is the lab: name the people if you know them",
        );
    }
    page.list(
        "creators",
        &record.creators,
        "who made the data, such as\n[{name: 'Curie, Marie', orcid: 0000-0002-1825-0097, affiliation: {name: Sorbonne}}]",
    );
    page.option("publisher", record.publisher.as_ref(), "TYPE {name: …, ror: …}");
    page.option("contact", record.contact.as_ref(), "TYPE {name: Data desk, email: data@lab.gov}");
    page.option("issued", record.issued.as_ref(), "YYYY-MM-DD");
    page.option("resource_type", record.resource_type.as_ref(), "Dataset");
    page.option(
        "license",
        record.license.as_ref(),
        "TYPE an SPDX expression: CC-BY-4.0, CC0-1.0, …",
    );
    if let Some(rights) = &record.rights {
        page.field("rights", rights);
    }
    page.list("keywords", &record.keywords, "at least one, best a CF standard name");
    if let Some(tier) = &record.tier {
        page.field("tier", tier);
    } else {
        page.note(
            "TYPE who may read the data: public (everyone), registered (everyone who is signed in), …",
        );
        page.line("tier:");
    }
    page.option("embargo", record.embargo.as_ref(), "{until: 2027-01-01, reason: …}");
    page.optional_list("markings", &record.markings, "[UNL]");
    page.option(
        "terms",
        record.terms.as_ref(),
        "{id: https://…, sha256: …}, needed for the tier registered",
    );
    page.option(
        "provenance",
        record.provenance.as_ref(),
        "{derived_from: [], activity: …, software: …, instrument: …}",
    );
    page.optional_list("funding", &record.funding, "[{funder: …, award: …}]");
    page.optional_list(
        "subjects",
        &record.subjects,
        "[{term: sea_surface_temperature, scheme: CF Standard Name Table, uri: …}]",
    );
    page.option("facility", record.facility.as_ref(), "{name: …, ror: …}");
    page.option("proposal", record.proposal.as_ref(), "number of the proposal");
    page.optional_list("samples", &record.samples, "[IGSN of a sample]");
    page.optional_list("formulas", &record.formulas, "[Fe2O3]");
    page.access(record);
    page.optional_list(
        "related",
        &record.related,
        "[{relation: IsCitedBy, identifier: https://doi.org/…}]",
    );
    page.optional_list("conforms_to", &record.conforms_to, "[CF-1.11]");
    page.option("language", record.language.as_ref(), "en");
    page.option("steward", record.steward.as_ref(), "{name: …, email: …}, the contact without it");
    page.option("review", record.review.as_ref(), "YYYY-MM-DD");
    page.option(
        "version_notes",
        record.version_notes.as_ref(),
        "what changed since the version before",
    );
    page.list("files", &record.files, "paths or URLs");
    if !record.tables.is_empty() {
        page.field("tables", &record.tables);
    }
    page.facts(files);
    page.0
}

/// YAML as it is written.
struct Page(String);

impl Page {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// A comment, line by line.
    fn note(&mut self, text: &str) {
        for line in text.lines() {
            let plain: String =
                line.chars().map(|c| if breaks_line(c) { ' ' } else { c }).collect();
            self.line(&format!("# {plain}"));
        }
    }

    fn field<T: Serialize>(&mut self, key: &str, value: &T) {
        let one = std::collections::BTreeMap::from([(key, value)]);
        // A value of a record always serialises; if one did not, it would be missing visibly.
        match serde_yaml_ng::to_string(&one) {
            Ok(yaml) => self.0.push_str(&yaml),
            Err(error) => self.note(&format!("{key}: {error}")),
        }
    }

    /// A text that the profile wants to be so long: what the files say may be less.
    fn text(&mut self, key: &str, value: &String, least: usize, hint: &str) {
        if value.trim().chars().count() < least {
            self.note(&format!("TYPE {hint}"));
        }
        self.field(key, value);
    }

    fn list<T: Serialize>(&mut self, key: &str, values: &Vec<T>, hint: &str) {
        if values.is_empty() {
            self.note(&format!("TYPE {hint}"));
        }
        self.field(key, values);
    }

    fn optional_list<T: Serialize>(&mut self, key: &str, values: &Vec<T>, hint: &str) {
        if values.is_empty() {
            self.note(&format!("{key}: {hint}"));
        } else {
            self.field(key, values);
        }
    }

    fn option<T: Serialize>(&mut self, key: &str, value: Option<&T>, hint: &str) {
        match value {
            Some(value) => self.field(key, value),
            None => self.note(&format!("{key}: {hint}")),
        }
    }

    /// Rows of the stricter tiers, where they are filled.
    fn access(&mut self, record: &Record) {
        macro_rules! written {
            ($($field:ident),*) => {
                $(if let Some(value) = &record.$field { self.field(stringify!($field), value); })*
            };
        }
        written!(
            marking_details,
            human_data,
            data_use,
            agreement,
            conditions,
            cui,
            export_control,
            exposure,
            disclosure,
            reviewed,
            extent
        );
        if !record.checksums.is_empty() {
            self.field("checksums", &record.checksums);
        }
        if !record.profiles.is_empty() {
            self.field("profiles", &record.profiles);
        }
    }

    /// What was found in the files.
    fn facts(&mut self, files: &[FileFacts]) {
        if files.is_empty() {
            return;
        }
        // No blank line: it would belong to a text before it that ends in line breaks.
        self.line("#");
        self.note("Found in the files (extracted again at registration, never typed):");
        let extent = Extent::of(files.iter().map(|file| file.extent));
        if let Some((first, last)) = extent.time {
            self.note(&format!("{} to {}", day_or_time(first), day_or_time(last)));
        }
        if let Some([west, south, east, north]) = extent.written_box() {
            self.note(&format!("west {west}, south {south}, east {east}, north {north}"));
        }
        let (mut seen, mut left_out) = (std::collections::BTreeSet::new(), 0_usize);
        for file in files {
            self.note(&format!(
                "{}: {}, {} bytes",
                file.location.replace('\n', " "),
                file.media_type,
                file.bytes
            ));
            for variable in &file.variables {
                if !seen.insert(&variable.name) {
                    continue;
                }
                if seen.len() > MOST_VARIABLES {
                    left_out = left_out.saturating_add(1);
                } else {
                    self.note(&format!("  {}", describe(variable).replace('\n', " ")));
                }
            }
        }
        if left_out > 0 {
            self.note(&format!("  … and {left_out} more variables"));
        }
    }
}

/// Whether a character may not stand in a comment: YAML also breaks lines at the Unicode separators.
fn breaks_line(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// `ta (time 12, lat 180) K air_temperature 180.2 to 312.9`
fn describe(variable: &VariableFacts) -> String {
    let dimensions: Vec<String> = variable
        .dimensions
        .iter()
        .zip(&variable.shape)
        .map(|(name, length)| format!("{name} {length}"))
        .collect();
    let mut text = variable.name.clone();
    if !dimensions.is_empty() {
        text = format!("{text} ({})", dimensions.join(", "));
    }
    for part in [&variable.units, &variable.standard_name].into_iter().flatten() {
        text = format!("{text} {part}");
    }
    if let (Some(min), Some(max)) = (variable.min, variable.max) {
        text = format!("{text} {min} to {max}");
    }
    if variable.units.is_none() && !variable.dimensions.is_empty() {
        text.push_str(" — no units");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LabDefaults;
    use crate::prefill::prefill;
    use proptest::prelude::*;
    use tarn_schemas::{DatasetName, Tier};

    fn back(yaml: &str) -> Record {
        serde_yaml_ng::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
    }

    #[test]
    fn an_empty_record_is_rendered_with_hints_and_reads_back() {
        let record = prefill(DatasetName::new("x").unwrap(), &[], &LabDefaults::default());
        let yaml = render_yaml(&record, &[]);
        assert_eq!(back(&yaml), record);
        for hint in ["TYPE who may read", "license: TYPE", "at least 100 characters"] {
            assert!(yaml.contains(hint), "{yaml}");
        }
    }

    #[test]
    fn a_text_that_ends_in_line_breaks_keeps_exactly_those() {
        let mut record = prefill(DatasetName::new("x").unwrap(), &[], &LabDefaults::default());
        record.files = vec!["a\n\n".to_owned()];
        let facts: FileFacts = serde_json::from_value(serde_json::json!({
            "location": "a\n\n", "media_type": "text/csv", "bytes": 1, "sha256": "",
        }))
        .unwrap();
        assert_eq!(back(&render_yaml(&record, &[facts])), record);
    }

    proptest! {
        #[test]
        fn any_record_reads_back_whatever_its_texts_hold(
            texts in proptest::collection::vec("\\PC{0,30}|[\n\t :#'\"\\\\-]{0,8}|no|1e3|~", 8),
        ) {
            let mut record = prefill(DatasetName::new("x").unwrap(), &[], &LabDefaults::default());
            record.title.clone_from(&texts[0]);
            record.description.clone_from(&texts[1]);
            record.keywords = texts[2..4].to_vec();
            record.license = Some(texts[4].clone());
            record.conforms_to = vec![texts[5].clone()];
            record.files = vec![texts[6].clone()];
            record.tier = Some(Tier::Public);
            let facts = FileFacts {
                location: texts[6].clone(),
                media_type: texts[7].clone(),
                bytes: 1,
                sha256: String::new(),
                variables: Vec::new(),
                extent: Extent::default(),
                attributes: Vec::new(),
            };
            prop_assert_eq!(back(&render_yaml(&record, &[facts])), record);
        }
    }
}
