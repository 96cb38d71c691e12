//! Which elements are in the formulas of a dataset.
//!
//! A document holds the elements of each formula as one term, `|Fe|O|`, in the order of their symbols: what
//! has iron in one sample and oxygen in another is no iron oxide.

use super::fields::Fields;
use crate::CatalogError;
use crate::model::Dataset;
use std::collections::BTreeSet;
use tantivy::Term;
use tantivy::query::{Query as Tantivy, TermSetQuery};
use tarn_schemas::facts::FORMULA;
use tarn_schemas::formula;

/// Keys of filters on elements: all of these in one formula; these and no other.
pub(super) const ELEMENTS: [&str; 2] = ["elements", "elements_only"];

type Symbols = BTreeSet<&'static str>;

/// The elements of each formula of a dataset, in its record or its files. What is no formula is left out:
/// a record that holds one is not registered, and files say what they like.
pub(super) fn of(dataset: &Dataset) -> BTreeSet<Symbols> {
    formulas(dataset).filter_map(|text| formula::elements(text).ok()).collect()
}

/// The formulas as texts to be found by: as they are written, and in one word, as most people write them.
pub(super) fn texts(dataset: &Dataset) -> BTreeSet<String> {
    let found = formulas(dataset).filter(|text| formula::elements(text).is_ok());
    found.flat_map(|text| [text.clone(), text.split_whitespace().collect()]).collect()
}

fn formulas(dataset: &Dataset) -> impl Iterator<Item = &String> {
    let attributes = dataset.files.iter().flat_map(|file| &file.attributes);
    let of_files = attributes.filter(|(name, _)| name == FORMULA).map(|(_, text)| text);
    dataset.record.formulas.iter().chain(of_files)
}

/// The term of a formula.
pub(super) fn term(symbols: &Symbols) -> String {
    let symbols: Vec<&str> = symbols.iter().copied().collect();
    format!("|{}|", symbols.join("|"))
}

/// A condition on elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elements {
    symbols: Symbols,
    only: bool,
}

impl Elements {
    /// The condition of a filter with one of the keys of [`ELEMENTS`].
    pub(super) fn of_filter(key: &str, value: &str) -> Result<Self, CatalogError> {
        let wrong = |problem: String| CatalogError::Argument(format!("{key}={value:?}: {problem}"));
        let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
        let symbols: Result<Symbols, _> = parts.map(formula::element).collect();
        let symbols = symbols.map_err(|error| wrong(error.to_string()))?;
        if symbols.is_empty() {
            return Err(wrong("write symbols of elements, such as Fe,O".to_owned()));
        }
        Ok(Self { symbols, only: key == "elements_only" })
    }

    /// The query of what fits, of the formulas that there are. They are looked through one by one: there
    /// are far fewer of them than datasets, and a pattern over them takes longer to make than that.
    pub(super) fn compile(&self, fields: &Fields, formulas: &BTreeSet<String>) -> Box<dyn Tantivy> {
        let terms = formulas.iter().filter(|formula| self.fits(formula));
        let terms = terms.map(|formula| Term::from_field_text(fields.composition, formula));
        Box::new(TermSetQuery::new(terms))
    }

    /// Whether a formula, by its term, has these elements.
    fn fits(&self, formula: &str) -> bool {
        let found: BTreeSet<&str> = formula.split('|').filter(|one| !one.is_empty()).collect();
        let all = self.symbols.iter().all(|symbol| found.contains(symbol));
        all && (!self.only || found.len() == self.symbols.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_checked() {
        let fe_o = Elements::of_filter("elements", "O, Fe").unwrap();
        assert_eq!(fe_o, Elements { symbols: BTreeSet::from(["Fe", "O"]), only: false });
        assert_eq!(term(&fe_o.symbols), "|Fe|O|");
        for (wrong, told) in [
            ("", "write symbols of elements"),
            (",", "write symbols of elements"),
            ("fe", "did you mean Fe?"),
            ("Fe,Xx", "\"Xx\" is no element"),
            ("Fe2O3", "\"Fe2O3\" is no element"),
            (".*", "is no element"),
        ] {
            let error = Elements::of_filter("elements_only", wrong).unwrap_err().to_string();
            assert!(error.starts_with("elements_only=") && error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_formula_fits_by_its_elements() {
        let fits = |key: &str, wanted: &str, formula: &str| {
            let symbols = formula::elements(formula).unwrap();
            Elements::of_filter(key, wanted).unwrap().fits(&term(&symbols))
        };
        assert!(fits("elements", "Fe,O", "Fe2O3") && fits("elements", "O", "Fe2O3"));
        assert!(!fits("elements", "Fe,H", "Fe2O3") && !fits("elements", "C", "CuCo"));
        assert!(fits("elements_only", "Fe,O", "Fe2O3") && !fits("elements_only", "O", "Fe2O3"));
        assert!(!fits("elements_only", "Fe,O,H", "Fe2O3"));
        let all = formula::ELEMENTS.join(",");
        assert!(fits("elements_only", &all, &formula::ELEMENTS.concat()));
    }
}
