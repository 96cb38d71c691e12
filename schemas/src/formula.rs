//! Chemical formulas: which elements are in `CuSO4·5H2O`, `Ca(OH)2`, `La1.85Sr0.15CuO4`, `[Fe(CN)6]4-`.
//!
//! Read as people and NeXus files write them: symbols with amounts (whole, decimal, or a letter as in
//! `La2-xSrxCuO4`), brackets, parts divided by a dot, a comma or a blank with a number in front, charges.
//! Deuterium and tritium are hydrogen.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::CharIndices;
use thiserror::Error;

/// Symbols of the elements in the order of their numbers.
pub const ELEMENTS: [&str; 118] = [
    "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl",
    "Ar", "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As",
    "Se", "Br", "Kr", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In",
    "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb",
    "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl",
    "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm", "Bk",
    "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh",
    "Fl", "Mc", "Lv", "Ts", "Og",
];

/// Longest formula in bytes.
const LONGEST: usize = 1000;

/// Why a text is no formula, or no element.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FormulaError {
    /// There is no such element.
    #[error("{symbol:?} is no element{hint}")]
    Element {
        /// What stands there.
        symbol: String,
        /// What may be meant, or nothing.
        hint: String,
    },
    /// Something else is wrong.
    #[error("{problem} at character {place}")]
    Form {
        /// What is wrong.
        problem: &'static str,
        /// Where, in characters from 1.
        place: usize,
    },
    /// It says nothing.
    #[error("there is no element in it")]
    Empty,
    /// It is too long.
    #[error("a formula has at most {LONGEST} bytes")]
    TooLong,
}

/// The symbol of an element as the table has it.
///
/// # Errors
/// [`FormulaError::Element`], with the symbol that may be meant.
pub fn element(text: &str) -> Result<&'static str, FormulaError> {
    if let Some(known) = known(text) {
        return Ok(known);
    }
    let meant = ELEMENTS.iter().find(|symbol| symbol.eq_ignore_ascii_case(text));
    let hint = match meant {
        Some(symbol) => format!("; did you mean {symbol}?"),
        None => ": write symbols of the periodic table, such as Fe or O".to_owned(),
    };
    Err(FormulaError::Element { symbol: text.chars().take(20).collect(), hint })
}

fn known(text: &str) -> Option<&'static str> {
    let text = if matches!(text, "D" | "T") { "H" } else { text };
    ELEMENTS.iter().find(|symbol| **symbol == text).copied()
}

/// The elements of a formula.
///
/// # Errors
/// [`FormulaError`] for a text that is none.
pub fn elements(formula: &str) -> Result<BTreeSet<&'static str>, FormulaError> {
    if formula.len() > LONGEST {
        return Err(FormulaError::TooLong);
    }
    let mut reading = Reading {
        text: formula,
        rest: formula.char_indices().peekable(),
        found: BTreeSet::new(),
        open: Vec::new(),
        unit: false,
    };
    reading.run()?;
    if reading.found.is_empty() { Err(FormulaError::Empty) } else { Ok(reading.found) }
}

/// A formula on its way. Amounts multiply and charge, and neither adds an element nor takes one away, so
/// that it is read from left to right with the open brackets in hand.
struct Reading<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
    found: BTreeSet<&'static str>,
    /// What closes each open bracket, and whether something stood in it.
    open: Vec<(char, bool)>,
    /// Whether an element or group stands before, which an amount or a charge belongs to.
    unit: bool,
}

