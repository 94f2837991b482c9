//! The source of the engine's locks, atomics, shared ownership and threads. They are the standard library's, and the
//! engine uses no others, so that tools that look for races can replace them.
//!
//! | `--cfg` | replacement | for |
//! | --- | --- | --- |
//! | `shuttle` | `shuttle.rs`: at every access the checker decides which thread runs next | random orders |
//! | `loom` | `loom.rs`: atomics that return any value that the memory model permits, for segments | all orders |
//! | `visible_locks` | `visible.rs`: locks of instrumented code alone | sanitizers, which do not see the standard ones |
//!
//! `tests/tools/races` sets them, and `heap_segments`, with which segments are in heap memory instead of mapped files.

#[cfg(not(any(loom, shuttle, visible_locks)))]
mod standard {
    pub(crate) use std::sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak, atomic,
    };
    pub(crate) use std::thread;

    /// A word of a mapped file that several threads share.
    pub(crate) type MappedWord = atomic::AtomicU64;

    /// Called before access to bytes of a mapping that other threads may read.
    pub(crate) fn before_access() {}
}

#[cfg(any(loom, shuttle, visible_locks))]
#[path = "../../../tests/tools/races/src/primitives/mod.rs"]
mod checked;

pub(crate) use std::sync::PoisonError;

#[cfg(any(loom, shuttle, visible_locks))]
pub(crate) use checked::*;
#[cfg(not(any(loom, shuttle, visible_locks)))]
pub(crate) use standard::*;

/// A number of events. It does not order other accesses.
#[derive(Debug, Default)]
pub(crate) struct Counter(atomic::AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, atomic::Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(atomic::Ordering::Relaxed)
    }
}
