//! The lab-core profile: what a record must say, by tier, and how FAIR it is.

mod violation;

pub use violation::Violation;
