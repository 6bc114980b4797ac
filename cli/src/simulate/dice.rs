//! Random numbers that a seed fixes, and the shapes that times of builds have.

/// One throw after the other (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// Of a seed, and of what it is for: what is drawn for one name does not hang on the others.
    pub(super) fn new(seed: u64, for_what: &str) -> Self {
        // FNV-1a.
        let hash = for_what.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ hash)
    }

    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Between 0 and 1, never either.
    pub(super) fn unit(&mut self) -> f64 {
        ((self.throw() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// True so often.
    pub(super) fn percent(&mut self, percent: f64) -> bool {
        self.unit() * 100.0 < percent
    }

    /// Around the median, a factor of e to the `sigma` up or down in two thirds of the cases.
    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        let normal = (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
        median * (sigma * normal).exp()
    }

    /// At least `least`; ten times as long comes 10 to the `alpha` times as seldom.
    pub(super) fn pareto(&mut self, least: f64, alpha: f64) -> f64 {
        least / self.unit().powf(1.0 / alpha)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_median() {
        let mut dice = Dice::new(1, "");
        let below = (0..10_000).filter(|_| dice.log_normal(20.0, 1.0) < 20.0).count();
        assert!((4_800..5_200).contains(&below), "{below}");
        let long = (0..10_000).filter(|_| dice.pareto(600.0, 1.0) > 6_000.0).count();
        assert!((900..1_100).contains(&long), "{long}");
    }

    #[test]
    fn what_is_drawn_for_one_name_is_not_what_is_drawn_for_another() {
        assert_ne!(Dice::new(1, "a").throw(), Dice::new(1, "b").throw());
        assert_ne!(Dice::new(1, "a").throw(), Dice::new(2, "a").throw());
        assert_eq!(Dice::new(1, "a").throw(), Dice::new(1, "a").throw());
    }
}
