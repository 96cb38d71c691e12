//! Which elements are in the formulas of a dataset.
//!
//! A document holds the elements of each formula as one term, `|Fe|O|`, in the order of their symbols: what
//! has iron in one sample and oxygen in another is no iron oxide.

use super::fields::Fields;
use crate::CatalogError;
use crate::model::Dataset;
use std::collections::BTreeSet;
use tantivy::Term;
use tantivy::query::{Query as Tantivy, RegexQuery, TermSetQuery};
use tarn_schemas::facts::FORMULA;
use tarn_schemas::formula;

/// Keys of filters on elements: all of these in one formula; these and no other.
pub(super) const ELEMENTS: [&str; 2] = ["elements", "elements_only"];

/// Most elements of one filter.
const MOST: usize = 32;

type Symbols = BTreeSet<&'static str>;

/// The elements of each formula of a dataset, in its record or its files. What is no formula is left out:
/// a record that holds one is not registered, and files say what they like.
pub(super) fn of(dataset: &Dataset) -> BTreeSet<Symbols> {
    let attributes = dataset.files.iter().flat_map(|file| &file.attributes);
    let of_files = attributes.filter(|(name, _)| name == FORMULA).map(|(_, text)| text);
    let texts = dataset.record.formulas.iter().chain(of_files);
    texts.filter_map(|text| formula::elements(text).ok()).collect()
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
        if symbols.len() > MOST {
            return Err(wrong(format!("name at most {MOST} elements")));
        }
        Ok(Self { symbols, only: key == "elements_only" })
    }

    /// The query of what fits.
    pub(super) fn compile(&self, fields: &Fields) -> tantivy::Result<Box<dyn Tantivy>> {
        if self.only {
            let exact = Term::from_field_text(fields.composition, &term(&self.symbols));
            return Ok(Box::new(TermSetQuery::new(vec![exact])));
        }
        // Symbols are letters, so that nothing in them means something to the pattern. Classes of ASCII
        // keep it small: an automaton of more than a thousand states is refused.
        let symbols: Vec<&str> = self.symbols.iter().copied().collect();
        let pattern = format!(r"[A-Za-z|]*\|{}\|[A-Za-z|]*", symbols.join(r"\|([A-Za-z|]*\|)?"));
        Ok(Box::new(RegexQuery::from_pattern(&pattern, fields.composition)?))
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
    fn as_many_elements_as_may_be_named_are_a_query() {
        let fields = Fields::new();
        for elements in formula::ELEMENTS.windows(MOST) {
            let filter = Elements::of_filter("elements", &elements.join(",")).unwrap();
            filter.compile(&fields).unwrap();
        }
        let all = formula::ELEMENTS.join(",");
        let error = Elements::of_filter("elements", &all).unwrap_err().to_string();
        assert!(error.contains("at most 32"), "{error}");
    }
}
