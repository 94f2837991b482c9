//! Pseudo-random numbers that follow from a seed: SplitMix64 (Steele, Lea and Flood, 2014), and Zipf's distribution.

/// A generator. The same seed gives the same numbers on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn of_seed(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number from 0 to `end`, exclusive.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        (((self.next() >> 32) * u64::from(end)) >> 32) as u32
    }

    /// Returns a number from 0 to 1, exclusive.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns the time until the next event of a Poisson process with the given mean.
    pub(crate) fn wait(&mut self, mean: f64) -> f64 {
        -(1.0 - self.unit()).ln() * mean
    }
}

/// Ranks from 0. The i-th has a probability proportional to 1 / (i + 1)^alpha.
pub(crate) struct Zipf {
    cumulated: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(ranks: u32, alpha: f64) -> Zipf {
        let mut sum = 0.0;
        let weigh = |rank| {
            sum += 1.0 / f64::from(rank).powf(alpha);
            sum
        };
        Zipf { cumulated: (1..=ranks).map(weigh).collect() }
    }

    pub(crate) fn rank(&self, random: &mut Random) -> u32 {
        let point = random.unit() * self.cumulated.last().copied().unwrap_or(0.0);
        self.cumulated.partition_point(|sum| *sum <= point) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_published_numbers() {
        let mut random = Random::of_seed(1_234_567);
        assert_eq!((random.next(), random.next()), (6_457_827_717_110_365_317, 3_203_168_211_198_807_973));
    }

    #[test]
    fn ranks_follow_zipf_s_distribution() {
        let (zipf, mut random) = (Zipf::new(100, 1.0), Random::of_seed(1));
        let mut counts = [0_u32; 100];
        (0..100_000).for_each(|_| counts[zipf.rank(&mut random) as usize] += 1);
        let harmonic: f64 = (1..=100).map(|rank| 1.0 / f64::from(rank)).sum();
        for rank in [0, 1, 9] {
            let expected = 100_000.0 / harmonic / f64::from(rank + 1);
            let found = f64::from(counts[rank as usize]);
            assert!((found / expected - 1.0).abs() < 0.1, "rank {rank}: {found} for {expected}");
        }
    }
}
