//! Ingests of real files into real catalogs and stores.

#[cfg(test)]
#[path = "../../../formats/tests/common/data.rs"]
mod data;
#[cfg(test)]
mod facts;
#[cfg(test)]
#[path = "../../../formats/tests/common/left_out.rs"]
mod left_out;
#[cfg(test)]
#[path = "../../../formats/tests/common/program.rs"]
mod program;
#[cfg(test)]
mod s3;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tables;
#[cfg(test)]
#[path = "../../../connectors/tests/common/weed.rs"]
mod weed;
