//! The policies that the store is measured by, each as its authors describe it, but for what it counts: bytes where they
//! count objects. They share nothing with the store.

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

/// A cache, as far as its hits and misses go.
pub(crate) trait Policy {
    /// Asks for an object: answers whether it was there; where it was not, it is now, if the policy wants to have it.
    fn request(&mut self, object: Object) -> bool;

    /// Takes out an object that has expired, if it is there.
    fn expire(&mut self, id: u32);
}

type Make = fn(&Trace, u64) -> Box<dyn Policy>;

/// The policies by name: how to make one for a trace, with a capacity in bytes.
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

    /// What `policy` answers when these objects of one byte are asked for, `+` for a hit.
    pub(crate) fn hits(policy: &mut dyn Policy, ids: &[u32]) -> String {
        ids.iter().map(|id| if policy.request(Object { id: *id, bytes: 1 }) { '+' } else { '-' }).collect()
    }
}
