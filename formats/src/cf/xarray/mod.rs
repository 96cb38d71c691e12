//! `decode = "xarray"`: what `xarray.open_dataset` gives with engine netcdf4, bit for bit.
//!
//! Read in the source of xarray 2026.9, cftime 1.6.6 and by experiment; rules 1 to 15 of the
//! array-engine note, section 6. What Arrow has no type for:
//!
//! | xarray | here |
//! |---|---|
//! | NaT of `datetime64`, `timedelta64` | NULL |
//! | NaN among objects (text with a fill) | NULL |
//! | `bytes` (`|S3`, characters without `_Encoding`) | Binary, without the NULs at the end |
//! | dates of `cftime` | Utf8, as their `isoformat()` |
//! | structured, nested and opaque values | as stored |
//!
//! A variable that makes xarray fail is refused.

mod cftime;
mod dtypes;
mod numbers;
mod reference;
mod text;
mod timedelta;
mod times;

use super::{Decoder, Mode, attributes, axis, unsupported, with_inherited};
use crate::contents::Variable;
use crate::error::FormatError;
use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use numbers::{Numbers, TimeLike};
use text::Text;
use timedelta::Durations;
use times::{Range, Route, Units};

/// The steps of one variable.
#[derive(Debug, Clone)]
pub(super) struct Xarray {
    location: String,
    path: String,
    steps: Steps,
}

#[derive(Debug, Clone)]
enum Steps {
    /// Values that no rule touches.
    Stored,
    Text(Text),
    Numbers(Numbers),
    /// Numbers by a `dtype` attribute of `bool`.
    Booleans(Numbers),
    Times(Numbers, Route),
    Durations(Numbers, Durations),
}

/// A decoder of `xarray` mode that may have to see all values before its dtype is known: whether a
/// time is `datetime64[ns]` depends on its smallest and largest value.
#[derive(Debug)]
pub(crate) struct Draft {
    location: String,
    variable: Variable,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Ready(Steps),
    Times(Numbers, Units, Range),
    Durations(Numbers, Durations, timedelta::Look),
}

impl Draft {
    /// The steps that the attributes of a variable ask for. `parent` is as in [`Decoder::new`];
    /// characters become bytes or texts of `text_length` each.
    ///
    /// # Errors
    /// [`FormatError::Unsupported`], saying what makes xarray fail on the variable.
    pub(crate) fn new(
        location: &str,
        variable: &Variable,
        parent: Option<&Variable>,
        text_length: usize,
    ) -> Result<Self, FormatError> {
        let variable = with_inherited(variable, parent).into_owned();
        let kind = kind(&variable, text_length)
            .map_err(|feature| unsupported(location, &variable, feature))?;
        Ok(Self { location: location.to_owned(), variable, kind })
    }

    /// The same draft for a format that has Booleans of its own, which xarray keeps; those of HDF5 are
    /// an enumeration, which the C library shows as its integers.
    #[must_use]
    pub(crate) fn with_booleans(mut self) -> Self {
        if self.variable.data_type == DataType::Boolean
            && let Kind::Ready(Steps::Numbers(numbers)) = &self.kind
            && *numbers.result() == DataType::Int8
        {
            self.kind = Kind::Ready(Steps::Stored);
        }
        self
    }

    /// Whether [`Self::look`] wants all values of the variable.
    pub(crate) fn wants_values(&self) -> bool {
        !matches!(self.kind, Kind::Ready(_))
    }

    /// Looks at the stored values of a box. The first box has the first value of the variable at its
    /// start, the last one the last value at its end.
    pub(crate) fn look(&mut self, stored: &ArrayRef) -> Result<(), FormatError> {
        match &mut self.kind {
            Kind::Ready(_) => {}
            Kind::Times(numbers, units, range) => {
                range.look(&numbers.apply(stored)?, units.clock())?;
            }
            Kind::Durations(numbers, durations, look) => {
                durations.look(look, &numbers.apply(stored)?)?;
            }
        }
        Ok(())
    }

