//! Where the engine takes its locks, atomics, shared ownership and threads from: the standard library's, all of them, and
//! from nowhere else, so that a tool that checks races can put its own in their place.

pub(crate) use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak, atomic,
};
pub(crate) use std::thread;

/// A word of a mapped file that several threads share.
pub(crate) type MappedWord = atomic::AtomicU64;
