//! One peer's turn in a round: all phases one after another on a fresh directory, each followed by a look at what is
//! there.

use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::flusher::Flusher;
use crate::peer::{Kind, Peer, Result};
use crate::sample::{self, Sample};
use crate::usage::{Moment, anonymous_memory, disk_bytes, warm_memory};
use crate::workload::{self, Key, Load, Phase, Step, Values};

/// Runs of operations are timed as a whole and one by one in turn: reading the clock for each operation would weigh on
/// the former. A phase has about so many runs…
const RUNS: usize = 400;
/// …of at least so many operations, next to which two readings of the processor's clocks weigh little.
const MIN_RUN_LEN: usize = 32;

/// Takes `kind` through all phases in `dir`, which exists and is empty.
pub(crate) fn run(kind: &Kind, load: &Load, dir: &Path) -> Result<Sample> {
    let mut keys = workload::keys(load)?;
    let values = Values::new(load);
    let mut tallies: Vec<Tally> = (0..load.threads).map(|_| Tally::with_capacity(load)).collect();
    let mut sample = Sample::default();
    let anonymous_before = anonymous_memory()?;
    let peer = (kind.open)(dir, load)?;
    for phase in Phase::ALL {
        workload::shuffle(&mut keys, load.seed * 100 + phase as u64);
        warm_memory((load.data_len() as f64 * phase.growth()) as usize);
        let disk_before = disk_bytes(dir)?;
        let flusher = match phase {
            Phase::HalfFlushed if kind.has_files() => Some(Flusher::start(dir)?),
            _ => None,
        };
        let cost = pass(&*peer, phase, &keys, &values, &mut tallies)?;
        drop(flusher);
        cost.enter(phase, &mut tallies, &mut sample);
        verify(&*peer, phase, &keys, &values).map_err(|error| format!("after {:?}: {error}", phase.title()))?;
        match phase {
            Phase::SetNew => {
                let anonymous = anonymous_memory()?.saturating_sub(anonymous_before) as f64;
                sample.put(sample::ANONYMOUS_BYTES, anonymous);
                sample.put(sample::ANONYMOUS_PER_PAIR, anonymous / load.keys as f64);
                if let Some(bytes) = peer.index_bytes() {
                    sample.put(sample::INDEX_PER_PAIR, bytes as f64 / load.keys as f64);
                }
            }
            Phase::Half if kind.has_files() => {
                sample.put(sample::DISK_TO_LIVE, disk_bytes(dir)? as f64 / load.data_len() as f64);
            }
            Phase::SetIdentical if kind.has_files() => {
                sample.put(sample::IDENTICAL_GROWTH, disk_bytes(dir)?.saturating_sub(disk_before) as f64);
            }
            _ => {}
        }
    }
    Ok(sample)
}

/// What one thread spent in a phase.
struct Tally {
    operations: usize,
    wall: Duration,
    thread: Duration,
    /// Of all operations, those timed one by one included.
    thread_in_all: Duration,
    /// Of the operations that were timed one by one.
    latencies_nanos: Vec<u32>,
    copy: Vec<u8>,
}

impl Tally {
    /// With all the memory that it will need, so that a peer is not charged for it.
    fn with_capacity(load: &Load) -> Tally {
        Tally {
            operations: 0,
            wall: Duration::ZERO,
            thread: Duration::ZERO,
            thread_in_all: Duration::ZERO,
            latencies_nanos: vec![0; load.keys.div_ceil(load.threads)],
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

/// What a phase cost in all.
struct Cost {
    operations: usize,
    process: Duration,
}

/// Does to every key what the phase does; the threads share the keys.
fn pass(peer: &dyn Peer, phase: Phase, keys: &[Key], values: &Values, tallies: &mut [Tally]) -> Result<Cost> {
    let share = keys.len().div_ceil(tallies.len());
    let barrier = Barrier::new(tallies.len());
    let start = Moment::now();
    thread::scope(|scope| {
        let run = |(keys, tally)| {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                work(peer, phase, keys, values, tally)
            })
        };
        let threads: Vec<_> = keys.chunks(share).zip(tallies.iter_mut()).map(run).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into())))
    })?;
    Ok(Cost { operations: keys.len(), process: start.elapsed().process })
}

fn work(peer: &dyn Peer, phase: Phase, keys: &[Key], values: &Values, tally: &mut Tally) -> Result<()> {
    tally.clear();
    let begin = Moment::now();
    for (i, run) in keys.chunks((keys.len() / RUNS).max(MIN_RUN_LEN)).enumerate() {
        if i % 2 == 0 {
            let start = Moment::now();
            for key in run {
                apply(peer, phase, key, values, &mut tally.copy)?;
            }
            let elapsed = start.elapsed();
            tally.operations += run.len();
            tally.wall += elapsed.wall;
            tally.thread += elapsed.thread;
        } else {
            let mut last = Instant::now();
            for key in run {
                apply(peer, phase, key, values, &mut tally.copy)?;
                let now = Instant::now();
                tally.latencies_nanos.push((now - last).as_nanos().min(u128::from(u32::MAX)) as u32);
                last = now;
            }
        }
    }
    tally.thread_in_all = begin.elapsed().thread;
    Ok(())
}

