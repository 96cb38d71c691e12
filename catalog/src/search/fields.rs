//! The fields of the search index.

use super::ranges::NUMBERS;
use tantivy::TantivyDocument;
use tantivy::schema::{
    FAST, Field, IndexRecordOption, JsonObjectOptions, STORED, Schema, TextFieldIndexing,
    TextOptions,
};
use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer,
    TextAnalyzer,
};

/// Name of the analyzer of the text fields.
pub(super) const ANALYZER: &str = "tarn_english";

/// Longest value of a keyword field in bytes; longer ones are left out.
pub(super) const LONGEST_VALUE: usize = 4096;

/// Words as they are matched: parts between punctuation, lower case, without accents, stemmed.
pub(super) fn analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(256))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .filter(Stemmer::new(Language::English))
        .build()
}

/// Text fields in the order of [`TEXTS`], with what a match in them is worth.
pub(super) const TEXTS: [(&str, f32); 5] = [
    ("title_text", 4.0),
    ("keyword_text", 3.0),
    ("name_text", 2.0),
    ("description_text", 1.0),
    ("people_text", 1.0),
];

/// Keys of filters and facets.
pub(super) const KEYWORDS: [&str; 12] = [
    "lab",
    "tier",
    "keyword",
    "standard_name",
    "variable",
    "units",
    "format",
    "creator",
    "license",
    "identifier",
    SUBJECT,
    "element",
];

/// The key of what records are about.
pub(super) const SUBJECT: &str = "subject";

/// Name of the field that identifies a dataset.
pub(super) const DATASET: &str = "dataset";

/// Name of the field that says who may find a document.
pub(super) const POLICY: &str = "policy";

/// The schema and its fields.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    pub(super) schema: Schema,
    pub(super) dataset: Field,
    pub(super) policy: Field,
    pub(super) texts: [Field; TEXTS.len()],
    pub(super) keywords: [Field; KEYWORDS.len()],
    pub(super) numbers: [Field; NUMBERS.len()],
    /// Smallest and largest values by standard name.
    pub(super) values: Field,
    /// The elements of each formula.
    pub(super) composition: Field,
}

impl Fields {
    pub(super) fn new() -> Self {
        let mut schema = Schema::builder();
        let exact = TextOptions::default()
            .set_indexing_options(
                TextFieldIndexing::default()
                    .set_tokenizer("raw")
                    .set_index_option(IndexRecordOption::Basic)
                    .set_fieldnorms(false),
            )
            .set_fast("raw");
        let words = TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer(ANALYZER)
                .set_index_option(IndexRecordOption::WithFreqs),
        );
        let dataset = schema.add_text_field(DATASET, exact.clone() | STORED);
        let policy = schema.add_text_field(POLICY, exact.clone());
        let texts = TEXTS.map(|(name, _)| schema.add_text_field(name, words.clone()));
        let keywords = KEYWORDS.map(|name| schema.add_text_field(name, exact.clone()));
        let numbers = NUMBERS.map(|name| schema.add_f64_field(name, FAST));
        let values = schema.add_json_field("values", JsonObjectOptions::default().set_fast("raw"));
        let composition = schema.add_text_field("composition", exact);
        Self {
            schema: schema.build(),
            dataset,
            policy,
            texts,
            keywords,
            numbers,
            values,
            composition,
        }
    }

    /// The field of a filter or facet.
    pub(super) fn keyword(&self, key: &str) -> Option<Field> {
        KEYWORDS
            .iter()
            .position(|known| *known == key)
            .and_then(|at| self.keywords.get(at))
            .copied()
    }

    /// The dataset that a stored document stands for.
    pub(super) fn dataset_of(&self, document: &TantivyDocument) -> Option<String> {
        use tantivy::schema::Value;
        document.get_first(self.dataset).and_then(|value| value.as_str().map(str::to_owned))
    }
}
