//! Units as UDUNITS-2 and CF write them: what they measure, and conversion between them.
//!
//! The grammar is that of the UDUNITS-2 manual ("Unit Syntax"), the names and factors those of its
//! database. CF adds a few words (CF 1.11, section 3.1), and so does practice; see [`database`].

mod convert;
mod database;
mod moment;
mod parse;

pub use convert::Conversion;

use std::fmt;
use thiserror::Error;

/// Base units: metre, kilogram, second, ampere, kelvin, mole, candela. The radian is a number.
const BASES: usize = 7;
/// The second among them.
const SECOND: usize = 2;
/// Largest exponent, that of UDUNITS-2.
const LARGEST_EXPONENT: i32 = 255;
/// Longest text that is looked at, in bytes.
const LONGEST: usize = 200;

/// What a unit measures, and how its numbers relate to those of base units.
///
/// A number `x` in a linear unit is `(x + offset) × factor` in base units. In a logarithmic unit that
/// is the exponent of `base`; in a moment it counts seconds from its origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    exponents: [i32; BASES],
    factor: Factor,
    offset: f64,
    scale: Scale,
}

/// A factor as a fraction, so that a thousandth is 1/1000 and not the nearest double to 0.001.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Factor {
    up: f64,
    down: f64,
}

/// How numbers in a unit count.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    /// In steps of equal size.
    Linear,
    /// As a logarithm, such as decibels.
    Logarithmic {
        /// The number whose powers are counted.
        base: f64,
        /// What a level of zero stands for, in base units; unknown of such as `dB km-1`.
        reference: Option<f64>,
    },
    /// From a moment, such as `days since 1850-01-01`.
    Moment {
        /// Seconds since 1970 in the standard calendar of CF (Julian before 15 October 1582); none
        /// of a date that it has not, such as 30 February.
        origin: Option<f64>,
    },
}

/// Units that convert to `with` and are close to a word that is none, closest first.
pub fn suggest(word: &str, with: &str) -> Vec<&'static str> {
    match Unit::parse(with) {
        Ok(with) if word.len() <= LONGEST => database::suggest(word, with),
        _ => Vec::new(),
    }
}

/// Why text is no unit, or why numbers cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct UnitError(String);

impl Factor {
    const ONE: Self = Self { up: 1.0, down: 1.0 };

    /// The factor as one number.
    fn value(self) -> f64 {
        self.up / self.down
    }

    fn times(self, other: Self) -> Result<Self, UnitError> {
        Self { up: self.up * other.up, down: self.down * other.down }.checked()
    }

    fn inverse(self) -> Self {
        Self { up: self.down, down: self.up }
    }

    fn power(self, exponent: i32) -> Result<Self, UnitError> {
        let whole = if exponent < 0 { self.inverse() } else { self };
        let exponent = exponent.saturating_abs();
        Self { up: whole.up.powi(exponent), down: whole.down.powi(exponent) }.checked()
    }

    /// Refuses what a double cannot hold, and a factor of zero.
    fn checked(self) -> Result<Self, UnitError> {
        if self.up.is_normal() && self.down.is_normal() && self.value().is_normal() {
            Ok(self)
        } else {
            Err(UnitError("a factor beyond what numbers can hold, or zero".to_owned()))
        }
    }
}

impl Unit {
    const ONE: Self =
        Self { exponents: [0; BASES], factor: Factor::ONE, offset: 0.0, scale: Scale::Linear };

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

    /// Whether both measure the same. A time since a moment goes with every unit of time;
    /// logarithms only with logarithms.
    pub fn converts_to(self, other: Self) -> bool {
        let logarithmic = |unit: Self| matches!(unit.scale, Scale::Logarithmic { .. });
        self.exponents == other.exponents && logarithmic(self) == logarithmic(other)
    }

    /// Whether this counts time from a moment.
    pub fn is_moment(self) -> bool {
        matches!(self.scale, Scale::Moment { .. })
    }

