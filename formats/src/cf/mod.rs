//! CF conventions: stored values → decoded Arrow columns, and the calendars of CF time.
//!
//! Two ways, by the rules of the array-engine note, section 6: [`Decoder::new`] is `decode = "arrow"`
//! (rule 16), [`Draft`] is `decode = "xarray"` (rules 1 to 15). `valid_min`, `valid_max` and
//! `valid_range` are applied by neither.

mod arrow_mode;
mod attributes;
mod calendar;
pub(crate) mod characters;
mod extended;
mod kernels;
mod mask;
mod reference;
mod scale;
mod time;
mod xarray;

pub(crate) use attributes::text as attribute_text;
pub use time::{CalendarDate, TimeAxis};
pub(crate) use time::{from_integer, to_integer};
pub(crate) use xarray::Draft;

use crate::contents::{Attribute, AttributeValue, Variable};
use crate::error::FormatError;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, TimeUnit};
use arrow::error::ArrowError;
use arrow_mode::Arrow;
use std::borrow::Cow;
use xarray::Xarray;

/// How one variable's stored values become a column: made once per file, used for every region.
#[derive(Debug, Clone)]
pub struct Decoder {
    field: Field,
    time: Option<TimeAxis>,
    mode: Mode,
}

#[derive(Debug, Clone)]
enum Mode {
    Arrow(Arrow),
    Xarray(Xarray),
}

impl Decoder {
    /// The decoder of a variable in `arrow` mode. `parent` is the variable that names this one in
    /// its `bounds` attribute: bounds inherit its units and calendar where they have none.
    ///
    /// A time of a standard calendar becomes `Timestamp(Nanosecond)`, or `Timestamp(Microsecond)`
    /// where its reference date is outside the years 1678 to 2261 that nanoseconds can hold.
    /// Characters become texts of one character each; see [`Self::with_text_length`].
    ///
    /// # Errors
    /// [`FormatError::Unsupported`] for a `scale_factor` or `add_offset` that is not one number, and
    /// for an `_Encoding` of characters that is not known.
    pub fn new(
        location: &str,
        variable: &Variable,
        parent: Option<&Variable>,
    ) -> Result<Self, FormatError> {
        let variable = with_inherited(variable, parent);
        let time = variable.data_type.is_numeric().then(|| axis(&variable)).flatten();
        let arrow = Arrow::new(&variable, time.as_ref())
            .map_err(|feature| unsupported(location, &variable, feature))?;
        let field = Field::new(&variable.name, arrow.data_type().clone(), true)
            .with_metadata(attributes::metadata(&variable.attributes));
        Ok(Self { field, time, mode: Mode::Arrow(arrow) })
    }

    /// The same decoder making one text of every `length` characters. Changes nothing on other
    /// columns.
    #[must_use]
    pub(crate) fn with_text_length(mut self, length: usize) -> Self {
        if let Mode::Arrow(arrow) = &mut self.mode {
            arrow.set_text_length(length);
        }
        self
    }

    /// Name, decoded type, nullability and metadata: every attribute as text under its own name
    /// (several values as a JSON array).
    pub fn field(&self) -> &Field {
        &self.field
    }

    /// The time axis, if the variable is a CF time of any calendar.
    pub fn time(&self) -> Option<&TimeAxis> {
        self.time.as_ref()
    }

    /// The same decoder giving timestamps in microseconds, for times beyond what nanoseconds hold.
    /// Changes nothing on other columns.
    #[must_use]
    pub fn with_microseconds(mut self) -> Self {
        if let (Mode::Arrow(arrow), DataType::Timestamp(..)) =
            (&mut self.mode, self.field.data_type())
        {
            arrow.set_microseconds();
            self.field.set_data_type(arrow.data_type().clone());
        }
        self
    }

    /// The decoded values.
    ///
    /// In `arrow` mode fills, missing values and NetCDF's default fills are NULL, packed values are
    /// unpacked, standard-calendar times are timestamps, and a time that a timestamp cannot hold is
    /// NULL. In `xarray` mode values are those of xarray, see [`Draft`].
    ///
    /// # Errors
    /// In `xarray` mode [`FormatError::Unsupported`] for values that make xarray fail.
    pub fn decode(&self, stored: &ArrayRef) -> Result<ArrayRef, FormatError> {
        match &self.mode {
            Mode::Arrow(arrow) => Ok(arrow.decode(stored, self.time.as_ref())?),
            Mode::Xarray(xarray) => xarray.decode(stored),
        }
    }

