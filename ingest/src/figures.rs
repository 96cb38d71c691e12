//! Figures of a column: rows, NULLs, minimum, maximum, sum. Equal data in equal order give equal
//! figures whatever Arrow type holds them, so a column can be compared before and after it was
//! converted, written and read back.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, UInt64Type};
use arrow::error::ArrowError;
use std::cmp::Ordering;

/// What a column holds, in figures.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    /// Rows.
    pub rows: u64,
    /// Rows without a value.
    pub nulls: u64,
    /// Figures of the values that are there.
    pub values: Values,
}

/// Figures of values.
#[derive(Debug, Clone, Default)]
pub(crate) enum Values {
    /// No value was seen, or they are of a type that has no figures (structs).
    #[default]
    None,
    /// Integers, Booleans as 0 and 1, dates in days, timestamps in nanoseconds.
    Integers {
        /// Smallest.
        min: i128,
        /// Largest.
        max: i128,
        /// Exact sum.
        sum: i128,
    },
    /// Floats of any width.
    Floats {
        /// Smallest by total order, NaN left out.
        min: f64,
        /// Largest by total order, NaN left out.
        max: f64,
        /// Sum in row order, NaN left out.
        sum: f64,
        /// Values that are NaN.
        nans: u64,
        /// Values that are numbers.
        numbers: u64,
    },
    /// Text and binary.
    Bytes {
        /// Smallest.
        min: Vec<u8>,
        /// Largest.
        max: Vec<u8>,
        /// Length of all values.
        total: u64,
    },
    /// Elements of lists, row after row.
    Elements(Box<Figures>),
}

