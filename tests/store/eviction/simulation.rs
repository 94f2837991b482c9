//! Plays a trace to a cache and counts hits.

use std::collections::VecDeque;

use crate::policies::Policy;
use crate::store_cache::StoreCache;
use crate::traces::{Object, Trace};

/// The first part of a trace, which fills the caches and is not counted.
const WARM_UP_PERCENT: usize = 30;

/// The results of the counted requests.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Score {
    requests: u64,
    hits: u64,
    bytes: u64,
    hit_bytes: u64,
}

impl Score {
    pub(crate) fn hit_percent(self) -> f64 {
        self.hits as f64 / self.requests.max(1) as f64 * 100.0
    }

    pub(crate) fn byte_hit_percent(self) -> f64 {
        self.hit_bytes as f64 / self.bytes.max(1) as f64 * 100.0
    }

    fn count(&mut self, object: Object, hit: bool) {
        self.requests += 1;
        self.hits += u64::from(hit);
        self.bytes += u64::from(object.bytes);
        self.hit_bytes += if hit { u64::from(object.bytes) } else { 0 };
    }
}

fn counts(trace: &Trace, position: usize) -> bool {
    position >= trace.requests.len() * WARM_UP_PERCENT / 100
}

pub(crate) fn play_to_policy(trace: &Trace, policy: &mut dyn Policy) -> Score {
    let mut score = Score::default();
    // Objects by deadline. An object that was written again expires later, and is listed once more.
    let mut expiring: VecDeque<(u32, u32)> = VecDeque::new();
    let mut deadlines = vec![u32::MAX; trace.objects() as usize];
    for (position, request) in trace.requests.iter().enumerate() {
        while let Some((deadline, id)) = expiring.front().copied().filter(|(deadline, _)| *deadline <= request.at_ms) {
            expiring.pop_front();
            if deadlines[id as usize] == deadline {
                policy.expire(id);
            }
        }
        let object = trace.object(request.id);
        let hit = policy.request(object);
        if let Some(ttl_ms) = trace.ttl_ms
            && (request.writes || !hit)
        {
            deadlines[request.id as usize] = request.at_ms + ttl_ms;
            expiring.push_back((request.at_ms + ttl_ms, request.id));
        }
        if counts(trace, position) {
            score.count(object, hit);
        }
    }
    score
}

/// Further results of the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreScore {
    pub(crate) score: Score,
    /// Average bytes of live records.
    pub(crate) live_bytes: u64,
    /// Bytes that compaction copied per byte written.
    pub(crate) carried_ratio: f64,
}

pub(crate) fn play_to_store(trace: &Trace, store: &mut StoreCache) -> StoreScore {
    const SAMPLE_EVERY: usize = 1_000;
    let mut score = Score::default();
    let (mut live_bytes, mut samples) = (0, 0);
    for (position, request) in trace.requests.iter().enumerate() {
        let object = trace.object(request.id);
        let hit = store.request(request, trace.value_lens[request.id as usize]);
        if counts(trace, position) {
            score.count(object, hit);
            if position % SAMPLE_EVERY == 0 {
                live_bytes += store.live_bytes();
                samples += 1;
            }
        }
    }
    StoreScore { score, live_bytes: live_bytes / samples.max(1), carried_ratio: store.carried_ratio() }
}
