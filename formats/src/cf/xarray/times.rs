//! Times with a reference date (rules 9 to 11): through pandas where it can, else through cftime.

use super::cftime::Axis;
use super::reference::{self, Pandas};
use crate::cf::calendar::Calendar;
use crate::cf::{from_integer, to_integer};
use crate::contents::Variable;
use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, PrimitiveArray, StringArray, TimestampNanosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float64Type, Int64Type, TimeUnit, TimestampNanosecondType, UInt64Type,
};
use arrow::error::ArrowError;
use std::sync::Arc;

/// Units and calendar of a variable, before its values are known.
#[derive(Debug, Clone)]
pub(super) struct Units {
    pandas: Option<Clock>,
    /// Why it is not known what pandas makes of the reference date.
    unknown: Option<String>,
    cftime: Option<Axis>,
    standard: bool,
}

/// A time axis as pandas has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    /// Nanoseconds of one unit.
    unit: i64,
    /// Nanoseconds from 1970 to the reference.
    reference: i64,
}

/// How the values of a variable become times.
#[derive(Debug, Clone)]
pub(super) enum Route {
    /// `datetime64[ns]` in whole nanoseconds.
    Pandas(Clock),
    /// `datetime64[ns]` in whole microseconds.
    Microseconds(Axis),
    /// Dates of cftime, as ISO text.
    Dates(Axis),
}

/// A number of any dtype.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    /// As `astype(float)`.
    fn double(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64,
            Self::Float(float) => float,
        }
    }

    fn is_nan(self) -> bool {
        matches!(self, Self::Float(float) if float.is_nan())
    }
}

/// What all values of a variable have in common.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Range {
    /// First and last value in C order.
    ends: Option<(Number, Number)>,
    /// Smallest and largest that is not NaN.
    extremes: Option<(Number, Number)>,
    nan: bool,
    infinite: bool,
    /// Smallest and largest product with the unit that 64 bits hold.
    products: Option<(i64, i64)>,
}

impl Units {
    /// # Errors
    /// A calendar that is not known.
    pub(super) fn new(variable: &Variable, units: &str) -> Result<Self, String> {
        let name =
            variable.attribute("calendar").map_or(Some("standard"), |_| variable.text("calendar"));
        let calendar = name
            .filter(|name| name.trim() == *name)
            .and_then(Calendar::parse)
            .ok_or_else(|| format!("the calendar {:?}", name.unwrap_or_default()))?;
        let mut own = Self {
            pandas: None,
            unknown: None,
            cftime: Axis::parse(units, calendar),
            standard: calendar.is_civil(),
        };
        let Some((word, date)) = reference::split_units(units) else { return Ok(own) };
        if let Some(unit) = unit(word).filter(|_| own.standard) {
            match reference::pandas(&date) {
                Pandas::Instant(reference) => own.pandas = Some(Clock { unit, reference }),
                Pandas::Fails => {}
                Pandas::Unknown => own.unknown = Some(date),
            }
        }
        Ok(own)
    }

    pub(super) fn clock(&self) -> Option<Clock> {
        self.pandas
    }

    /// The route that xarray takes for values of this range.
    ///
    /// # Errors
    /// Why xarray fails.
    pub(super) fn route(&self, range: &Range) -> Result<Route, String> {
        // xarray tries the first and the last value before the others.
        if let Some((first, last)) = range.ends {
            let mut ends = Range::default();
            ends.add(first, self.pandas);
            ends.add(last, self.pandas);
            self.route_of(&ends)?;
        }
        self.route_of(range)
    }

