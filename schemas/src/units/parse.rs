//! The grammar of units, token by token that of UDUNITS-2.
//!
//! ```text
//! shifted: product [("@" | "after" | "from" | "ref" | "since") (number | moment)]
//! product: power {["." | "*" | "·" | "-" | blanks | "/" | "per"] power}
//! power:   basic [integer | ("^" | "**") integer]
//! basic:   name | number | "(" shifted ")" | "lg(re" product ")"
//! ```
//!
//! An integer with or without a sign directly behind a unit, a bracket or a number is its exponent:
//! `10-3 kg` is a thousandth of a kilogram. A number with a point or an exponent of ten is a factor
//! there, and behind a name nothing but an integer is a number: `m1.5` is `m1` times `.5`. Blanks
//! stand around `/` and `per` and nowhere else beside an operator.
//!
//! Wider than UDUNITS: `⋅` (U+22C5) multiplies, and superscripts may have a sign.

use super::moment::moment;
use super::{Factor, SECOND, Scale, Unit, UnitError};

/// Deepest brackets.
const DEEPEST: usize = 20;
/// What parts factors.
const BLANKS: [char; 5] = [' ', '\t', '\r', '\u{b}', '\u{c}'];

/// Reads text with the units that `find` knows by name.
pub(super) fn unit(text: &str, find: &dyn Fn(&str) -> Option<Unit>) -> Result<Unit, UnitError> {
    let mut parser = Parser { rest: text, find, depth: 0, after_name: false };
    let unit = parser.shifted()?;
    match parser.rest.trim_start() {
        "" => Ok(unit),
        rest => Err(UnitError(format!("{rest:?} is not expected there"))),
    }
}

struct Parser<'a> {
    rest: &'a str,
    find: &'a dyn Fn(&str) -> Option<Unit>,
    depth: usize,
    /// Whether what was read last is a name, or a name with `^` and its exponent.
    after_name: bool,
}

impl<'a> Parser<'a> {
    fn shifted(&mut self) -> Result<Unit, UnitError> {
        let unit = self.product()?;
        let Some(origin) = self.shift() else { return Ok(unit) };
        self.rest = "";
        if unit.exponents != Unit::base(SECOND).exponents || !unit.is_linear() {
            let number = number(origin).filter(|(_, rest)| rest.is_empty() && !unit.is_moment());
            return match number.and_then(|(number, _)| number.parse().ok()) {
                Some(offset) if f64::is_finite(offset) => Ok(unit.shifted(offset)),
                _ => Err(UnitError(format!("{origin:?} is no number to count {unit} from"))),
            };
        }
        let origin = moment(origin)
            .ok_or_else(|| UnitError(format!("{origin:?} is no date and time to count from")))?;
        Ok(Unit { scale: Scale::Moment { origin: origin.seconds }, ..unit })
    }

    /// Takes a shift operator and what is behind it.
    fn shift(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim();
        if let Some(origin) = rest.strip_prefix('@') {
            return Some(origin.trim());
        }
        let (word, origin) = rest.split_once(char::is_whitespace)?;
        is_shift(word).then_some(origin.trim())
    }

    fn product(&mut self) -> Result<Unit, UnitError> {
        let mut unit = self.power()?;
        loop {
            let rest = self.rest.trim_start_matches(BLANKS);
            if self.rest.is_empty()
                || self.rest.starts_with(')')
                || rest.starts_with('@')
                || rest.split_whitespace().next().is_some_and(is_shift)
            {
                return Ok(unit);
            }
            let is_blank = rest.len() < self.rest.len();
            let sign = if let Some(behind) = rest.strip_prefix('/') {
                self.next_factor(behind.trim_start_matches(BLANKS));
                -1
            } else if let Some(behind) = word(rest, "per").filter(|_| is_blank) {
                self.next_factor(behind.trim_start_matches(BLANKS));
                -1
            } else if is_blank {
                self.next_factor(rest);
                1
            } else {
                self.beside()?;
                1
            };
            let factor = self.power()?;
            unit = unit.times(factor, sign)?;
        }
    }

    /// Goes on behind an operator.
    fn next_factor(&mut self, rest: &'a str) {
        self.rest = rest;
        self.after_name = false;
    }

