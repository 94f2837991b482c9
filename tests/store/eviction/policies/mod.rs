//! The policies that the store is compared with, each as its authors describe it, except that they count bytes instead
//! of objects. They share no code with the store.

mod arc;
mod belady;
mod clock;
mod fifo;
mod lru;
mod queues;
mod s3_fifo;
mod sieve;
mod tiny_lfu;

use crate::traces::{Object, Trace};

/// A cache, reduced to hits and misses.
pub(crate) trait Policy {
    /// Requests an object. Returns true if it was in the cache. Otherwise the policy may admit it.
    fn request(&mut self, object: Object) -> bool;

    /// Removes an expired object, if it is in the cache.
    fn expire(&mut self, id: u32);
}

type Make = fn(&Trace, u64) -> Box<dyn Policy>;

/// The policies by name, each with a function that creates one for a trace, with a capacity in bytes.
pub(crate) const POLICIES: [(&str, Make); 8] = [
    ("FIFO", |trace, capacity| Box::new(fifo::Fifo::new(trace.objects(), capacity))),
    ("LRU", |trace, capacity| Box::new(lru::Lru::new(trace.objects(), capacity))),
    ("CLOCK", |trace, capacity| Box::new(clock::Clock::new(trace.objects(), capacity))),
    ("ARC", |trace, capacity| Box::new(arc::Arc::new(trace.objects(), capacity))),
    ("W-TinyLFU", |trace, capacity| Box::new(tiny_lfu::TinyLfu::new(trace.objects(), capacity))),
    ("SIEVE", |trace, capacity| Box::new(sieve::Sieve::new(trace.objects(), capacity))),
    ("S3-FIFO", |trace, capacity| Box::new(s3_fifo::S3Fifo::new(trace.objects(), capacity))),
    ("Belady", |trace, capacity| Box::new(belady::Belady::new(trace, capacity))),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the results of `policy` for requests of these objects of one byte, with `+` for a hit.
    pub(crate) fn hits(policy: &mut dyn Policy, ids: &[u32]) -> String {
        ids.iter().map(|id| if policy.request(Object { id: *id, bytes: 1 }) { '+' } else { '-' }).collect()
    }
}
