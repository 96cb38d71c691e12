//! Standards that files say they follow.

use crate::facts::FileFacts;

/// Newest minor version of CF 1 (December 2025).
const NEWEST_CF: u32 = 13;
/// Further names in `Conventions` that stand for a community standard.
const OTHERS: [&str; 8] =
    ["CMIP-", "UGRID-", "SGRID-", "COARDS", "CF/Radial", "CF-Radial", "IMOS-", "OceanSITES-"];

/// Whether a version of CF or ACDD was published; `None` for every other standard.
pub(super) fn published(standard: &str) -> Option<bool> {
    let upper = standard.trim().to_ascii_uppercase();
    if let Some(version) = upper.strip_prefix("CF-").filter(|rest| !rest.starts_with("RADIAL")) {
        let minor = version.strip_prefix("1.").and_then(|minor| minor.parse::<u32>().ok());
        return Some(minor.is_some_and(|minor| minor <= NEWEST_CF));
    }
    upper.strip_prefix("ACDD-").map(|version| ["1.0", "1.1", "1.3"].contains(&version))
}

/// Names in a file's `Conventions` attribute (NetCDF Users Guide, appendix B: separated by blanks
/// or commas).
fn conventions(file: &FileFacts) -> impl Iterator<Item = &str> {
    let attributes = file.attributes.iter().filter(|(name, _)| name == "Conventions");
    attributes.flat_map(|(_, text)| text.split([',', ' '])).filter(|name| !name.is_empty())
}

/// Whether a file says that it follows this standard.
pub(super) fn states(file: &FileFacts, standard: &str) -> bool {
    conventions(file).any(|name| name.eq_ignore_ascii_case(standard.trim()))
}

/// Whether a file says that it follows CF, whose units are those of UDUNITS.
pub(super) fn claims_cf(file: &FileFacts) -> bool {
    conventions(file).any(|name| published(name).is_some())
}

/// Whether a file says that it follows a known standard: one of `Conventions`, or NeXus by what its
/// writers leave in the root.
pub(super) fn follows(file: &FileFacts) -> bool {
    let nexus = |(name, value): &(String, String)| {
        name == "NeXus_version" || (name == "NX_class" && value == "NXroot")
    };
    file.attributes.iter().any(nexus)
        || conventions(file).any(|name| {
            published(name).unwrap_or_else(|| OTHERS.iter().any(|other| name.starts_with(other)))
        })
}
