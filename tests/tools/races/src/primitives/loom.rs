//! Loom's atomics, fences and locks: a load may answer every value that the memory model allows it to, and all orders
//! are tried. They are for segments alone; what Loom has no counterpart of is the standard library's, and not modelled.

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

    /// Loom leaves out orders that come to the same, by the last access to each atomic. A load that hides one before
    /// it, of another thread, makes it leave out too much: so each access is announced by one that no other hides, and
    /// that orders nothing itself.
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
