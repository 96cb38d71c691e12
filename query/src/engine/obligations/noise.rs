//! Noise for numbers that leave under differential privacy.
//!
//! A unit (a person, say) is in at most `cells` cells, with at most `rows` rows in each. So the counts of all
//! cells together change by at most `cells × rows` when one unit comes or goes, and a count with noise of the
//! discrete Laplace distribution of scale `cells × rows / ε` is ε-differentially private (C. Dwork, F. McSherry,
//! K. Nissim, A. Smith: *Calibrating noise to sensitivity*, 2006; for integers: A. Ghosh, T. Roughgarden,
//! M. Sundararajan: *Universally utility-maximizing privacy mechanisms*, 2012). Sums are made of whole
//! steps of a grid, because floating-point noise tells the number below it (I. Mironov, 2012).
//!
//! Which cells there are would tell as well: a cell is shown if its number of units *with noise* reaches a
//! threshold that a cell of one unit reaches with a probability of δ at most.

use opendp::traits::samplers::sample_discrete_laplace;
use tarn_schemas::record::Privacy;
use thiserror::Error;

/// Steps of the grid on which a unit's share of a sum lies, from zero to the largest share.
pub(super) const STEPS: i64 = 1 << 20;

/// Why there is no noise.
#[derive(Debug, Error)]
pub(super) enum NoiseError {
    /// The scale is no number that noise can have.
    #[error(
        "noise of the scale {0} cannot be made: epsilon is too small for so many cells, rows and columns"
    )]
    Scale(f64),
    /// The sampler failed.
    #[error("noise cannot be drawn: {0}")]
    Sampler(String),
}

/// The noise of all numbers of one table: each kind has the same part of ε.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Noise {
    cells: f64,
    rows: f64,
    /// ε of each kind of number.
    epsilon: f64,
    delta: f64,
}

impl Noise {
    /// For numbers of units, of rows, and of so many columns a count and a sum.
    pub(super) fn new(privacy: &Privacy, columns: usize) -> Self {
        let columns = u32::try_from(columns).unwrap_or(u32::MAX);
        let kinds = 2.0 + 2.0 * f64::from(columns);
        Self {
            cells: f64::from(privacy.cells),
            rows: f64::from(privacy.rows),
            epsilon: privacy.epsilon / kinds,
            delta: privacy.delta,
        }
    }

    /// A number of units with noise: a unit is one in each of its cells.
    pub(super) fn units(&self, number: i64) -> Result<i64, NoiseError> {
        noisy(number, self.cells / self.epsilon)
    }

    /// A number of rows with noise.
    pub(super) fn rows(&self, number: i64) -> Result<i64, NoiseError> {
        noisy(number, self.cells * self.rows / self.epsilon)
    }

    /// A sum in steps with noise: a unit has at most [`STEPS`] of them in each of its cells.
    #[expect(clippy::cast_precision_loss, reason = "2^20 is a double")]
    pub(super) fn sum(&self, steps: i64) -> Result<i64, NoiseError> {
        noisy(steps, self.cells * STEPS as f64 / self.epsilon)
    }

    /// Fewest units, with noise, of a cell that is shown.
    ///
    /// A unit brings at most `cells` cells of its own. Each is shown with the probability that 1 + noise
    /// reaches the threshold t: p^(t − 1) / (1 + p) with p = exp(−1 / b) for a discrete Laplace of scale b. All
    /// of them together are below δ with `t = 1 + b ln(cells / (δ (1 + p)))`, and never below 2.
    pub(super) fn threshold(&self) -> f64 {
        let scale = self.cells / self.epsilon;
        let p = (-1.0 / scale).exp();
        (1.0 + scale * (self.cells / (self.delta * (1.0 + p))).ln()).ceil().max(2.0)
    }
}

/// The number with noise of the discrete Laplace distribution. A sum beyond the range of numbers is at its end,
/// which tells no more.
fn noisy(number: i64, scale: f64) -> Result<i64, NoiseError> {
    let exact = scale.try_into().map_err(|_| NoiseError::Scale(scale))?;
    let noise =
        sample_discrete_laplace(exact).map_err(|error| NoiseError::Sampler(error.to_string()))?;
    let noise = i64::try_from(noise).map_err(|_| NoiseError::Scale(scale))?;
    Ok(number.saturating_add(noise))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn privacy(epsilon: f64, cells: u32, rows: u32) -> Privacy {
        Privacy { epsilon, delta: 1e-6, budget: None, cells, rows, bounds: BTreeMap::new() }
    }

    /// Mean and mean magnitude of a discrete Laplace of scale b: 0, and 2p / (1 − p²) with p = exp(−1/b).
    #[test]
    fn noise_has_the_scale_of_its_kind() {
        // Two kinds without columns: ε = 1 each.
        let noise = Noise::new(&privacy(2.0, 2, 3), 0);
        for (draw, scale) in [
            (Noise::units as fn(&Noise, i64) -> Result<i64, NoiseError>, 2.0_f64),
            (Noise::rows, 6.0),
        ] {
            let drawn: Vec<f64> =
                (0..20_000).map(|_| draw(&noise, 1000).unwrap() as f64 - 1000.0).collect();
            let mean = drawn.iter().sum::<f64>() / 20_000.0;
            let magnitude = drawn.iter().map(|one| one.abs()).sum::<f64>() / 20_000.0;
            let p = (-1.0 / scale).exp();
            let expected = 2.0 * p / (1.0 - p * p);
            // Six standard errors; the standard deviation of the magnitude is below 1.1 scales.
            let error = 6.0 * 1.5 * scale / 20_000.0_f64.sqrt();
            assert!(mean.abs() < error, "mean {mean}");
            assert!((magnitude - expected).abs() < error, "{magnitude} instead of {expected}");
        }
    }

    #[test]
    fn a_cell_of_one_unit_is_shown_as_seldom_as_delta_says() {
        let noise = Noise::new(&privacy(2.0, 1, 1), 0);
        // 1 + ln(1 / 1.3679e-6) = 14.5
        assert_eq!(noise.threshold().to_bits(), 15.0_f64.to_bits());
        let often = Noise { delta: 0.01, ..noise.clone() };
        // 1 + ln(1 / 0.013679) = 5.3: P(1 + noise ≥ 6) = P(noise ≥ 5) = p⁵ / (1 + p) with p = 1/e, which is 0.0049.
        assert_eq!(often.threshold().to_bits(), 6.0_f64.to_bits());
        let shown =
            (0..20_000).filter(|_| often.units(1).unwrap() as f64 >= often.threshold()).count();
        let p = (-1.0_f64).exp();
        let expected = p.powi(5) / (1.0 + p) * 20_000.0;
        assert!((shown as f64 - expected).abs() < 6.0 * expected.sqrt(), "{shown}, {expected}");
    }

    #[test]
    fn columns_share_epsilon_and_ends_do_not_wrap() {
        let (one, more) = (Noise::new(&privacy(1.0, 1, 1), 0), Noise::new(&privacy(1.0, 1, 1), 3));
        assert_eq!((one.epsilon / more.epsilon).round().to_bits(), 4.0_f64.to_bits());
        for _ in 0..50 {
            assert!(one.rows(i64::MAX).unwrap() > i64::MAX - 1000);
            assert!(one.rows(i64::MIN).unwrap() < i64::MIN + 1000);
        }
        assert!(matches!(noisy(1, f64::NAN), Err(NoiseError::Scale(_))));
        assert!(matches!(noisy(1, f64::INFINITY), Err(NoiseError::Scale(_))));
    }
}
