//! Histograms of durations.
//!
//! The buckets are log-linear: each power of two nanoseconds is divided into [`STEPS`] buckets of equal width, so that a
//! quantile is at most 1/[`STEPS`] too large. That is the layout of HdrHistogram with one significant digit.

use std::time::Duration;

use super::counters::Counter;

const STEP_BITS: u32 = 3;

/// How many buckets a power of two has.
const STEPS: usize = 1 << STEP_BITS;

/// Durations from this power of two nanoseconds on, 137 seconds, are in the last bucket.
const MAX_BITS: u32 = 37;

const BUCKETS: usize = (MAX_BITS - STEP_BITS + 1) as usize * STEPS;

/// Counts durations. It has one writer; any thread may read it.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [Counter; BUCKETS],
    sum_nanos: Counter,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: std::array::from_fn(|_| Counter::default()), sum_nanos: Counter::default() }
    }
}

impl Histogram {
    /// Counts `count` durations of the same length.
    #[inline]
    pub(crate) fn record(&self, duration: Duration, count: u64) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(nanos)].add(count);
        self.sum_nanos.add(nanos.saturating_mul(count));
    }
}

/// The counts of one or more histograms at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Distribution {
    buckets: Box<[u64; BUCKETS]>,
    sum_nanos: u64,
}

impl Default for Distribution {
    fn default() -> Distribution {
        Distribution { buckets: Box::new([0; BUCKETS]), sum_nanos: 0 }
    }
}

impl Distribution {
    /// Adds the counts of `histogram`.
    pub(crate) fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum = sum.wrapping_add(bucket.count());
        }
        self.sum_nanos = self.sum_nanos.wrapping_add(histogram.sum_nanos.count());
    }

    /// The counts since `earlier`, which was taken of the same histograms.
    #[cfg(any(test, feature = "status"))]
    pub(crate) fn since(&self, earlier: &Distribution) -> Distribution {
        let buckets = std::array::from_fn(|index| self.buckets[index].wrapping_sub(earlier.buckets[index]));
        Distribution { buckets: Box::new(buckets), sum_nanos: self.sum_nanos.wrapping_sub(earlier.sum_nanos) }
    }

    /// How many durations were counted.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The sum of all durations.
    #[cfg(any(test, feature = "status"))]
    pub(crate) fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_nanos)
    }

    /// The duration that the share `quantile` (0 to 1) of all durations does not exceed; zero if no duration was counted.
    pub(crate) fn quantile(&self, quantile: f64) -> Duration {
        let count = self.count();
        let rank = ((count as f64 * quantile).ceil() as u64).clamp(1, count.max(1));
        let mut below = 0;
        for (index, &bucket) in self.buckets.iter().enumerate() {
            below += bucket;
            if below >= rank {
                return Duration::from_nanos(first_nanos(index + 1));
            }
        }
        Duration::ZERO
    }

    /// How many durations are shorter than each power of two nanoseconds from 2^`from` to 2^`to`, with that duration.
    #[cfg(any(test, feature = "status"))]
    pub(crate) fn cumulative(&self, from: u32, to: u32) -> impl Iterator<Item = (Duration, u64)> {
        (from..=to.min(MAX_BITS)).map(|bits| {
            let end = bucket_of(1 << bits);
            (Duration::from_nanos(1 << bits), self.buckets[..end].iter().sum())
        })
    }
}

/// The bucket of a duration. Durations below [`STEPS`] nanoseconds have a bucket each.
#[inline]
fn bucket_of(nanos: u64) -> usize {
    if nanos < STEPS as u64 {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - STEP_BITS;
    let index = (shift as usize + 1) * STEPS + (nanos >> shift) as usize - STEPS;
    index.min(BUCKETS - 1)
}

/// The shortest duration of a bucket, in nanoseconds.
fn first_nanos(index: usize) -> u64 {
    match (index / STEPS).checked_sub(1) {
        None => index as u64,
        Some(shift) => ((STEPS + index % STEPS) as u64) << shift,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_follow_one_another_without_a_gap() {
        for index in 0..BUCKETS {
            assert_eq!(bucket_of(first_nanos(index)), index);
            assert_eq!(bucket_of(first_nanos(index + 1) - 1), index);
        }
        assert_eq!(first_nanos(BUCKETS), 1 << MAX_BITS);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    proptest! {
        #[test]
        fn a_quantile_is_at_most_an_eighth_too_large(mut nanos in prop::collection::vec(0..1_u64 << 36, 1..200)) {
            let histogram = Histogram::default();
            nanos.iter().for_each(|&nanos| histogram.record(Duration::from_nanos(nanos), 1));
            let mut distribution = Distribution::default();
            distribution.add(&histogram);
            nanos.sort_unstable();
            for quantile in [0.0, 0.5, 0.99, 1.0] {
                let rank = ((nanos.len() as f64 * quantile).ceil() as usize).clamp(1, nanos.len());
                let exact = nanos[rank - 1];
                let reported = distribution.quantile(quantile).as_nanos() as u64;
                prop_assert!(reported > exact && reported <= exact + exact / 8 + 1, "{reported} for {exact}");
            }
            prop_assert_eq!(distribution.count(), nanos.len() as u64);
            prop_assert_eq!(distribution.sum(), Duration::from_nanos(nanos.iter().sum()));
        }
    }

    #[test]
    fn cumulative_counts_end_before_the_power_of_two() {
        let histogram = Histogram::default();
        for nanos in [0, 1_023, 1_024, 1_025, 2_047, 4_096] {
            histogram.record(Duration::from_nanos(nanos), 2);
        }
        let mut distribution = Distribution::default();
        distribution.add(&histogram);
        let counts: Vec<_> = distribution.cumulative(9, 13).map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 4, 10, 10, 12]);
    }

    #[test]
    fn a_later_distribution_contains_the_counts_of_an_earlier_one() {
        let histogram = Histogram::default();
        let taken = || {
            let mut distribution = Distribution::default();
            distribution.add(&histogram);
            distribution
        };
        histogram.record(Duration::from_micros(5), 3);
        let earlier = taken();
        assert_eq!(taken().since(&earlier), Distribution::default());
        histogram.record(Duration::from_millis(5), 1);
        let since = taken().since(&earlier);
        assert_eq!((since.count(), since.sum()), (1, Duration::from_millis(5)));
    }
}
