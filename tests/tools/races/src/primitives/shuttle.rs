//! Shuttle's locks, atomics and threads. One thread runs at a time, and Shuttle selects the next one at each access to
//! a shared object. Every access counts as sequentially consistent.

#![allow(unsafe_code)]

use std::time::Duration;

pub(crate) use super::impatient::Condvar;
pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak, atomic};
/// Shuttle has none. The engine shares nothing while one is being set, so the standard one is sufficient.
pub(crate) use std::sync::OnceLock;

use std::sync::atomic::{AtomicU64, Ordering};

/// Lets the checker choose the next thread.
pub(crate) fn before_access() {
    thread::sleep(Duration::ZERO);
}

/// A word of a mapped file. Shuttle's own atomics cannot be in foreign memory. Like those, this lets Shuttle select a
/// thread before each access.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct MappedWord(AtomicU64);

impl MappedWord {
    /// # Safety
    /// As for [`AtomicU64::from_ptr`].
    pub(crate) unsafe fn from_ptr<'a>(word: *mut u64) -> &'a MappedWord {
        // SAFETY: guaranteed by the caller; the type consists of an `AtomicU64` only.
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

    /// Two are enough to interfere with each other.
    pub(crate) fn available_parallelism() -> io::Result<NonZeroUsize> {
        Ok(NonZeroUsize::MIN.saturating_add(1))
    }
}
