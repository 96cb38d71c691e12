//! One column over several files: its type, its metadata, and what each file must convert.

use super::column::{Candidate, Column, Source};
use super::grid::{View, null};
use crate::cf::TimeAxis;
use crate::error::FormatError;
use arrow::datatypes::{DataType, Field, TimeUnit};
use std::collections::HashMap;
use std::sync::Arc;

/// Joins what each file offers under one name; `None` where a file has no such column.
///
/// # Errors
/// [`FormatError::Union`] where types, units or calendars differ and nothing converts them exactly.
pub(super) fn join(
    name: &str,
    views: &[View<'_>],
    candidates: &[Option<Candidate>],
) -> Result<(Field, Vec<Column>), FormatError> {
    let mut present =
        views.iter().zip(candidates).filter_map(|(view, found)| Some((view, found.as_ref()?)));
    let Some((first_view, first)) = present.next() else {
        return Err(FormatError::NotFound {
            location: views.first().map(View::location).unwrap_or_default().to_owned(),
            kind: "column",
            name: name.to_owned(),
            available: String::new(),
        });
    };
    let mut data_type = first.field.data_type().clone();
    let mut metadata = first.field.metadata().clone();
    let mut nullable = first.field.is_nullable() || candidates.iter().any(Option::is_none);
    for (view, other) in present {
        let differ = |problem: String| FormatError::Union {
            first: first_view.location().to_owned(),
            second: view.location().to_owned(),
            problem: format!("column {name:?} {problem}"),
        };
        compare_times(name, first, other).map_err(differ)?;
        compare_units(first, other).map_err(differ)?;
        let shapes = |view: &View<'_>, candidate: &Candidate| {
            view.is_tensor(&candidate.source)
                .then(|| view.inner().iter().map(|d| d.length).collect::<Vec<_>>())
        };
        let (ours, theirs) = (shapes(first_view, first), shapes(view, other));
        if ours != theirs {
            return Err(differ(format!(
                "holds tensors of shape {ours:?} in the first and {theirs:?} in the second; make \
                 two tables, or one with layout cells"
            )));
        }
        data_type = promote(&data_type, other.field.data_type()).ok_or_else(|| {
            differ(format!(
                "is {data_type} in the first and {} in the second, and neither type holds every \
                 value of the other; leave it out by `select`, or make two tables",
                other.field.data_type()
            ))
        })?;
        nullable |= other.field.is_nullable();
        let theirs = other.field.metadata();
        metadata.retain(|key, value| theirs.get(key) == Some(value));
    }
    let axis = axis(name, views, candidates)?;
    if let Some((_, units)) = &axis {
        metadata.insert("units".to_owned(), units.clone());
    }
    let rebases: Vec<Option<(i64, i64)>> = candidates
        .iter()
        .map(|candidate| candidate.as_ref()?.time.as_ref()?.rebase(axis.as_ref()?.0))
        .collect();
    if rebases.iter().flatten().any(|rebase| *rebase != (1, 0)) {
        data_type = if data_type.is_floating() { DataType::Float64 } else { DataType::Int64 };
    }
    if data_type == DataType::Timestamp(TimeUnit::Nanosecond, None) {
        for (view, candidate) in views.iter().zip(candidates) {
            if let Some(Candidate { source: Source::Variable(reading), .. }) = candidate
                && reading.needs_microseconds(view.reader.as_ref())?
            {
                data_type = DataType::Timestamp(TimeUnit::Microsecond, None);
                break;
            }
        }
    }
    let tensor = if first_view.is_tensor(&first.source) {
        Some(tensor(first_view, name, &data_type, &mut metadata)?)
    } else {
        None
    };
    let column_type = match &tensor {
        Some((field, size)) => DataType::FixedSizeList(Arc::clone(field), *size),
        None => data_type.clone(),
    };
    let columns = candidates
        .iter()
        .zip(rebases)
        .map(|(candidate, rebase)| match candidate {
            None => Column::new(null(&column_type), None, column_type.clone(), None),
            Some(candidate) => {
                let source = in_microseconds(&candidate.source, &data_type);
                Column::new(source, rebase, data_type.clone(), tensor.clone())
            }
        })
        .collect();
    Ok((Field::new(name, column_type, nullable).with_metadata(metadata), columns))
}

