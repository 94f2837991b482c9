//! Compares the store's eviction with other policies, on small traces. `cargo bench -p sharedance-core --bench
//! eviction` measures at full size; its parts are tested here as well.

mod policies;
mod random;
mod simulation;
mod store_cache;
mod traces;

use policies::POLICIES;
use random::Random;
use simulation::{Score, StoreScore, play_to_policy, play_to_store};
use store_cache::StoreCache;
use traces::{Extent, TRACES, Trace};

const EXTENT: Extent = Extent { requests: 50_000, objects: 5_000 };

fn trace(wanted: &str) -> Trace {
    let (_, _, make) = TRACES.iter().find(|(name, ..)| *name == wanted).expect("it is one of them");
    make(&mut Random::of_seed(1), EXTENT)
}

fn store_score(trace: &Trace, max_bytes: u64) -> StoreScore {
    let dir = tempfile::tempdir().expect("files can be made");
    let store = StoreCache::create(dir.path(), max_bytes, trace.ttl_ms);
    play_to_store(trace, &mut store.expect("the store opens"))
}

fn policy_score(name: &str, trace: &Trace, capacity: u64) -> Score {
    let (_, make) = POLICIES.iter().find(|(policy, _)| *policy == name).expect("it is one of them");
    play_to_policy(trace, make(trace, capacity).as_mut())
}

#[test]
fn popular_pairs_are_kept_that_fifo_evicts() {
    let trace = trace("zipf-0.9");
    let max_bytes = trace.working_set_bytes / 5;
    let store = store_score(&trace, max_bytes);
    let [fifo, optimum] = ["FIFO", "Belady"].map(|name| policy_score(name, &trace, max_bytes));
    // All have the same size.
    assert_eq!(store.score.hit_percent(), store.score.byte_hit_percent());
    let hit_percent = store.score.hit_percent();
    assert!(hit_percent > fifo.hit_percent() + 3.0, "{hit_percent} {fifo:?}");
    assert!(hit_percent < optimum.hit_percent(), "{hit_percent} {optimum:?}");
    assert!(store.live_bytes > max_bytes / 3 * 2 && store.live_bytes < max_bytes, "{store:?}");
    assert!(store.carried_ratio > 0.0 && store.carried_ratio < 1.0, "{store:?}");
}

#[test]
fn a_moving_working_set_is_followed() {
    for name in ["shift", "drift"] {
        let trace = trace(name);
        let store = store_score(&trace, trace.working_set_bytes / 5);
        let lru = policy_score("LRU", &trace, store.live_bytes).hit_percent();
        let hit_percent = store.score.hit_percent();
        assert!(hit_percent > lru - 4.0, "{name}: {hit_percent} {lru}");
    }
}

#[test]
fn the_same_seed_gives_the_same_hits() {
    let trace = trace("zipf-1.0");
    let score = || store_score(&trace, trace.working_set_bytes / 10).score;
    assert_eq!(score(), score());
}

#[test]
fn every_cache_counts_objects_as_the_store_does() {
    let trace = trace("zipf-0.9-mixed");
    let dir = tempfile::tempdir().unwrap();
    let mut store = StoreCache::create(dir.path(), 2 * trace.working_set_bytes, None).unwrap();
    let mut bytes = 0;
    for request in &trace.requests[..1_000] {
        if !store.request(request, trace.value_lens[request.id as usize]) {
            bytes += u64::from(trace.object(request.id).bytes);
        }
    }
    assert_eq!(store.live_bytes(), bytes);
}
