//! Units and prefixes by name.
//!
//! `udunits.txt` is the database of UDUNITS-2 (`scripts/units_table.py` writes it). [`WORDS`] are
//! read beside it.

use super::{BASES, Unit, UnitError, parse};
use std::collections::HashMap;
use std::sync::LazyLock;

const UDUNITS: &str = include_str!("udunits.txt");

/// Most units that are suggested for a word.
const SUGGESTIONS: usize = 3;

/// Words that UDUNITS does not know, all for plain numbers: the dimensionless vertical coordinates
/// that CF allows (CF 1.11, section 3.1), and what files of observatories and beamlines write where
/// a number has no unit.
const WORDS: [&str; 9] = [
    "level",
    "layer",
    "sigma_level",
    "none",
    "unitless",
    "dimensionless",
    // A number of things, as in `#/m^3`.
    "#",
    // Practical salinity.
    "psu",
    "PSU",
];

/// A word of weather stations for a unit that UDUNITS knows by others.
const OTHER_NAMES: [(&str, &str); 1] = [("deg", "degree")];

/// Measured constants that the database has by older measurements: the electronvolt is exact since
/// the SI of 2019, the atomic mass unit is that of CODATA 2018.
const NEWER: [(&str, &str); 2] =
    [("1.60217733e-19 J", "1.602176634e-19 J"), ("1.6605402e-27 kg", "1.66053906660e-27 kg")];

/// The database.
#[derive(Debug, Default)]
struct Database {
    /// By name in lower case.
    names: HashMap<&'static str, Unit>,
    /// By symbol, whose letter case counts.
    symbols: HashMap<&'static str, Unit>,
    name_prefixes: Vec<(&'static str, Unit)>,
    symbol_prefixes: Vec<(&'static str, Unit)>,
}

static DATABASE: LazyLock<Database> = LazyLock::new(Database::load);

/// The unit of a name or symbol, with or without a prefix.
pub(super) fn find(name: &str) -> Option<Unit> {
    let other = || OTHER_NAMES.iter().find(|(other, _)| *other == name);
    DATABASE
        .find(name)
        .or_else(|| WORDS.contains(&name).then_some(Unit::ONE))
        .or_else(|| other().and_then(|(_, name)| DATABASE.find(name)))
}

/// Units that go with another and whose name is close to a word, closest first: at most a third of its letters
/// differ.
pub(super) fn suggest(word: &str, with: Unit) -> Vec<&'static str> {
    let lower = word.to_lowercase();
    let most = (word.chars().count() / 3).max(1);
    let names = DATABASE.names.iter().map(|(name, unit)| (*name, unit, lower.as_str()));
    let symbols = DATABASE.symbols.iter().map(|(symbol, unit)| (*symbol, unit, word));
    let mut close: Vec<(usize, &str)> = names
        .chain(symbols)
        .filter(|(name, unit, wanted)| {
            unit.converts_to(with) && name.len().abs_diff(wanted.len()) <= most
        })
        .map(|(name, _, wanted)| (strsim::osa_distance(name, wanted), name))
        .filter(|(distance, name)| *distance <= most && *distance < name.chars().count())
        .collect();
    close.sort_unstable();
    close.dedup();
    close.into_iter().take(SUGGESTIONS).map(|(_, name)| name).collect()
}

impl Database {
    fn load() -> Self {
        let mut database = Self::default();
        let mut bases = 0..BASES;
        for line in UDUNITS.lines().filter(|line| !line.starts_with("# ")) {
            let mut columns = line.split('\t');
            let definition = columns.next().unwrap_or_default();
            let names = columns.next().unwrap_or_default().split(' ').filter(|n| !n.is_empty());
            let symbols = columns.next().unwrap_or_default().split(' ').filter(|s| !s.is_empty());
            let unit = match definition {
                "!" => bases.next().map(Unit::base),
                // A definition uses what stands above it.
                _ => Self::define(definition, &database).ok(),
            };
            let Some(unit) = unit else { continue };
            if definition.starts_with('*') {
                database.name_prefixes.extend(names.map(|name| (name, unit)));
                database.symbol_prefixes.extend(symbols.map(|symbol| (symbol, unit)));
                continue;
            }
            database.names.extend(names.map(|name| (name, unit)));
            database.symbols.extend(symbols.map(|symbol| (symbol, unit)));
        }
        database
    }

    fn define(definition: &str, database: &Self) -> Result<Unit, UnitError> {
        if let Some(factor) = definition.strip_prefix('*') {
            return parse::plain(factor);
        }
        let newer = NEWER.iter().find(|(older, _)| *older == definition);
        let definition = newer.map_or(definition, |(_, newer)| *newer);
        parse::unit(definition, &|name| database.find(name))
    }

    fn find(&self, name: &str) -> Option<Unit> {
        self.whole(name).or_else(|| {
            let lower = name.to_lowercase();
            let by_name = self.name_prefixes.iter().filter_map(|(prefix, factor)| {
                let rest = lower.starts_with(prefix).then(|| name.get(prefix.len()..)).flatten();
                rest.map(|rest| (rest, factor))
            });
            let by_symbol = self.symbol_prefixes.iter().filter_map(|(prefix, factor)| {
                name.strip_prefix(prefix).map(|rest| (rest, factor))
            });
            by_name
                .chain(by_symbol)
                .find_map(|(rest, factor)| self.whole(rest)?.prefixed(*factor).ok())
        })
    }

    fn whole(&self, name: &str) -> Option<Unit> {
        let by_name = || self.names.get(name.to_lowercase().as_str());
        self.symbols.get(name).or_else(by_name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_of_the_database_is_read() {
        for line in UDUNITS.lines().filter(|line| !line.starts_with("# ")) {
            let mut columns = line.split('\t');
            if columns.next().is_some_and(|definition| definition.starts_with('*')) {
                continue;
            }
            for name in columns.flat_map(|column| column.split(' ')).filter(|n| !n.is_empty()) {
                assert!(find(name).is_some(), "{name} in {line:?}");
            }
        }
    }
}
