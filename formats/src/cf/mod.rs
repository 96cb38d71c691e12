//! CF conventions: stored values → decoded Arrow columns, and the calendars of CF time.
//!
//! Rules: `decode = "arrow"` of the design, section 5, and rule 16 of the array-engine note.

use crate::contents::Variable;
use crate::error::FormatError;
use arrow::array::ArrayRef;
use arrow::datatypes::Field;

/// How one variable's stored values become a column: made once per file, used for every region.
#[derive(Debug, Clone)]
pub struct Decoder {
    field: Field,
}

impl Decoder {
    /// The decoder of a variable. `parent` is the variable that names this one in its `bounds`
    /// attribute: bounds inherit its units and calendar where they have none.
    pub fn new(
        location: &str,
        variable: &Variable,
        parent: Option<&Variable>,
    ) -> Result<Self, FormatError> {
        let _ = (location, variable, parent);
        todo!()
    }

    /// Name, decoded type, nullability and metadata: every attribute as text under its own name.
    pub fn field(&self) -> &Field {
        &self.field
    }

    /// The decoded values: fills, missing values and NetCDF's default fills are NULL, packed
    /// values are unpacked, standard-calendar times are timestamps.
    pub fn decode(&self, stored: &ArrayRef) -> Result<ArrayRef, FormatError> {
        let _ = stored;
        todo!()
    }
}

/// A CF time axis: unit, reference date and calendar, as in `days since 1850-01-01` under `360_day`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeAxis {}

/// A date in some calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CalendarDate {
    /// Year, also 0 and negative.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// Nanoseconds since midnight.
    pub nanoseconds: u64,
}

impl TimeAxis {
    /// The axis of `units` (`… since …`) and `calendar` (absent = standard); `None` if this is no
    /// time or names a unit or calendar that is not known.
    pub fn parse(units: &str, calendar: Option<&str>) -> Option<Self> {
        let _ = (units, calendar);
        todo!()
    }

    /// The date of a value on this axis; `None` for NaN and out of range.
    pub fn date(&self, value: f64) -> Option<CalendarDate> {
        let _ = value;
        todo!()
    }
}