impl Reading<'_> {
    fn run(&mut self) -> Result<(), FormulaError> {
        while let Some((at, character)) = self.rest.next() {
            match character {
                'A'..='Z' => self.symbol(at)?,
                '(' | '[' | '{' => {
                    let closing = match character {
                        '(' => ')',
                        '[' => ']',
                        _ => '}',
                    };
                    self.open.push((closing, false));
                    self.unit = false;
                }
                ')' | ']' | '}' => match self.open.pop() {
                    Some((closing, true)) if closing == character => self.stood(),
                    Some((closing, _)) if closing == character => {
                        return Err(self.wrong("nothing stands in the brackets that close", at));
                    }
                    _ => return Err(self.wrong("a bracket closes that is not open", at)),
                },
                _ if digit(character).is_some() => self.number(at, character)?,
                '+' | '-' | '−' | '–' | '^' | '⁺' | '⁻' if self.unit => {}
                'x' | 'y' | 'z' | 'n' | 'm' | 'δ' | 'ε' if self.unit => {}
                // A dot between digits is part of a number, which is read as a whole.
                '·' | '•' | '∙' | '⋅' | '*' | '.' | ',' | ';' => self.unit = false,
                _ if character.is_whitespace() => {}
                'a'..='z' => {
                    return Err(self.wrong("symbols of elements begin with a capital letter", at));
                }
                '+' | '-' | '−' | '–' | '^' | '⁺' | '⁻' => {
                    return Err(self.wrong("a sign stands behind an element or a group", at));
                }
                _ => return Err(self.wrong("this is no part of a formula", at)),
            }
        }
        if self.open.is_empty() {
            return Ok(());
        }
        Err(self.wrong("a bracket is not closed", self.text.len()))
    }

    /// An element, whose first letter was read.
    fn symbol(&mut self, at: usize) -> Result<(), FormulaError> {
        let second = self.rest.peek().filter(|(_, next)| next.is_ascii_lowercase());
        let end = second.map(|(place, _)| place.saturating_add(1));
        let two = end.and_then(|end| self.text.get(at..end));
        let one = self.text.get(at..at.saturating_add(1)).unwrap_or_default();
        let found = match two {
            None => element(one)?,
            // Two letters are one symbol if there is one; else the second may be an amount: `Nx`.
            Some(two) => match (known(two), known(one)) {
                (Some(symbol), _) => {
                    self.rest.next();
                    symbol
                }
                (None, Some(symbol)) if two.ends_with(['x', 'y', 'z', 'n', 'm']) => symbol,
                _ => return element(two).map(drop),
            },
        };
        self.found.insert(found);
        self.stood();
        Ok(())
    }

    /// A number, whose first digit was read.
    fn number(&mut self, at: usize, first: char) -> Result<(), FormulaError> {
        let mut zero = digit(first) == Some(0);
        let mut fraction = false;
        while let Some((_, next)) = self.rest.peek().copied() {
            if let Some(value) = digit(next) {
                zero &= value == 0;
            } else if next == '.' && !fraction && self.digit_behind() {
                fraction = true;
            } else {
                break;
            }
            self.rest.next();
        }
        if zero && self.unit {
            return Err(self.wrong("an amount is more than 0", at));
        }
        Ok(())
    }

    /// Whether a digit stands behind the next character.
    fn digit_behind(&self) -> bool {
        let mut ahead = self.rest.clone();
        ahead.next();
        ahead.next().is_some_and(|(_, next)| digit(next).is_some())
    }

    /// An element or a group ends here.
    fn stood(&mut self) {
        self.unit = true;
        if let Some((_, something)) = self.open.last_mut() {
            *something = true;
        }
    }

    fn wrong(&self, problem: &'static str, at: usize) -> FormulaError {
        let before = self.text.get(..at).map_or(0, |text| text.chars().count());
        FormulaError::Form { problem, place: before.saturating_add(1) }
    }
}

