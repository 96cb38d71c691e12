//! Exact counts of values among all hits.

use std::collections::BTreeMap;
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::StrColumn;
use tantivy::{DocId, Score, SegmentOrdinal, SegmentReader};

/// Values listed of one facet.
pub(super) const MOST_VALUES: usize = 1000;

/// Values with their counts, by facet.
pub(super) type Counts = BTreeMap<String, Vec<(String, u64)>>;

/// Counts the values of keyword fields over all matching documents.
#[derive(Debug)]
pub(super) struct FacetCounts {
    pub(super) keys: Vec<String>,
    /// Most values listed of each.
    pub(super) most: usize,
}

/// Counts in one segment, by ordinal of the value.
pub(super) struct SegmentCounts {
    columns: Vec<(String, Option<StrColumn>, Vec<u64>)>,
}

impl Collector for FacetCounts {
    type Fruit = Counts;
    type Child = SegmentCounts;

    fn for_segment(
        &self,
        _: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<SegmentCounts> {
        let column = |key: &String| {
            let column = segment.fast_fields().str(key)?;
            let terms = column.as_ref().map_or(0, |column| column.num_terms());
            Ok((key.clone(), column, vec![0; terms]))
        };
        let columns = self.keys.iter().map(column).collect::<tantivy::Result<_>>()?;
        Ok(SegmentCounts { columns })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(
        &self,
        segments: Vec<tantivy::Result<Vec<(String, String, u64)>>>,
    ) -> tantivy::Result<Counts> {
        let mut sums: BTreeMap<String, BTreeMap<String, u64>> =
            self.keys.iter().map(|key| (key.clone(), BTreeMap::new())).collect();
        for segment in segments {
            for (key, value, count) in segment? {
                let sum = sums.entry(key).or_default().entry(value).or_default();
                *sum = sum.saturating_add(count);
            }
        }
        let ranked = sums.into_iter().map(|(key, values)| {
            // Most frequent first, ties by value (the map is sorted and the sort is stable).
            let mut values: Vec<_> = values.into_iter().collect();
            values.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            values.truncate(self.most);
            (key, values)
        });
        Ok(ranked.collect())
    }
}

impl SegmentCollector for SegmentCounts {
    type Fruit = tantivy::Result<Vec<(String, String, u64)>>;

    fn collect(&mut self, document: DocId, _: Score) {
        for (_, column, counts) in &mut self.columns {
            let Some(column) = column else { continue };
            // A document holds each value once, so this counts documents.
            for ordinal in column.term_ords(document) {
                let count = usize::try_from(ordinal).ok().and_then(|at| counts.get_mut(at));
                if let Some(count) = count {
                    *count = count.saturating_add(1);
                }
            }
        }
    }

    fn harvest(self) -> Self::Fruit {
        let mut found = Vec::new();
        for (key, column, counts) in self.columns {
            let Some(column) = column else { continue };
            for (ordinal, count) in (0_u64..).zip(counts).filter(|(_, count)| *count > 0) {
                let mut value = String::new();
                if !column.ord_to_str(ordinal, &mut value)? {
                    return Err(tantivy::TantivyError::InternalError(format!(
                        "value {ordinal} of {key} is not in its dictionary"
                    )));
                }
                found.push((key.clone(), value, count));
            }
        }
        Ok(found)
    }
}
