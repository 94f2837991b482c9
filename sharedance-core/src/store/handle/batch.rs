//! Letting several writes share one wait for the disk.

use crate::store::handle::store::Store;
use crate::store::primitives::Arc;

/// Several writes, and one wait for the disk.
impl Store {
    /// A handle whose writes do not wait for the disk one by one, where
    /// [`Durability::Always`](crate::store::Durability::Always) lets each write wait: for a caller that acknowledges
    /// several at once. None of them is to be acknowledged before a [`Store::sync`] of this handle, or of a clone of it,
    /// that began after it, nor at all where that fails. In the other modes it is a handle like any other.
    ///
    /// ```
    /// # use sharedance_core::store::{Durability, Options};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().durability(Durability::Always).open(dir.path())?;
    /// let batch = store.deferring_syncs();
    /// for order in 0..100u32 {
    ///     batch.set(&order.to_be_bytes(), "paid")?;
    /// }
    /// assert!(batch.owes_sync());
    /// batch.sync()?; // once, for all of them
    /// assert!(!batch.owes_sync());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn deferring_syncs(&self) -> Store {
        Store { shared: self.shared.clone(), deferral: Some(Arc::default()) }
    }

    /// Whether something was written by way of this handle that is not to be acknowledged before a [`Store::sync`]:
    /// see [`Store::deferring_syncs`].
    ///
    /// ```
    /// # use sharedance_core::store::{Durability, Options};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().durability(Durability::Always).open(dir.path())?;
    /// let batch = store.deferring_syncs();
    /// store.set("order:1", "paid")?;
    /// assert!(!store.owes_sync() && !batch.owes_sync(), "it has waited");
    /// batch.set("order:2", "paid")?;
    /// assert!(batch.owes_sync());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn owes_sync(&self) -> bool {
        self.deferral.as_ref().is_some_and(|deferral| deferral.owes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Durability, Options};

    fn open(durability: Durability) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Options::new().segment_len(65_536).durability(durability).open(dir.path()).unwrap();
        (dir, store)
    }

    #[test]
    fn many_writes_share_one_sync() {
        let (_dir, store) = open(Durability::Always);
        let batch = store.deferring_syncs();
        let before = store.shared.syncs.group_commit.ended();
        for i in 0..100u32 {
            batch.set(i.to_be_bytes(), b"value").unwrap();
        }
        assert!(batch.delete(0u32.to_be_bytes()).unwrap() && batch.clone().owes_sync());
        assert_eq!(store.shared.syncs.group_commit.ended(), before, "no write has waited");
        batch.sync().unwrap();
        assert_eq!((store.shared.syncs.group_commit.ended(), batch.owes_sync()), (before + 1, false));
        store.set(b"another", b"value").unwrap();
        assert_eq!((store.shared.syncs.group_commit.ended(), batch.owes_sync()), (before + 2, false));
    }

    #[test]
    fn where_nobody_waits_there_is_nothing_to_defer() {
        let (_dir, store) = open(Durability::Os);
        let batch = store.deferring_syncs();
        batch.set(b"key", b"value").unwrap();
        assert!(!batch.owes_sync());
    }

    #[test]
    fn after_a_failed_sync_reading_owes_nothing() {
        let (_dir, store) = open(Durability::Always);
        let batch = store.deferring_syncs();
        batch.set(b"key", b"value").unwrap();
        store.shared.syncs.group_commit.fail();
        batch.sync().unwrap_err();
        assert!(!batch.owes_sync() && batch.get(b"key").is_some());
        batch.set(b"key", b"another").unwrap_err();
        assert!(!batch.owes_sync());
    }
}
