//! A straight line through samples: how fast a quantity grows, and how certain that is.

/// Least squares over a stream of samples, without storing them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slope {
    n: f64,
    mean_x: f64,
    mean_y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
}

impl Slope {
    pub(crate) fn add(&mut self, x: f64, y: f64) {
        self.n += 1.0;
        let (dx, dy) = (x - self.mean_x, y - self.mean_y);
        self.mean_x += dx / self.n;
        self.mean_y += dy / self.n;
        self.xx += dx * (x - self.mean_x);
        self.xy += dx * (y - self.mean_y);
        self.yy += dy * (y - self.mean_y);
    }

    /// The slope and its standard error, as if the samples were independent; `None` for fewer than
    /// three samples.
    pub(crate) fn fit(&self) -> Option<(f64, f64)> {
        if self.n < 3.0 || self.xx == 0.0 {
            return None;
        }
        let slope = self.xy / self.xx;
        let residual = (self.yy - slope * self.xy).max(0.0);
        Some((slope, (residual / (self.n - 2.0) / self.xx).sqrt()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_noise_makes_it_uncertain() {
        let mut line = Slope::default();
        assert_eq!(line.fit(), None);
        (0..100).for_each(|n| line.add(f64::from(n), 7.0 + 3.0 * f64::from(n)));
        let (slope, error) = line.fit().unwrap();
        assert!(
            (slope - 3.0).abs() < 1e-9 && error < 1e-6,
            "{slope} {error}"
        );

        let mut noise = Slope::default();
        (0..100).for_each(|n| noise.add(f64::from(n), 1e6 + f64::from(n % 2)));
        let (slope, error) = noise.fit().unwrap();
        assert!(slope.abs() < 2.0 * error, "{slope} {error}");
        // The textbook formula: the variance of the residuals, 0.25, over that of x.
        assert!((error - (0.25 * 100.0 / 98.0 / 83_325.0_f64).sqrt()).abs() < 1e-5);
    }
}
