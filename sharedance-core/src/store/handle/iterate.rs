//! Looking at all pairs.

use std::fmt;
use std::iter::FusedIterator;

use crate::store::handle::store::Shared;
use crate::store::handle::store::Store;
use crate::store::operations::iterate::{Pair, Verification, Walk};

impl<'a> IntoIterator for &'a Store {
    type Item = Pair;
    type IntoIter = Pairs<'a>;

    fn into_iter(self) -> Pairs<'a> {
        self.iter()
    }
}

/// Looking at all pairs.
impl Store {
    /// Walks over all pairs, in no order. No other call waits for it.
    ///
    /// A pair that is there all the time that the walk takes comes exactly once, with a value that it has at some
    /// moment of that time, however often it is overwritten; one that is stored or deleted meanwhile may come or not.
    /// It takes sixteen bytes of memory for each pair in a sixty-fourth of the store, and does not count as reading.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// store.set("user:18", "Grace")?;
    /// let bytes: usize = store.iter().map(|pair| pair.key().len() + pair.value().len()).sum();
    /// assert_eq!(bytes, 22);
    /// // Or with `for`; what is looked at may be deleted.
    /// for pair in &store {
    ///     store.delete(pair.key())?;
    /// }
    /// assert!(store.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> Pairs<'_> {
        self.iter_prefix(b"")
    }

    /// Walks over the pairs whose keys begin with `prefix`: otherwise as [`Store::iter`]. The store keeps no order of
    /// keys, so it looks at all of them.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// store.set("cart:17", "tea")?;
    /// store.set("cart:18", "milk")?;
    /// assert_eq!(store.iter_prefix("cart:").count(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter_prefix(&self, prefix: impl AsRef<[u8]>) -> Pairs<'_> {
        let shared = self.to_read();
        Pairs { shared, prefix: prefix.as_ref().to_vec(), walk: Walk::new(&shared.engine) }
    }

    /// Reads every record, compares it with its checksum, and drops damaged ones. Takes as long
    /// as reading all the files; other operations do not wait for it.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// let verification = store.verify();
    /// assert_eq!((verification.sound, verification.damaged), (1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify(&self) -> Verification {
        self.to_read().engine.verify()
    }
}

/// An iterator over the pairs of a store: see [`Store::iter`](crate::store::Store::iter), and what it guarantees there.
/// Nothing is locked while it is held.
///
/// ```
/// # use sharedance_core::store::Store;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// store.set("user:17", "Ada")?;
/// let mut pairs = store.iter();
/// assert_eq!(pairs.next().unwrap().key(), b"user:17");
/// assert!(store.delete("user:17")? && pairs.next().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pairs<'a> {
    shared: &'a Shared,
    prefix: Vec<u8>,
    walk: Walk<'a>,
}

impl Iterator for Pairs<'_> {
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        let engine = &self.shared.engine;
        loop {
            let _ = self.shared.clearing().clear_if_due();
            let pinned = self.walk.next_pinned()?;
            if !pinned.key().starts_with(&self.prefix) {
                continue;
            }
            let (deadline, now_ms) = (pinned.record().word().deadline, engine.timeline.now_ms());
            if !deadline.has_passed(now_ms) && engine.is_sound(&pinned) {
                return Some(Pair { pinned, expires_in: deadline.remaining(now_ms) });
            }
        }
    }
}

impl FusedIterator for Pairs<'_> {}

impl fmt::Debug for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pairs(shard {} of {})", self.walk.next_shard, self.shared.engine.index.shards())
    }
}
