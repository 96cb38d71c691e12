//! What a file says of itself: sizes, checksums, variables, extents. Extracted, never typed.

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
    /// West, south, east, north in degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounding_box: Option<[f64; 4]>,
}

impl Extent {
    /// The smallest extent that holds both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let time = match (self.time, other.time) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        let bounding_box = match (self.bounding_box, other.bounding_box) {
            (Some([w, s, e, n]), Some([w2, s2, e2, n2])) => {
                Some([w.min(w2), s.min(s2), e.max(e2), n.max(n2)])
            }
            (a, b) => a.or(b),
        };
        Self { time, bounding_box }
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
