//! What is inside files, as tables: `grids(path)`, `variables(path)`, `attributes(path)`.

use crate::error::QueryError;
use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, Int64Builder, ListBuilder, RecordBatch, StringArray,
    StringBuilder,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::sync::Arc;
use tarn_formats::{Attribute, AttributeValue, Reader, Variable};

/// One row a grid: file, grid, group_path, dimensions, shape, cells, variables.
pub(super) fn grids(readers: &[Arc<dyn Reader>]) -> Result<RecordBatch, QueryError> {
    let all: Vec<_> = readers
        .iter()
        .flat_map(|reader| reader.contents().grids.iter().map(move |grid| (reader, grid)))
        .collect();
    batch(vec![
        ("file", texts(all.iter().map(|(reader, _)| Some(reader.location())))),
        ("grid", texts(all.iter().map(|(_, grid)| Some(grid.name.as_str())))),
        ("group_path", texts(all.iter().map(|(_, grid)| Some(grid.group.as_str())))),
        (
            "dimensions",
            text_lists(all.iter().map(|(_, grid)| grid.dimensions.iter().map(|d| d.name.as_str()))),
        ),
        ("shape", number_lists(all.iter().map(|(_, grid)| Some(grid.shape())))),
        ("cells", numbers(all.iter().map(|(_, grid)| grid.cells()))),
        (
            "variables",
            text_lists(all.iter().map(|(_, grid)| grid.variables.iter().map(String::as_str))),
        ),
    ])
}

/// One row a variable, or an object that cannot be read, with the reason.
pub(super) fn variables(readers: &[Arc<dyn Reader>]) -> Result<RecordBatch, QueryError> {
    struct Row<'a> {
        file: &'a str,
        path: &'a str,
        variable: Option<&'a Variable>,
        unreadable: Option<&'a str>,
    }
    let rows: Vec<Row<'_>> = readers
        .iter()
        .flat_map(|reader| {
            let file = reader.location();
            let contents = reader.contents();
            let readable = contents.variables.iter().map(move |variable| Row {
                file,
                path: &variable.path,
                variable: Some(variable),
                unreadable: None,
            });
            let unreadable = contents.unreadable.iter().map(move |object| Row {
                file,
                path: &object.path,
                variable: None,
                unreadable: Some(&object.reason),
            });
            readable.chain(unreadable)
        })
        .collect();
    let text = |name: &'static str| {
        texts(rows.iter().map(move |row| row.variable.and_then(|variable| variable.text(name))))
    };
    let types: Vec<Option<String>> =
        rows.iter().map(|row| row.variable.map(|v| v.data_type.to_string())).collect();
    let dimensions = rows.iter().map(|row| {
        row.variable.into_iter().flat_map(|v| v.dimensions.iter().map(|d| d.name.as_str()))
    });
    let filters = rows
        .iter()
        .map(|row| row.variable.into_iter().flat_map(|v| v.filters.iter().map(String::as_str)));
    batch(vec![
        ("file", texts(rows.iter().map(|row| Some(row.file)))),
        ("path", texts(rows.iter().map(|row| Some(row.path)))),
        ("name", texts(rows.iter().map(|row| row.variable.map(|v| v.name.as_str())))),
        ("data_type", texts(types.iter().map(Option::as_deref))),
        ("dimensions", text_lists(dimensions)),
        ("shape", number_lists(rows.iter().map(|row| row.variable.map(Variable::shape)))),
        (
            "chunk_shape",
            number_lists(rows.iter().map(|row| row.variable.and_then(|v| v.chunk_shape.clone()))),
        ),
        ("filters", text_lists(filters)),
        ("fallback", booleans(rows.iter().map(|row| row.variable.map(|v| v.fallback)))),
        ("stored_bytes", numbers(rows.iter().map(|row| row.variable.and_then(|v| v.stored_bytes)))),
        ("units", text("units")),
        ("standard_name", text("standard_name")),
        ("long_name", text("long_name")),
        ("unreadable", texts(rows.iter().map(|row| row.unreadable))),
    ])
}

/// One row an attribute of the file, a group or a variable: file, path, name, value as text.
pub(super) fn attributes(readers: &[Arc<dyn Reader>]) -> Result<RecordBatch, QueryError> {
    let mut rows: Vec<(&str, &str, &Attribute)> = Vec::new();
    for reader in readers {
        let (file, contents) = (reader.location(), reader.contents());
        rows.extend(contents.attributes.iter().map(|attribute| (file, "/", attribute)));
        for (path, attributes) in &contents.groups {
            rows.extend(attributes.iter().map(|attribute| (file, path.as_str(), attribute)));
        }
        for variable in &contents.variables {
            let path = variable.path.as_str();
            rows.extend(variable.attributes.iter().map(|attribute| (file, path, attribute)));
        }
    }
    let described: Vec<(String, Option<String>)> =
        rows.iter().map(|(_, _, attribute)| describe(&attribute.value)).collect();
    batch(vec![
        ("file", texts(rows.iter().map(|(file, _, _)| Some(*file)))),
        ("path", texts(rows.iter().map(|(_, path, _)| Some(*path)))),
        ("name", texts(rows.iter().map(|(_, _, attribute)| Some(attribute.name.as_str())))),
        ("data_type", texts(described.iter().map(|(kind, _)| Some(kind.as_str())))),
        ("value", texts(described.iter().map(|(_, value)| value.as_deref()))),
    ])
}

/// Type and value of an attribute as text; several values are joined by `, `.
fn describe(value: &AttributeValue) -> (String, Option<String>) {
    match value {
        AttributeValue::Text(texts) => ("text".to_owned(), Some(texts.join(", "))),
        AttributeValue::Unreadable(kind) => (kind.clone(), None),
        AttributeValue::Numbers(numbers) => {
            let options = FormatOptions::default();
            let text = ArrayFormatter::try_new(numbers, &options).ok().map(|formatter| {
                (0..numbers.len())
                    .map(|index| formatter.value(index).to_string())
                    .collect::<Vec<_>>()
                    .join(", ")
            });
            (numbers.data_type().to_string(), text)
        }
    }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, QueryError> {
    Ok(RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )?)
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn numbers(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    Arc::new(values.map(|value| value.and_then(|v| i64::try_from(v).ok())).collect::<Int64Array>())
}

fn booleans(values: impl Iterator<Item = Option<bool>>) -> ArrayRef {
    Arc::new(values.collect::<BooleanArray>())
}

fn text_lists<'a>(lists: impl Iterator<Item = impl Iterator<Item = &'a str>>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for list in lists {
        for text in list {
            builder.values().append_value(text);
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}

fn number_lists(lists: impl Iterator<Item = Option<Vec<u64>>>) -> ArrayRef {
    let mut builder = ListBuilder::new(Int64Builder::new());
    for list in lists {
        for number in list.iter().flatten() {
            builder.values().append_option(i64::try_from(*number).ok());
        }
        builder.append(list.is_some());
    }
    Arc::new(builder.finish())
}
