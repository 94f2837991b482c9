//! The handle to a store.

use std::fmt;

use crate::store::Inner;
use crate::store::durability::group_commit::Durability;
use crate::store::error::StoreError;
use crate::store::primitives::Arc;

use crate::store::handle::batch::Deferral;

/// A handle to an open store. Clones share it, and any thread may use any of them. It is closed when the last of them
/// is dropped, and synced before where [`Durability`](crate::store::Durability) promises more than to survive the process; who
/// wants to know whether that went well calls [`Store::sync`] before.
///
/// ```
/// # use sharedance_core::store::Store;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let workers: Vec<_> = (0..4u8)
///     .map(|worker| {
///         let store = store.clone();
///         std::thread::spawn(move || store.set(&[worker], "was here"))
///     })
///     .collect();
/// for worker in workers {
///     worker.join().expect("it does not panic")?;
/// }
/// assert_eq!(store.len(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
    pub(crate) deferral: Option<Arc<Deferral>>,
}

impl Store {
    pub(crate) fn new(inner: Inner) -> Store {
        Store { inner: Arc::new(inner), deferral: None }
    }

    /// Whatever changes the store: refused where a sync has failed, and not acknowledged before it is as durable as was
    /// promised. A scheduled clear that is due comes first.
    pub(crate) fn change<T, E: From<StoreError>>(&self, change: impl FnOnce(&Inner) -> Result<T, E>) -> Result<T, E> {
        if self.inner.group_commit.has_failed() {
            return Err(StoreError::ReadOnly.into());
        }
        self.inner.clear_if_due()?;
        let changed = change(&self.inner)?;
        match (self.inner.durability, &self.deferral) {
            (Durability::Os, _) => {}
            (Durability::Interval(_), _) => self.inner.sync_unless_kept()?,
            (Durability::Always, Some(deferral)) => deferral.owe(),
            (Durability::Always, None) => self.inner.sync()?,
        }
        Ok(changed)
    }
}

impl Store {
    /// The store, for an operation that reads pairs. A scheduled clear that is due comes first; where it cannot be saved
    /// there is nothing left to read all the same, and writers get the error.
    pub(crate) fn to_read(&self) -> &Inner {
        let _ = self.inner.clear_if_due();
        &self.inner
    }
}

/// Prints where the store is and how much it holds, and nothing of what.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({}, {} pairs)", self.path().display(), self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Options, Stats, Value};

    #[test]
    fn a_store_tells_where_it_is_and_how_much_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let store = Options::new().segment_len(65_536).open(dir.path()).unwrap();
        store.set("secret key", "secret value").unwrap();
        assert_eq!(format!("{store:?}"), format!("Store({}, 1 pairs)", dir.path().display()));
        let text = store.stats().to_string();
        assert!(text.starts_with("1 pairs of ") && text.ends_with(" bytes of files"), "{text}");
        assert_eq!(Stats { expired: 2, damaged: 1, ..Stats::default() }.to_string().matches(", ").count(), 3);
        assert_eq!((&store).into_iter().map(|pair| pair.key().to_vec()).collect::<Vec<_>>(), [b"secret key"]);
    }

    #[test]
    fn a_store_can_be_handed_from_thread_to_thread() {
        fn is_shared<T: Send + Sync + Clone + 'static>() {}
        is_shared::<Store>();
        is_shared::<Value>();
    }
}
