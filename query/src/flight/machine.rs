//! Whether a client runs on the same machine, so that it can read files that the node names.

use std::fs;
use tonic::metadata::MetadataMap;

/// What a client that would map files says of its machine: the number that Linux gives each start.
const HEADER: &str = "x-tarn-machine";
const NUMBER: &str = "/proc/sys/kernel/random/boot_id";

/// Whether the client's machine is this one. Who claims it wrongly learns a path that is of no use elsewhere.
pub(super) fn is_this(metadata: &MetadataMap) -> bool {
    let Some(said) = metadata.get(HEADER).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    fs::read_to_string(NUMBER).is_ok_and(|own| !own.trim().is_empty() && own.trim() == said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_knows_its_own_number_and_no_other() {
        let mut metadata = MetadataMap::new();
        assert!(!is_this(&metadata));
        metadata.insert(HEADER, "".parse().unwrap());
        assert!(!is_this(&metadata));
        metadata.insert(HEADER, "8c1b42a5-0000-0000-0000-000000000000".parse().unwrap());
        assert!(!is_this(&metadata));
        metadata.insert(HEADER, fs::read_to_string(NUMBER).unwrap().trim().parse().unwrap());
        assert!(is_this(&metadata));
    }
}
