//! Units as UDUNITS-2 and CF write them: whether text is one, and what it measures.
//!
//! The grammar is that of the UDUNITS-2 manual ("Unit Syntax"), the names those of its database. CF
//! adds a few words (CF 1.11, section 3.1), and so does practice; see [`database`]. Only dimensions are kept,
//! no factors: nothing is converted here.

mod database;
mod moment;
mod parse;

use std::fmt;
use thiserror::Error;

/// Base units: metre, kilogram, second, ampere, kelvin, mole, candela. The radian is a number.
const BASES: usize = 7;
/// The second among them.
const SECOND: usize = 2;
/// Largest exponent; beyond it nobody measures anything.
const LARGEST_EXPONENT: i32 = 99;
/// Longest text that is looked at, in bytes.
const LONGEST: usize = 200;

/// What a unit measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Unit {
    exponents: [i32; BASES],
    scale: Scale,
}

/// How numbers in a unit count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scale {
    /// In steps of equal size.
    Linear,
    /// As a logarithm, such as decibels.
    Logarithmic,
    /// From a moment, such as `days since 1850-01-01`.
    Moment,
}

/// Why text is no unit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct UnitError(String);

impl Unit {
    const ONE: Self = Self { exponents: [0; BASES], scale: Scale::Linear };

    /// Reads a unit. Padding at both ends does not count; empty text is a number without unit.
    ///
    /// # Errors
    /// [`UnitError`], saying what cannot be read.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        // Fixed-length strings in files come with padding behind them.
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        if text.len() > LONGEST {
            return Err(UnitError(format!("longer than {LONGEST} bytes")));
        }
        if text.is_empty() {
            return Ok(Self::ONE);
        }
        parse::unit(text, &|name| database::find(name))
    }

    /// Whether numbers in one unit can be converted into the other by a factor and an offset. A
    /// time since a moment goes with every unit of time; logarithms only with logarithms.
    pub fn converts_to(self, other: Self) -> bool {
        let logarithmic = |unit: Self| unit.scale == Scale::Logarithmic;
        self.exponents == other.exponents && logarithmic(self) == logarithmic(other)
    }

    /// Whether this counts time from a moment.
    pub fn is_moment(self) -> bool {
        self.scale == Scale::Moment
    }

    fn base(index: usize) -> Self {
        let mut unit = Self::ONE;
        if let Some(exponent) = unit.exponents.get_mut(index) {
            *exponent = 1;
        }
        unit
    }

    /// This unit times another one to the power of `sign` (1 or -1). Only plain numbers go with
    /// logarithms, and nothing with moments.
    fn times(self, other: Self, sign: i32) -> Result<Self, UnitError> {
        let linear = |unit: Self| unit.scale == Scale::Linear;
        if !(linear(self) && linear(other)) {
            let (number, scale) = if self == Self::ONE { (self, other) } else { (other, self) };
            if number != Self::ONE || scale.scale == Scale::Moment || sign < 0 {
                return Err(UnitError(
                    "a logarithm or a time since a moment goes with no other unit".to_owned(),
                ));
            }
            return Ok(scale);
        }
        let mut unit = self;
        for (own, exponent) in unit.exponents.iter_mut().zip(other.exponents) {
            *own = bounded(own.checked_add(exponent.saturating_mul(sign)))?;
        }
        Ok(unit)
    }

    /// This unit to a power.
    fn power(self, exponent: i32) -> Result<Self, UnitError> {
        if self.scale != Scale::Linear && exponent != 1 {
            return Err(UnitError("a logarithm has no powers".to_owned()));
        }
        let mut unit = self;
        for own in &mut unit.exponents {
            *own = bounded(own.checked_mul(exponent))?;
        }
        Ok(unit)
    }
}

fn bounded(exponent: Option<i32>) -> Result<i32, UnitError> {
    exponent
        .filter(|exponent| exponent.abs() <= LARGEST_EXPONENT)
        .ok_or_else(|| UnitError(format!("an exponent beyond {LARGEST_EXPONENT}")))
}

/// In base units, such as `m s-1`.
impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["m", "kg", "s", "A", "K", "mol", "cd"];
        let parts: Vec<String> = names
            .iter()
            .zip(self.exponents)
            .filter(|(_, exponent)| *exponent != 0)
            .map(|(name, exponent)| match exponent {
                1 => (*name).to_owned(),
                _ => format!("{name}{exponent}"),
            })
            .collect();
        let text = if parts.is_empty() { "1".to_owned() } else { parts.join(" ") };
        match self.scale {
            Scale::Linear => f.write_str(&text),
            Scale::Logarithmic => write!(f, "a logarithm of {text}"),
            Scale::Moment => write!(f, "{text} since a moment"),
        }
    }
}

#[cfg(test)]
mod tests;
