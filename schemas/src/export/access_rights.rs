//! Access rights by tier, in the vocabularies that others read. Never typed by anybody.

use super::Source;
use crate::tier::Tier;

/// Terms for one state of access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AccessRights {
    /// In words.
    pub(super) words: &'static str,
    /// COAR Access Rights 1.0.
    pub(super) coar: &'static str,
    /// Access right of the EU's vocabularies.
    pub(super) eu: &'static str,
    /// Restriction status of the US National Archives.
    pub(super) nara: &'static str,
    /// Whether everyone gets the data without paying or asking.
    pub(super) free: bool,
}

/// The rights of a dataset on the day of the export; an embargo comes before the tier, and what was
/// withdrawn has only its description.
pub(super) fn of(source: &Source) -> AccessRights {
    let tier = if source.withdrawn.is_some() { Tier::Restricted } else { source.tier };
    let (words, coar, eu, nara, free) = match (source.is_embargoed(), tier) {
        (true, Tier::Public | Tier::Registered) => (
            "embargoed access",
            "http://purl.org/coar/access_right/c_f1cf",
            "http://publications.europa.eu/resource/authority/access-right/RESTRICTED",
            "Restricted - Fully",
            false,
        ),
        (_, Tier::Public | Tier::Registered) if source.limited => (
            "restricted access: for those who meet its conditions",
            "http://purl.org/coar/access_right/c_16ec",
            "http://publications.europa.eu/resource/authority/access-right/RESTRICTED",
            "Restricted - Partly",
            false,
        ),
        (_, Tier::Public) => (
            "open access",
            "http://purl.org/coar/access_right/c_abf2",
            "http://publications.europa.eu/resource/authority/access-right/PUBLIC",
            "Unrestricted",
            true,
        ),
        (_, Tier::Registered) => (
            "open to everyone who signs in",
            "http://purl.org/coar/access_right/c_16ec",
            "http://publications.europa.eu/resource/authority/access-right/RESTRICTED",
            "Restricted - Partly",
            true,
        ),
        (_, Tier::Controlled) => (
            "restricted access: on request, under an agreement",
            "http://purl.org/coar/access_right/c_16ec",
            "http://publications.europa.eu/resource/authority/access-right/RESTRICTED",
            "Restricted - Partly",
            false,
        ),
        (_, Tier::Restricted | Tier::AggregatesOnly) => (
            "metadata only access",
            "http://purl.org/coar/access_right/c_14cb",
            "http://publications.europa.eu/resource/authority/access-right/NON_PUBLIC",
            "Restricted - Fully",
            false,
        ),
    };
    AccessRights { words, coar, eu, nara, free }
}
