//! Rules on who may know of a dataset and on what terms its data are used.

use super::date::{in_months, parse_date};
use super::rights::is_sha256;
use super::vocabulary::{USE_MODIFIERS, USE_PERMISSIONS};
use super::{Findings, NOTHING, Setting, shown};
use crate::facts::FileFacts;
use crate::record::{
    Agreement, Conditions, DataUse, Disclosure, Exposure, Privacy, Record, UseModifier,
};
use crate::tier::Tier;
use std::collections::BTreeSet;

/// Longest grant: what is approved is looked at again.
const LONGEST_GRANT_MONTHS: u32 = 60;
const ASSURANCES: [&str; 3] = ["low", "medium", "high"];
/// Aggregates whose results can be checked for disclosure.
const FUNCTIONS: [&str; 7] = ["avg", "count", "histogram", "max", "mean", "min", "sum"];

pub(super) fn check(
    record: &Record,
    files: &[FileFacts],
    setting: &Setting,
    findings: &mut Findings,
) {
    exposure(record, findings);
    terms(record, findings);
    agreement(record, findings);
    conditions(record, findings);
    data_use(record, setting, findings);
    disclosure(record, files, setting, findings);
    reviewed(record, setting, findings);
}

fn exposure(record: &Record, findings: &mut Findings) {
    let Some(tier) = record.tier else { return };
    let (allowed, words): (&[Exposure], _) = match tier {
        Tier::Public | Tier::Registered => (&[Exposure::Full], "full"),
        Tier::Controlled => (&[Exposure::Full, Exposure::Redacted], "full or redacted"),
        Tier::Restricted => (
            &[Exposure::Redacted, Exposure::Existence, Exposure::None],
            "redacted, existence or none",
        ),
        Tier::AggregatesOnly => (
            &[Exposure::Full, Exposure::Redacted, Exposure::Existence, Exposure::None],
            "full, redacted, existence or none",
        ),
    };
    match record.exposure {
        Some(exposure) if allowed.contains(&exposure) => {}
        Some(exposure) => findings.add(
            "/exposure",
            "exposure.tier",
            format!("{exposure:?}").to_lowercase(),
            format!("at the tier {tier} the record is shown {words}"),
        ),
        // Everyone may know of what everyone, or everyone who signs in, may read.
        None if tier <= Tier::Registered => {}
        None => findings.add(
            "/exposure",
            "exposure.required",
            NOTHING,
            format!("say who may know of the dataset; at the tier {tier} that is {words}"),
        ),
    }
}

fn terms(record: &Record, findings: &mut Findings) {
    let Some(terms) = &record.terms else {
        if record.tier.is_some_and(|tier| tier > Tier::Public) {
            findings.add(
                "/terms",
                "terms.required",
                NOTHING,
                "name the terms that readers accept: {id: name or URI, sha256: SHA-256 of their text}",
            );
        }
        return;
    };
    if terms.id.trim().is_empty() {
        findings.add("/terms/id", "terms.id", NOTHING, "write the name or URI of the terms");
    }
    hash(&terms.sha256, "/terms/sha256", "terms.sha256", findings);
}

fn hash(sha256: &str, pointer: &str, rule: &str, findings: &mut Findings) {
    if !is_sha256(sha256) {
        findings.add(
            pointer,
            rule,
            shown(sha256),
            "write the SHA-256 of the text as 64 lower-case hexadecimal digits (`sha256sum FILE`)",
        );
    }
}

fn agreement(record: &Record, findings: &mut Findings) {
    let Some(agreement) = &record.agreement else {
        if record.tier.is_some_and(|tier| tier > Tier::Registered) {
            findings.add(
                "/agreement",
                "agreement.required",
                NOTHING,
                "name the agreement that readers sign: {id: …, sha256: …, committee: …, months: 12, purposes: [research]}",
            );
        }
        return;
    };
    let Agreement { id, sha256, committee, months, purposes } = agreement;
    for (pointer, rule, text, fix) in [
        ("/agreement/id", "agreement.id", id, "write the name or URI of the agreement"),
        (
            "/agreement/committee",
            "agreement.committee",
            committee,
            "name the committee that decides about requests",
        ),
    ] {
        if text.trim().is_empty() {
            findings.add(pointer, rule, NOTHING, fix);
        }
    }
    hash(sha256, "/agreement/sha256", "agreement.sha256", findings);
    if !(1..=LONGEST_GRANT_MONTHS).contains(months) {
        findings.add(
            "/agreement/months",
            "agreement.months",
            months.to_string(),
            format!("access is granted for 1 to {LONGEST_GRANT_MONTHS} months, and can be renewed"),
        );
    }
    if purposes.is_empty() || purposes.iter().any(|purpose| purpose.trim().is_empty()) {
        findings.add(
            "/agreement/purposes",
            "agreement.purposes",
            if purposes.is_empty() { NOTHING } else { "an empty purpose" },
            "name the purposes that may be granted, such as research",
        );
    }
}

