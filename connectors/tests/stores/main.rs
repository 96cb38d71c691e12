//! Files read from real servers.

#[cfg(test)]
mod azure;
#[cfg(test)]
mod http;
#[cfg(test)]
mod s3;
#[cfg(test)]
mod support;
#[cfg(test)]
#[path = "../common/weed.rs"]
mod weed;
