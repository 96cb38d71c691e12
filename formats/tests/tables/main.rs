//! Tables over real files, against what other libraries see in them.

#[cfg(test)]
#[path = "../common/data.rs"]
mod data;
#[cfg(test)]
mod files;
#[cfg(test)]
#[path = "../common/left_out.rs"]
mod left_out;
#[cfg(test)]
#[path = "../common/python.rs"]
mod python;
#[cfg(test)]
mod xarray;
