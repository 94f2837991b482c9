//! Where the engine takes its locks, atomics, shared ownership and threads from: the standard library's, all of them,
//! and from nowhere else, so that a tool that looks for races can put its own in their place.
//!
//! | `--cfg` | replacement | for |
//! | --- | --- | --- |
//! | `shuttle` | `shuttle.rs`: at every access the checker decides which thread runs next | orders drawn by chance |
//! | `loom` | `loom.rs`: atomics that answer whatever the memory model allows, for segments | all orders |
//! | `visible_locks` | `visible.rs`: locks of instrumented code alone | sanitizers, which do not see the standard ones |
//!
//! `tests/tools/races` sets them, and `heap_segments`, with which segments are memory of the heap and not of a mapped file.

#[cfg(not(any(loom, shuttle, visible_locks)))]
mod standard {
    pub(crate) use std::sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak, atomic,
    };
    pub(crate) use std::thread;

    /// A word of a mapped file that several threads share.
    pub(crate) type MappedWord = atomic::AtomicU64;

    /// Called before bytes of a mapping are touched that other threads may look at.
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

/// A number of events. It orders nothing.
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
