//! What a file holds: variables, dimensions, attributes, grids.

use arrow::datatypes::DataType;
use std::fmt;
use std::sync::Arc;

/// A file format, decided by the bytes and never by the extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// HDF5 without NetCDF-4's dimensions.
    Hdf5,
    /// NetCDF-4, that is HDF5 with dimension scales.
    NetCdf4,
    /// NetCDF classic: CDF-1, CDF-2 or CDF-5.
    NetCdf3,
    /// SPEC scan log.
    Spec,
    /// Zarr, version 2.
    Zarr2,
    /// Zarr, version 3.
    Zarr3,
}

impl Format {
    /// Name as people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hdf5 => "HDF5",
            Self::NetCdf4 => "NetCDF-4",
            Self::NetCdf3 => "NetCDF-3",
            Self::Spec => "SPEC",
            Self::Zarr2 => "Zarr v2",
            Self::Zarr3 => "Zarr v3",
        }
    }

    /// Media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Hdf5 => "application/x-hdf5",
            Self::NetCdf4 | Self::NetCdf3 => "application/x-netcdf",
            Self::Spec => "text/x-spec",
            Self::Zarr2 | Self::Zarr3 => "application/vnd+zarr",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The value of an attribute, as stored.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeValue {
    /// Text, or several texts.
    Text(Vec<String>),
    /// Numbers of one Arrow type: Int8 … UInt64, Float16 … Float64. One value or several.
    Numbers(Arc<dyn arrow::array::Array>),
    /// A type that is not read, by name.
    Unreadable(String),
}

impl AttributeValue {
    /// The value as people would write it: one text, a number in the fewest digits that read back to
    /// it, several as a JSON array. None of what cannot be read.
    pub fn as_text(&self) -> Option<String> {
        crate::cf::attribute_text(self)
    }
}

/// A named attribute of a file, group or variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Name.
    pub name: String,
    /// Value.
    pub value: AttributeValue,
}

/// A dimension: a name and a length, with the variable that holds its coordinates if there is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Dimension {
    /// Name without group path, such as `time`. Dimensions that a plain HDF5 file leaves nameless
    /// are called `dim_0`, `dim_1`, … by their place in the variable.
    pub name: String,
    /// Length.
    pub length: u64,
    /// Whether it can grow.
    pub unlimited: bool,
    /// Path of the one-dimensional variable of the same name, if there is one.
    pub coordinate: Option<String>,
}

/// An array in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Full path, such as `/entry/data/Q`; in a file without groups `/name`.
    pub path: String,
    /// Last part of the path.
    pub name: String,
    /// Dimensions, outermost first; empty for a scalar.
    pub dimensions: Vec<Dimension>,
    /// Type of the stored values in Arrow's terms, big-endian data as native:
    /// integers, floats, Boolean, Utf8, Binary, FixedSizeBinary, Struct, List, FixedSizeList,
    /// Timestamp, Duration.
    /// NetCDF's characters (`NC_CHAR`) are FixedSizeBinary(1), one byte a cell, along all their
    /// dimensions; opaque values are FixedSizeBinary too. An enumeration is its integer, except
    /// FALSE/TRUE, which is Boolean.
    pub data_type: DataType,
    /// Chunk shape; `None` for contiguous and compact data.
    pub chunk_shape: Option<Vec<u64>>,
    /// Names of the filters in the order they were applied when writing.
    pub filters: Vec<String>,
    /// Whether Tarn has no code for one of them, so that the fall-back reads it: slowly, and exactly
    /// as the C library does.
    pub fallback: bool,
    /// Bytes the values take in the file, where known.
    pub stored_bytes: Option<u64>,
    /// Attributes.
    pub attributes: Vec<Attribute>,
    /// Whether NetCDF's default fill value of its type means "never written" where the variable
    /// names no fill of its own. True for NetCDF files, false for plain HDF5.
    pub default_fill: bool,
}

impl Variable {
    /// Length along each dimension.
    pub fn shape(&self) -> Vec<u64> {
        self.dimensions.iter().map(|dimension| dimension.length).collect()
    }

    /// The attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&AttributeValue> {
        find(&self.attributes, name)
    }

    /// The attribute as text, if it is one text, without the NULs that C programs leave at its end.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.attribute(name)? {
            AttributeValue::Text(texts) => match texts.as_slice() {
                [text] => Some(text.trim_end_matches('\0')),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The attribute of this name in a list.
pub fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a AttributeValue> {
    attributes.iter().find(|attribute| attribute.name == name).map(|attribute| &attribute.value)
}

/// The variables that share the same ordered dimensions in the same group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// Dimension names joined by `_`, with the group path in front of it where there is one
    /// (`time_lat_lon`, `entry_data_dim_0`); `scalar` for no dimensions. Unique in the file.
    pub name: String,
    /// The group, `/` for the root.
    pub group: String,
    /// Dimensions, outermost first.
    pub dimensions: Vec<Dimension>,
    /// Paths of the variables over them (texts in characters have one dimension more: that of their
    /// characters), without the dimensions' own coordinate variables
    /// (unless the grid is one-dimensional over that very dimension and holds nothing else).
    pub variables: Vec<String>,
}

impl Grid {
    /// Length along each dimension.
    pub fn shape(&self) -> Vec<u64> {
        self.dimensions.iter().map(|dimension| dimension.length).collect()
    }

    /// Number of cells; `None` on overflow.
    pub fn cells(&self) -> Option<u64> {
        self.dimensions.iter().try_fold(1_u64, |cells, d| cells.checked_mul(d.length))
    }
}

/// An object that is in the file and cannot be read, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Full path.
    pub path: String,
    /// Why, by the name of the type, filter or link.
    pub reason: String,
}

/// Everything a file holds, without the values.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents {
    /// Format.
    pub format: Format,
    /// Attributes of the root group.
    pub attributes: Vec<Attribute>,
    /// Attributes of the other groups, by path.
    pub groups: Vec<(String, Vec<Attribute>)>,
    /// Variables in the order of the file.
    pub variables: Vec<Variable>,
    /// Grids, the ones with most cells first (ties in the order of the file).
    pub grids: Vec<Grid>,
    /// What cannot be read.
    pub unreadable: Vec<Unreadable>,
}

impl Contents {
    /// The variable at this path; a bare name means `/name`.
    pub fn variable(&self, path: &str) -> Option<&Variable> {
        let path = path.trim_start_matches('/');
        self.variables.iter().find(|variable| variable.path.trim_start_matches('/') == path)
    }

    /// The grid of this name.
    pub fn grid(&self, name: &str) -> Option<&Grid> {
        self.grids.iter().find(|grid| grid.name == name)
    }
}
