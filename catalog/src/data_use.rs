//! What data about people may be used for, in terms of the Data Use Ontology (DUO).

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tarn_schemas::record::{DataUse, UseModifier};

/// What somebody asks for access for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntendedUse {
    /// One of the purposes of the dataset's agreement.
    pub purpose: String,
    /// What is to be done with the data, in words for the committee.
    pub justification: String,
    /// SHA-256 of the text of the agreement that is accepted.
    pub agreement: String,
    /// Use in terms of DUO: `GRU`, `HMB`, `DS` or `POA`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_use: Option<String>,
    /// The disease that `DS` is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disease: Option<String>,
    /// Where, as an ISO 3166-1 alpha-2 code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Whether the use is commercial.
    pub commercial: bool,
    /// Whether it is about methods alone.
    pub methods_only: bool,
    /// Whether an ethics board approved it.
    pub ethics_approval: bool,
    /// Whether it is done together with those who made the data.
    pub collaboration: bool,
    /// Modifiers of DUO that whoever asks says they keep to, such as `MOR` and `PS`: those that no program
    /// can see to.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub accepts: BTreeSet<String>,
}

/// Months of the longest grant: what the agreement allows, and `TS` (a limit of time on use, DUO:0000025).
pub(crate) fn longest_grant<'a>(
    agreement: u32,
    allowed: impl IntoIterator<Item = &'a DataUse>,
) -> u32 {
    let modifiers = allowed.into_iter().flat_map(|allowed| &allowed.modifiers);
    let limited = modifiers.filter(|modifier| modifier.code == "TS").filter_map(|one| one.months);
    limited.fold(agreement, u32::min).max(1)
}

/// Whether a use limits anything: `NRES` without modifiers says that nothing does.
pub(crate) fn limits_use(allowed: &DataUse) -> bool {
    allowed.permission != "NRES" || !allowed.modifiers.is_empty()
}

/// Of several uses those that limit: what another is within limits nothing more.
pub(crate) fn narrowest<'a>(uses: impl Iterator<Item = &'a DataUse>) -> BTreeSet<DataUse> {
    let uses: BTreeSet<&DataUse> = uses.collect();
    let limits = |one: &&&DataUse| {
        // Of two that are the same in other words the first counts.
        !uses.iter().any(|other| {
            other != *one && is_within(other, one) && (!is_within(one, other) || other < *one)
        })
    };
    uses.iter().filter(limits).map(|one| (*one).clone()).collect()
}

/// Whether what data may be used for allows nothing that another does not.
pub(crate) fn is_within(narrow: &DataUse, wide: &DataUse) -> bool {
    let kept = |limit: &UseModifier| narrow.modifiers.iter().any(|own| limits_as(own, limit));
    is_permitted(narrow, wide) && wide.modifiers.iter().all(kept)
}

/// As [`is_within`], whatever modifies them.
fn is_permitted(narrow: &DataUse, wide: &DataUse) -> bool {
    match wide.permission.as_str() {
        "NRES" => true,
        "GRU" => ["GRU", "HMB", "DS", "POA"].contains(&narrow.permission.as_str()),
        "HMB" => ["HMB", "DS"].contains(&narrow.permission.as_str()),
        "DS" => narrow.permission == "DS" && narrow.disease == wide.disease,
        own => narrow.permission == own,
    }
}

/// Whether some use lies within both: not of two diseases, nor of two places.
pub(crate) fn may_meet(one: &DataUse, other: &DataUse) -> bool {
    let elsewhere = |a: &UseModifier, b: &UseModifier| {
        a.code == b.code && a.place.is_some() && b.place.is_some() && a.place != b.place
    };
    (is_permitted(one, other) || is_permitted(other, one))
        && !one.modifiers.iter().any(|a| other.modifiers.iter().any(|b| elsewhere(a, b)))
}

/// Whether a modifier limits all that another limits.
fn limits_as(own: &UseModifier, other: &UseModifier) -> bool {
    let both = own.code == "NPUNCU" && ["NPU", "NCU"].contains(&other.code.as_str());
    let no_longer = match (own.months, other.months) {
        (Some(own), Some(other)) => own <= other,
        (None, Some(_)) => false,
        (_, None) => true,
    };
    // `None` is before every day: a moratorium without an end is compared with its like alone.
    let no_earlier = match (&own.until, &other.until) {
        (None, Some(_)) => false,
        (own, other) => own >= other,
    };
    let there = other.place.is_none() || own.place == other.place;
    both || (own.code == other.code && no_longer && no_earlier && there)
}

