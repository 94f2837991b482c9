//! One pass over all keys, and its cost.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::ledger::{Operation, Step};
use crate::peer::{Peer, Result};
use crate::sample::{self, Sample};
use crate::usage::{Moment, transferred};
use crate::workload::{Load, Phase, Values};

/// Runs of operations are timed alternately as a whole and operation by operation, because reading the clock for each
/// operation would increase the cost of the former. A phase has about `RUNS` runs.
const RUNS: usize = 400;
/// The minimum length of a run: two readings of the CPU clocks cost little beside it.
const MIN_RUN_LEN: usize = 32;

/// The cost of one thread in a phase.
pub(crate) struct Tally {
    operations: usize,
    wall: Duration,
    thread: Duration,
    /// Of all operations, including those timed individually.
    thread_total: Duration,
    /// Of the operations timed individually.
    latencies_nanos: Vec<u32>,
    copy: Vec<u8>,
}

impl Tally {
    /// Allocates all memory in advance, so that it is not counted as a peer's.
    pub(crate) fn with_capacity(load: &Load) -> Tally {
        Tally {
            operations: 0,
            wall: Duration::ZERO,
            thread: Duration::ZERO,
            thread_total: Duration::ZERO,
            latencies_nanos: vec![0; load.keys * Phase::Age.operations_per_key()],
            copy: vec![0; load.value_len],
        }
    }

    fn clear(&mut self) {
        self.operations = 0;
        self.wall = Duration::ZERO;
        self.thread = Duration::ZERO;
        self.latencies_nanos.clear();
    }

    fn wall_micros(&self) -> f64 {
        self.wall.as_secs_f64() * 1e6 / self.operations as f64
    }
}

/// The total cost of a phase.
pub(crate) struct Cost {
    operations: usize,
    process: Duration,
    dirtied_bytes: u64,
}

/// Executes the operations, with a thread for each tally.
pub(crate) fn pass(peer: &dyn Peer, operations: &[Operation], values: &Values, tallies: &mut [Tally]) -> Result<Cost> {
    let share = operations.len().div_ceil(tallies.len());
    let barrier = Barrier::new(tallies.len());
    let dirtied_before = transferred()?.dirtied;
    let start = Moment::now();
    thread::scope(|scope| {
        let run = |(operations, tally)| {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                work(peer, operations, values, tally)
            })
        };
        let threads: Vec<_> = operations.chunks(share).zip(tallies.iter_mut()).map(run).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into())))
    })?;
    let process = start.elapsed().process;
    Ok(Cost { operations: operations.len(), process, dirtied_bytes: transferred()?.dirtied - dirtied_before })
}

fn work(peer: &dyn Peer, operations: &[Operation], values: &Values, tally: &mut Tally) -> Result<()> {
    tally.clear();
    let begin = Moment::now();
    for (i, run) in operations.chunks((operations.len() / RUNS).max(MIN_RUN_LEN)).enumerate() {
        if i % 2 == 0 {
            let start = Moment::now();
            for operation in run {
                apply(peer, operation, values, &mut tally.copy)?;
            }
            let elapsed = start.elapsed();
            tally.operations += run.len();
            tally.wall += elapsed.wall;
            tally.thread += elapsed.thread;
        } else {
            let mut last = Instant::now();
            for operation in run {
                apply(peer, operation, values, &mut tally.copy)?;
                let now = Instant::now();
                tally.latencies_nanos.push((now - last).as_nanos().min(u128::from(u32::MAX)) as u32);
                last = now;
            }
        }
    }
    tally.thread_total = begin.elapsed().thread;
    Ok(())
}

fn apply(peer: &dyn Peer, Operation { key, step }: &Operation, values: &Values, copy: &mut Vec<u8>) -> Result<()> {
    match step {
        Step::Set(version) => peer.set(&key.bytes, values.of(key.index, *version)),
        Step::Get => match peer.get(&key.bytes, copy)? {
            true => Ok(()),
            false => Err("a get did not find a key that was set".into()),
        },
        Step::Delete => match peer.delete(&key.bytes)? {
            true => Ok(()),
            false => Err("a delete did not find a key that was set".into()),
        },
    }
}

impl Cost {
    pub(crate) fn enter(&self, phase: Phase, tallies: &mut [Tally], sample: &mut Sample) {
        let operations: usize = tallies.iter().map(|tally| tally.operations).sum();
        let thread: Duration = tallies.iter().map(|tally| tally.thread).sum();
        let total: Duration = tallies.iter().map(|tally| tally.thread_total).sum();
        let background = self.process.saturating_sub(total);
        let thread_micros = thread.as_secs_f64() * 1e6 / operations as f64;
        let background_micros = background.as_secs_f64() * 1e6 / self.operations as f64;
        let rate: f64 = tallies.iter().map(|tally| 1.0 / tally.wall_micros()).sum();
        sample.put(sample::of(phase, sample::CPU_MICROS), thread_micros + background_micros);
        sample.put(sample::of(phase, sample::THREAD_MICROS), thread_micros);
        sample.put(sample::of(phase, sample::WALL_MICROS), 1.0 / rate);
        sample.put(sample::of(phase, sample::DIRTIED_BYTES), self.dirtied_bytes as f64 / self.operations as f64);
        // The threads' operation counts differ by at most one, so each thread's quantile has the same weight.
        for (name, quantile) in sample::QUANTILES {
            let worst = tallies.iter_mut().map(|tally| nearest_rank(&mut tally.latencies_nanos, quantile)).max();
            sample.put(sample::of(phase, name), f64::from(worst.unwrap_or_default()) / 1e3);
        }
    }
}

/// Returns the smallest value that `quantile` of all values do not exceed.
pub(crate) fn nearest_rank(values: &mut [u32], quantile: f64) -> u32 {
    values.sort_unstable();
    let rank = (values.len() as f64 * quantile).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_use_the_nearest_rank() {
        let mut values: Vec<u32> = (1..=1000).rev().collect();
        assert_eq!(nearest_rank(&mut values, 0.5), 500);
        assert_eq!(nearest_rank(&mut values, 0.999), 999);
        assert_eq!(nearest_rank(&mut values, 1.0), 1000);
        assert_eq!(nearest_rank(&mut [], 0.5), 0);
    }
}
