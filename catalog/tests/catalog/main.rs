//! The catalog over real SQLite files and search indexes in temporary folders.

#[cfg(test)]
mod durability;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod registration;
#[cfg(test)]
mod search;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tables;