    fn route_of(&self, range: &Range) -> Result<Route, String> {
        if let Some(date) = &self.unknown {
            return Err(format!(
                "the reference date {date:?}, which Tarn cannot read as pandas does"
            ));
        }
        if let Some(clock) = self.pandas.filter(|clock| range.fits(*clock)) {
            return Ok(Route::Pandas(clock));
        }
        let fails = |why: &str| Err(format!("times that xarray cannot decode: {why}"));
        let Some(axis) = &self.cftime else { return fails("units or reference date") };
        let Some((min, max)) = range.extremes else { return fails("there is no value but NaN") };
        // NaN and infinities become the reference itself.
        let offset = |number: Number| match number.double() {
            value if value.is_finite() => axis.offset(value),
            _ => Some(0),
        };
        let (Some(first), Some(last)) = (offset(min), offset(max)) else {
            return fails("a value beyond 64 bits of microseconds");
        };
        if !self.standard {
            return Ok(Route::Dates(axis.clone()));
        }
        let limit = |year, month, day, of_day: i64| {
            let days = Calendar::ProlepticGregorian.days(year, month, day)?;
            Some(i128::from(days) * 86_400_000_000 + i128::from(of_day))
        };
        let place = |offset: i64| {
            let date = axis.date(offset)?;
            let of_day = i64::try_from(date.nanoseconds / 1_000).ok()?;
            limit(date.year, date.month, date.day, of_day)
        };
        // The border of the calendars, and the microseconds that nanoseconds hold.
        let borders = (
            limit(1582, 10, 15, 0),
            limit(1677, 9, 21, 763_145_224),
            limit(2262, 4, 11, 85_636_854_775),
        );
        let (Some(first_place), Some(last_place)) = (place(first), place(last)) else {
            return Ok(Route::Dates(axis.clone()));
        };
        let (Some(border), Some(lower), Some(upper)) = borders else {
            return Ok(Route::Dates(axis.clone()));
        };
        if first_place < border || first_place < lower || last_place > upper {
            return Ok(Route::Dates(axis.clone()));
        }
        let own = if range.nan || range.infinite { axis.nanoseconds(0) } else { Some(0) };
        if own.is_none() || axis.nanoseconds(first).is_none() {
            return fails("NaN beside a reference date that nanoseconds do not hold");
        }
        Ok(Route::Microseconds(axis.clone()))
    }
}

/// Nanoseconds of a unit by the words that xarray gives to pandas: any letter case, the plural `s`
/// may be left out.
fn unit(word: &str) -> Option<i64> {
    let word = word.to_lowercase();
    Some(match word.strip_suffix('s').unwrap_or(&word) {
        "nanosecond" => 1,
        "microsecond" => 1_000,
        "millisecond" => 1_000_000,
        "second" => 1_000_000_000,
        "minute" => 60_000_000_000,
        "hour" => 3_600_000_000_000,
        "day" => 86_400_000_000_000,
        _ => return None,
    })
}

