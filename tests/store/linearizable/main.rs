//! Operations on a key are linearizable: the results of concurrent operations equal those of some sequential order,
//! while segments rotate, are compacted and recycled, and pairs are evicted.
//!
//! Threads execute operations on a few keys and record their results; `checker.rs` then looks for an order that
//! explains all results. `LINEARIZABLE_ROUNDS` makes it run longer.

// A test that cannot use its own store fails at once.
#![allow(clippy::unwrap_used)]

mod checker;
mod pair;

use sharedance_test_support::scratch;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use checker::{Event, check};
use pair::{Answer, Op, Pair};
use scratch::{Chance, SEGMENT_LEN};
use sharedance_core::Version;
use sharedance_core::store::{Background, Condition, Options, Stats, Store, Ttl, WhenFull};

/// All workers use some keys all the time, and most keys rarely, so that these records get old enough to be moved.
const KEYS: usize = 60;
const HOT_KEYS: usize = 3;
const NEVER_WRITTEN: Version = Version::new(u64::MAX).unwrap();
const WORKERS: u64 = 3;
/// Operations of each worker per round.
const OPERATIONS: u64 = 400;
/// Time limit for the events that each test needs.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Longer values are replaced.
const LONG: usize = 12_000;

fn rounds() -> u64 {
    std::env::var("LINEARIZABLE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(12)
}

fn key(i: usize) -> [u8; 2] {
    [b'k', i as u8]
}

/// A record of a worker: the key, and the operation with its result. [`Op::Clear`] concerns all keys.
type Noted = (usize, Event);

/// Executes operations on the keys, and records them.
fn work(store: &Store, stamps: &AtomicU64, seed: u64) -> Vec<Noted> {
    let mut chance = Chance(seed);
    let mut seen = vec![(0, 0); KEYS];
    let mut noted = Vec::new();
    for _ in 0..OPERATIONS {
        let among = if chance.percent(50) { HOT_KEYS } else { KEYS };
        let i = chance.below(among as u64) as usize;
        let op = choose(&mut chance, seen[i]);
        let called = stamps.fetch_add(1, Ordering::SeqCst);
        let answer = op.run(store, &key(i));
        let returned = stamps.fetch_add(1, Ordering::SeqCst);
        let Some(answer) = answer else { continue };
        match &answer {
            Answer::Found(Some((value, version))) | Answer::Entry { value, version, .. } => {
                seen[i] = (*version, value.len());
            }
            _ => {}
        }
        noted.push((i, Event { op, answer, called, returned }));
    }
    noted
}

/// Returns an operation on a key that last had this version and length.
fn choose(chance: &mut Chance, (version, len): (u64, usize)) -> Op {
    // No write gets this far.
    let version = Version::new(version).unwrap_or(NEVER_WRITTEN);
    match chance.below(100) {
        0..22 => Op::Get,
        22..28 => Op::GetWith,
        28..32 => Op::GetOrCreate,
        32..45 => Op::Write(value(chance), Condition::Always),
        45..50 => Op::Write(value(chance), Condition::Absent),
        50..55 => Op::Write(value(chance), Condition::Present),
        55..63 => Op::Write(value(chance), Condition::Version(version)),
        63..66 => Op::Write(value(chance), Condition::VersionOrStale(version)),
        _ if len > LONG => Op::Write(value(chance), Condition::Always),
        66..71 => Op::Append(value(chance)),
        71..75 => Op::Prepend(value(chance)),
        75..81 => Op::Incr(chance.below(3)),
        81..85 => Op::Decr(chance.below(3)),
        85..88 => Op::Invalidate(Condition::Present),
        88..90 => Op::Invalidate(Condition::Version(version)),
        90..93 => Op::Touch(if chance.percent(50) { Ttl::Never } else { Ttl::Default }),
        93..97 => Op::Delete(Condition::Always),
        97..99 => Op::Delete(Condition::Version(version)),
        _ => Op::Clear,
    }
}

/// Returns a number or another value. There are few different ones, so that the same value is often set again, and long
/// ones, so that copying them takes time.
fn value(chance: &mut Chance) -> Vec<u8> {
    match chance.below(3) {
        0 => chance.below(20).to_string().into_bytes(),
        1 => vec![b'0' + chance.below(3) as u8; 1 + chance.below(19) as usize],
        _ => vec![b'a' + chance.below(3) as u8; 200 + 5_000 * chance.below(3) as usize],
    }
}

/// Writes other pairs: most of them expire soon, so that segments are emptied and recycled, or there is not enough
/// space for all of them.
fn churn(store: &Store, done: &AtomicBool, is_too_much: bool) {
    let mut chance = Chance(99);
    for i in 0u32.. {
        if done.load(Ordering::Relaxed) {
            return;
        }
        let key = i % if is_too_much { 3_000 } else { 500 };
        let _ = store.set(key.to_be_bytes(), vec![i as u8; 300 + chance.below(900) as usize]);
        if !is_too_much && i % 4 != 0 {
            store.delete(key.to_be_bytes()).unwrap();
        }
    }
}

/// Returns all operations of the workers in one round, by key.
fn run_round(store: &Store, stamps: &AtomicU64, round: u64) -> Vec<Vec<Event>> {
    let noted: Vec<Noted> = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..WORKERS).map(|worker| scope.spawn(move || work(store, stamps, round * WORKERS + worker))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let mut by_key = vec![Vec::new(); KEYS];
    for (i, event) in noted {
        match event.op {
            Op::Clear => by_key.iter_mut().for_each(|events| events.push(event.clone())),
            _ => by_key[i].push(event),
        }
    }
    by_key
}

/// Stops the background threads of a test when the test ends.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs rounds until there were enough of them, and until `has_happened`.
fn run(options: Options, may_vanish: bool, has_happened: impl Fn(Stats) -> bool) {
    let dir = scratch::directory();
    let store = options.segment_len(SEGMENT_LEN).open(dir.path()).unwrap();
    let (done, stamps) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut pairs = vec![Pair::default(); KEYS];
    let started = Instant::now();
    thread::scope(|scope| {
        let _done = Done(&done);
        scope.spawn(|| churn(&store, &done, may_vanish));
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.maintain(50).unwrap();
                let _ = store.prepare(Duration::ZERO);
            }
        });
        for round in 0.. {
            if round >= rounds() && has_happened(store.stats()) {
                return;
            }
            assert!(started.elapsed() < TIMEOUT || round < rounds(), "{:?}", store.stats());
            for (i, mut events) in run_round(&store, &stamps, round).into_iter().enumerate() {
                // No other thread uses the key now, so this is the state at the start of the next round.
                let called = stamps.fetch_add(2, Ordering::SeqCst);
                let answer = Op::GetWith.run(&store, &key(i)).unwrap();
                let found = Pair::of(&answer);
                events.push(Event { op: Op::GetWith, answer, called, returned: called + 1 });
                let start = std::mem::replace(&mut pairs[i], found);
                check(events, start, may_vanish).unwrap_or_else(|violation| panic!("round {round}: {violation}"));
            }
        }
    });
}

#[test]
fn operations_on_a_key_are_linearizable_while_segments_are_compacted() {
    run(Options::new().background(Background::Manual), false, |stats| stats.compacted_bytes > 100_000);
}

#[test]
fn operations_on_a_key_are_linearizable_while_pairs_are_evicted() {
    let options =
        Options::new().background(Background::Manual).max_bytes(10 * SEGMENT_LEN as u64).when_full(WhenFull::Evict);
    run(options, true, |stats| stats.evicted > 500);
}
