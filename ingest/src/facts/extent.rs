//! Where and when the data of a file lie, from its coordinates.

use super::circle::Circle;
use crate::figures::Values;
use tarn_formats::Variable;
use tarn_formats::cf::{CalendarDate, Decoder};
use tarn_schemas::facts::{Extent, Horizontal};

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// What a coordinate places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    Time,
    Latitude,
    Longitude,
}

/// Collects the extent from coordinates.
#[derive(Debug, Default)]
pub(super) struct Finder {
    time: Option<(f64, f64)>,
    latitude: Option<(f64, f64)>,
    longitude: Circle,
}

impl Finder {
    /// Whether the variable is a coordinate that places the data.
    pub(super) fn wants(variable: &Variable, decoder: &Decoder) -> bool {
        axis(variable, decoder).is_some()
    }

    /// The places of the longitudes that a variable holds; none of a variable that is none.
    pub(super) fn circle(variable: &Variable, decoder: &Decoder) -> Option<Circle> {
        (axis(variable, decoder)? == Axis::Longitude).then(Circle::default)
    }

    /// Takes the range of a variable into account if it is such a coordinate.
    pub(super) fn add(
        &mut self,
        variable: &Variable,
        decoder: &Decoder,
        values: &Values,
        longitudes: Option<&Circle>,
    ) {
        let Some(axis) = axis(variable, decoder) else { return };
        let range = match values {
            Values::Floats { min, max, numbers: 1.., .. } => (*min, *max),
            Values::Integers { min, max, .. } => (super::float(*min), super::float(*max)),
            _ => return,
        };
        match axis {
            Axis::Time => {
                if let Some(range) = seconds(decoder, range) {
                    widen(&mut self.time, range);
                }
            }
            // The profile refuses a variable that is out of range, with its name.
            Axis::Latitude if within(Horizontal::Latitude, range) => {
                widen(&mut self.latitude, range);
            }
            Axis::Longitude if within(Horizontal::Longitude, range) => {
                if let Some(longitudes) = longitudes {
                    self.longitude.join(longitudes);
                }
            }
            Axis::Latitude | Axis::Longitude => {}
        }
    }

    /// Takes a moment into account that the file states, in seconds since 1970.
    pub(super) fn at(&mut self, moment: f64) {
        widen(&mut self.time, (moment, moment));
    }

    /// What was found.
    pub(super) fn extent(&self) -> Extent {
        let bounding_box = match (self.longitude.arc(), self.latitude) {
            (Some((west, east)), Some((south, north))) => Some([west, south, east, north]),
            _ => None,
        };
        Extent { time: self.time, bounding_box }
    }
}

fn within(axis: Horizontal, (min, max): (f64, f64)) -> bool {
    axis.range().contains(&min) && axis.range().contains(&max)
}

fn widen(own: &mut Option<(f64, f64)>, (min, max): (f64, f64)) {
    *own = Some(own.map_or((min, max), |(a, b)| (a.min(min), b.max(max))));
}

/// CF 1.11, sections 4.1, 4.2 and 4.4: latitude and longitude by units or standard name, times by
/// units. Of several times in a file, only coordinates count: not bounds, not lead times.
fn axis(variable: &Variable, decoder: &Decoder) -> Option<Axis> {
    let is_coordinate = match variable.dimensions.as_slice() {
        [dimension] => dimension.name == variable.name,
        _ => false,
    };
    if decoder.time().is_some() {
        let named = variable.text("standard_name") == Some("time");
        return (named || is_coordinate).then_some(Axis::Time);
    }
    match Horizontal::of(variable.text("standard_name"), variable.text("units"))? {
        Horizontal::Latitude => Some(Axis::Latitude),
        Horizontal::Longitude => Some(Axis::Longitude),
    }
}

/// First and last time as seconds since 1970. Timestamps come in nanoseconds, others on their axis.
fn seconds(decoder: &Decoder, (first, last): (f64, f64)) -> Option<(f64, f64)> {
    if decoder.field().data_type().is_temporal() {
        return Some((first / 1e9, last / 1e9));
    }
    let axis = decoder.time()?;
    Some((place(axis.date(first)?)?, place(axis.date(last)?)?))
}

/// A date of any calendar by its year, month and day in the proleptic Gregorian calendar; a day
/// that this one has not (30 February) is the last of its month.
fn place(date: CalendarDate) -> Option<f64> {
    let year = i32::try_from(date.year).ok()?;
    let days = (1..=u32::from(date.day))
        .rev()
        .find_map(|day| chrono::NaiveDate::from_ymd_opt(year, u32::from(date.month), day))?;
    let epoch = chrono::NaiveDate::default();
    let days = i32::try_from(days.signed_duration_since(epoch).num_days()).ok()?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "fractions of a second beyond a double do not matter here"
    )]
    let of_day = date.nanoseconds as f64 / 1e9;
    Some(f64::from(days) * DAY + of_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_the_civil_calendar_lacks_is_the_last_of_its_month() {
        let date = |month, day| CalendarDate { year: 2001, month, day, nanoseconds: 0 };
        assert_eq!(place(date(2, 30)), place(date(2, 28)));
        // 2001-03-01T00:00:00Z.
        assert_eq!(place(date(3, 1)), Some(983_404_800.0));
    }
}
