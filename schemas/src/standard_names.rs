//! CF standard names: what each is measured in, which older names stand for it, and what a misspelt
//! one may have meant.
//!
//! `cf.tsv` holds names, canonical units and aliases of version 93 of the table
//! (`scripts/cf_names_table.py` writes it).

use std::collections::HashMap;
use std::sync::LazyLock;

const TABLE: &str = include_str!("standard_names/cf.tsv");
/// Longest text that is compared with the table.
const LONGEST: usize = 200;
/// Modifiers of standard names (CF 1.11, appendix C).
const MODIFIERS: [&str; 4] =
    ["detection_minimum", "number_of_observations", "standard_error", "status_flag"];
/// Most suggestions.
const SUGGESTIONS: usize = 3;

#[derive(Debug, Default)]
struct Table {
    /// Canonical unit by name; empty where a name has none, such as `region`.
    units: HashMap<&'static str, &'static str>,
    /// Name by alias.
    aliases: HashMap<&'static str, &'static str>,
}

static NAMES: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table::default();
    for line in TABLE.lines().filter(|line| !line.starts_with("# ")) {
        let mut columns = line.split('\t');
        let (Some(name), Some(unit)) = (columns.next(), columns.next()) else { continue };
        match columns.next() {
            Some(target) => table.aliases.insert(name, target),
            None => table.units.insert(name, unit),
        };
    }
    table
});

/// The name that counts today: the text itself, or what its alias stands for. `None` if the table
/// has neither.
pub fn resolve(name: &str) -> Option<&'static str> {
    let names = &*NAMES;
    names
        .units
        .get_key_value(name)
        .map(|(name, _)| *name)
        .or_else(|| names.aliases.get(name).copied())
}

/// Older names of a standard name, in the order of the alphabet.
pub fn aliases(name: &str) -> Vec<&'static str> {
    let same = NAMES.aliases.iter().filter(|(_, target)| **target == name);
    let mut aliases: Vec<&str> = same.map(|(alias, _)| *alias).collect();
    aliases.sort_unstable();
    aliases
}

/// The unit that a standard name, or the one its alias stands for, is defined in. `None` for
/// unknown names and for those that have no unit.
pub fn canonical_unit(name: &str) -> Option<&'static str> {
    let unit = NAMES.units.get(resolve(name)?).copied()?;
    (!unit.is_empty()).then_some(unit)
}

/// What is wrong with a standard name and how to mend it; `None` if it is one. A modifier behind
/// the name, such as `status_flag` (CF 1.11, appendix C), does not count.
pub fn problem(text: &str) -> Option<String> {
    let name = without_modifier(text);
    match resolve(name) {
        Some(target) if target == name => None,
        Some(target) => Some(format!("the name is {target} now: write that")),
        None => Some(match suggest(name).as_slice() {
            [] => "this is no CF standard name (table version 93): use `long_name` for words of your own".to_owned(),
            close => format!("this is no CF standard name; did you mean {}?", close.join(" or ")),
        }),
    }
}

/// The name without a modifier behind it.
pub fn without_modifier(text: &str) -> &str {
    match text.trim().split_once(' ') {
        Some((name, modifier)) if MODIFIERS.contains(&modifier.trim()) => name,
        _ => text,
    }
}

/// Names of the table that are close to a text, closest first: at most a fifth of its letters
/// differ, or the same words stand in another order.
pub fn suggest(text: &str) -> Vec<&'static str> {
    if text.len() > LONGEST {
        return Vec::new();
    }
    let wanted = text.trim().to_lowercase().replace([' ', '-'], "_");
    let most = (wanted.chars().count() / 5).clamp(1, 6);
    let words = |name: &str| {
        let mut words: Vec<String> = name.split('_').map(str::to_owned).collect();
        words.sort_unstable();
        words
    };
    let own_words = words(&wanted);
    let names = &*NAMES;
    let all = names.units.keys().chain(names.aliases.keys());
    let near = all.filter(|name| name.len().abs_diff(wanted.len()) <= most);
    let mut close: Vec<(usize, &str)> = near
        .filter_map(|name| {
            let distance = strsim::osa_distance(name, &wanted);
            let distance = if words(name) == own_words { distance.min(1) } else { distance };
            (distance <= most).then(|| (distance, resolve(name).unwrap_or(name)))
        })
        .collect();
    close.sort_unstable();
    let mut found: Vec<&str> = Vec::new();
    for (_, name) in close {
        if !found.contains(&name) && found.len() < SUGGESTIONS {
            found.push(name);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Unit;
    use proptest::prelude::*;

    #[test]
    fn the_table_is_whole_and_every_canonical_unit_is_one() {
        assert_eq!((NAMES.units.len(), NAMES.aliases.len()), (5023, 595));
        for (name, unit) in &NAMES.units {
            assert!(Unit::parse(unit).is_ok(), "{name}: {unit:?}");
        }
        for (alias, name) in &NAMES.aliases {
            assert!(NAMES.units.contains_key(name), "{alias}");
        }
    }

    #[test]
    fn aliases_lead_to_names() {
        assert_eq!(canonical_unit("air_temperature"), Some("K"));
        assert_eq!(resolve("air_temperature"), Some("air_temperature"));
        assert_eq!(
            resolve("chlorophyll_concentration_in_sea_water"),
            Some("mass_concentration_of_chlorophyll_in_sea_water")
        );
        assert!(
            aliases("mass_concentration_of_chlorophyll_in_sea_water")
                .contains(&"chlorophyll_concentration_in_sea_water")
        );
        assert_eq!(canonical_unit("region"), None);
        assert_eq!(resolve("no_such_name"), None);
    }

    #[test]
    fn misspelt_names_are_recognised() {
        for (wrong, right) in [
            ("air_temprature", "air_temperature"),
            ("Air Temperature", "air_temperature"),
            ("temperature_air", "air_temperature"),
            ("sea_surface_temperture", "sea_surface_temperature"),
            ("specific_humidty", "specific_humidity"),
        ] {
            assert_eq!(suggest(wrong).first(), Some(&right), "{wrong}");
            assert!(problem(wrong).unwrap().contains(right));
        }
        assert_eq!(suggest("bananas"), [""; 0]);
        assert_eq!(suggest(&"a".repeat(100_000)), [""; 0]);
        assert_eq!(problem("air_temperature"), None);
        assert_eq!(problem("air_temperature status_flag"), None);
        assert!(problem("bananas").unwrap().contains("long_name"));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,60}") {
            let _ = (problem(&text), suggest(&text), canonical_unit(&text));
        }
    }
}
