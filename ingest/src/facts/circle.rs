//! Where on the circle the longitudes of a file lie.

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;
use std::collections::BTreeMap;
use tarn_schemas::longitude::{smallest_arc, turned};

/// Degrees of a bin, of which only the ends are kept: files have any number of longitudes.
const BIN: f64 = 0.25;
/// Degrees between neighbours that are no gap: what leaves no wider one goes around the Earth.
const CLOSE: f64 = 1.0;
/// Degrees by which steps of an even grid differ, as single floats round them.
const ROUNDING: f64 = 1e-4;
/// The same as a share of the step, for grids whose steps are written with few digits.
const SHARE: f64 = 1e-3;

/// Longitudes on the circle.
#[derive(Debug, Default)]
pub(super) struct Circle {
    /// West- and easternmost of each bin that holds any, turned into -180 to 180.
    bins: BTreeMap<i32, (f64, f64)>,
    /// Smallest and largest as they are written.
    written: Option<(f64, f64)>,
}

impl Circle {
    /// Adds the numbers of an array.
    pub(super) fn update(&mut self, array: &ArrayRef) -> Result<(), ArrowError> {
        let degrees = cast(array, &DataType::Float64)?;
        for at in degrees.as_primitive::<Float64Type>().iter().flatten() {
            if !at.is_finite() {
                continue;
            }
            let place = turned(at);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "of turned longitudes there are 1440 bins"
            )]
            self.put((place / BIN).floor() as i32, (place, place), (at, at));
        }
        Ok(())
    }

    /// Adds what another holds.
    pub(super) fn join(&mut self, other: &Self) {
        let Some(written) = other.written else { return };
        for (bin, ends) in &other.bins {
            self.put(*bin, *ends, written);
        }
    }

    fn put(&mut self, bin: i32, ends: (f64, f64), written: (f64, f64)) {
        let hull = |(a, b): (f64, f64), (c, d): (f64, f64)| (a.min(c), b.max(d));
        let own = self.bins.entry(bin).or_insert(ends);
        *own = hull(*own, ends);
        self.written = Some(self.written.map_or(written, |own| hull(own, written)));
    }

    /// The smallest arc from west to east that holds all: see [`smallest_arc`]. Grids around the
    /// Earth, whose last cell ends where the first begins, are what they are written as, or the
    /// whole circle where that goes beyond 180.
    pub(super) fn arc(&self) -> Option<(f64, f64)> {
        let written = self.written?;
        if self.is_around() {
            let is_within = written.0 >= -180.0 && written.1 <= 180.0;
            return Some(if is_within { written } else { (-180.0, 180.0) });
        }
        smallest_arc(self.bins.values().copied())
    }

    /// Whether all steps from one longitude to the next are small, or equal.
    fn is_around(&self) -> bool {
        let ends = || self.bins.values();
        let next = ends().skip(1).map(|bin| bin.0);
        let around = ends().next().map(|first| first.0 + 360.0);
        let steps = ends().zip(next.chain(around)).map(|(bin, next)| next - bin.1);
        let steps: Vec<f64> = steps.filter(|step| *step > ROUNDING).collect();
        let widest = steps.iter().copied().fold(0.0, f64::max);
        let narrowest = steps.iter().copied().fold(f64::INFINITY, f64::min);
        widest < CLOSE || (steps.len() >= 3 && widest - narrowest <= ROUNDING + SHARE * widest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float32Array, Float64Array};
    use std::sync::Arc;

    fn arc(degrees: &[f64]) -> Option<(f64, f64)> {
        let mut circle = Circle::default();
        for part in degrees.chunks(3) {
            let array: ArrayRef = Arc::new(Float64Array::from(part.to_vec()));
            circle.update(&array).unwrap();
        }
        circle.arc()
    }

    fn grid(first: f64, step: f64, count: u32) -> Vec<f64> {
        (0..count).map(|place| first + step * f64::from(place)).collect()
    }

    #[test]
    fn regions_have_the_smallest_arc_on_the_circle() {
        assert_eq!(arc(&[-10.0, 30.0]), Some((-10.0, 30.0)));
        assert_eq!(arc(&[170.0, 180.0, 190.0]), Some((170.0, 190.0)));
        assert_eq!(arc(&[170.0, 175.0, -180.0, -175.0, -170.0]), Some((170.0, 190.0)));
        assert_eq!(arc(&[0.5, 325.5, 335.5, 345.5, 355.5]), Some((-34.5, 0.5)));
        assert_eq!(arc(&[190.0, 250.0]), Some((-170.0, -110.0)));
        assert_eq!(arc(&grid(0.0, 10.0, 35)), Some((0.0, 340.0)));
        assert_eq!(arc(&[f64::NAN]), None);
    }

    #[test]
    fn grids_around_the_earth_are_the_circle() {
        for around in
            [grid(0.0, 2.5, 144), grid(0.5, 1.0, 360), grid(0.0, 45.0, 9), grid(-280.0, 0.5, 720)]
        {
            assert_eq!(arc(&around), Some((-180.0, 180.0)));
        }
        assert_eq!(arc(&grid(-179.5, 1.0, 360)), Some((-179.5, 179.5)));
        assert_eq!(arc(&grid(-180.0, 5.0, 73)), Some((-180.0, 180.0)));
        let mut single = Circle::default();
        let thirds: ArrayRef = Arc::new(
            (0..270_u16).map(|at| Some(f32::from(at) * 4.0 / 3.0)).collect::<Float32Array>(),
        );
        single.update(&thirds).unwrap();
        assert_eq!(single.arc(), Some((-180.0, 180.0)));
    }
}