    /// The decoder, once all values were seen that it wants.
    ///
    /// # Errors
    /// [`FormatError::Unsupported`] for values that make xarray fail.
    pub(crate) fn finish(self) -> Result<Decoder, FormatError> {
        let Self { location, variable, kind } = self;
        let steps = match kind {
            Kind::Ready(steps) => steps,
            Kind::Times(numbers, units, range) => {
                let route = units.route(&range);
                let route = route.map_err(|feature| unsupported(&location, &variable, feature))?;
                Steps::Times(numbers, route)
            }
            Kind::Durations(numbers, durations, look) => {
                let durations = durations.known(&look);
                let durations =
                    durations.map_err(|feature| unsupported(&location, &variable, feature))?;
                Steps::Durations(numbers, durations)
            }
        };
        let data_type = match &steps {
            Steps::Stored => variable.data_type.clone(),
            Steps::Text(text) => text.data_type(),
            Steps::Numbers(numbers) => numbers.result().clone(),
            Steps::Booleans(_) => DataType::Boolean,
            Steps::Times(_, route) => route.data_type(),
            Steps::Durations(_, durations) => durations.data_type(),
        };
        let field = Field::new(&variable.name, data_type, true)
            .with_metadata(attributes::metadata(&variable.attributes));
        let time = axis(&variable).filter(|_| matches!(steps, Steps::Times(..)));
        let mode = Mode::Xarray(Xarray { location, path: variable.path, steps });
        Ok(Decoder { field, time, mode })
    }
}

fn kind(variable: &Variable, text_length: usize) -> Result<Kind, String> {
    if let Some(text) = Text::new(variable, text_length)? {
        return Ok(Kind::Ready(Steps::Text(text)));
    }
    if !variable.data_type.is_numeric() && variable.data_type != DataType::Boolean {
        return Ok(Kind::Ready(Steps::Stored));
    }
    let dtype = variable.text("dtype").unwrap_or_default();
    let units = variable.text("units").unwrap_or_default();
    let duration = timedelta::unit(units);
    let since = units.contains("since");
    let time_like = duration.is_some() || (since && reference::split_units(units).is_some());
    let time_like = if time_like { TimeLike::Yes } else { TimeLike::No };
    let numbers = Numbers::new(variable, time_like)?;
    if let Some(unit) = duration.filter(|_| dtype.starts_with("timedelta64")) {
        let durations = Durations::new(unit, timedelta::resolution(dtype)?);
        return Ok(Kind::Durations(numbers, durations, timedelta::Look::default()));
    }
    if since && dtype == "bool" {
        // xarray asks its dates whether they are 1970-01-01.
        return Err("times with a dtype attribute of bool".to_owned());
    }
    if since {
        return Ok(Kind::Times(numbers, Units::new(variable, units)?, Range::default()));
    }
    Ok(Kind::Ready(if dtype == "bool" {
        Steps::Booleans(numbers)
    } else {
        Steps::Numbers(numbers)
    }))
}

impl Xarray {
    pub(super) fn decode(&self, stored: &ArrayRef) -> Result<ArrayRef, FormatError> {
        let fails = |feature| FormatError::Unsupported {
            location: self.location.clone(),
            place: self.path.clone(),
            feature,
        };
        Ok(match &self.steps {
            Steps::Stored => stored.clone(),
            Steps::Text(text) => text.apply(stored).map_err(fails)?,
            Steps::Numbers(numbers) => numbers.apply(stored)?,
            Steps::Booleans(numbers) => cast(&numbers.apply(stored)?, &DataType::Boolean)?,
            Steps::Times(numbers, route) => route.apply(&numbers.apply(stored)?)?,
            Steps::Durations(numbers, durations) => {
                durations.apply(&numbers.apply(stored)?).map_err(fails)?
            }
        })
    }
}

#[cfg(test)]
mod tests;