/// The value of a digit, also of a small one.
fn digit(character: char) -> Option<u32> {
    const SMALL: [[char; 10]; 2] = [
        ['₀', '₁', '₂', '₃', '₄', '₅', '₆', '₇', '₈', '₉'],
        ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'],
    ];
    let small = || SMALL.iter().find_map(|digits| digits.iter().position(|one| *one == character));
    character.to_digit(10).or_else(|| small().and_then(|value| u32::try_from(value).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(formula: &str) -> String {
        match elements(formula) {
            Ok(found) => found.into_iter().collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn formulas_have_their_elements() {
        for (formula, found) in [
            ("Fe2O3", "Fe O"),
            ("Fe2 O3", "Fe O"),
            ("Ca(OH)2", "Ca H O"),
            ("CuSO4·5H2O", "Cu H O S"),
            ("CuSO4.5H2O", "Cu H O S"),
            ("CuSO4.H2O", "Cu H O S"),
            ("La1.85Sr0.15CuO4", "Cu La O Sr"),
            ("La2-xSrxCuO4-δ", "Cu La O Sr"),
            ("YBa2Cu3O7−δ", "Ba Cu O Y"),
            ("[Fe(CN)6]4-", "C Fe N"),
            ("SO4 2-", "O S"),
            ("Fe3+", "Fe"),
            ("Na⁺", "Na"),
            ("C24 H16 Cu N6 2+, 2(C H3 O)", "C Cu H N O"),
            ("D2O", "H O"),
            ("Fe₂O₃", "Fe O"),
            ("(CH2)n", "C H"),
            ("SiNx", "N Si"),
            ("CO", "C O"),
            ("Co", "Co"),
            ("HoHo", "Ho"),
            (" K2 { Pt Cl4 } ", "Cl K Pt"),
        ] {
            assert_eq!(of(formula), found, "{formula}");
        }
        for (text, told) in [
            ("", "there is no element in it"),
            ("12.5", "there is no element in it"),
            ("Xx2", "\"Xx\" is no element: write symbols of the periodic table, such as Fe or O"),
            ("J", "\"J\" is no element: write symbols of the periodic table, such as Fe or O"),
            ("Ca(OH", "a bracket is not closed at character 6"),
            ("Ca)OH", "a bracket closes that is not open at character 3"),
            ("Ca(OH]", "a bracket closes that is not open at character 6"),
            ("Ca()", "nothing stands in the brackets that close at character 4"),
            ("fe2", "symbols of elements begin with a capital letter at character 1"),
            ("-Fe", "a sign stands behind an element or a group at character 1"),
            ("Fe0O", "an amount is more than 0 at character 3"),
            ("Fe/O", "this is no part of a formula at character 3"),
            ("😀", "this is no part of a formula at character 1"),
        ] {
            assert_eq!(of(text), told, "{text}");
        }
        assert_eq!(elements(&"H".repeat(1001)), Err(FormulaError::TooLong));
        assert_eq!(
            element("FE").unwrap_err().to_string(),
            "\"FE\" is no element; did you mean Fe?"
        );
    }

    /// A formula, with the elements that went into it.
    fn formula() -> impl Strategy<Value = (String, BTreeSet<&'static str>)> {
        let amount = prop_oneof![
            Just(String::new()),
            (1_u32..200).prop_map(|whole| whole.to_string()),
            (0_u32..20, 1_u32..99).prop_map(|(whole, part)| format!("{whole}.{part:02}")),
            Just("₂".to_owned()),
        ];
        let symbol = prop::sample::select(ELEMENTS.to_vec());
        let leaf = (symbol, amount.clone())
            .prop_map(|(symbol, amount)| (format!("{symbol}{amount}"), BTreeSet::from([symbol])));
        let nested = leaf.prop_recursive(4, 24, 4, move |inner| {
            (
                prop::collection::vec(inner, 1..4),
                amount.clone(),
                prop::sample::select(vec![("(", ")"), ("[", "]"), ("{", "}"), ("", " ")]),
            )
                .prop_map(|(parts, amount, (open, close))| {
                    let text: String = parts.iter().map(|(text, _)| text.as_str()).collect();
                    let all = parts.into_iter().flat_map(|(_, found)| found).collect();
                    let amount = if open.is_empty() { String::new() } else { amount };
                    (format!("{open}{text}{close}{amount}"), all)
                })
        });
        let divider = prop::sample::select(vec!["·", ", ", " ", "*2", "·5"]);
        (
            prop::collection::vec((nested, divider), 1..4),
            prop::sample::select(vec!["", "+", "2-", " 3+", "⁻"]),
        )
            .prop_map(|(parts, charge)| {
                let (mut text, mut all) = (String::new(), BTreeSet::new());
                for (place, (part, divider)) in parts.iter().enumerate() {
                    if place > 0 {
                        text.push_str(divider);
                    }
                    text.push_str(&part.0);
                    all.extend(part.1.iter().copied());
                }
                (text + charge, all)
            })
    }

    proptest! {
        #[test]
        fn every_formula_has_the_elements_that_went_into_it((text, all) in formula()) {
            prop_assume!(text.len() <= LONGEST);
            prop_assert_eq!(elements(&text), Ok(all), "{}", text);
        }

        #[test]
        fn any_text_is_a_formula_or_is_told_why_not(text in "\\PC{0,60}|[A-Za-z0-9()\\[\\]{}.,+ ·-]{0,60}") {
            match elements(&text) {
                Ok(found) => prop_assert!(!found.is_empty()),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