fn apply(peer: &dyn Peer, phase: Phase, key: &Key, values: &Values, copy: &mut Vec<u8>) -> Result<()> {
    match phase.step(key.index) {
        Step::Set => {
            let version = phase.version_after(key.index).unwrap_or_default();
            peer.set(&key.bytes, values.of(key.index, version))
        }
        Step::Get => match peer.get(&key.bytes, copy)? {
            true => Ok(()),
            false => Err("a key that was set is not there".into()),
        },
        Step::Delete => match peer.delete(&key.bytes)? {
            true => Ok(()),
            false => Err("a key that was set was not there to be deleted".into()),
        },
    }
}

impl Cost {
    fn enter(&self, phase: Phase, tallies: &mut [Tally], sample: &mut Sample) {
        let operations: usize = tallies.iter().map(|tally| tally.operations).sum();
        let thread: Duration = tallies.iter().map(|tally| tally.thread).sum();
        let in_all: Duration = tallies.iter().map(|tally| tally.thread_in_all).sum();
        let background = self.process.saturating_sub(in_all);
        let thread_micros = thread.as_secs_f64() * 1e6 / operations as f64;
        let background_micros = background.as_secs_f64() * 1e6 / self.operations as f64;
        let rate: f64 = tallies.iter().map(|tally| 1.0 / tally.wall_micros()).sum();
        sample.put(sample::of(phase, sample::CPU_MICROS), thread_micros + background_micros);
        sample.put(sample::of(phase, sample::THREAD_MICROS), thread_micros);
        sample.put(sample::of(phase, sample::WALL_MICROS), 1.0 / rate);
        // Threads have the same number of operations, but for one, so each one's quantile weighs the same.
        for (name, quantile) in sample::QUANTILES {
            let worst = tallies.iter_mut().map(|tally| nearest_rank(&mut tally.latencies_nanos, quantile)).max();
            sample.put(sample::of(phase, name), f64::from(worst.unwrap_or_default()) / 1e3);
        }
    }
}

/// The least value that `quantile` of all values do not exceed.
fn nearest_rank(values: &mut [u32], quantile: f64) -> u32 {
    values.sort_unstable();
    let rank = (values.len() as f64 * quantile).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Compares what is there with what should be, for a part of the keys.
fn verify(peer: &dyn Peer, phase: Phase, keys: &[Key], values: &Values) -> Result<()> {
    let mut copy = Vec::new();
    for key in workload::sample(keys) {
        let found = peer.get(&key.bytes, &mut copy)?.then_some(&copy[..]);
        let expected = phase.version_after(key.index).map(|version| values.of(key.index, version));
        if found != expected {
            let len =
                |value: Option<&[u8]>| value.map_or("no value".into(), |value| format!("one of {} bytes", value.len()));
            return Err(format!("key {}: found {}, expected {}", key.index, len(found), len(expected)).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer;

    const LOAD: Load = Load { keys: 2_000, value_len: 300, threads: 2, seed: 3 };

    #[test]
    fn ranks_are_the_nearest_ones() {
        let mut values: Vec<u32> = (1..=1000).rev().collect();
        assert_eq!(nearest_rank(&mut values, 0.5), 500);
        assert_eq!(nearest_rank(&mut values, 0.999), 999);
        assert_eq!(nearest_rank(&mut values, 1.0), 1000);
        assert_eq!(nearest_rank(&mut [], 0.5), 0);
    }

    #[test]
    fn what_differs_from_what_was_set_is_found_out() {
        let keys = workload::keys(&LOAD).unwrap();
        let values = Values::new(&LOAD);
        let mut tallies = [Tally::with_capacity(&LOAD), Tally::with_capacity(&LOAD)];
        let map = (peer::kind("map").unwrap().open)(Path::new("."), &LOAD).unwrap();
        pass(&*map, Phase::SetNew, &keys, &values, &mut tallies).unwrap();
        verify(&*map, Phase::SetNew, &keys, &values).unwrap();
        map.set(&keys[0].bytes, b"another value").unwrap();
        assert!(verify(&*map, Phase::SetNew, &keys, &values).is_err());
        map.delete(&keys[0].bytes).unwrap();
        assert!(verify(&*map, Phase::SetNew, &keys, &values).is_err());
        assert!(pass(&*map, Phase::Get, &keys, &values, &mut tallies).is_err());
    }
}
