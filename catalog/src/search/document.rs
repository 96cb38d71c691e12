//! What is searched of a dataset.

use super::elements;
use super::fields::{Fields, KEYWORDS, LONGEST_VALUE, TEXTS};
use super::ranges::Ranges;
use crate::model::Dataset;
use std::collections::BTreeSet;
use tantivy::TantivyDocument;
use tarn_schemas::standard_names;

/// What is searched of a dataset: words by text field, values by keyword field.
#[derive(Debug, Default)]
pub(super) struct Searched {
    texts: [Vec<String>; TEXTS.len()],
    keywords: [BTreeSet<String>; KEYWORDS.len()],
    /// The elements of each formula.
    compositions: BTreeSet<String>,
    ranges: Ranges,
}

impl Searched {
    pub(super) fn new(dataset: &Dataset) -> Self {
        let record = &dataset.record;
        let (mut names, mut standard_names, mut variables, mut units) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for variable in dataset.files.iter().flat_map(|file| &file.variables) {
            variables.insert(variable.name.clone());
            standard_names.extend(variable.standard_name.clone());
            units.extend(variable.units.clone());
            names.extend(variable.long_name.clone());
        }
        for column in dataset.tables.iter().flat_map(|table| &table.columns) {
            variables.insert(column.name.clone());
            standard_names.extend(column.standard_name.clone());
            units.extend(column.units.clone());
        }
        // A file may say a name that is an alias today; who searches may know either.
        for name in standard_names.clone() {
            let today = standard_names::resolve(standard_names::without_modifier(&name));
            if let Some(today) = today {
                names.extend(standard_names::aliases(today).into_iter().map(str::to_owned));
                standard_names.insert(today.to_owned());
            }
        }
        let identifiers = identifiers(dataset);
        names.extend(identifiers.iter().cloned());
        names.insert(dataset.name.to_string());
        names.insert(dataset.lab.to_string());
        names.extend(dataset.tables.iter().map(|table| table.name.to_string()));
        names.extend(variables.iter().chain(&standard_names).chain(&units).cloned());

        names.extend(elements::texts(dataset));
        names.extend(record.subjects.iter().map(|subject| subject.term.clone()));

        let formulas = elements::of(dataset);

        let people = record.creators.iter().flat_map(|creator| {
            let affiliation = creator.affiliation.iter().map(|at| at.name.clone());
            std::iter::once(creator.name.clone()).chain(affiliation)
        });
        let formats = dataset.files.iter().map(|file| short_format(&file.media_type));
        let set = |values: &mut dyn Iterator<Item = String>| -> BTreeSet<String> {
            values.filter(|value| !value.is_empty() && value.len() <= LONGEST_VALUE).collect()
        };
        Self {
            texts: [
                vec![record.title.clone()],
                record.keywords.clone(),
                names.into_iter().collect(),
                vec![record.description.clone()],
                people.chain(record.publisher.iter().map(|at| at.name.clone())).collect(),
            ],
            keywords: [
                set(&mut std::iter::once(dataset.lab.to_string())),
                set(&mut std::iter::once(dataset.tier.to_string())),
                set(&mut record.keywords.iter().map(|keyword| keyword.trim().to_owned())),
                set(&mut standard_names.into_iter()),
                set(&mut variables.into_iter()),
                set(&mut units.into_iter()),
                set(&mut formats.map(str::to_owned)),
                set(&mut record.creators.iter().map(|creator| creator.name.clone())),
                set(&mut record.license.iter().cloned()),
                set(&mut identifiers.into_iter()),
                set(&mut record.subject_terms().into_iter().map(str::to_owned)),
                set(&mut formulas.iter().flatten().map(|symbol| (*symbol).to_owned())),
            ],
            compositions: formulas.iter().map(elements::term).collect(),
            ranges: Ranges::new(dataset),
        }
    }

    pub(super) fn document(&self, fields: &Fields, name: &str, policy: &str) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        document.add_text(fields.dataset, name);
        document.add_text(fields.policy, policy);
        for (field, texts) in fields.texts.iter().zip(&self.texts) {
            for text in texts {
                document.add_text(*field, text);
            }
        }
        for (field, values) in fields.keywords.iter().zip(&self.keywords) {
            for value in values {
                document.add_text(*field, value);
            }
        }
        for composition in &self.compositions {
            document.add_text(fields.composition, composition);
        }
        self.ranges.fill(fields, &mut document);
        document
    }
}

/// What the dataset and what it is about are known by elsewhere.
fn identifiers(dataset: &Dataset) -> BTreeSet<String> {
    let record = &dataset.record;
    let people = record.creators.iter().filter_map(|creator| creator.orcid.clone());
    let related = record.related.iter().map(|related| related.identifier.clone());
    let samples = record.samples.iter().cloned();
    let work = record.proposal.iter().cloned();
    let awards = record.funding.iter().filter_map(|funding| funding.award.clone());
    let all = people.chain(related).chain(samples).chain(work).chain(awards);
    let ark = (!dataset.ark.is_empty()).then(|| dataset.ark.clone());
    all.chain(ark).chain(dataset.doi.clone()).collect()
}

/// `netcdf` for `application/x-netcdf`.
fn short_format(media_type: &str) -> &str {
    let name = media_type.split_once('/').map_or(media_type, |(_, name)| name);
    name.strip_prefix("x-").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::short_format;

    #[test]
    fn formats_are_short() {
        assert_eq!(short_format("application/x-netcdf"), "netcdf");
        assert_eq!(short_format("text/x-spec"), "spec");
        assert_eq!(short_format("text/csv"), "csv");
        assert_eq!(short_format(""), "");
    }
}