fn conditions(record: &Record, findings: &mut Findings) {
    let wanted = match record.tier {
        Some(Tier::Restricted | Tier::AggregatesOnly) => true,
        // Of these only the assurance of the identity is asked.
        Some(Tier::Registered) => {
            if record.conditions.as_ref().is_none_or(|given| given.assurance.is_none()) {
                findings.add(
                    "/conditions/assurance",
                    "conditions.assurance",
                    NOTHING,
                    "say how sure the identity of a reader has to be: low, medium or high",
                );
            }
            false
        }
        _ => false,
    };
    let empty = Conditions::default();
    let given = record.conditions.as_ref().unwrap_or(&empty);
    if wanted && *given == empty {
        findings.add(
            "/conditions",
            "conditions.required",
            NOTHING,
            "say what readers have to bring: {assurance: high, training: […], affiliations: […], countries: […]}",
        );
    }
    if let Some(assurance) = &given.assurance
        && !ASSURANCES.contains(&assurance.as_str())
    {
        findings.add(
            "/conditions/assurance",
            "conditions.assurance",
            shown(assurance),
            "use low, medium or high",
        );
    }
    for (name, list) in [("training", &given.training), ("affiliations", &given.affiliations)] {
        for (place, text) in list.iter().enumerate() {
            if text.trim().is_empty() {
                findings.add(
                    format!("/conditions/{name}/{place}"),
                    &format!("conditions.{name}"),
                    NOTHING,
                    "name it, or leave the entry out",
                );
            }
        }
    }
    for (place, code) in given.countries.iter().enumerate() {
        country(code, &format!("/conditions/countries/{place}"), findings);
    }
}

/// The form of an ISO 3166-1 alpha-2 code.
pub(super) fn country(code: &str, pointer: &str, findings: &mut Findings) {
    if !(code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())) {
        findings.add(
            pointer,
            "country.form",
            shown(code),
            "write the two capital letters of the country (ISO 3166-1), such as US",
        );
    }
}

fn data_use(record: &Record, setting: &Setting, findings: &mut Findings) {
    let Some(given) = &record.data_use else {
        let wanted = match record.tier {
            Some(Tier::Controlled | Tier::Restricted) => record.human_data == Some(true),
            Some(Tier::AggregatesOnly) => record.human_data != Some(false),
            _ => false,
        };
        if wanted {
            findings.add(
                "/data_use",
                "data_use.required",
                NOTHING,
                "say what data about people may be used for: {permission: GRU, modifiers: [{code: NCU}]}; if they are not about people, say `human_data: false`",
            );
        }
        return;
    };
    let DataUse { permission, disease, modifiers } = given;
    if !USE_PERMISSIONS.iter().any(|(code, _)| code == permission) {
        let known: Vec<&str> = USE_PERMISSIONS.iter().map(|(code, _)| *code).collect();
        findings.add(
            "/data_use/permission",
            "data_use.permission",
            shown(permission),
            format!("use one permission of the Data Use Ontology: {}", known.join(", ")),
        );
    }
    let disease = disease.as_deref().unwrap_or_default().trim();
    if permission == "DS" && !disease.contains(':') {
        findings.add(
            "/data_use/disease",
            "data_use.disease",
            if disease.is_empty() { NOTHING.to_owned() } else { shown(disease) },
            "DS is about one disease: name it by a term such as MONDO:0005015",
        );
    }
    let mut seen = BTreeSet::new();
    for (place, modifier) in modifiers.iter().enumerate() {
        let pointer = format!("/data_use/modifiers/{place}");
        if !seen.insert(&modifier.code) {
            findings.add(
                format!("{pointer}/code"),
                "data_use.once",
                shown(&modifier.code),
                "write every modifier once",
            );
        }
        check_modifier(modifier, &pointer, setting, findings);
    }
    if permission == "NRES" && !modifiers.is_empty() {
        findings.add(
            "/data_use/modifiers",
            "data_use.no_restriction",
            format!("{} modifier(s)", modifiers.len()),
            "NRES says that there is no restriction: use GRU with modifiers, or take them out",
        );
    }
    if permission == "POA" && seen.iter().any(|code| *code == "NPOA") {
        findings.add(
            "/data_use/modifiers",
            "data_use.ancestry",
            "NPOA at the permission POA",
            "POA is for research on ancestry, and NPOA forbids it: take one of them out",
        );
    }
}