impl Figures {
    /// Adds the values of an array.
    pub(crate) fn update(&mut self, array: &ArrayRef) -> Result<(), ArrowError> {
        if let DataType::Dictionary(_, values) = array.data_type() {
            return self.update(&cast(array, values)?);
        }
        self.rows = self.rows.saturating_add(array.len() as u64);
        self.nulls = self.nulls.saturating_add(array.null_count() as u64);
        match array.data_type() {
            DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                let wide = cast(array, &DataType::Float64)?;
                self.values.floats(wide.as_primitive());
            }
            DataType::UInt64 => {
                for value in array.as_primitive::<UInt64Type>().iter().flatten() {
                    self.values.integer(i128::from(value));
                }
            }
            DataType::Boolean => {
                for value in array.as_boolean().iter().flatten() {
                    self.values.integer(i128::from(value));
                }
            }
            DataType::Timestamp(unit, _) => {
                let factor = match unit {
                    TimeUnit::Second => 1_000_000_000,
                    TimeUnit::Millisecond => 1_000_000,
                    TimeUnit::Microsecond => 1_000,
                    TimeUnit::Nanosecond => 1,
                };
                self.values.integers(cast(array, &DataType::Int64)?.as_primitive(), factor);
            }
            DataType::Date32 => {
                let days = cast(&cast(array, &DataType::Int32)?, &DataType::Int64)?;
                self.values.integers(days.as_primitive(), 1);
            }
            other if other.is_integer() => {
                self.values.integers(cast(array, &DataType::Int64)?.as_primitive(), 1);
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                let text = cast(array, &DataType::LargeUtf8)?;
                for value in text.as_string::<i64>().iter().flatten() {
                    self.values.bytes(value.as_bytes());
                }
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => {
                let binary = cast(array, &DataType::LargeBinary)?;
                for value in binary.as_binary::<i64>().iter().flatten() {
                    self.values.bytes(value);
                }
            }
            DataType::FixedSizeList(..) => {
                let list = array.as_fixed_size_list();
                self.elements(list, list.iter(), || list.values().clone())?;
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                self.elements(list, list.iter(), || {
                    let offsets = list.value_offsets();
                    let at = |offset: Option<&i32>| {
                        offset.and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0)
                    };
                    let (start, end) = (at(offsets.first()), at(offsets.last()));
                    list.values().slice(start, end.saturating_sub(start))
                })?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Elements of the lists that are there; all at once where no list is NULL.
    fn elements(
        &mut self,
        list: &dyn Array,
        rows: impl Iterator<Item = Option<ArrayRef>>,
        all: impl FnOnce() -> ArrayRef,
    ) -> Result<(), ArrowError> {
        if !matches!(self.values, Values::Elements(_)) {
            self.values = Values::Elements(Box::default());
        }
        let Values::Elements(figures) = &mut self.values else { return Ok(()) };
        if list.null_count() == 0 {
            return figures.update(&all());
        }
        rows.flatten().try_for_each(|row| figures.update(&row))
    }

    /// The first figure in which another column differs, in words; `None` if it is the same data.
    pub(crate) fn difference(&self, read_back: &Self) -> Option<String> {
        let say = |what: &str, source: &dyn std::fmt::Display, back: &dyn std::fmt::Display| {
            Some(format!("{what} {source} in the source, {back} read back"))
        };
        if self.rows != read_back.rows {
            return say("rows", &self.rows, &read_back.rows);
        }
        if self.nulls != read_back.nulls {
            return say("NULLs", &self.nulls, &read_back.nulls);
        }
        match (&self.values, &read_back.values) {
            (Values::None, Values::None) => None,
            (
                Values::Integers { min, max, sum },
                Values::Integers { min: min2, max: max2, sum: sum2 },
            ) => [("minimum", min, min2), ("maximum", max, max2), ("sum", sum, sum2)]
                .into_iter()
                .find(|(_, a, b)| a != b)
                .and_then(|(what, a, b)| say(what, a, b)),
            (
                Values::Floats { min, max, sum, nans, numbers },
                Values::Floats { min: min2, max: max2, sum: sum2, nans: nans2, numbers: numbers2 },
            ) => {
                if nans != nans2 || numbers != numbers2 {
                    return say("NaNs", nans, nans2);
                }
                [("minimum", min, min2), ("maximum", max, max2), ("sum", sum, sum2)]
                    .into_iter()
                    .find(|(_, a, b)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan()))
                    .and_then(|(what, a, b)| say(what, a, b))
            }
            (
                Values::Bytes { min, max, total },
                Values::Bytes { min: min2, max: max2, total: total2 },
            ) => {
                if total != total2 {
                    return say("bytes", total, total2);
                }
                [("minimum", min, min2), ("maximum", max, max2)]
                    .into_iter()
                    .find(|(_, a, b)| a != b)
                    .and_then(|(what, a, b)| {
                        say(what, &String::from_utf8_lossy(a), &String::from_utf8_lossy(b))
                    })
            }
            (Values::Elements(a), Values::Elements(b)) => {
                a.difference(b).map(|text| format!("of the elements, {text}"))
            }
            _ => Some("values of another kind were read back".to_owned()),
        }
    }
}

impl Values {
    fn integers(&mut self, array: &Int64Array, factor: i128) {
        for value in array.iter().flatten() {
            self.integer(i128::from(value) * factor);
        }
    }

    fn integer(&mut self, value: i128) {
        match self {
            Self::Integers { min, max, sum } => {
                *min = value.min(*min);
                *max = value.max(*max);
                *sum = sum.wrapping_add(value);
            }
            _ => *self = Self::Integers { min: value, max: value, sum: value },
        }
    }

    fn floats(&mut self, array: &Float64Array) {
        if array.null_count() == array.len() {
            return;
        }
        if !matches!(self, Self::Floats { .. }) {
            *self = Self::Floats {
                min: f64::INFINITY,
                max: f64::NEG_INFINITY,
                sum: 0.0,
                nans: 0,
                numbers: 0,
            };
        }
        let Self::Floats { min, max, sum, nans, numbers } = self else { return };
        for value in array.iter().flatten() {
            if value.is_nan() {
                *nans += 1;
                continue;
            }
            *numbers += 1;
            *sum += value;
            if value.total_cmp(min) == Ordering::Less {
                *min = value;
            }
            if value.total_cmp(max) == Ordering::Greater {
                *max = value;
            }
        }
    }