/// Times must be of one kind: all timestamps, or all numbers of one calendar.
fn compare_times(name: &str, first: &Candidate, other: &Candidate) -> Result<(), String> {
    match (&first.time, &other.time) {
        (None, None) => Ok(()),
        (Some(axis), Some(theirs)) if axis.same_calendar(theirs) => Ok(()),
        _ => Err(format!(
            "is {} in the first and {} in the second; leave it out by `select`, and take \
             `cf_year({name})`, `cf_month({name})` and `attribute:{name}:calendar` as columns",
            described(first),
            described(other)
        )),
    }
}

/// The axis of a column of times that are numbers, with its units: that of the first file to whose axis
/// the numbers of all others move by whole numbers, so that hours and days meet in hours.
fn axis<'a>(
    name: &str,
    views: &[View<'_>],
    candidates: &'a [Option<Candidate>],
) -> Result<Option<(&'a TimeAxis, String)>, FormatError> {
    let times: Vec<(&View<'_>, &Candidate, &TimeAxis)> = views
        .iter()
        .zip(candidates)
        .filter_map(|(view, found)| Some((view, found.as_ref()?)))
        .filter(|(_, found)| found.field.data_type().is_numeric())
        .filter_map(|(view, found)| Some((view, found, found.time.as_ref()?)))
        .collect();
    let holds_all = |axis: &TimeAxis| times.iter().all(|(_, _, own)| own.rebase(axis).is_some());
    if let Some((_, found, axis)) = times.iter().find(|(_, _, axis)| holds_all(axis)) {
        let units = found.field.metadata().get("units").cloned().unwrap_or_default();
        return Ok(Some((axis, units)));
    }
    let Some((first_view, first, first_axis)) = times.first() else { return Ok(None) };
    let far = times.iter().find(|(_, _, axis)| axis.rebase(first_axis).is_none());
    let (view, other) = far.map_or((first_view, first), |(view, other, _)| (view, other));
    Err(FormatError::Union {
        first: first_view.location().to_owned(),
        second: view.location().to_owned(),
        problem: format!(
            "column {name:?} is {} in the first and {} in the second, and no file's units hold the \
             times of all files in whole numbers; leave it out by `select` and take \
             `cf_year({name})`, `cf_month({name})` as columns",
            described(first),
            described(other)
        ),
    })
}

/// Units and calendar for a message.
fn described(candidate: &Candidate) -> String {
    let text = |key: &str| candidate.field.metadata().get(key).cloned();
    let units = text("units").unwrap_or_else(|| "no units".to_owned());
    let calendar = text("calendar").unwrap_or_else(|| "standard".to_owned());
    format!("{units:?} in calendar {calendar}")
}

/// Values that are no times must be in the same units, letter for letter.
fn compare_units(first: &Candidate, other: &Candidate) -> Result<(), String> {
    let is_time = |candidate: &Candidate| {
        candidate.time.is_some() || matches!(candidate.field.data_type(), DataType::Timestamp(..))
    };
    let is_variable = |candidate: &Candidate| matches!(&candidate.source, Source::Variable(reading) if reading.part.is_none());
    if is_time(first) || is_time(other) || !is_variable(first) || !is_variable(other) {
        return Ok(());
    }
    let units = |candidate: &Candidate| candidate.field.metadata().get("units").cloned();
    let (ours, theirs) = (units(first), units(other));
    if ours == theirs {
        return Ok(());
    }
    let quoted = |units: Option<String>| units.map_or("none".to_owned(), |u| format!("{u:?}"));
    Err(format!(
        "has the units {} in the first and {} in the second; convert one of them, or make two \
         tables",
        quoted(ours),
        quoted(theirs)
    ))
}

/// The narrowest type that holds every value of both exactly.
fn promote(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{
        Float16, Float32, Float64, Int8, Int16, Int32, Int64, Timestamp, UInt8, UInt16, UInt32,
        UInt64,
    };
    if a == b {
        return Some(a.clone());
    }
    if let (Timestamp(_, None), Timestamp(_, None)) = (a, b) {
        // Microseconds hold what nanoseconds cannot; what is lost is below the step of a double.
        return Some(Timestamp(TimeUnit::Microsecond, None));
    }
    // Each type, and the types that hold all of it, narrowest first.
    let holders = |data_type: &DataType| -> &'static [DataType] {
        match data_type {
            Int8 => &[Int8, Int16, Float16, Int32, Float32, Int64, Float64],
            UInt8 => {
                &[UInt8, UInt16, Int16, Float16, UInt32, Int32, Float32, UInt64, Int64, Float64]
            }
            Int16 => &[Int16, Int32, Float32, Int64, Float64],
            UInt16 => &[UInt16, UInt32, Int32, Float32, UInt64, Int64, Float64],
            Int32 => &[Int32, Int64, Float64],
            UInt32 => &[UInt32, UInt64, Int64, Float64],
            Int64 => &[Int64],
            UInt64 => &[UInt64],
            Float16 => &[Float16, Float32, Float64],
            Float32 => &[Float32, Float64],
            Float64 => &[Float64],
            _ => &[],
        }
    };
    let theirs = holders(b);
    holders(a).iter().find(|data_type| theirs.contains(data_type)).cloned()
}