    fn base(index: usize) -> Self {
        let mut unit = Self::ONE;
        if let Some(exponent) = unit.exponents.get_mut(index) {
            *exponent = 1;
        }
        unit
    }

    /// A plain number, such as the `1e-3` of `1e-3 kg`.
    fn number(up: f64, down: f64) -> Result<Self, UnitError> {
        let negative = up < 0.0;
        let factor = Factor { up: up.abs(), down }.checked()?;
        Ok(Self {
            factor: Factor { up: if negative { -factor.up } else { factor.up }, ..factor },
            ..Self::ONE
        })
    }

    fn is_linear(self) -> bool {
        self.scale == Scale::Linear
    }

    /// Whether this is a multiple of one.
    fn is_number(self) -> bool {
        self.is_linear() && self.exponents == [0; BASES]
    }

    /// This unit times another one to the power of `sign` (1 or -1). A product has no offset: twice
    /// a degree Celsius is two kelvin. Only plain numbers go with logarithms (every unit does with a
    /// bare decibel, as in `dB km-1`), and nothing with moments.
    fn times(self, other: Self, sign: i32) -> Result<Self, UnitError> {
        let scale = match (self.scale, other.scale) {
            (Scale::Linear, Scale::Linear) => Scale::Linear,
            (level @ Scale::Logarithmic { .. }, Scale::Linear) if other.is_number() => level,
            (Scale::Linear, level @ Scale::Logarithmic { .. }) if self.is_number() && sign > 0 => {
                level
            }
            (Scale::Logarithmic { base, .. }, Scale::Linear) if self.exponents == [0; BASES] => {
                Scale::Logarithmic { base, reference: None }
            }
            _ => {
                return Err(UnitError(
                    "a logarithm or a time since a moment goes with no other unit".to_owned(),
                ));
            }
        };
        let other_factor = if sign < 0 { other.factor.inverse() } else { other.factor };
        let mut unit =
            Self { factor: self.factor.times(other_factor)?, offset: 0.0, scale, ..self };
        for (own, exponent) in unit.exponents.iter_mut().zip(other.exponents) {
            *own = bounded(own.checked_add(exponent.saturating_mul(sign)))?;
        }
        Ok(unit)
    }

    /// This unit to a power.
    fn power(self, exponent: i32) -> Result<Self, UnitError> {
        if exponent == 1 {
            return Ok(self);
        }
        if !self.is_linear() {
            return Err(UnitError("a logarithm has no powers".to_owned()));
        }
        let mut unit = Self { factor: self.factor.power(exponent)?, offset: 0.0, ..self };
        for own in &mut unit.exponents {
            *own = bounded(own.checked_mul(exponent))?;
        }
        Ok(unit)
    }

    /// This unit with a prefix: unlike a product it keeps its zero, so that a thousandth of a degree
    /// Celsius counts from 273.15 kelvin too.
    fn prefixed(self, prefix: Self) -> Result<Self, UnitError> {
        let factor = self.factor.times(prefix.factor)?;
        Ok(Self { factor, offset: self.offset / prefix.factor.value(), ..self })
    }

    /// Numbers in this unit count from another zero, such as degrees Celsius from 273.15 kelvin.
    fn shifted(self, offset: f64) -> Self {
        Self { offset: self.offset + offset, ..self }
    }
}

fn bounded(exponent: Option<i32>) -> Result<i32, UnitError> {
    exponent
        .filter(|exponent| exponent.abs() <= LARGEST_EXPONENT)
        .ok_or_else(|| UnitError(format!("an exponent beyond {LARGEST_EXPONENT}")))
}

/// What it measures in base units, without factors, such as `m s-1`.
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
            Scale::Logarithmic { .. } => write!(f, "a logarithm of {text}"),
            Scale::Moment { .. } => write!(f, "{text} since a moment"),
        }
    }
}

#[cfg(test)]
mod tests;
