//! Licences: SPDX expressions, and the licences that files name in words.

use spdx::{Expression, LicenseItem, ParseMode};

/// Whether this is an SPDX licence expression of identifiers on the SPDX list. A `LicenseRef-…`
/// is not: nobody else knows what it means.
///
/// # Errors
/// What is wrong with it.
pub fn check_spdx(text: &str) -> Result<(), String> {
    let expression = Expression::parse_mode(text, ParseMode::STRICT)
        .map_err(|error| error.reason.to_string())?;
    for requirement in expression.requirements() {
        // Values of SPDX documents, and no licence.
        if let LicenseItem::Spdx { id, .. } = &requirement.req.license
            && ["NOASSERTION", "NONE"].contains(&id.name)
        {
            return Err(format!("{} grants nothing", id.name));
        }
    }
    let unknown = expression
        .requirements()
        .find(|requirement| !matches!(requirement.req.license, LicenseItem::Spdx { .. }));
    match unknown {
        Some(requirement) => Err(format!("{} is not on the SPDX list", requirement.req)),
        None => Ok(()),
    }
}

/// Whether an SPDX expression has a licence that lets everyone use and pass on what it is for: one
/// that the Open Source Initiative or the Free Software Foundation takes for free, or one of the
/// families that were made for publishing data.
pub fn is_open(text: &str) -> bool {
    const FAMILIES: [&str; 10] =
        ["CC-", "CC0-", "PDDL-", "ODbL-", "ODC-", "CDLA-", "OGL-", "NLOD-", "DL-DE-", "etalab-"];
    let Ok(expression) = Expression::parse_mode(text, ParseMode::STRICT) else { return false };
    expression.requirements().any(|requirement| match &requirement.req.license {
        LicenseItem::Spdx { id, .. } => {
            id.is_osi_approved()
                || id.is_fsf_free_libre()
                || FAMILIES.iter().any(|family| id.name.starts_with(family))
        }
        LicenseItem::Other { .. } => false,
    })
}

/// The SPDX identifier of a licence that a file states in words or as a URL, if it is certain:
/// an SPDX identifier itself, a Creative Commons licence with its version, or public domain by CC0.
pub fn from_words(text: &str) -> Option<String> {
    let text = text.trim();
    if text.len() > 10_000 {
        return None;
    }
    if check_spdx(text).is_ok() {
        return Some(text.to_owned());
    }
    let words = text.to_lowercase().replace(['_', '-', '–', '/'], " ");
    if words.contains("[non") {
        // The unfilled template of CMIP6, `Attribution-[NonCommercial-]ShareAlike`, says neither.
        return None;
    }
    let mut found = None;
    for start in [
        "creative commons",
        "creativecommons.org licenses",
        "creativecommons.org publicdomain",
        "cc ",
    ] {
        for (at, _) in words.match_indices(start) {
            let rest = words.get(at.saturating_add(start.len())..).unwrap_or_default();
            let Some(license) = creative_commons(rest) else { continue };
            match &found {
                None => found = Some(license),
                Some(other) if *other == license => {}
                // Two licences: which one counts is for a person to say.
                Some(_) => return None,
            }
        }
    }
    found.filter(|license| check_spdx(license).is_ok())
}

/// Reads `attribution sharealike 4.0 …` or `by sa 4.0 …` up to the version.
fn creative_commons(rest: &str) -> Option<String> {
    let (mut by, mut noncommercial, mut noderivatives, mut sharealike, mut zero) =
        (false, false, false, false, false);
    for word in rest.split_whitespace().take(12) {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        match word {
            "attribution" | "by" => by = true,
            "noncommercial" | "nc" | "non" | "commercial" => noncommercial = true,
            "noderivatives" | "noderivs" | "nd" => noderivatives = true,
            "sharealike" | "sa" | "share" | "alike" => sharealike = true,
            "zero" | "cc0" => zero = true,
            "1.0" if zero => return Some("CC0-1.0".to_owned()),
            "1.0" | "2.0" | "2.5" | "3.0" | "4.0" if by => {
                let mut license = "CC-BY".to_owned();
                for (has, part) in
                    [(noncommercial, "-NC"), (sharealike, "-SA"), (noderivatives, "-ND")]
                {
                    if has {
                        license.push_str(part);
                    }
                }
                return Some(format!("{license}-{word}"));
            }
            "licenses" | "license" | "licence" | "international" | "unported" | "the" | "v"
            | "" | "publicdomain" | "public" | "domain" | "universal" | "version" | "generic" => {}
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_listed_licences_pass_and_others_fail() {
        for good in [
            "CC-BY-4.0",
            "CC0-1.0",
            "MIT OR Apache-2.0",
            "GPL-2.0-only WITH Classpath-exception-2.0",
        ] {
            assert_eq!(check_spdx(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "CC-BY",
            "cc-by-4.0",
            "MIT OR",
            "LicenseRef-mine",
            "see readme",
            "NOASSERTION",
            "NONE",
            "MIT AND NOASSERTION",
        ] {
            assert!(check_spdx(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn licences_for_everyone_are_open() {
        for open in ["CC-BY-4.0", "CC0-1.0", "MIT OR Apache-2.0", "ODbL-1.0", "CC-BY-NC-ND-4.0"] {
            assert!(is_open(open), "{open}");
        }
        for other in ["LicenseRef-dua", "", "free", "BUSL-1.1"] {
            assert!(!is_open(other), "{other}");
        }
    }

    #[test]
    fn words_map_only_where_they_are_certain() {
        for (words, license) in [
            ("Creative Commons Attribution-ShareAlike 4.0 International License", "CC-BY-SA-4.0"),
            (
                "data produced by NCAR is licensed under a Creative Commons Attribution-[]ShareAlike 4.0 International License",
                "CC-BY-SA-4.0",
            ),
            ("Creative Commons Attribution-NonCommercial 4.0", "CC-BY-NC-4.0"),
            (
                "CMIP6 model data is licensed under a Creative Commons Attribution 4.0 International License (https://creativecommons.org/licenses/by/4.0/). Consult the terms",
                "CC-BY-4.0",
            ),
            (
                "Creative Commons Attribution-ShareAlike 4.0 International License (https://creativecommons.org/licenses). Consult https://pcmdi.llnl.gov for terms",
                "CC-BY-SA-4.0",
            ),
            ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
            ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
            ("CC-BY-4.0", "CC-BY-4.0"),
        ] {
            assert_eq!(from_words(words).as_deref(), Some(license), "{words}");
        }
        for words in [
            "",
            "free for research",
            "Creative Commons",
            "Creative Commons Attribution",
            "Creative Commons Attribution 4.0 or Creative Commons Attribution-ShareAlike 4.0",
            "CC BY 9.9",
            "Creative Commons Attribution-[NonCommercial-]ShareAlike 4.0 International License",
        ] {
            assert_eq!(from_words(words), None, "{words}");
        }
    }
}
