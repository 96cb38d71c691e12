//! Longitudes, which lie on a circle: the smallest arc that holds others.

/// Degrees within which gaps are equally wide: less than coordinates are written to.
const EQUAL: f64 = 1e-4;
/// Of a turned longitude, digits behind these are those of the turn and not of the data.
const DIGITS: f64 = 1e9;

/// A longitude within -180 to 180; one that is there stays what it is.
pub fn turned(degrees: f64) -> f64 {
    if (-180.0..=180.0).contains(&degrees) {
        return degrees;
    }
    let turned = (degrees + 180.0).rem_euclid(360.0) - 180.0;
    let rounded = (turned * DIGITS).round() / DIGITS;
    if rounded.is_finite() { rounded } else { turned }
}

/// The smallest arc that holds arcs from west to east, in degrees: its west within -180 to 180, its
/// east no less than its west, and beyond 180 where it crosses the antimeridian. Of several that are
/// as small, one that does not cross it. None of no arcs; the circle where nothing is left free, and
/// of what is no number.
pub fn smallest_arc(arcs: impl IntoIterator<Item = (f64, f64)>) -> Option<(f64, f64)> {
    const CIRCLE: (f64, f64) = (-180.0, 180.0);
    // Arcs within -180 to 180; one that crosses the antimeridian in two.
    let mut parts: Vec<(f64, f64)> = Vec::new();
    for (west, east) in arcs {
        let start = turned(west);
        let end = if start.total_cmp(&west).is_eq() { east } else { start + (east - west) };
        if !(end - start).is_finite() || end - start >= 360.0 {
            return Some(CIRCLE);
        }
        if end > 180.0 {
            parts.extend([(start, 180.0), (-180.0, turned(end))]);
        } else {
            parts.push((start, end));
        }
    }
    parts.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (first, mut end) = *parts.first()?;
    // The widest gap, and what lies to both sides of it.
    let (mut gap, mut sides) = (0.0, CIRCLE);
    for &(west, east) in parts.iter().skip(1) {
        if west - end > gap + EQUAL {
            (gap, sides) = (west - end, (west, end));
        }
        end = end.max(east);
    }
    // What is left between the last east and the first west holds the antimeridian.
    if 360.0 - (end - first) + EQUAL >= gap {
        return Some((first, end));
    }
    let (west, east) = sides;
    Some(if west < 180.0 { (west, east + 360.0) } else { (-180.0, east) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(points: &[f64]) -> Option<(f64, f64)> {
        smallest_arc(points.iter().map(|at| (*at, *at)))
    }

    #[test]
    fn the_smallest_arc_may_cross_the_antimeridian() {
        assert_eq!(points(&[170.0, 180.0, 190.0]), Some((170.0, 190.0)));
        assert_eq!(points(&[170.0, 175.0, -180.0, -175.0, -170.0]), Some((170.0, 190.0)));
        assert_eq!(points(&[0.5, 325.5, 355.5]), Some((-34.5, 0.5)));
        assert_eq!(points(&[190.0, 250.0]), Some((-170.0, -110.0)));
        assert_eq!(points(&[-200.0, -190.0]), Some((160.0, 170.0)));
        assert_eq!(points(&[-10.25, 30.75]), Some((-10.25, 30.75)));
        assert_eq!(points(&[-90.0, 90.0]), Some((-90.0, 90.0)));
        assert_eq!(points(&[180.0]), Some((180.0, 180.0)));
        assert_eq!(points(&[180.0, 190.0]), Some((-180.0, -170.0)));
        assert_eq!(points(&[-180.0, -170.0]), Some((-180.0, -170.0)));
        assert_eq!(points(&[]), None);
    }

    #[test]
    fn arcs_are_joined_over_the_widest_gap_of_all() {
        // Two at a time would give 200 to 540.
        let all = [(0.0, 10.0), (170.0, 180.0), (200.0, 350.0)];
        assert_eq!(smallest_arc(all), Some((170.0, 370.0)));
        assert_eq!(smallest_arc([(170.0, 190.0), (-175.0, -160.0)]), Some((170.0, 200.0)));
        assert_eq!(smallest_arc([(175.0, 185.0), (-178.0, -170.0)]), Some((175.0, 190.0)));
        assert_eq!(smallest_arc([(-180.0, 180.0), (3.0, 4.0)]), Some((-180.0, 180.0)));
        assert_eq!(smallest_arc([(170.0, 350.0), (-20.0, 175.0)]), Some((-180.0, 180.0)));
        assert_eq!(smallest_arc([(f64::NAN, 1.0)]), Some((-180.0, 180.0)));
    }

    #[test]
    fn turns_leave_no_digits_behind() {
        for (written, within) in
            [(180.1, -179.9), (355.7, -4.3), (180.0, 180.0), (-180.0, -180.0), (-190.0, 170.0)]
        {
            assert!(turned(written).total_cmp(&within).is_eq(), "{written}: {}", turned(written));
        }
    }

    proptest! {
        /// By trying every point as the west.
        #[test]
        fn no_arc_is_smaller(degrees in prop::collection::vec(-360_i32..=720, 1..8)) {
            let all: Vec<f64> = degrees.iter().map(|at| f64::from(*at)).collect();
            let (west, east) = points(&all).unwrap();
            let from = |west: f64, at: f64| (at - west).rem_euclid(360.0);
            let span = |west: f64| all.iter().map(|at| from(west, *at)).fold(0.0, f64::max);
            let best = all.iter().map(|west| span(*west)).fold(f64::INFINITY, f64::min);
            prop_assert!((east - west - best).abs() < 1e-6, "{west} to {east}, {best}");
            prop_assert!(all.iter().all(|at| from(west, *at) <= east - west + 1e-6));
            prop_assert!((-180.0..=180.0).contains(&west) && west <= east);
        }
    }
}
