//! Measures what it costs the store when half of its pairs expire at once, and the latency of gets of the other half
//! meanwhile.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sharedance_core::clock::Clock;
use sharedance_core::store::{Background, Options, Store, Ttl};

use crate::pass::nearest_rank;
use crate::peer::Result;
use crate::sample::{self, Sample};
use crate::usage::{Moment, warm_memory};
use crate::workload::{Key, Load, Values, shuffled};

const SHORT_TTL: Duration = Duration::from_secs(60);
const LONG_TTL: Duration = Duration::from_secs(3_600);
/// Records per call, as many as the store's own threads use.
const BUDGET: usize = 4_096;
const TAIL: f64 = 0.999;

pub(crate) fn run(load: &Load, dir: &Path) -> Result<Sample> {
    let (clock, hand) = Clock::manual();
    let store = Options::new().background(Background::Manual).clock(clock).open(dir)?;
    let keys = shuffled(load, load.seed)?;
    let values = Values::new(load);
    warm_memory(load.data_len() * 2);
    let (expiring, lasting) = keys.split_at(keys.len() / 2);
    for (part, ttl) in [(expiring, SHORT_TTL), (lasting, LONG_TTL)] {
        for key in part {
            store.set_with_ttl(&key.bytes, values.of(key.index, 0), Ttl::After(ttl))?;
        }
    }
    hand.advance(2 * SHORT_TTL);
    let done = AtomicBool::new(false);
    let (swept, mut latencies_nanos) = thread::scope(|scope| {
        let reader = scope.spawn(|| read_until(&store, lasting, &done));
        let swept = sweep(&store);
        done.store(true, Ordering::Release);
        (swept, reader.join().unwrap_or_default())
    });
    let (expired, cpu) = swept?;
    if expired != expiring.len() || store.len() != lasting.len() {
        return Err(format!("{expired} of {} pairs expired, {} are left", expiring.len(), store.len()).into());
    }
    let mut sample = Sample::default();
    sample.put(sample::EXPIRY_MICROS, cpu.as_secs_f64() * 1e6 / expired as f64);
    if !latencies_nanos.is_empty() {
        let tail = nearest_rank(&mut latencies_nanos, TAIL);
        sample.put(sample::EXPIRY_GET_TAIL_MICROS, f64::from(tail) / 1e3);
    }
    Ok(sample)
}

/// Runs maintenance until nothing is left to do. Returns the number of expired pairs and the CPU time of this thread.
fn sweep(store: &Store) -> Result<(usize, Duration)> {
    let start = Moment::now();
    let mut expired = 0;
    loop {
        let progress = store.maintain(BUDGET)?;
        expired += progress.expired;
        if !progress.pending {
            return Ok((expired, start.elapsed().thread));
        }
    }
}

/// Returns the duration of each get until `done`.
fn read_until(store: &Store, keys: &[Key], done: &AtomicBool) -> Vec<u32> {
    let mut latencies_nanos = Vec::with_capacity(1 << 22);
    for key in keys.iter().cycle().take_while(|_| !done.load(Ordering::Acquire)) {
        let start = Instant::now();
        std::hint::black_box(store.get(&key.bytes));
        latencies_nanos.push(start.elapsed().as_nanos().min(u128::from(u32::MAX)) as u32);
    }
    latencies_nanos
}
