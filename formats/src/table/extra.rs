//! Columns that come from attributes and from the files' paths.

use super::column::{Candidate, Source};
use super::grid::{View, list};
use crate::cf::attribute_text;
use crate::contents::{Attribute, AttributeValue, find};
use crate::error::FormatError;
use arrow::array::{Array, ArrayRef, Int64Array, StringArray};
use arrow::datatypes::Field;
use regex::Regex;
use std::sync::Arc;

/// The attribute as a column of one value; `None` where the file lacks it.
pub(super) fn attribute(
    view: &View<'_>,
    column: &str,
    variable: Option<&str>,
    name: &str,
) -> Option<Candidate> {
    let value = match attributes(view, variable).into_iter().find_map(|list| find(list, name))? {
        AttributeValue::Numbers(numbers) if numbers.len() == 1 => Arc::clone(numbers),
        other => Arc::new(StringArray::from(vec![attribute_text(other)?])),
    };
    Some(constant(column, value))
}

/// Attribute names that a file has in that place.
pub(super) fn available(view: &View<'_>, variable: Option<&str>) -> String {
    let names = attributes(view, variable);
    list(names.iter().flat_map(|list| list.iter()).map(|attribute| attribute.name.as_str()))
}

/// The attribute lists to look in: the variable's, or the root's and then those of the groups that
/// the grid lies in, innermost first.
fn attributes<'a>(view: &'a View<'_>, variable: Option<&str>) -> Vec<&'a [Attribute]> {
    let contents = view.reader.contents();
    let Some(variable) = variable else {
        let group = view.grid.group.trim_matches('/');
        let inside = |path: &str| {
            let path = path.trim_matches('/');
            group == path || group.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
        };
        let mut groups: Vec<_> = contents.groups.iter().filter(|(path, _)| inside(path)).collect();
        groups.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        let groups = groups.into_iter().map(|(_, attributes)| attributes.as_slice());
        return std::iter::once(contents.attributes.as_slice()).chain(groups).collect();
    };
    let group = view.grid.group.trim_matches('/');
    contents
        .variable(&format!("{group}/{variable}"))
        .or_else(|| contents.variable(variable))
        .map(|variable| variable.attributes.as_slice())
        .into_iter()
        .collect()
}

/// The first group of a pattern in each file's name, or in the whole path where a name does not
/// match; integers if all of them are written as such.
pub(super) fn captures(
    locations: &[&str],
    column: &str,
    pattern: &str,
) -> Result<Vec<Candidate>, FormatError> {
    let wrong = |location: &str, problem: String| FormatError::Options {
        location: location.to_owned(),
        problem: format!("column {column:?}: {problem}"),
    };
    let first = locations.first().copied().unwrap_or_default();
    let regex = Regex::new(pattern).map_err(|error| wrong(first, error.to_string()))?;
    let capture = |text| regex.captures(text)?.get(1).map(|group| group.as_str());
    let in_names: Option<Vec<&str>> = locations
        .iter()
        .map(|location| capture(location.rsplit('/').next().unwrap_or_default()))
        .collect();
    let found = match in_names {
        Some(found) => found,
        None => locations
            .iter()
            .map(|location| {
                capture(location).ok_or_else(|| {
                    wrong(location, format!("{pattern:?} matches neither file name nor path"))
                })
            })
            .collect::<Result<_, _>>()?,
    };
    let integers: Option<Vec<i64>> = found.iter().map(|text| canonical_integer(text)).collect();
    Ok(match integers {
        Some(integers) => {
            let value = |integer| Arc::new(Int64Array::from(vec![integer])) as ArrayRef;
            integers.into_iter().map(|integer| constant(column, value(integer))).collect()
        }
        None => found
            .into_iter()
            .map(|text| constant(column, Arc::new(StringArray::from(vec![text]))))
            .collect(),
    })
}

/// An integer that prints as the same text: `007` stays text.
fn canonical_integer(text: &str) -> Option<i64> {
    text.parse().ok().filter(|integer: &i64| integer.to_string() == text)
}

/// A column of one value.
pub(super) fn constant(column: &str, value: ArrayRef) -> Candidate {
    let field = Field::new(column, value.data_type().clone(), value.null_count() > 0);
    Candidate { field, source: Source::Value(value), time: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::DataType;

    fn types(locations: &[&str], pattern: &str) -> Vec<DataType> {
        let captures = captures(locations, "c", pattern).unwrap();
        captures.iter().map(|candidate| candidate.field.data_type().clone()).collect()
    }

    #[test]
    fn captures_are_integers_only_where_every_file_writes_one() {
        let scans = ["/data/S10_Blank.h5", "s3://lab/S11_Glassy.h5"];
        assert_eq!(types(&scans, r"S(\d+)_"), [DataType::Int64, DataType::Int64]);
        assert_eq!(types(&["S10_a", "S011_b"], r"S(\d+)_"), [DataType::Utf8, DataType::Utf8]);
        assert_eq!(types(&["S10_a", "Sx_b"], r"S(.*)_"), [DataType::Utf8, DataType::Utf8]);
    }

    #[test]
    fn the_file_name_is_matched_before_the_path() {
        let names = captures(&["/a/b/A1B_north.nc"], "c", "(.*)_north").unwrap();
        let Source::Value(value) = &names[0].source else { panic!() };
        assert_eq!(value, &(Arc::new(StringArray::from(vec!["A1B"])) as ArrayRef));
        let folders = captures(&["/run7/a.nc", "/run8/a.nc"], "c", r"run(\d)/").unwrap();
        assert_eq!(*folders[0].field.data_type(), DataType::Int64);
        let error = captures(&["/x/a.nc"], "c", "(b+)").unwrap_err().to_string();
        assert!(error.contains("/x/a.nc") && error.contains("(b+)"), "{error}");
    }
}
