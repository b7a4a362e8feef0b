//! Latency histograms, their percentiles and curves.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::units::time;

/// An empty latency histogram: nanoseconds from a microsecond to an hour, with three digits.
#[must_use]
#[expect(
    clippy::missing_panics_doc,
    reason = "the bounds are constant and valid"
)]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 3_600_000_000_000, 3).expect("the bounds are valid")
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are enough")]
pub struct Percentiles {
    pub min: f64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub p99_99: f64,
    pub max: f64,
}

impl Percentiles {
    /// The percentiles of a histogram of nanoseconds.
    #[must_use]
    pub fn of(hist: &Histogram<u64>) -> Self {
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |q| us(hist.value_at_quantile(q));
        Self {
            min: us(if hist.is_empty() { 0 } else { hist.min() }),
            mean: hist.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: us(hist.max()),
        }
    }

    pub(super) fn line(&self) -> String {
        let mut line = String::new();
        for (name, us) in [
            ("min", self.min),
            ("p50", self.p50),
            ("p90", self.p90),
            ("p99", self.p99),
            ("p99.9", self.p99_9),
            ("p99.99", self.p99_99),
            ("max", self.max),
        ] {
            let _ = write!(line, "  {name} {}", time(us));
        }
        line
    }
}

/// The latency at quantiles that approach 1: (quantile, microseconds).
#[must_use]
pub fn curve(hist: &Histogram<u64>) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for step in 0..=48 {
        let q = 1.0 - 10_f64.powf(-f64::from(step) / 8.0);
        points.push((q, hist.value_at_quantile(q) as f64 / 1e3));
        // Quantiles beyond the number of samples add nothing.
        if (1.0 - q) * (hist.len() as f64) < 1.0 {
            break;
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_known_histogram() {
        let mut hist = histogram();
        for ms in 1..=1000_u64 {
            hist.saturating_record(ms * 1_000_000);
        }
        let p = Percentiles::of(&hist);
        for (got, ms) in [
            (p.min, 1.0),
            (p.p50, 500.0),
            (p.p99, 990.0),
            (p.max, 1000.0),
        ] {
            assert!((got / 1e3 / ms - 1.0).abs() < 2e-3, "{got} for {ms}");
        }
        let curve = curve(&hist);
        assert!(
            curve
                .windows(2)
                .all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1)
        );
        assert!(curve.len() < 30, "the curve ends with the samples");
        assert_eq!(Percentiles::of(&histogram()).min, 0.0);
    }
}
