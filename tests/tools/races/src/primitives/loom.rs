//! Loom's atomics, fences and locks: a load may return every value that the memory model permits, and all orders are
//! tried. They are used for segments only. The standard library's types are used where Loom has none, and are not
//! modelled.

pub(crate) use std::sync::{OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};
pub(crate) use std::thread;

pub(crate) use ::loom::sync::{Mutex, MutexGuard};

pub(crate) use super::counted::{Arc, Weak};
pub(crate) use super::impatient::Condvar;

/// A word of a mapping, which is not of a file here.
pub(crate) type MappedWord = atomic::AtomicU64;

pub(crate) mod atomic {
    use std::ops::{Deref, DerefMut};

    use ::loom::sync::atomic;

    pub(crate) use atomic::{Ordering, fence};

    /// Loom omits orders that it considers equivalent, based on the last access to each atomic. If a load of one thread
    /// hides an earlier one of another thread, it omits too many. So each access is announced by another access, which
    /// none hides and which orders nothing.
    macro_rules! announced {
        ($name:ident, $value:ty) => {
            #[derive(Debug, Default)]
            pub(crate) struct $name {
                value: atomic::$name,
                accesses: atomic::AtomicUsize,
            }

            #[allow(dead_code)]
            impl $name {
                pub(crate) fn new(value: $value) -> $name {
                    $name { value: atomic::$name::new(value), accesses: atomic::AtomicUsize::new(0) }
                }
            }

            impl Deref for $name {
                type Target = atomic::$name;

                fn deref(&self) -> &atomic::$name {
                    self.accesses.fetch_add(1, Ordering::Relaxed);
                    &self.value
                }
            }

            impl DerefMut for $name {
                fn deref_mut(&mut self) -> &mut atomic::$name {
                    &mut self.value
                }
            }
        };
    }

    announced!(AtomicBool, bool);
    announced!(AtomicU8, u8);
    announced!(AtomicU16, u16);
    announced!(AtomicU32, u32);
    announced!(AtomicU64, u64);
    announced!(AtomicUsize, usize);
}
