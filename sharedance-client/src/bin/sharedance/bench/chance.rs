//! Random numbers that depend on the seed only, and keys with a skewed popularity.

/// splitmix64
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// A number from 0 to 1, without the 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The distribution of the keys.
#[derive(Debug, Clone)]
pub(super) enum Keys {
    Uniform { count: u64 },
    Zipf(Zipf),
}

impl Keys {
    pub(super) fn new(count: u64, exponent: Option<f64>) -> Keys {
        match exponent {
            None => Keys::Uniform { count },
            Some(exponent) => Keys::Zipf(Zipf::new(count, exponent)),
        }
    }

    pub(super) fn next(&self, chance: &mut Chance) -> u64 {
        match self {
            Keys::Uniform { count } => chance.below(*count),
            Keys::Zipf(zipf) => zipf.next(chance),
        }
    }
}

/// The number `k`, counted from zero, has a weight of `1 / (k + 1)^exponent`.
///
/// By inversion of the integral with rejection (Hörmann and Derflinger, "Rejection-inversion to generate variates from
/// monotone discrete distributions", 1996): constant time, and no table.
#[derive(Debug, Clone)]
pub(super) struct Zipf {
    count: f64,
    exponent: f64,
    area_first: f64,
    area_all: f64,
    /// An inverse this close to its number is accepted without a further check.
    close: f64,
}

impl Zipf {
    fn new(count: u64, exponent: f64) -> Zipf {
        let mut zipf = Zipf { count: count as f64, exponent, area_first: 0.0, area_all: 0.0, close: 0.0 };
        zipf.area_first = zipf.area(1.5) - 1.0;
        zipf.area_all = zipf.area(zipf.count + 0.5);
        zipf.close = 2.0 - zipf.inverse(zipf.area(2.5) - zipf.weight(2.0));
        zipf
    }

    fn next(&self, chance: &mut Chance) -> u64 {
        loop {
            let area = self.area_all + chance.share() * (self.area_first - self.area_all);
            let place = self.inverse(area);
            let number = place.round().clamp(1.0, self.count);
            if number - place <= self.close || area >= self.area(number + 0.5) - self.weight(number) {
                return number as u64 - 1;
            }
        }
    }

    fn weight(&self, number: f64) -> f64 {
        number.powf(-self.exponent)
    }

    /// The integral of the weights from 1 to `place`.
    fn area(&self, place: f64) -> f64 {
        let (log, rest) = (place.ln(), 1.0 - self.exponent);
        match rest.abs() < 1e-9 {
            true => log,
            false => (rest * log).exp_m1() / rest,
        }
    }

    fn inverse(&self, area: f64) -> f64 {
        let rest = 1.0 - self.exponent;
        match rest.abs() < 1e-9 {
            true => area.exp(),
            false => ((rest * area).max(-1.0).ln_1p() / rest).exp(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u32 = 200_000;

    fn counts(keys: &Keys, count: usize) -> Vec<u32> {
        let (mut counts, mut chance) = (vec![0; count], Chance::new(7));
        for _ in 0..DRAWS {
            counts[keys.next(&mut chance) as usize] += 1;
        }
        counts
    }

    #[test]
    fn zipf_draws_each_key_as_often_as_its_weight_says() {
        for exponent in [0.5, 0.99, 1.0, 1.3, 2.5] {
            let weights: Vec<f64> = (1..=50).map(|number| f64::from(number).powf(-exponent)).collect();
            let total: f64 = weights.iter().sum();
            for (count, weight) in counts(&Keys::new(50, Some(exponent)), 50).into_iter().zip(weights) {
                let expected = f64::from(DRAWS) * weight / total;
                // Six standard deviations. The seed is fixed, so the result is the same each time.
                let tolerance = 6.0 * expected.sqrt() + 1.0;
                assert!((f64::from(count) - expected).abs() < tolerance, "{exponent}: {count}, not {expected}");
            }
        }
    }

    #[test]
    fn uniform_draws_all_keys_equally_often() {
        for count in counts(&Keys::new(100, None), 100) {
            assert!(count.abs_diff(DRAWS / 100) < 300, "{count}");
        }
    }

    #[test]
    fn a_single_key_is_the_only_one() {
        let mut chance = Chance::new(1);
        for keys in [Keys::new(1, None), Keys::new(1, Some(0.99))] {
            assert!((0..100).all(|_| keys.next(&mut chance) == 0));
        }
    }
}
