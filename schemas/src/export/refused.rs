//! Exports that a dataset does not have.

use super::{Format, Source};
use crate::code::{Coded, ErrorCode};
use crate::tier::Tier;
use thiserror::Error;

/// Why a dataset is not exported in a format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// The format needs what may not be told.
    #[error(
        "{dataset} is not exported as {format}: that needs the description, the creators and the licence, of which you \
         are told nothing; ask for access, or export it as datacite, oai_dc or dcat-us"
    )]
    Redacted {
        /// The dataset.
        dataset: String,
        /// The format.
        format: &'static str,
    },
    /// E-Link needs an access limitation, and the record has none that is true.
    #[error(
        "{dataset} is not exported as elink: its access is limited ({why}), and its record has no access limitation that \
         says how; UNL would say unlimited. Write the codes of OSTI E-Link under `markings`, such as \
         [OUO], with the tier controlled or a stricter one, and take UNL out"
    )]
    Limitation {
        /// The dataset.
        dataset: String,
        /// What limits it.
        why: String,
    },
    /// There is nothing left to announce.
    #[error(
        "{dataset} is not exported as elink: it was withdrawn, and E-Link announces what can be had; export it as datacite"
    )]
    Withdrawn {
        /// The dataset.
        dataset: String,
    },
}

impl Coded for Refused {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Redacted { .. } => ErrorCode::PermissionDenied,
            Self::Limitation { .. } => ErrorCode::InvalidData,
            Self::Withdrawn { .. } => ErrorCode::Conflict,
        }
    }
}

/// Whether a dataset has a format.
pub(super) fn check(source: &Source, format: Format) -> Result<(), Refused> {
    let dataset = || format!("{}.{}@{}", source.lab, source.name, source.version);
    if source.redacted
        && matches!(
            format,
            Format::SchemaOrg | Format::Croissant | Format::RoCrate | Format::Stac | Format::ELink
        )
    {
        return Err(Refused::Redacted { dataset: dataset(), format: format.as_str() });
    }
    if format != Format::ELink {
        return Ok(());
    }
    if source.withdrawn.is_some() {
        return Err(Refused::Withdrawn { dataset: dataset() });
    }
    let record = &source.record;
    let unlimited = record.markings.iter().all(|marking| marking == "UNL");
    let why = if record.cui.is_some() {
        Some("controlled unclassified information".to_owned())
    } else if record.export_control.is_some() {
        Some("export control".to_owned())
    } else if source.tier >= Tier::Controlled {
        Some(format!("tier {}", source.tier))
    } else {
        source.limited.then(|| "conditions".to_owned())
    };
    match why {
        Some(why) if unlimited => Err(Refused::Limitation { dataset: dataset(), why }),
        _ => Ok(()),
    }
}
