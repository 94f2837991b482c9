//! Writes that share one sync.

use std::fmt;
use std::ops::Deref;

use crate::store::error::StoreError;
use crate::store::handle::store::Store;

/// Writes that share one sync.
impl Store {
    /// Begins a batch: a handle whose writes do not each wait for a sync, as they do under
    /// [`Durability::Always`](crate::store::Durability::Always). For a caller that acknowledges several writes at once.
    ///
    /// ```
    /// # use sharedance_core::store::{Durability, Options};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().durability(Durability::Always).open(dir.path())?;
    /// let batch = store.batch();
    /// for order in 0..100u32 {
    ///     batch.set(order.to_be_bytes(), "paid")?;
    /// }
    /// batch.sync()?; // One sync for all of them.
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn batch(&self) -> Batch {
        Batch { store: self.deferring() }
    }
}

/// Writes that share one sync: see [`Store::batch`]. It derefs to [`Store`], whose methods it has. The writes are visible
/// at once, and each is atomic by itself; a batch is no transaction.
///
/// Under [`Durability::Always`](crate::store::Durability::Always) none of the writes may be acknowledged before a
/// [`Batch::sync`] that began after it has succeeded. In the other modes nothing waits, and [`Batch::sync`] returns at once.
/// A batch may be used again after a sync. When it is dropped, writes that were not synced are synced; that this failed is
/// then only reported by later writes, with [`StoreError::ReadOnly`].
///
/// ```
/// # use sharedance_core::store::{Durability, Options};
/// # let dir = tempfile::tempdir()?;
/// let store = Options::new().durability(Durability::Always).open(dir.path())?;
/// let batch = store.batch();
/// batch.set("order:1", "paid")?;
/// batch.set("order:2", "paid")?;
/// assert!(batch.needs_sync());
/// batch.sync()?;
/// assert!(!batch.needs_sync());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the writes of a batch are acknowledged by its sync"]
pub struct Batch {
    store: Store,
}

impl Batch {
    /// Waits until all writes of this batch before this call are on the disk, if the store promises that. Without such
    /// writes it returns at once.
    ///
    /// ```
    /// # use sharedance_core::store::{Durability, Options};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().durability(Durability::Always).open(dir.path())?;
    /// let batch = store.batch();
    /// batch.set("order:1", "paid")?;
    /// batch.sync()?;
    /// // From here on a power cut does not lose it.
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Store::sync`].
    pub fn sync(&self) -> Result<(), StoreError> {
        // After a failed sync, writes that it was to cover are not on the disk, although nothing waits for another one.
        if self.needs_sync() || self.store.shared.syncs.have_failed() { self.store.sync() } else { Ok(()) }
    }

    /// Whether this batch has a write that waits for a [`Batch::sync`]. Never true without
    /// [`Durability::Always`](crate::store::Durability::Always).
    ///
    /// ```
    /// # use sharedance_core::store::{Durability, Options};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().durability(Durability::Always).open(dir.path())?;
    /// let batch = store.batch();
    /// store.set("order:1", "paid")?;
    /// assert!(!batch.needs_sync(), "this write has waited for its own sync");
    /// batch.set("order:2", "paid")?;
    /// assert!(batch.needs_sync());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn needs_sync(&self) -> bool {
        self.store.deferral.as_ref().is_some_and(|deferral| deferral.needs_sync())
    }
}

impl Deref for Batch {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.needs_sync() {
            let _ = self.sync();
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({:?})", self.store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Durability, Options};

    fn open(durability: Durability) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Options::manual().segment_len(65_536).durability(durability).open(dir.path()).unwrap();
        (dir, store)
    }

    #[test]
    fn many_writes_share_one_sync() {
        let (_dir, store) = open(Durability::Always);
        let batch = store.batch();
        let before = store.shared.syncs.group_commit.ended();
        for i in 0..100u32 {
            batch.set(i.to_be_bytes(), b"value").unwrap();
        }
        assert!(batch.delete(0u32.to_be_bytes()).unwrap() && batch.needs_sync());
        assert_eq!(store.shared.syncs.group_commit.ended(), before, "no write has waited");
        batch.sync().unwrap();
        assert_eq!((store.shared.syncs.group_commit.ended(), batch.needs_sync()), (before + 1, false));
        store.set(b"another", b"value").unwrap();
        assert_eq!((store.shared.syncs.group_commit.ended(), batch.needs_sync()), (before + 2, false));
    }

    #[test]
    fn a_sync_without_writes_does_nothing() {
        let (_dir, store) = open(Durability::Always);
        let batch = store.batch();
        let before = store.shared.syncs.group_commit.ended();
        batch.sync().unwrap();
        assert!(batch.get(b"key").is_none());
        drop(batch);
        assert_eq!(store.shared.syncs.group_commit.ended(), before);
    }

    #[test]
    fn a_dropped_batch_is_synced() {
        let (_dir, store) = open(Durability::Always);
        let before = store.shared.syncs.group_commit.ended();
        let batch = store.batch();
        batch.set(b"key", b"value").unwrap();
        drop(batch);
        assert_eq!(store.shared.syncs.group_commit.ended(), before + 1);
    }

    #[test]
    fn a_handle_that_is_cloned_from_a_batch_waits_for_its_syncs() {
        let (_dir, store) = open(Durability::Always);
        let batch = store.batch();
        let clone = Store::clone(&batch);
        let before = store.shared.syncs.group_commit.ended();
        clone.set(b"key", b"value").unwrap();
        assert_eq!((store.shared.syncs.group_commit.ended(), batch.needs_sync()), (before + 1, false));
    }

    #[test]
    fn a_failed_sync_fails_every_later_one_of_the_batch() {
        let (_dir, store) = open(Durability::Always);
        let batch = store.batch();
        batch.set(b"key", b"value").unwrap();
        store.shared.syncs.group_commit.fail();
        batch.sync().unwrap_err();
        assert!(matches!(batch.sync(), Err(StoreError::ReadOnly)), "the write is still not acknowledged");
    }

    #[test]
    fn only_always_has_syncs_to_defer() {
        let (_dir, store) = open(Durability::Os);
        let batch = store.batch();
        batch.set(b"key", b"value").unwrap();
        assert!(!batch.needs_sync());
    }

    #[test]
    fn after_a_failed_sync_a_read_needs_none() {
        let (_dir, store) = open(Durability::Always);
        let batch = store.batch();
        batch.set(b"key", b"value").unwrap();
        store.shared.syncs.group_commit.fail();
        batch.sync().unwrap_err();
        assert!(!batch.needs_sync() && batch.get(b"key").is_some());
        batch.set(b"key", b"another").unwrap_err();
        assert!(!batch.needs_sync());
    }
}
