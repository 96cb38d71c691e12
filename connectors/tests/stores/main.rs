//! Files read from real servers.

#[cfg(test)]
mod azure;
#[cfg(test)]
#[path = "../../../formats/tests/common/data.rs"]
mod data;
#[cfg(test)]
mod http;
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
#[path = "../common/weed.rs"]
mod weed;
