//! The groups that one worker has met, and their numbers.

use super::keys::Keys;
use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use std::collections::HashMap;

/// Up to this many combinations of a file are looked up by their number in a list.
const LISTED: u64 = 1 << 22;
/// A combination without a group yet.
const UNKNOWN: usize = usize::MAX;

/// The groups of an aggregate: one without keys has a single group from the start.
pub(super) struct Groups {
    values: Option<Box<dyn GroupValues>>,
    /// The part that `known` is about.
    part: Option<usize>,
    known: Known,
}

/// The groups of the combinations of one part.
enum Known {
    List(Vec<usize>),
    Map(HashMap<u64, usize>),
}

impl Known {
    fn of(keys: &Keys) -> Self {
        let combinations = keys.combinations();
        match usize::try_from(combinations) {
            Ok(length) if combinations <= LISTED => Self::List(vec![UNKNOWN; length]),
            _ => Self::Map(HashMap::new()),
        }
    }

    fn get(&self, combination: u64) -> Option<usize> {
        let group = match self {
            Self::List(list) => usize::try_from(combination).ok().and_then(|at| list.get(at)),
            Self::Map(map) => map.get(&combination),
        };
        group.copied().filter(|group| *group != UNKNOWN)
    }

    fn put(&mut self, combination: u64, group: usize) {
        match self {
            Self::List(list) => {
                let place = usize::try_from(combination).ok().and_then(|at| list.get_mut(at));
                if let Some(place) = place {
                    *place = group;
                }
            }
            Self::Map(map) => {
                map.insert(combination, group);
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::List(list) => list.capacity().saturating_mul(size_of::<usize>()),
            Self::Map(map) => map.capacity().saturating_mul(2 * size_of::<u64>()),
        }
    }
}

impl Groups {
    /// No group yet. `fields` are the keys; none for an aggregate without GROUP BY.
    pub(super) fn new(fields: &SchemaRef) -> Result<Self> {
        let values = if fields.fields().is_empty() {
            None
        } else {
            Some(new_group_values(SchemaRef::clone(fields), &GroupOrdering::None)?)
        };
        Ok(Self { values, part: None, known: Known::Map(HashMap::new()) })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.values.as_ref().map_or(1, |values| values.len())
    }

    /// Bytes they take.
    pub(super) fn bytes(&self) -> usize {
        let values = self.values.as_ref().map_or(0, |values| values.size());
        values.saturating_add(self.known.bytes())
    }

    /// The groups of combinations of a part, one for each of them that `present` says is there;
    /// the others get group 0, which may not exist.
    pub(super) fn of(
        &mut self,
        part: usize,
        keys: &Keys,
        combinations: &[u64],
        present: impl Fn(usize) -> bool,
    ) -> Result<Vec<usize>> {
        if self.values.is_none() {
            return Ok(vec![0; combinations.len()]);
        }
        if self.part != Some(part) {
            self.part = Some(part);
            self.known = Known::of(keys);
        }
        let mut new: Vec<u64> = Vec::new();
        for (slot, combination) in combinations.iter().enumerate() {
            if present(slot) && self.known.get(*combination).is_none() {
                new.push(*combination);
            }
        }
        if !new.is_empty() {
            new.sort_unstable();
            new.dedup();
            let groups = self.merge(&keys.values(&new)?)?;
            for (combination, group) in new.into_iter().zip(groups) {
                self.known.put(combination, group);
            }
        }
        let groups = combinations.iter().enumerate().map(|(slot, combination)| {
            if !present(slot) {
                return Ok(0);
            }
            self.known
                .get(*combination)
                .ok_or_else(|| internal_datafusion_err!("a combination of keys has no group"))
        });
        groups.collect()
    }

    /// The groups of rows of keys.
    pub(super) fn merge(&mut self, keys: &[ArrayRef]) -> Result<Vec<usize>> {
        let Some(values) = &mut self.values else { return Ok(vec![0]) };
        let mut groups = Vec::new();
        values.intern(keys, &mut groups)?;
        Ok(groups)
    }

    /// The key columns of all groups, in the order of their numbers; afterwards there are none.
    pub(super) fn take(&mut self) -> Result<Vec<ArrayRef>> {
        self.part = None;
        self.known = Known::Map(HashMap::new());
        self.values.as_mut().map_or_else(|| Ok(vec![]), |values| values.emit(EmitTo::All))
    }
}