    /// The unit of timestamps that holds every value that may be stored, if that can be said.
    pub(crate) fn unit_of_all(&self) -> Option<TimeUnit> {
        match (&self.mode, &self.time) {
            (Mode::Arrow(arrow), Some(axis)) => arrow.unit_of_all(axis),
            _ => None,
        }
    }

    /// Whether microseconds hold all instants of whole units.
    pub(crate) fn is_coarse(&self) -> bool {
        self.time.as_ref().is_some_and(|axis| axis.unit() >= 1_000)
    }

    /// Whether microseconds would hold times of these stored values that nanoseconds cannot.
    pub(crate) fn needs_microseconds(&self, stored: &ArrayRef) -> Result<bool, FormatError> {
        let nanoseconds =
            *self.field.data_type() == DataType::Timestamp(TimeUnit::Nanosecond, None);
        if !nanoseconds || matches!(self.mode, Mode::Xarray(_)) {
            return Ok(false);
        }
        let nulls = self.decode(stored)?.null_count();
        Ok(nulls > 0 && self.clone().with_microseconds().decode(stored)?.null_count() < nulls)
    }

    /// The dates that stored values have in their own calendar; `None` for what is masked, NaN or out
    /// of range, and everywhere if this is no CF time in `arrow` mode.
    pub(crate) fn dates(&self, stored: &ArrayRef) -> Result<Vec<Option<CalendarDate>>, ArrowError> {
        let (Mode::Arrow(arrow), Some(axis)) = (&self.mode, &self.time) else {
            return Ok(vec![None; stored.len()]);
        };
        let numbers = arrow.numbers(stored)?;
        Ok(if numbers.data_type().is_floating() {
            let numbers = cast(&numbers, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            numbers.iter().map(|value| axis.date(value?)).collect()
        } else {
            let numbers = cast(&numbers, &DataType::Int64)?;
            let numbers = numbers.as_primitive::<Int64Type>();
            numbers.iter().map(|value| axis.date_of_integer(value?)).collect()
        })
    }
}

/// Whether a variable's units name a time of some kind, so that its bounds are times too.
pub(crate) fn is_time(variable: &Variable) -> bool {
    variable.text("units").is_some_and(|units| units.to_ascii_lowercase().contains("since"))
}

/// The variable, with the units and calendar that bounds take from their parent where they have none
/// (rule 12).
fn with_inherited<'a>(variable: &'a Variable, parent: Option<&Variable>) -> Cow<'a, Variable> {
    let mut variable = Cow::Borrowed(variable);
    let Some(parent) = parent.filter(|parent| is_time(parent)) else { return variable };
    for name in ["units", "calendar"] {
        if let (None, Some(text)) = (variable.attribute(name), parent.text(name)) {
            let value = AttributeValue::Text(vec![text.to_owned()]);
            variable.to_mut().attributes.push(Attribute { name: name.to_owned(), value });
        }
    }
    variable
}

fn axis(variable: &Variable) -> Option<TimeAxis> {
    // A calendar that is not text names no calendar.
    let calendar = variable.attribute("calendar").map(|_| variable.text("calendar"));
    TimeAxis::parse(variable.text("units")?, calendar.map(Option::unwrap_or_default))
}

/// The type that `_Unsigned` makes of stored integers (rule 7).
fn reinterpreted(variable: &Variable) -> Option<DataType> {
    Some(match (variable.text("_Unsigned")?, &variable.data_type) {
        ("true", DataType::Int8) => DataType::UInt8,
        ("true", DataType::Int16) => DataType::UInt16,
        ("true", DataType::Int32) => DataType::UInt32,
        ("true", DataType::Int64) => DataType::UInt64,
        ("false", DataType::UInt8) => DataType::Int8,
        ("false", DataType::UInt16) => DataType::Int16,
        ("false", DataType::UInt32) => DataType::Int32,
        ("false", DataType::UInt64) => DataType::Int64,
        _ => return None,
    })
}

fn unsupported(location: &str, variable: &Variable, feature: String) -> FormatError {
    FormatError::Unsupported {
        location: location.to_owned(),
        place: variable.path.clone(),
        feature,
    }
}

#[cfg(test)]
mod tests;