fn check_modifier(
    modifier: &UseModifier,
    pointer: &str,
    setting: &Setting,
    findings: &mut Findings,
) {
    let UseModifier { code, until, place, months } = modifier;
    if !USE_MODIFIERS.iter().any(|(known, _)| known == code) {
        let known: Vec<&str> = USE_MODIFIERS.iter().map(|(code, _)| *code).collect();
        findings.add(
            format!("{pointer}/code"),
            "data_use.modifier",
            shown(code),
            format!("use a modifier of the Data Use Ontology: {}", known.join(", ")),
        );
        return;
    }
    match (code.as_str(), until) {
        ("MOR", Some(until)) if parse_date(until).is_some() => {}
        ("MOR", until) => findings.add(
            format!("{pointer}/until"),
            "data_use.until",
            until.as_ref().map_or_else(|| NOTHING.to_owned(), |until| shown(until)),
            "MOR (no publication before a date) needs the date, as YYYY-MM-DD",
        ),
        _ => {}
    }
    match (code.as_str(), place) {
        ("GS", Some(place)) => country(place, &format!("{pointer}/place"), findings),
        ("GS", None) => findings.add(
            format!("{pointer}/place"),
            "data_use.place",
            NOTHING,
            "GS (only in one place) needs the place, as two capital letters of ISO 3166-1",
        ),
        _ => {}
    }
    let longest = in_months(setting.today, 1200);
    match (code.as_str(), months) {
        ("TS", Some(months)) if *months > 0 && in_months(setting.today, *months) <= longest => {}
        ("TS", months) => findings.add(
            format!("{pointer}/months"),
            "data_use.months",
            months.map_or_else(|| NOTHING.to_owned(), |months| months.to_string()),
            "TS (only for a time) needs the number of months, 1 to 1200",
        ),
        _ => {}
    }
}

fn disclosure(record: &Record, files: &[FileFacts], setting: &Setting, findings: &mut Findings) {
    let Some(given) = &record.disclosure else {
        if record.tier == Some(Tier::AggregatesOnly) {
            findings.add(
                "/disclosure",
                "disclosure.required",
                NOTHING,
                "say what may leave: {unit: person_id, minimum_cell: 11, functions: [count, avg], group_by: [year]}",
            );
        }
        return;
    };
    let Disclosure {
        unit,
        minimum_cell,
        dominance_percent,
        rounding,
        privacy,
        functions,
        group_by,
    } = given;
    if unit.trim().is_empty() {
        findings.add(
            "/disclosure/unit",
            "disclosure.unit",
            NOTHING,
            "name the column whose values are counted as units: a person, a site, a firm",
        );
    }
    if *minimum_cell < setting.smallest_cell {
        findings.add(
            "/disclosure/minimum_cell",
            "disclosure.minimum_cell",
            minimum_cell.to_string(),
            format!("this lab shows no number of fewer than {} units", setting.smallest_cell),
        );
    }
    for (name, value, most) in
        [("dominance_percent", dominance_percent, 100.0), ("rounding", rounding, f64::MAX)]
    {
        if let Some(value) = value
            && !(*value > 0.0 && *value <= most)
        {
            findings.add(
                format!("/disclosure/{name}"),
                &format!("disclosure.{name}"),
                value.to_string(),
                "write a number above 0, or leave it out",
            );
        }
    }
    if let Some(privacy) = privacy {
        self::privacy(privacy, given, findings);
    }
    if functions.is_empty() {
        findings.add(
            "/disclosure/functions",
            "disclosure.functions",
            NOTHING,
            format!("name the functions that may be used: {}", FUNCTIONS.join(", ")),
        );
    }
    for (place, function) in functions.iter().enumerate() {
        if !FUNCTIONS.contains(&function.as_str()) {
            findings.add(
                format!("/disclosure/functions/{place}"),
                "disclosure.functions",
                shown(function),
                format!("only these can be checked for disclosure: {}", FUNCTIONS.join(", ")),
            );
        }
    }
    let known = |column: &String| {
        let variables = files.iter().flat_map(|file| &file.variables);
        variables
            .into_iter()
            .any(|variable| variable.name == *column || variable.dimensions.contains(column))
    };
    let has_variables = files.iter().any(|file| !file.variables.is_empty());
    for (place, column) in group_by.iter().enumerate() {
        if column == unit {
            findings.add(
                format!("/disclosure/group_by/{place}"),
                "disclosure.group_by",
                shown(column),
                "groups of one unit show the unit: take it out",
            );
        } else if has_variables && record.tables.is_empty() && !known(column) {
            findings.add(
                format!("/disclosure/group_by/{place}"),
                "disclosure.group_by",
                shown(column),
                "no file has such a variable: correct the name",
            );
        }
    }
}

