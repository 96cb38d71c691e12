//! Ingests of real files into real catalogs and stores.

#[cfg(test)]
mod facts;
#[cfg(test)]
mod s3;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tables;
#[cfg(test)]
#[path = "../../../connectors/tests/common/weed.rs"]
mod weed;
