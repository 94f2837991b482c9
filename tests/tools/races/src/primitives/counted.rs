//! Shared ownership with counts that a checker can observe. The standard `Arc` orders its counts by fences, which
//! neither Loom nor ThreadSanitizer models completely. The orderings here are those that the standard library achieves
//! with its fences.

#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

#[cfg(loom)]
use super::atomic::{AtomicUsize, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicUsize, Ordering};

/// The value exists while `owners` is not zero, and the allocation while `holders` is not. All owners together are one
/// holder.
struct Counted<T> {
    owners: AtomicUsize,
    holders: AtomicUsize,
    value: UnsafeCell<ManuallyDrop<T>>,
}

impl<T> Counted<T> {
    /// # Safety
    /// The caller is a holder, and does not access `counted` afterwards.
    unsafe fn release(counted: NonNull<Counted<T>>) {
        // SAFETY: the caller is a counted holder, so the allocation exists.
        if unsafe { counted.as_ref() }.holders.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: there is no other holder, and the allocation was created as a box.
            drop(unsafe { Box::from_raw(counted.as_ptr()) });
        }
    }
}

/// Replaces [`std::sync::Arc`].
pub(crate) struct Arc<T> {
    counted: NonNull<Counted<T>>,
    owns: PhantomData<T>,
}

/// Replaces [`std::sync::Weak`].
pub(crate) struct Weak<T> {
    counted: NonNull<Counted<T>>,
}

// SAFETY: as for the standard types: the last owner drops the value.
unsafe impl<T: Send + Sync> Send for Arc<T> {}
// SAFETY: the same as above.
unsafe impl<T: Send + Sync> Sync for Arc<T> {}
// SAFETY: the same as above.
unsafe impl<T: Send + Sync> Send for Weak<T> {}
// SAFETY: the same as above.
unsafe impl<T: Send + Sync> Sync for Weak<T> {}

impl<T> Arc<T> {
    pub(crate) fn new(value: T) -> Arc<T> {
        let counted = Counted {
            owners: AtomicUsize::new(1),
            holders: AtomicUsize::new(1),
            value: UnsafeCell::new(ManuallyDrop::new(value)),
        };
        Arc { counted: NonNull::from(Box::leak(Box::new(counted))), owns: PhantomData }
    }

    fn counted(&self) -> &Counted<T> {
        // SAFETY: this is a counted owner, so the value exists.
        unsafe { self.counted.as_ref() }
    }

    pub(crate) fn ptr_eq(one: &Arc<T>, other: &Arc<T>) -> bool {
        one.counted == other.counted
    }

    pub(crate) fn as_ptr(this: &Arc<T>) -> *const T {
        this.counted().value.get().cast()
    }

    pub(crate) fn downgrade(this: &Arc<T>) -> Weak<T> {
        this.counted().holders.fetch_add(1, Ordering::Relaxed);
        Weak { counted: this.counted }
    }

    pub(crate) fn try_unwrap(this: Arc<T>) -> Result<T, Arc<T>> {
        if this.counted().owners.compare_exchange(1, 0, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return Err(this);
        }
        let counted = ManuallyDrop::new(this).counted;
        // SAFETY: this was the only owner, and there will be no other one, so the value is taken once. Accesses of
        // other owners happened before they released it.
        let value = unsafe { ManuallyDrop::take(&mut *counted.as_ref().value.get()) };
        // SAFETY: the owners are one holder, which this was.
        unsafe { Counted::release(counted) };
        Ok(value)
    }

    #[cfg(test)]
    pub(crate) fn into_inner(this: Arc<T>) -> Option<T> {
        Arc::try_unwrap(this).ok()
    }

    #[cfg(test)]
    pub(crate) fn strong_count(this: &Arc<T>) -> usize {
        this.counted().owners.load(Ordering::Relaxed)
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Arc<T> {
        self.counted().owners.fetch_add(1, Ordering::Relaxed);
        Arc { counted: self.counted, owns: PhantomData }
    }
}

impl<T> Drop for Arc<T> {
    fn drop(&mut self) {
        if self.counted().owners.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: this was the last owner: no other thread reads the value, and it was not taken.
            unsafe { ManuallyDrop::drop(&mut *self.counted().value.get()) };
            // SAFETY: the owners are one holder, which this was.
            unsafe { Counted::release(self.counted) };
        }
    }
}

impl<T> Weak<T> {
    pub(crate) fn strong_count(&self) -> usize {
        // SAFETY: this is a counted holder, so the allocation exists.
        unsafe { self.counted.as_ref() }.owners.load(Ordering::Relaxed)
    }

    pub(crate) fn upgrade(&self) -> Option<Arc<T>> {
        // SAFETY: this is a counted holder, so the allocation exists.
        let owners = &unsafe { self.counted.as_ref() }.owners;
        let mut count = owners.load(Ordering::Relaxed);
        while count > 0 {
            match owners.compare_exchange(count, count + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(Arc { counted: self.counted, owns: PhantomData }),
                Err(now) => count = now,
            }
        }
        None
    }
}

impl<T> Drop for Weak<T> {
    fn drop(&mut self) {
        // SAFETY: this is a holder.
        unsafe { Counted::release(self.counted) };
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this is a counted owner, so the value was neither dropped nor taken, and no thread has exclusive
        // access.
        unsafe { &*self.counted().value.get() }
    }
}

impl<T: Default> Default for Arc<T> {
    fn default() -> Arc<T> {
        Arc::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Arc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> fmt::Debug for Weak<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(Weak)")
    }
}