/// The source with its decoder giving microseconds, where the table has those.
fn in_microseconds(source: &Source, data_type: &DataType) -> Source {
    match source {
        Source::Variable(reading)
            if *data_type == DataType::Timestamp(TimeUnit::Microsecond, None) =>
        {
            let mut reading = reading.as_ref().clone();
            reading.decoder = reading.decoder.with_microseconds();
            Source::Variable(Arc::new(reading))
        }
        other => other.clone(),
    }
}

/// Element field and size of a tensor column; its shape goes into the metadata by the rules of the
/// canonical extension `arrow.fixed_shape_tensor`.
fn tensor(
    view: &View<'_>,
    name: &str,
    data_type: &DataType,
    metadata: &mut HashMap<String, String>,
) -> Result<(Arc<Field>, i32), FormatError> {
    let shape: Vec<u64> = view.inner().iter().map(|dimension| dimension.length).collect();
    let names: Vec<&str> = view.inner().iter().map(|d| d.name.as_str()).collect();
    let size = shape.iter().try_fold(1_u64, |cells, length| cells.checked_mul(*length));
    let size =
        size.and_then(|size| i32::try_from(size).ok()).ok_or_else(|| FormatError::Options {
            location: view.location().to_owned(),
            problem: format!(
                "column {name:?}: a tensor of shape {shape:?} has more values than an Arrow list \
                 can hold; use layout cells"
            ),
        })?;
    // Keys in one order always, so that equal tables have equal schemas.
    let (shape, names) = (serde_json::json!(shape), serde_json::json!(names));
    let extension = format!("{{\"shape\":{shape},\"dim_names\":{names}}}");
    metadata.insert("ARROW:extension:name".to_owned(), "arrow.fixed_shape_tensor".to_owned());
    metadata.insert("ARROW:extension:metadata".to_owned(), extension);
    Ok((Arc::new(Field::new_list_field(data_type.clone(), true)), size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataType::{Float16, Float32, Float64, Int8, Int32, Int64, UInt8, UInt32, UInt64, Utf8};

    #[test]
    fn types_promote_only_where_every_value_stays_exact() {
        for (a, b, both) in [
            (Int32, Int64, Some(Int64)),
            (Float32, Float64, Some(Float64)),
            (UInt32, Int32, Some(Int64)),
            (UInt8, Int8, Some(DataType::Int16)),
            (Int32, Float32, Some(Float64)),
            (UInt8, Float16, Some(Float16)),
            (Int64, Float64, None),
            (Int64, UInt64, None),
            (Utf8, Int32, None),
        ] {
            assert_eq!(promote(&a, &b), both, "{a} {b}");
            assert_eq!(promote(&b, &a), both, "{b} {a}");
        }
    }
}
