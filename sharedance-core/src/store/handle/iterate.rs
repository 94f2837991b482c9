//! Looking at all pairs.

use crate::store::Store;
use crate::store::operations::iterate::{Pair, Pairs, Verification};

impl<'a> IntoIterator for &'a Store {
    type Item = Pair;
    type IntoIter = Pairs<'a>;

    fn into_iter(self) -> Pairs<'a> {
        self.iter()
    }
}

/// Looking at all pairs.
impl Store {
    /// Walks over all pairs, in no order. Nobody waits for it: other operations go on meanwhile.
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
    pub fn iter_prefix(&self, prefix: &(impl AsRef<[u8]> + ?Sized)) -> Pairs<'_> {
        Pairs::new(self.to_read(), prefix.as_ref())
    }

    /// Reads every record, compares it with its checksum, and drops those that are not what was written. Takes as long
    /// as reading all the files; other operations go on meanwhile.
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
        self.to_read().verify()
    }
}
