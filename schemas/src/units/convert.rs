//! Conversion of numbers from one unit to another.

use super::{Factor, Scale, Unit, UnitError};

/// How numbers in one unit become numbers in another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conversion(Way);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Linear(Linear),
    /// Out of a logarithm or into one, through base units.
    Through {
        from: Unit,
        to: Unit,
    },
    /// Into the reciprocal, through base units.
    Reciprocal {
        from: Unit,
        to: Unit,
    },
}

/// `y = (x × multiply / divide) + shift`, with as few roundings as the factors allow.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Linear {
    multiply: f64,
    divide: f64,
    shift: f64,
}

impl Conversion {
    /// The conversion between two units.
    ///
    /// # Errors
    /// [`UnitError`] if they measure different things, if one is a time since a moment and the
    /// other is not, or if a level has no known reference.
    pub fn between(from: Unit, to: Unit) -> Result<Self, UnitError> {
        if from.exponents != to.exponents {
            return Err(UnitError(format!("one measures {from} and the other {to}")));
        }
        match (from.scale, to.scale) {
            (Scale::Linear, Scale::Linear) => Ok(Self(Way::Linear(Linear::between(
                (from.factor, from.offset),
                (to.factor, to.offset),
            )))),
            (Scale::Moment { origin: Some(start) }, Scale::Moment { origin: Some(end) }) => {
                // Both origins in their own unit: x seconds since one are so many since the other.
                let between = Linear::between((from.factor, 0.0), (to.factor, 0.0));
                let shift = (start - end) / to.factor.value();
                Ok(Self(Way::Linear(Linear { shift, ..between })))
            }
            (Scale::Moment { .. }, Scale::Moment { .. }) => Err(UnitError(
                "one counts from a date that the standard calendar has not".to_owned(),
            )),
            (Scale::Moment { .. }, _) | (_, Scale::Moment { .. }) => {
                Err(UnitError("one counts time from a moment and the other does not".to_owned()))
            }
            (Scale::Logarithmic { reference: None, .. }, _)
            | (_, Scale::Logarithmic { reference: None, .. })
                if from != to =>
            {
                Err(UnitError("what a level of zero stands for is not known".to_owned()))
            }
            (one, other) if one == other => Ok(Self(Way::Linear(Linear::between(
                (from.factor, from.offset),
                (to.factor, to.offset),
            )))),
            _ => Ok(Self(Way::Through { from, to })),
        }
    }

    /// The conversion between two units by their texts.
    ///
    /// # Errors
    /// [`UnitError`] if one is no unit, or as [`between`](Self::between).
    pub fn parse(from: &str, to: &str) -> Result<Self, UnitError> {
        Self::by_text(from, to, Self::between)
    }

    /// As [`parse`](Self::parse), and between reciprocals too, as UDUNITS-2 converts: of seconds to
    /// hertz the period becomes the frequency. What was smaller is then larger.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn with_reciprocals(from: &str, to: &str) -> Result<Self, UnitError> {
        Self::by_text(from, to, |from, to| {
            let opposite = from.exponents.iter().zip(to.exponents).all(|(a, b)| *a == -b);
            if from.exponents == to.exponents || !opposite {
                return Self::between(from, to);
            }
            // What refuses the units themselves refuses their reciprocals.
            Self::between(Unit { exponents: to.exponents, ..from }, to)?;
            Ok(Self(Way::Reciprocal { from, to }))
        })
    }

    fn by_text(
        from: &str,
        to: &str,
        between: impl Fn(Unit, Unit) -> Result<Self, UnitError>,
    ) -> Result<Self, UnitError> {
        let unit = |text: &str| {
            Unit::parse(text).map_err(|error| UnitError(format!("{text:?} is no unit: {error}")))
        };
        between(unit(from)?, unit(to)?)
            .map_err(|error| UnitError(format!("{from:?} does not convert to {to:?}: {error}")))
    }

    /// A number in the other unit. NaN stays NaN; the logarithm of a negative number is NaN.
    pub fn apply(self, value: f64) -> f64 {
        match self.0 {
            Way::Linear(linear) => value * linear.multiply / linear.divide + linear.shift,
            Way::Through { from, to } => from_base(to, to_base(from, value)),
            Way::Reciprocal { from, to } => from_base(to, 1.0 / to_base(from, value)),
        }
    }
}

impl Linear {
    fn between((from, start): (Factor, f64), (to, end): (Factor, f64)) -> Self {
        let (up, down) = (from.up * to.down, from.down * to.up);
        let (quotient, reciprocal) = (up / down, down / up);
        // A whole factor multiplies, a whole reciprocal divides; only a true fraction does both.
        let whole =
            |x: f64| (0.5..1e15).contains(&x) && (x - x.round()).abs() <= 4.0 * f64::EPSILON * x;
        let (multiply, divide) = if whole(quotient) {
            (quotient.round(), 1.0)
        } else if whole(reciprocal) {
            (1.0, reciprocal.round())
        } else if up.is_normal() && down.is_normal() {
            (up, down)
        } else {
            (from.value() / to.value(), 1.0)
        };
        let shift = start * multiply / divide - end;
        Self { multiply, divide, shift }
    }
}

fn to_base(unit: Unit, value: f64) -> f64 {
    let value = (value + unit.offset) * unit.factor.up / unit.factor.down;
    match unit.scale {
        Scale::Logarithmic { base, reference: Some(reference) } => base.powf(value) * reference,
        _ => value,
    }
}

fn from_base(unit: Unit, value: f64) -> f64 {
    let value = match unit.scale {
        Scale::Logarithmic { base, reference: Some(reference) } => {
            let ratio = value / reference;
            // These two are exact for powers of their bases.
            if base.total_cmp(&10.0).is_eq() {
                ratio.log10()
            } else if base.total_cmp(&2.0).is_eq() {
                ratio.log2()
            } else {
                ratio.ln()
            }
        }
        _ => value,
    };
    value * unit.factor.down / unit.factor.up - unit.offset
}