    /// Goes on to a factor that no blank parts from the one before: a number, an operator and a
    /// factor, a bracket, or a name where no name stands before.
    fn beside(&mut self) -> Result<(), UnitError> {
        if self.number().is_some() {
            return Ok(());
        }
        if let Some(behind) = self.rest.strip_prefix(['.', '*', '·', '⋅', '-']) {
            self.next_factor(behind);
            return Ok(());
        }
        if self.after_name && !self.rest.starts_with('(') && logarithm(self.rest).is_none() {
            return Err(UnitError(format!("{:?} is not expected there", self.rest)));
        }
        Ok(())
    }

    /// A number and what is behind it; behind a name only a whole one is a number.
    fn number(&self) -> Option<(&'a str, &'a str)> {
        if !self.after_name {
            return number(self.rest);
        }
        let (_, behind) = integer(self.rest)?;
        let end = self.rest.len().checked_sub(behind.len())?;
        Some((self.rest.get(..end)?, behind))
    }

    fn power(&mut self) -> Result<Unit, UnitError> {
        let unit = self.basic()?;
        let behind = self.rest.strip_prefix("**").or_else(|| self.rest.strip_prefix('^'));
        if let Some(behind) = behind {
            let (exponent, rest) = integer(behind)
                .ok_or_else(|| UnitError("an exponent is a whole number".to_owned()))?;
            self.rest = rest;
            return unit.power(exponent);
        }
        let whole = || self.number().and_then(|(text, rest)| Some((text.parse().ok()?, rest)));
        let Some((exponent, rest)) = superscript(self.rest).or_else(whole) else {
            return Ok(unit);
        };
        self.next_factor(rest);
        unit.power(exponent)
    }

    /// A unit without exponent.
    fn basic(&mut self) -> Result<Unit, UnitError> {
        let rest = self.rest;
        if let Some((base, inner)) = logarithm(rest) {
            self.rest = inner;
            let reference = self.bracketed()?;
            if !reference.is_linear() {
                return Err(UnitError("a logarithm of a logarithm".to_owned()));
            }
            let scale = Scale::Logarithmic { base, reference: Some(reference.factor.value()) };
            return Ok(Unit { factor: Factor::ONE, offset: 0.0, scale, ..reference });
        }
        if let Some(inner) = rest.strip_prefix('(') {
            self.rest = inner;
            return self.bracketed();
        }
        if let Some((text, behind)) = self.number() {
            self.next_factor(behind);
            return plain(text);
        }
        let (name, behind) = name(rest);
        if name.is_empty() {
            return Err(UnitError(match rest.chars().next() {
                Some(character) => format!("{character:?} is not expected there"),
                None => "a unit is expected at the end".to_owned(),
            }));
        }
        self.rest = behind;
        self.after_name = true;
        (self.find)(name).ok_or_else(|| UnitError(format!("no unit {name:?}")))
    }

    /// A product and the bracket that closes it.
    fn bracketed(&mut self) -> Result<Unit, UnitError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(UnitError("too many brackets".to_owned()));
        }
        self.after_name = false;
        let mut unit = self.product()?;
        self.depth -= 1;
        // `(K @ 273.15)`; a time since a moment stands alone.
        if let Some((offset, behind)) = shift_by(self.rest) {
            unit = unit.shifted(offset);
            self.rest = behind;
        }
        let rest = self.rest.strip_prefix(')');
        self.next_factor(rest.ok_or_else(|| UnitError("a bracket is not closed".to_owned()))?);
        Ok(unit)
    }
}

/// The number behind a shift operator, and what is behind it.
fn shift_by(text: &str) -> Option<(f64, &str)> {
    let text = text.trim_start();
    let origin = match text.strip_prefix('@') {
        Some(origin) => origin,
        None => {
            let (word, origin) = text.split_once(char::is_whitespace)?;
            Some(origin).filter(|_| is_shift(word))?
        }
    };
    let (number, behind) = number(origin.trim_start())?;
    let offset: f64 = number.parse().ok()?;
    (offset.is_finite() && behind.trim_start().starts_with(')')).then_some((offset, behind))
}

fn is_shift(word: &str) -> bool {
    ["after", "from", "ref", "since"].iter().any(|shift| word.eq_ignore_ascii_case(shift))
}

