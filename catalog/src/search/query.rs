//! From a request to a query of the index.

use super::elements::{ELEMENTS, Elements};
use super::facets::MOST_VALUES;
use super::fields::{Fields, KEYWORDS, TEXTS, analyzer};
use super::ranges::{self, Condition, EXTENTS};
use crate::CatalogError;
use crate::model::SearchRequest;
use std::collections::BTreeSet;
use tantivy::Term;
use tantivy::query::{
    AllQuery, BooleanQuery, BoostQuery, ConstScoreQuery, EmptyQuery, Occur, Query as Tantivy,
    TermQuery, TermSetQuery,
};
use tantivy::schema::IndexRecordOption;
use tantivy::tokenizer::TokenStream;
use tarn_schemas::standard_names;

const MOST_WORDS: usize = 64;
const LONGEST_TEXT: usize = 8192;
const MOST_FILTERS: usize = 64;

/// A checked request: what to find, under which policy.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// Stems that all have to occur; `None` finds everything.
    words: Option<BTreeSet<String>>,
    filters: Vec<(String, String)>,
    conditions: Vec<Condition>,
    elements: Vec<Elements>,
    pub(super) facets: Vec<String>,
    /// Most values listed of a facet.
    pub(super) most_values: usize,
}

impl Query {
    pub(super) fn new(request: &SearchRequest) -> Result<Self, CatalogError> {
        if request.text.len() > LONGEST_TEXT {
            return Err(CatalogError::Argument(format!(
                "a search text has at most {LONGEST_TEXT} bytes"
            )));
        }
        let (text, mut conditions) = ranges::of_text(&request.text)?;
        let (extents, filters): (Vec<_>, Vec<_>) =
            request.filters.iter().cloned().partition(|(key, _)| EXTENTS.contains(&key.as_str()));
        for (key, value) in extents {
            conditions.push(ranges::of_filter(&key, &value)?);
        }
        let (elements, filters): (Vec<_>, Vec<_>) =
            filters.into_iter().partition(|(key, _)| ELEMENTS.contains(&key.as_str()));
        let elements = elements.iter().map(|(key, value)| Elements::of_filter(key, value));
        let elements = elements.collect::<Result<_, _>>()?;
        let keys = filters.iter().map(|(key, _)| key).chain(&request.facets);
        for key in keys {
            if !KEYWORDS.contains(&key.as_str()) {
                return Err(CatalogError::Argument(format!(
                    "{key:?} is no filter or facet: use {}; or the filters {}, {}",
                    KEYWORDS.join(", "),
                    ELEMENTS.join(", "),
                    EXTENTS.join(", ")
                )));
            }
        }
        if request.filters.len() > MOST_FILTERS
            || conditions.len() > MOST_FILTERS
            || request.facets.len() > MOST_FILTERS
        {
            return Err(CatalogError::Argument(format!(
                "a search has at most {MOST_FILTERS} filters and facets"
            )));
        }
        let words = if text.trim().is_empty() { None } else { Some(words(&text)) };
        if words.as_ref().is_some_and(|words| words.len() > MOST_WORDS) {
            return Err(CatalogError::Argument(format!(
                "a search text has at most {MOST_WORDS} words"
            )));
        }
        let (facets, most_values) = (request.facets.clone(), MOST_VALUES);
        Ok(Self { words, filters, conditions, elements, facets, most_values })
    }

    /// How many of the words stand in a text.
    pub(super) fn words_in(&self, text: &str) -> usize {
        let Some(wanted) = &self.words else { return 0 };
        words(text).intersection(wanted).count()
    }

    /// Whether hits are ranked by how well words fit.
    pub(super) fn ranks(&self) -> bool {
        self.words.is_some()
    }

    /// Whether it looks at the values of variables.
    pub(super) fn asks_for_values(&self) -> bool {
        self.conditions.iter().any(|one| matches!(one, Condition::Value { .. }))
    }

    /// Whether formulas have to be known to compile it.
    pub(super) fn asks_for_elements(&self) -> bool {
        !self.elements.is_empty()
    }

    /// The query over documents with one of these terms of the policy, so that hits, totals and facets
    /// all follow it. `formulas` are the terms of all that there are.
    pub(super) fn compile(
        &self,
        fields: &Fields,
        visible: Vec<Term>,
        formulas: &BTreeSet<String>,
    ) -> Box<dyn Tantivy> {
        let mut all: Vec<(Occur, Box<dyn Tantivy>)> = Vec::new();
        let mut must = |query: Box<dyn Tantivy>| all.push((Occur::Must, query));
        match &self.words {
            None => must(Box::new(AllQuery)),
            // Text without a single word, such as "?!", is found nowhere.
            Some(words) if words.is_empty() => must(Box::new(EmptyQuery)),
            Some(words) => {
                for word in words {
                    let in_any_field = fields.texts.iter().zip(TEXTS).map(|(field, (_, worth))| {
                        let term = Term::from_field_text(*field, word);
                        let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
                        let query: Box<dyn Tantivy> =
                            Box::new(BoostQuery::new(Box::new(query), worth));
                        (Occur::Should, query)
                    });
                    must(Box::new(BooleanQuery::new(in_any_field.collect())));
                }
            }
        }
        for (key, value) in &self.filters {
            let today = standard_names::resolve(value).filter(|_| key == "standard_name");
            let value = today.unwrap_or(value);
            match fields.keyword(key) {
                Some(field) => must(exact(vec![Term::from_field_text(field, value)])),
                None => must(Box::new(EmptyQuery)),
            }
        }
        for condition in &self.conditions {
            // Conditions say what fits, and not how well.
            must(Box::new(ConstScoreQuery::new(condition.compile(fields), 0.0)));
        }
        for elements in &self.elements {
            must(Box::new(ConstScoreQuery::new(elements.compile(fields, formulas), 0.0)));
        }
        must(exact(visible));
        Box::new(BooleanQuery::new(all))
    }
}

/// Documents with one of the terms; adds nothing to the score.
fn exact(terms: Vec<Term>) -> Box<dyn Tantivy> {
    Box::new(ConstScoreQuery::new(Box::new(TermSetQuery::new(terms)), 0.0))
}

/// The words of a text as they stand in the index. One that is too long to be indexed is kept as it
/// is, and found nowhere.
fn words(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let parts = text.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
    for part in parts {
        let mut analyzer = analyzer();
        let mut stream = analyzer.token_stream(part);
        let mut any = false;
        while stream.advance() {
            any = true;
            words.insert(stream.token().text.clone());
        }
        if !any {
            words.insert(part.to_owned());
        }
    }
    words
}