/// A use in a few words: `DS (MONDO:0005148), GS US, TS 12 months`.
pub(crate) fn in_words(allowed: &DataUse) -> String {
    let disease = allowed.disease.as_deref().map(|disease| format!(" ({disease})"));
    let mut words = format!("{}{}", allowed.permission, disease.unwrap_or_default());
    for modifier in &allowed.modifiers {
        words.push_str(", ");
        words.push_str(&modifier.code);
        let months = modifier.months.map(|months| format!("{months} months"));
        for more in modifier.place.iter().chain(&modifier.until).chain(&months) {
            words.push(' ');
            words.push_str(more);
        }
    }
    words
}

/// Whether an intended use lies within what the data may be used for, by the Data Use Ontology: every
/// use is within NRES and GRU, health research within HMB, research on one disease within DS and HMB,
/// ancestry research within POA.
pub(crate) fn fits(allowed: &DataUse, ask: &IntendedUse) -> Result<(), String> {
    let intended = ask.data_use.as_deref().unwrap_or_default();
    let disease = || ask.disease.is_some() && ask.disease == allowed.disease;
    let within = match allowed.permission.as_str() {
        "NRES" => true,
        "GRU" => ["GRU", "HMB", "DS", "POA"].contains(&intended),
        "HMB" => ["HMB", "DS"].contains(&intended),
        "DS" => intended == "DS" && disease(),
        "POA" => intended == "POA",
        _ => false,
    };
    if !within {
        return Err(format!(
            "its data may be used for {}{} only; say under `data_use` what you intend (GRU, HMB, DS \
             with `disease`, POA)",
            allowed.permission,
            allowed.disease.as_deref().map(|d| format!(" ({d})")).unwrap_or_default()
        ));
    }
    for modifier in &allowed.modifiers {
        let broken = match modifier.code.as_str() {
            "NPU" | "NCU" | "NPUNCU" => ask.commercial,
            "GS" => ask.place.is_none() || ask.place != modifier.place,
            "NPOA" => intended == "POA",
            "NMDS" => intended == "GRU" && ask.methods_only,
            "IRB" => !ask.ethics_approval,
            "COL" => !ask.collaboration,
            // The length of a grant keeps to it.
            "TS" => false,
            // What no program can see: whoever asks says that they keep to it.
            code => !ask.accepts.contains(code),
        };
        let told = ["NPU", "NCU", "NPUNCU", "GS", "NPOA", "NMDS", "IRB", "COL"];
        if broken && !told.contains(&modifier.code.as_str()) {
            return Err(format!(
                "its use is limited by {0}{1}; say that you keep to it (`accepts: [{0}]`, --accept {0})",
                modifier.code,
                modifier
                    .until
                    .as_deref()
                    .map(|until| format!(" until {until}"))
                    .unwrap_or_default()
            ));
        }
        if broken {
            return Err(format!(
                "its use is limited by {}, and yours is not within that",
                modifier.code
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(permission: &str, modifiers: &[&str]) -> DataUse {
        DataUse {
            permission: permission.to_owned(),
            disease: (permission == "DS").then(|| "MONDO:0005015".to_owned()),
            modifiers: modifiers
                .iter()
                .map(|code| UseModifier {
                    code: (*code).to_owned(),
                    until: None,
                    place: (*code == "GS").then(|| "US".to_owned()),
                    months: None,
                })
                .collect(),
        }
    }

    fn intended(code: &str) -> IntendedUse {
        IntendedUse { data_use: Some(code.to_owned()), ..IntendedUse::default() }
    }

    #[test]
    fn a_use_lies_within_what_is_allowed() {
        for (permission, within) in [
            ("NRES", vec!["GRU", "HMB", "DS", "POA", ""]),
            ("GRU", vec!["GRU", "HMB", "DS", "POA"]),
            ("HMB", vec!["HMB", "DS"]),
            ("DS", vec![]),
            ("POA", vec!["POA"]),
            ("XYZ", vec![]),
        ] {
            let allowed = allowed(permission, &[]);
            let fitting: Vec<&str> = ["GRU", "HMB", "DS", "POA", ""]
                .into_iter()
                .filter(|code| fits(&allowed, &intended(code)).is_ok())
                .collect();
            assert_eq!(fitting, within, "{permission}");
        }
        let disease = IntendedUse { disease: Some("MONDO:0005015".to_owned()), ..intended("DS") };
        assert!(fits(&allowed("DS", &[]), &disease).is_ok());
        let other = IntendedUse { disease: Some("MONDO:1".to_owned()), ..intended("DS") };
        assert!(fits(&allowed("DS", &[]), &other).is_err());
    }

    #[test]
    fn a_grant_is_no_longer_than_the_use_of_the_data() {
        let mut use_of = allowed("GRU", &["TS", "IRB"]);
        assert_eq!(longest_grant(12, None), 12);
        assert_eq!(longest_grant(12, [&use_of]), 12);
        use_of.modifiers[0].months = Some(6);
        assert_eq!(longest_grant(12, [&use_of]), 6);
        assert_eq!(longest_grant(3, [&use_of]), 3);
    }

    #[test]
    fn what_is_derived_is_used_for_no_more() {
        let limited = |permission: &str, place: &str, months: u32| {
            let mut limited = allowed(permission, &["GS", "TS"]);
            limited.modifiers[0].place = Some(place.to_owned());
            limited.modifiers[1].months = Some(months);
            limited
        };
        let input = limited("GRU", "US", 12);
        for (narrow, within) in [
            (limited("GRU", "US", 12), true),
            (limited("HMB", "US", 6), true),
            (limited("NRES", "US", 12), false),
            (limited("GRU", "RU", 12), false),
            (limited("GRU", "US", 600), false),
            (allowed("GRU", &["GS"]), false),
        ] {
            assert_eq!(is_within(&narrow, &input), within, "{narrow:?}");
        }
        let other = DataUse { disease: Some("MONDO:1".to_owned()), ..allowed("DS", &[]) };
        assert!(!is_within(&other, &allowed("DS", &[])) && is_within(&other, &allowed("HMB", &[])));
        assert!(is_within(&allowed("GRU", &["NPUNCU"]), &allowed("GRU", &["NPU"])));
        assert!(!is_within(&allowed("GRU", &[]), &allowed("DS", &[])));
        assert!(is_within(&allowed("GRU", &[]), &allowed("NRES", &[])));
        assert!(
            may_meet(&allowed("HMB", &[]), &allowed("DS", &[]))
                && !may_meet(&other, &allowed("DS", &[]))
        );
        assert!(!may_meet(&allowed("HMB", &[]), &allowed("POA", &[])));
        assert!(!may_meet(&limited("GRU", "US", 12), &limited("HMB", "CA", 12)));
        assert!(may_meet(&limited("GRU", "US", 12), &limited("HMB", "US", 6)));
        // Of two in other words one is left, and what is narrower alone limits.
        let turned =
            DataUse { modifiers: input.modifiers.iter().rev().cloned().collect(), ..input.clone() };
        assert_eq!(narrowest([&input, &turned].into_iter()).len(), 1);
        let narrow = limited("HMB", "US", 6);
        assert_eq!(narrowest([&input, &narrow].into_iter()), BTreeSet::from([narrow]));
    }

    #[test]
    fn modifiers_limit_further() {
        let plain = intended("HMB");
        for (code, fitting) in [
            ("NPU", IntendedUse { commercial: false, ..plain.clone() }),
            ("GS", IntendedUse { place: Some("US".to_owned()), ..plain.clone() }),
            ("IRB", IntendedUse { ethics_approval: true, ..plain.clone() }),
            ("COL", IntendedUse { collaboration: true, ..plain.clone() }),
        ] {
            assert!(fits(&allowed("GRU", &[code]), &fitting).is_ok(), "{code}");
        }
        let project = IntendedUse { accepts: ["PS".to_owned()].into(), ..plain.clone() };
        assert!(fits(&allowed("GRU", &["PS"]), &project).is_ok());
        assert!(fits(&allowed("GRU", &["PS", "MOR"]), &project).unwrap_err().contains("MOR"));
        assert!(fits(&allowed("GRU", &["TS"]), &plain).is_ok());
        let commercial = IntendedUse { commercial: true, ..plain.clone() };
        for (code, ask) in
            [("NPUNCU", &commercial), ("GS", &plain), ("IRB", &plain), ("COL", &plain)]
        {
            assert!(fits(&allowed("GRU", &[code]), ask).is_err(), "{code}");
        }
    }
}
