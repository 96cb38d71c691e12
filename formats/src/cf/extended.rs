//! Floats as numbers of microseconds, as cftime computes them: through the 80 bits of x86's
//! `long double`, of which 64 are digits.

/// A value times `factor` in whole microseconds: multiplied with 64 bits of precision, rounded to
/// even, and, unless the unit is a `fine` one, pulled to the whole second that is one microsecond away.
/// `None` for NaN, infinities, and what does not fit into 64 bits.
pub(super) fn microseconds(value: f64, factor: i64, fine: bool) -> Option<i64> {
    let scaled = Extended::product(value, factor)?;
    if scaled.floor()? < i64::MIN.into() || scaled.ceil()? > i64::MAX.into() {
        return None;
    }
    let mut whole = scaled.round()?;
    if !fine {
        if whole.rem_euclid(1_000_000) == 1 {
            whole = scaled.floor()?;
        }
        if whole.rem_euclid(1_000_000) == 999_999 {
            whole = scaled.ceil()?;
        }
    }
    // The smallest integer is NaT, which has no date.
    i64::try_from(whole).ok().filter(|whole| *whole != i64::MIN)
}

/// `digits × 2^exponent`, with at most 64 digits: what a `long double` of x86 holds.
#[derive(Debug, Clone, Copy)]
struct Extended {
    digits: i128,
    exponent: i32,
}

impl Extended {
    /// The product of a finite double and an integer of at most 63 bits, rounded to 64 bits.
    fn product(value: f64, factor: i64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        let bits = value.to_bits();
        let stored = i32::try_from(bits >> 52 & 0x7ff).ok()?;
        let fraction = i128::from(bits & ((1 << 52) - 1));
        let (digits, exponent) =
            if stored == 0 { (fraction, -1_074) } else { (fraction | 1 << 52, stored - 1_075) };
        let digits = if value.is_sign_negative() { -digits } else { digits };
        let product = digits.checked_mul(factor.into())?;
        let width = i32::try_from(128 - product.unsigned_abs().leading_zeros()).ok()?;
        let excess = (width - 64).max(0);
        let digits = half_even(product, u32::try_from(excess).ok()?);
        Some(Self { digits, exponent: exponent + excess })
    }

    /// The number as an integer, by a rule for what is cut off; `None` beyond 127 bits.
    fn integer(self, rule: fn(i128, u32) -> i128) -> Option<i128> {
        match u32::try_from(self.exponent) {
            // 64 digits and 62 more.
            Ok(left) if left <= 62 => Some(self.digits << left),
            Ok(_) => (self.digits == 0).then_some(0),
            // Below 2^-126 every rule sees the sign alone.
            Err(_) => Some(rule(self.digits, self.exponent.unsigned_abs().min(126))),
        }
    }

    fn floor(self) -> Option<i128> {
        self.integer(|digits, shift| digits >> shift)
    }

    fn ceil(self) -> Option<i128> {
        self.integer(|digits, shift| -(-digits >> shift))
    }

    fn round(self) -> Option<i128> {
        self.integer(half_even)
    }
}

/// `digits / 2^shift`, rounded to the nearest, ties to even.
fn half_even(digits: i128, shift: u32) -> i128 {
    if shift == 0 {
        return digits;
    }
    let whole = digits >> shift;
    let rest = digits - (whole << shift);
    let half = 1_i128 << (shift - 1);
    if rest > half || (rest == half && whole & 1 == 1) { whole + 1 } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `np.rint(np.longdouble(value) * factor)` on x86.
    #[test]
    fn products_have_64_digits_and_ties_go_to_even() {
        assert_eq!(microseconds(0.5, 1, true), Some(0));
        assert_eq!(microseconds(1.5, 1, true), Some(2));
        assert_eq!(microseconds(-2.5, 1, true), Some(-2));
        assert_eq!(microseconds(1e8 / 3.0, 86_400_000_000, true), Some(2_879_999_999_999_999_893));
        assert_eq!(microseconds(9.3e12, 1_000_000, false), None);
        assert_eq!(microseconds(5e-324, 86_400_000_000, false), Some(0));
        assert_eq!(microseconds(1e-6, 1_000_000, false), Some(0));
        assert_eq!(microseconds(1.999_999, 1_000_000, false), Some(2_000_000));
        for value in [f64::NAN, f64::INFINITY, 9.969_21e36, -1e300] {
            assert_eq!(microseconds(value, 86_400_000_000, false), None);
        }
    }
}
