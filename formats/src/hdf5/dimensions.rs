//! Dimensions: NetCDF-4's conventions on top of HDF5's dimension scales.
//!
//! Convention: HDF5 Dimension Scale Specification, and "NetCDF-4 Format" (Unidata), appendix C of
//! the NetCDF user's guide.

use super::index::{H5Attribute, H5Dataset, H5Index, H5Value};
use crate::contents::{AttributeValue, Dimension};
use crate::grids::group_of;
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use std::collections::HashMap;

/// `NAME` of a scale that stands for a dimension without a coordinate variable.
const NOT_A_VARIABLE: &str = "This is a netCDF dimension but not a netCDF variable";
/// Prefix of a variable that has the name of a dimension that it does not describe.
const NON_COORDINATE: &str = "_nc4_non_coord_";

/// Scales that share a number, at most: a file gives each its own, two that were put together do not.
const MOST_OF_A_NUMBER: usize = 256;

/// Attributes that make up the format and are hidden, as netCDF4-python hides them.
const HOUSEKEEPING: [&str; 8] = [
    "DIMENSION_LIST",
    "REFERENCE_LIST",
    "CLASS",
    "NAME",
    "_Netcdf4Dimid",
    "_Netcdf4Coordinates",
    "_NCProperties",
    "_nc3_strict",
];

pub(super) fn is_housekeeping(name: &str, netcdf: bool) -> bool {
    HOUSEKEEPING.iter().take(if netcdf { 8 } else { 2 }).any(|hidden| *hidden == name)
}

/// Whether a dataset is a dimension only.
pub(super) fn is_dimension_only(dataset: &H5Dataset) -> bool {
    dataset.is_scale() && dataset.text("NAME").is_some_and(|name| name.starts_with(NOT_A_VARIABLE))
}

/// The name of a dataset without the prefix that sets it apart from a dimension.
pub(super) fn variable_name(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_prefix(NON_COORDINATE).unwrap_or(name)
}

/// Whether a file is NetCDF-4: marked by the library, or every array has dimension scales.
pub(super) fn is_netcdf4(index: &H5Index) -> bool {
    let named = |attributes: &[H5Attribute], names: &[&str]| {
        attributes.iter().any(|attribute| names.contains(&attribute.name.as_str()))
    };
    let root = index.groups.first();
    let marked = root
        .is_some_and(|root| named(&root.attributes, &["_NCProperties", "_nc3_strict"]))
        || index.datasets.iter().any(|dataset| {
            named(&dataset.attributes, &["_Netcdf4Dimid", "_Netcdf4Coordinates"])
                || is_dimension_only(dataset)
        });
    let arrays = || index.datasets.iter().filter(|dataset| !dataset.shape.is_empty());
    let scaled = |d: &H5Dataset| d.is_scale() || named(&d.attributes, &["DIMENSION_LIST"]);
    marked || (arrays().any(H5Dataset::is_scale) && arrays().all(scaled))
}

/// The dimension scales of a file.
pub(super) struct Scales<'a> {
    by_address: HashMap<u64, &'a H5Dataset>,
    /// By the number that NetCDF-4 gives a dimension.
    by_number: HashMap<i64, Vec<&'a H5Dataset>>,
    /// Length of each scale's dimension: an unlimited one is as long as its longest variable.
    lengths: HashMap<u64, u64>,
}

impl<'a> Scales<'a> {
    pub(super) fn new(index: &'a H5Index) -> Self {
        let mut scales =
            Self { by_address: HashMap::new(), by_number: HashMap::new(), lengths: HashMap::new() };
        for dataset in index.datasets.iter().filter(|dataset| dataset.is_scale()) {
            scales.by_address.entry(dataset.address).or_insert(dataset);
            if let Some([number]) = numbers(dataset, "_Netcdf4Dimid").as_deref() {
                let same = scales.by_number.entry(*number).or_default();
                if same.len() < MOST_OF_A_NUMBER {
                    same.push(dataset);
                }
            }
            let length = dataset.shape.first().copied().unwrap_or(0);
            scales.lengths.insert(dataset.address, length);
        }
        for dataset in &index.datasets {
            for (axis, length) in dataset.shape.iter().enumerate() {
                if let Some(scale) = scales.scale(dataset, axis)
                    && scale.unlimited.first() == Some(&true)
                    && let Some(known) = scales.lengths.get_mut(&scale.address)
                {
                    *known = (*known).max(*length);
                }
            }
        }
        scales
    }

    /// The scale of one axis of a dataset.
    fn scale(&self, dataset: &H5Dataset, axis: usize) -> Option<&'a H5Dataset> {
        if let Some(H5Value::References(lists)) = dataset.attribute("DIMENSION_LIST") {
            let address = lists.get(axis)?.first()?;
            return self.by_address.get(address).copied();
        }
        if let Some(numbers) = numbers(dataset, "_Netcdf4Coordinates") {
            let candidates = self.by_number.get(numbers.get(axis)?)?;
            let group = group_of(&dataset.path);
            // A dimension is visible in its group and below; the nearest one counts.
            let visible = candidates.iter().filter(|scale| {
                let home = group_of(&scale.path);
                home == "/" || group == home || group.starts_with(&format!("{home}/"))
            });
            return visible.max_by_key(|scale| scale.path.len()).copied();
        }
        // A scale is its own dimension.
        (axis == 0 && dataset.is_scale())
            .then(|| self.by_address.get(&dataset.address).copied())
            .flatten()
    }

    /// The dimensions of a dataset. Along an unlimited one a dataset may store less than the
    /// dimension's length.
    pub(super) fn dimensions(&self, dataset: &H5Dataset) -> Vec<Dimension> {
        let axes = dataset.shape.iter().zip(&dataset.unlimited).enumerate();
        axes.map(|(axis, (length, unlimited))| match self.scale(dataset, axis) {
            None => Dimension {
                name: format!("dim_{axis}"),
                length: *length,
                unlimited: *unlimited,
                coordinate: None,
            },
            Some(scale) => {
                let known = self.lengths.get(&scale.address).copied().unwrap_or(*length);
                let is_coordinate = scale.shape.len() == 1 && !is_dimension_only(scale);
                Dimension {
                    name: variable_name(&scale.path).to_owned(),
                    length: if *unlimited { known.max(*length) } else { *length },
                    unlimited: scale.unlimited.first() == Some(&true),
                    coordinate: is_coordinate.then(|| scale.path.clone()),
                }
            }
        })
        .collect()
    }
}

fn numbers(dataset: &H5Dataset, name: &str) -> Option<Vec<i64>> {
    let H5Value::Plain(AttributeValue::Numbers(values)) = dataset.attribute(name)? else {
        return None;
    };
    let values = cast(values, &DataType::Int64).ok()?;
    Some(values.as_primitive_opt::<Int64Type>()?.values().to_vec())
}