impl Range {
    /// Adds the numbers of a box of the variable; boxes come in C order at both ends.
    pub(super) fn look(
        &mut self,
        numbers: &ArrayRef,
        clock: Option<Clock>,
    ) -> Result<(), ArrowError> {
        match numbers.data_type() {
            DataType::UInt64 => {
                for value in numbers.as_primitive::<UInt64Type>().values() {
                    self.add(Number::Integer((*value).into()), clock);
                }
            }
            integer if integer.is_integer() => {
                for value in cast(numbers, &DataType::Int64)?.as_primitive::<Int64Type>().values() {
                    self.add(Number::Integer((*value).into()), clock);
                }
            }
            _ => {
                for value in
                    cast(numbers, &DataType::Float64)?.as_primitive::<Float64Type>().values()
                {
                    self.add(Number::Float(*value), clock);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, number: Number, clock: Option<Clock>) {
        self.ends = Some((self.ends.map_or(number, |(first, _)| first), number));
        if number.is_nan() {
            self.nan = true;
            return;
        }
        self.infinite |= number.double().is_infinite();
        let less = |a: Number, b: Number| match (a, b) {
            (Number::Integer(a), Number::Integer(b)) => a < b,
            (a, b) => a.double() < b.double(),
        };
        self.extremes = Some(self.extremes.map_or((number, number), |(min, max)| {
            (
                if less(number, min) { number } else { min },
                if less(max, number) { number } else { max },
            )
        }));
        if let (Some(clock), Number::Float(value)) = (clock, number)
            && let Some(product) = to_integer(value * from_integer(clock.unit))
        {
            let (min, max) = self.products.unwrap_or((product, product));
            self.products = Some((min.min(product), max.max(product)));
        }
    }

    /// Whether pandas holds all these values on a clock.
    fn fits(&self, clock: Clock) -> bool {
        let holds = |product: i128| {
            let sum = product + i128::from(clock.reference);
            i64::try_from(product).is_ok() && i64::try_from(sum).is_ok_and(|sum| sum != i64::MIN)
        };
        let whole = |number: Number| match number {
            // The smallest integer is NaT already.
            Number::Integer(integer) => {
                integer == i64::MIN.into() || holds(integer * i128::from(clock.unit))
            }
            // pandas is asked for whole units only, and not at all where NaN hides the extremes.
            Number::Float(float) => {
                self.nan
                    || to_integer(float)
                        .is_some_and(|whole| holds(i128::from(whole) * i128::from(clock.unit)))
            }
        };
        let products =
            self.products.is_none_or(|(min, max)| holds(min.into()) && holds(max.into()));
        products && self.extremes.is_none_or(|(min, max)| whole(min) && whole(max))
    }
}

impl Route {
    pub(super) fn data_type(&self) -> DataType {
        match self {
            Self::Pandas(_) | Self::Microseconds(_) => {
                DataType::Timestamp(TimeUnit::Nanosecond, None)
            }
            Self::Dates(_) => DataType::Utf8,
        }
    }

    pub(super) fn apply(&self, numbers: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Pandas(clock) => Ok(Arc::new(clock.instants(numbers)?)),
            Self::Microseconds(axis) => {
                let instants = offsets(numbers, axis)?;
                let instants = instants.map(|offset| axis.nanoseconds(offset?));
                Ok(Arc::new(instants.collect::<TimestampNanosecondArray>()))
            }
            Self::Dates(axis) => {
                let dates = offsets(numbers, axis)?;
                let dates = dates.map(|offset| Some(axis.date(offset?)?.to_string()));
                Ok(Arc::new(dates.collect::<StringArray>()))
            }
        }
    }
}

/// Microseconds from the reference of each number; NaN and infinities are at the reference.
fn offsets(
    numbers: &ArrayRef,
    axis: &Axis,
) -> Result<impl Iterator<Item = Option<i64>>, ArrowError> {
    let doubles = match numbers.data_type() {
        DataType::Float64 => Arc::clone(numbers),
        _ => super::dtypes::astype(numbers, &DataType::Float64)?,
    };
    let values = doubles.as_primitive::<Float64Type>().values().clone();
    let axis = axis.clone();
    let offset = move |value: f64| if value.is_finite() { axis.offset(value) } else { Some(0) };
    Ok((0..values.len()).map(move |index| offset(*values.get(index)?)))
}

impl Clock {
    /// Integers are exact; floats are multiplied as doubles and cut. What does not fit is NaT.
    fn instants(self, numbers: &ArrayRef) -> Result<TimestampNanosecondArray, ArrowError> {
        let (unit, reference) = (self.unit, self.reference);
        let add = |product: i64| product.checked_add(reference);
        let instants: PrimitiveArray<Int64Type> = if numbers.data_type().is_floating() {
            let doubles = cast(numbers, &DataType::Float64)?;
            let per_unit = from_integer(unit);
            let doubles = doubles.as_primitive::<Float64Type>();
            let product = |value: f64| to_integer(value * per_unit).filter(|v| *v != i64::MIN);
            doubles.unary_opt(|value| add(product(value)?))
        } else {
            let integers = super::dtypes::astype(numbers, &DataType::Int64)?;
            let integers: &Int64Array = integers.as_primitive();
            let value = |value: i64| Some(value).filter(|value| *value != i64::MIN);
            integers.unary_opt(|number| add(value(number)?.checked_mul(unit)?))
        };
        Ok(instants.reinterpret_cast::<TimestampNanosecondType>())
    }
}