    fn bytes(&mut self, value: &[u8]) {
        let length = value.len() as u64;
        match self {
            Self::Bytes { min, max, total } => {
                if value < min.as_slice() {
                    *min = value.to_vec();
                }
                if value > max.as_slice() {
                    *max = value.to_vec();
                }
                *total = total.saturating_add(length);
            }
            _ => *self = Self::Bytes { min: value.to_vec(), max: value.to_vec(), total: length },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        FixedSizeListArray, Float32Array, Int32Array, TimestampMicrosecondArray,
        TimestampNanosecondArray, UInt64Array,
    };
    use arrow::datatypes::Float32Type;
    use std::sync::Arc;

    fn of(arrays: &[ArrayRef]) -> Figures {
        let mut figures = Figures::default();
        for array in arrays {
            figures.update(array).unwrap();
        }
        figures
    }

    #[test]
    fn the_type_and_the_cut_into_batches_do_not_matter() {
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![Some(3), None, Some(-4)]));
        let wide = cast(&narrow, &DataType::Int64).unwrap();
        assert_eq!(
            of(std::slice::from_ref(&narrow))
                .difference(&of(&[wide.slice(0, 1), wide.slice(1, 2)])),
            None
        );
        let ns: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_000, 2_000]));
        let us: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1, 2]));
        assert_eq!(of(&[ns]).difference(&of(&[us])), None);
    }

    #[test]
    fn every_figure_tells_a_difference() {
        let floats =
            |values: Vec<Option<f32>>| -> ArrayRef { Arc::new(Float32Array::from(values)) };
        let source = of(&[floats(vec![Some(1.0), None, Some(f32::NAN), Some(0.0), Some(5.0)])]);
        for (other, word) in [
            (vec![Some(1.0), None, Some(f32::NAN), Some(0.0)], "rows"),
            (vec![Some(1.0), Some(1.0), Some(f32::NAN), Some(0.0), Some(5.0)], "NULLs"),
            (vec![Some(1.0), None, Some(1.0), Some(0.0), Some(5.0)], "NaNs"),
            (vec![Some(1.0), None, Some(f32::NAN), Some(-0.0), Some(5.0)], "minimum"),
            (vec![Some(1.0), None, Some(f32::NAN), Some(0.0), Some(6.0)], "maximum"),
            (vec![Some(2.0), None, Some(f32::NAN), Some(0.0), Some(5.0)], "sum"),
        ] {
            let text = source.difference(&of(&[floats(other)])).unwrap();
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn elements_of_lists_are_compared_and_those_behind_null_are_not() {
        let list = |values: Vec<Option<Vec<Option<f32>>>>| -> ArrayRef {
            Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(values, 2))
        };
        let fixed = list(vec![Some(vec![Some(1.0), None]), None, Some(vec![Some(2.0), Some(3.0)])]);
        let item = Arc::new(arrow::datatypes::Field::new("element", DataType::Float32, true));
        let variable = cast(&fixed, &DataType::List(item)).unwrap();
        assert_eq!(of(std::slice::from_ref(&fixed)).difference(&of(&[variable])), None);
        let other = list(vec![Some(vec![Some(1.0), None]), None, Some(vec![Some(2.0), Some(4.0)])]);
        assert!(of(&[fixed]).difference(&of(&[other])).is_some());
    }

    #[test]
    fn sums_of_large_integers_are_exact() {
        let large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, u64::MAX]));
        let Values::Integers { sum, .. } = of(&[large]).values else { panic!() };
        assert_eq!(sum, 2 * i128::from(u64::MAX));
    }
}
