//! What a file says of itself: sizes, checksums, variables, extents. Extracted, never typed.

use crate::longitude::{smallest_arc, turned};
use serde::{Deserialize, Serialize};

/// The name under which formulas of samples stand among the attributes of a file.
pub const FORMULA: &str = "chemical_formula";

/// One file of a dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Absolute path or URL.
    pub location: String,
    /// Media type by content, such as `application/x-netcdf` or `application/x-hdf5`.
    pub media_type: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes, lower-case hexadecimal.
    pub sha256: String,
    /// Variables of the file.
    #[serde(default)]
    pub variables: Vec<VariableFacts>,
    /// Extent in time and space where the coordinates tell.
    #[serde(default)]
    pub extent: Extent,
    /// What a record can be prefilled from, as text: global attributes, and [`FORMULA`].
    #[serde(default)]
    pub attributes: Vec<(String, String)>,
}

/// One variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariableFacts {
    /// Name, with its group path where it is not in the root.
    pub name: String,
    /// Arrow type after decoding, as text.
    pub data_type: String,
    /// Names of its dimensions, outermost first.
    pub dimensions: Vec<String>,
    /// Length of each dimension.
    pub shape: Vec<u64>,
    /// CF standard name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standard_name: Option<String>,
    /// Descriptive name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long_name: Option<String>,
    /// Units as in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<String>,
    /// Smallest value, NULLs left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Largest value, NULLs left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Cells without a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
}

/// Where and when data lie. Unknown parts are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Extent {
    /// First and last time as seconds since 1970 in the proleptic Gregorian calendar. A date of
    /// another calendar is placed by its year, month and day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<(f64, f64)>,
    /// West, south, east, north in degrees. East is never below west: of a box that crosses the
    /// antimeridian it lies beyond 180. Written and read it lies within, and is then below west, as
    /// GeoJSON has it (RFC 7946, section 5.2).
    #[serde(default, with = "around", skip_serializing_if = "Option::is_none")]
    pub bounding_box: Option<[f64; 4]>,
}

impl Extent {
    /// The smallest extent that holds all.
    pub fn of(all: impl IntoIterator<Item = Self>) -> Self {
        let all: Vec<Self> = all.into_iter().collect();
        let times = all.iter().filter_map(|extent| extent.time);
        let boxes = || all.iter().filter_map(|extent| extent.bounding_box);
        let latitudes = boxes().map(|[_, south, _, north]| (south, north));
        let hull = |(a, b): (f64, f64), (c, d): (f64, f64)| (a.min(c), b.max(d));
        let longitudes = smallest_arc(boxes().map(|[west, _, east, _]| (west, east)));
        let bounding_box = longitudes
            .zip(latitudes.reduce(hull))
            .map(|((west, east), (south, north))| [west, south, east, north]);
        Self { time: times.reduce(hull), bounding_box }
    }

    /// The box with longitudes within -180 to 180, west above east where it crosses the
    /// antimeridian; none of one that is not of numbers.
    pub fn written_box(&self) -> Option<[f64; 4]> {
        self.bounding_box.map(written).filter(|bounds| bounds.iter().all(|at| at.is_finite()))
    }
}

fn written([west, south, east, north]: [f64; 4]) -> [f64; 4] {
    let (west, east) =
        if east - west >= 360.0 { (-180.0, 180.0) } else { (turned(west), turned(east)) };
    [west, south, east, north]
}

/// Boxes as they are written.
mod around {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde gives the field as it is")]
    pub(super) fn serialize<S: Serializer>(
        bounds: &Option<[f64; 4]>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        bounds.map(super::written).serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(
        from: D,
    ) -> Result<Option<[f64; 4]>, D::Error> {
        let bounds = Option::<[f64; 4]>::deserialize(from)?;
        Ok(bounds.map(|[west, south, east, north]| {
            [west, south, if east < west { east + 360.0 } else { east }, north]
        }))
    }
}

/// A coordinate that places data on the Earth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Horizontal {
    /// Degrees north.
    Latitude,
    /// Degrees east.
    Longitude,
}

impl Horizontal {
    /// By standard name, else by units (CF 1.11, sections 4.1 and 4.2). Another standard name, such
    /// as `grid_latitude` of a rotated pole, is neither.
    pub fn of(standard_name: Option<&str>, units: Option<&str>) -> Option<Self> {
        match (standard_name, units) {
            (Some("latitude"), _) => Some(Self::Latitude),
            (Some("longitude"), _) => Some(Self::Longitude),
            (Some(_), _) | (None, None) => None,
            (None, Some(units)) => match units {
                "degrees_north" | "degree_north" | "degree_N" | "degrees_N" | "degreeN"
                | "degreesN" => Some(Self::Latitude),
                "degrees_east" | "degree_east" | "degree_E" | "degrees_E" | "degreeE"
                | "degreesE" => Some(Self::Longitude),
                _ => None,
            },
        }
    }

    /// Degrees that make sense: models of the ocean write longitudes from -280, some grids beyond
    /// 360.
    pub fn range(self) -> std::ops::RangeInclusive<f64> {
        match self {
            Self::Latitude => -90.0..=90.0,
            Self::Longitude => -360.0..=720.0,
        }
    }
}
