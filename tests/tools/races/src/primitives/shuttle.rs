//! Shuttle's locks, atomics and threads: one thread runs at a time, and at each access to anything shared it is decided
//! which one runs next. Every access counts as sequentially consistent.

#![allow(unsafe_code)]

use std::time::Duration;

pub(crate) use super::impatient::Condvar;
pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak, atomic};
/// Shuttle has none. Nothing in the engine is shared while one is being set, so the standard one does.
pub(crate) use std::sync::OnceLock;

use std::sync::atomic::{AtomicU64, Ordering};

/// Lets the checker choose the next thread.
pub(crate) fn before_access() {
    thread::sleep(Duration::ZERO);
}

/// A word of a mapped file. Shuttle's own atomics cannot be in foreign memory; it decides before each access, and so
/// does this.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct MappedWord(AtomicU64);

impl MappedWord {
    /// # Safety
    /// As for [`AtomicU64::from_ptr`].
    pub(crate) unsafe fn from_ptr<'a>(word: *mut u64) -> &'a MappedWord {
        // SAFETY: the caller's promise; the type is an `AtomicU64` and nothing else.
        unsafe { &*word.cast() }
    }

    pub(crate) fn load(&self, order: Ordering) -> u64 {
        before_access();
        self.0.load(order)
    }

    pub(crate) fn store(&self, value: u64, order: Ordering) {
        before_access();
        self.0.store(value, order);
    }

    pub(crate) fn compare_exchange_weak(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        before_access();
        self.0.compare_exchange(current, new, success, failure)
    }
}

pub(crate) mod thread {
    use std::io;
    use std::num::NonZeroUsize;

    pub(crate) use shuttle::thread::*;

    /// Two: enough to find each other in the way.
    pub(crate) fn available_parallelism() -> io::Result<NonZeroUsize> {
        Ok(NonZeroUsize::MIN.saturating_add(1))
    }
}