/// What is behind a word, where text begins with it.
fn word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    let behind = text.get(word.len()..)?;
    let ends = behind.starts_with(|c: char| c.is_whitespace() || c == '(');
    (head.eq_ignore_ascii_case(word) && ends).then_some(behind)
}

/// The base of `lg(re`, `log(re`, `ln(re` or `lb(re`, and what is behind that and a colon with a
/// blank if there is one.
fn logarithm(text: &str) -> Option<(f64, &str)> {
    let (function, inner) = text.split_once('(')?;
    let base = match function.trim_end_matches(BLANKS) {
        "lg" | "log" => 10.0,
        "ln" => std::f64::consts::E,
        "lb" => 2.0,
        _ => return None,
    };
    let inner = inner.trim_start_matches(BLANKS);
    let behind = inner
        .get(2..)
        .filter(|_| inner.get(..2).is_some_and(|re| re.eq_ignore_ascii_case("re")))?;
    let colon = behind.strip_prefix(':').filter(|behind| behind.starts_with(BLANKS));
    Some((base, colon.unwrap_or(behind).trim_start_matches(BLANKS)))
}

/// A number as a fraction of two whole ones where that is exact: `2.54e-2` is 254/10000.
pub(super) fn plain(text: &str) -> Result<Unit, UnitError> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}").parse::<f64>().ok();
    let places = i32::try_from(fraction.len()).ok();
    let scale = exponent.parse::<i32>().ok().zip(places);
    let scale = scale.and_then(|(exponent, places)| exponent.checked_sub(places));
    match (digits, scale) {
        (Some(digits), Some(scale @ -22..=22)) if digits.abs() <= EXACT => {
            let power = 10_f64.powi(scale.abs());
            if scale < 0 { Unit::number(digits, power) } else { Unit::number(digits * power, 1.0) }
        }
        _ => Unit::number(text.parse().unwrap_or(f64::NAN), 1.0),
    }
}

fn digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn signed(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

/// A whole number with an optional sign, and what is behind it.
fn integer(text: &str) -> Option<(i32, &str)> {
    let (found, rest) = digits(signed(text));
    let end = text.len().checked_sub(rest.len())?;
    if found.is_empty() {
        return None;
    }
    Some((text.get(..end)?.parse().ok()?, rest))
}

/// A number, and what is behind it.
fn number(text: &str) -> Option<(&str, &str)> {
    let (whole, rest) = digits(signed(text));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(behind) if !whole.is_empty() || digit(behind) => digits(behind),
        _ => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let exponent = rest.strip_prefix(['e', 'E']).filter(|behind| digit(signed(behind)));
    let rest = exponent.map_or(rest, |behind| digits(signed(behind)).1);
    let end = text.len().checked_sub(rest.len())?;
    Some((text.get(..end)?, rest))
}

/// An exponent in superscript, and what is behind it.
fn superscript(text: &str) -> Option<(i32, &str)> {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let (sign, digits) = match text.strip_prefix('⁻') {
        Some(behind) => (-1, behind),
        None => (1, text.strip_prefix('⁺').unwrap_or(text)),
    };
    let mut value: i32 = 0;
    let mut rest = digits;
    while let Some(first) = rest.chars().next()
        && let Some(digit) = DIGITS.iter().position(|digit| *digit == first)
    {
        value = value.checked_mul(10)?.checked_add(i32::try_from(digit).ok()?)?;
        rest = rest.get(first.len_utf8()..)?;
    }
    (rest.len() < digits.len()).then_some((value.checked_mul(sign)?, rest))
}

/// A name, and what is behind it: letters, with digits only between letters; or one sign.
fn name(text: &str) -> (&str, &str) {
    let letter = |c: char| c.is_alphabetic() || c == '_' || c == '°';
    let mut end = 0;
    for (at, character) in text.char_indices() {
        if letter(character) {
            end = at.saturating_add(character.len_utf8());
        } else if !(character.is_ascii_digit() && end > 0) {
            break;
        }
    }
    if end == 0
        && let Some(sign) = text.chars().next().filter(|c| "%'\"′″#‰℃℉".contains(*c))
    {
        end = sign.len_utf8();
    }
    text.split_at(end)
}
