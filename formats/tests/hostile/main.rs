//! Files that break their format give errors, or values, in bounded memory; never a panic and never an
//! endless loop.

#[cfg(test)]
mod allocator;
#[cfg(test)]
mod bombs;
#[cfg(test)]
mod damage;
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
mod stores;