/// Largest δ: more would show some units on purpose.
const LARGEST_DELTA: f64 = 0.01;
/// Most cells, and rows of a cell, of one unit.
const MOST_OF_A_UNIT: u32 = 1_000_000;

/// Noise can be made for what is bounded, and for counts, sums and means alone.
fn privacy(given: &Privacy, disclosure: &Disclosure, findings: &mut Findings) {
    let Privacy { epsilon, delta, budget, cells, rows, bounds } = given;
    let mut check = |name: &str, fits: bool, found: String, fix: &str| {
        if !fits {
            let pointer = format!("/disclosure/privacy/{name}");
            findings.add(pointer, &format!("disclosure.privacy.{name}"), found, fix);
        }
    };
    let fits = epsilon.is_finite() && *epsilon > 0.0;
    check("epsilon", fits, epsilon.to_string(), "write a number above 0, such as 1");
    let fits = *delta > 0.0 && *delta <= LARGEST_DELTA;
    check("delta", fits, delta.to_string(), "write a number above 0 and up to 0.01, such as 1e-6");
    let fits = budget.is_none_or(|budget| budget.is_finite() && budget >= *epsilon);
    let found = budget.unwrap_or_default().to_string();
    check("budget", fits, found, "write a number that is not below epsilon, or leave it out");
    for (name, most) in [("cells", cells), ("rows", rows)] {
        let fits = (1..=MOST_OF_A_UNIT).contains(most);
        check(name, fits, most.to_string(), "write a whole number from 1 to 1000000");
    }
    for (column, [low, high]) in bounds {
        let fits = low.is_finite() && high.is_finite() && low < high;
        let found = format!("[{low}, {high}]");
        let name = format!("bounds/{column}");
        check(
            &name,
            fits,
            found,
            "write two numbers, the smallest and the largest value, such as [0, 120]",
        );
    }
    for (place, function) in disclosure.functions.iter().enumerate() {
        if !["avg", "count", "mean", "sum"].contains(&function.as_str()) {
            findings.add(
                format!("/disclosure/functions/{place}"),
                "disclosure.functions",
                shown(function),
                "with differential privacy there are avg, count, mean and sum alone",
            );
        }
    }
}

fn reviewed(record: &Record, setting: &Setting, findings: &mut Findings) {
    match &record.reviewed {
        None => {
            if record.tier == Some(Tier::Restricted) {
                findings.add(
                    "/reviewed",
                    "reviewed.required",
                    NOTHING,
                    "title and description of a restricted dataset may be seen by others: say who has checked that they give nothing away, {by: …, on: YYYY-MM-DD}",
                );
            }
        }
        Some(reviewed) => {
            if reviewed.by.trim().is_empty() {
                findings.add("/reviewed/by", "reviewed.by", NOTHING, "name the reviewer");
            }
            if parse_date(&reviewed.on).is_none_or(|day| day > setting.today) {
                findings.add(
                    "/reviewed/on",
                    "reviewed.on",
                    shown(&reviewed.on),
                    "write the day of the review as YYYY-MM-DD, today at the latest",
                );
            }
        }
    }
}
