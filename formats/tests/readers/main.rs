//! Every reader against independent readers, and against the contract of the trait.

#[cfg(test)]
mod conformance;
#[cfg(test)]
#[path = "../common/data.rs"]
mod data;
#[cfg(test)]
#[path = "../common/keys.rs"]
mod keys;
#[cfg(test)]
#[path = "../common/left_out.rs"]
mod left_out;
#[cfg(test)]
#[path = "../common/python.rs"]
mod python;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod support;
#[cfg(test)]
mod written;
#[cfg(test)]
mod zarr;
