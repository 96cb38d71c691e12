//! Variables with the same dimensions make a grid.

use crate::cf::characters;
use crate::contents::{Dimension, Grid, Variable};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// The group of a path: `/` for `/t`, `/a/b` for `/a/b/t`.
pub(crate) fn group_of(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => path.get(..at).unwrap_or("/"),
    }
}

/// The grids of a file, the ones with most cells first. Characters that make up texts lie on the grid
/// of the texts, without the dimension that counts the characters.
pub(crate) fn grids(variables: &[Variable]) -> Vec<Grid> {
    let mut grids: Vec<Grid> = Vec::new();
    let mut places: HashMap<(&str, &[Dimension]), usize> = HashMap::new();
    let texts = characters::texts(variables);
    for variable in variables {
        let group = group_of(&variable.path);
        // The characters of a text are one cell.
        let dimensions = match variable.dimensions.split_last() {
            Some((_, before)) if texts.contains(variable.path.as_str()) => before,
            _ => &variable.dimensions,
        };
        let place = *places.entry((group, dimensions)).or_insert_with(|| {
            grids.push(Grid {
                name: name(group, dimensions),
                group: group.to_owned(),
                dimensions: dimensions.to_vec(),
                variables: vec![],
            });
            grids.len() - 1
        });
        if let Some(grid) = grids.get_mut(place) {
            grid.variables.push(variable.path.clone());
        }
    }
    for grid in &mut grids {
        leave_out_coordinates(grid);
    }
    make_names_unique(&mut grids);
    grids.sort_by_key(|grid| Reverse(grid.cells().unwrap_or(u64::MAX)));
    grids
}

fn name(group: &str, dimensions: &[Dimension]) -> String {
    let mut parts: Vec<&str> = group.split('/').filter(|part| !part.is_empty()).collect();
    if dimensions.is_empty() {
        parts.push("scalar");
    }
    parts.extend(dimensions.iter().map(|dimension| dimension.name.as_str()));
    parts.join("_")
}

fn leave_out_coordinates(grid: &mut Grid) {
    let coordinates: HashSet<&String> =
        grid.dimensions.iter().filter_map(|dimension| dimension.coordinate.as_ref()).collect();
    let others: Vec<String> =
        grid.variables.iter().filter(|path| !coordinates.contains(path)).cloned().collect();
    if !others.is_empty() {
        grid.variables = others;
    }
}

/// Grids of one name get their lengths appended, all of them; what still clashes (other coordinate
/// variables, or groups that read the same once joined) gets a number.
fn make_names_unique(grids: &mut [Grid]) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for grid in grids.iter() {
        *counts.entry(grid.name.clone()).or_default() += 1;
    }
    for grid in grids.iter_mut().filter(|grid| counts.get(&grid.name).is_some_and(|n| *n > 1)) {
        for dimension in &grid.dimensions {
            grid.name = format!("{}_{}", grid.name, dimension.length);
        }
    }
    let mut taken = HashSet::new();
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for grid in grids {
        if taken.insert(grid.name.clone()) {
            continue;
        }
        let stem = grid.name.clone();
        let number = numbers.entry(stem.clone()).or_insert(2);
        while !taken.insert(grid.name.clone()) {
            grid.name = format!("{stem}_{number}");
            *number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::DataType;

    fn variable(path: &str, dimensions: &[(&str, u64, Option<&str>)]) -> Variable {
        Variable {
            path: path.to_owned(),
            name: path.rsplit('/').next().unwrap().to_owned(),
            dimensions: dimensions
                .iter()
                .map(|(name, length, coordinate)| Dimension {
                    name: (*name).to_owned(),
                    length: *length,
                    unlimited: false,
                    coordinate: coordinate.map(str::to_owned),
                })
                .collect(),
            data_type: DataType::Float32,
            chunk_shape: None,
            filters: vec![],
            fallback: false,
            stored_bytes: None,
            attributes: vec![],
            default_fill: false,
        }
    }

    #[test]
    fn grids_leave_out_the_coordinates_of_their_dimensions_unless_nothing_else_is_there() {
        let time = ("time", 5, Some("/time"));
        let lat = ("lat", 3, Some("/lat"));
        let grids = grids(&[
            variable("/time", &[time]),
            variable("/lat", &[lat]),
            variable("/t", &[time, lat]),
            variable("/mean", &[time]),
            variable("/crs", &[]),
        ]);
        let seen: Vec<_> = grids.iter().map(|g| (g.name.as_str(), g.variables.join(" "))).collect();
        let expected = [("time_lat", "/t"), ("time", "/mean"), ("lat", "/lat"), ("scalar", "/crs")];
        assert_eq!(seen, expected.map(|(name, variables)| (name, variables.to_owned())));
    }

    #[test]
    fn every_grid_whose_name_clashes_is_named_with_its_lengths() {
        let grids = grids(&[
            variable("/entry/data/q", &[("dim_0", 250, None)]),
            variable("/entry/data/r", &[("dim_0", 250, None)]),
            variable("/entry/data/full", &[("dim_0", 7000, None)]),
            variable("/entry/data/image", &[("dim_0", 2, None), ("dim_1", 2, None)]),
            variable("/entry_data/other", &[("dim_0", 250, None)]),
        ]);
        let names: Vec<_> = grids.iter().map(|grid| grid.name.as_str()).collect();
        let expected = [
            "entry_data_dim_0_7000",
            "entry_data_dim_0_250",
            "entry_data_dim_0_250_2",
            "entry_data_dim_0_dim_1",
        ];
        assert_eq!(names, expected);
    }
}
