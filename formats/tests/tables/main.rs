//! Tables over real files, against what other libraries see in them.

#[cfg(test)]
mod files;
#[cfg(test)]
#[path = "../common/python.rs"]
mod python;
#[cfg(test)]
mod xarray;
