//! Storing values, whatever is there or on a condition.

use super::Store;
use crate::store::error::StoreError;
use crate::store::writing::{Attributes, Condition, Outcome, Ttl};

impl Store {
    /// Stores `value` under `key` for the default TTL, in place of what was there.
    ///
    /// When this returns, the value is safe from the death of the process; of the machine, once the system has written
    /// it back, or after [`Store::sync`]. Setting the value that is there only moves its deadline.
    ///
    /// # Errors
    /// [`StoreError::KeyLen`] and [`StoreError::ValueLen`] for what can never be stored, [`StoreError::Full`] where
    /// there is no room now. The old value stays in all these cases.
    pub fn set(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        value: &(impl AsRef<[u8]> + ?Sized),
    ) -> Result<(), StoreError> {
        self.set_with_ttl(key, value, Ttl::Default)
    }

    /// Stores `value` under `key` for `ttl`: otherwise as [`Store::set`].
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn set_with_ttl(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        value: &(impl AsRef<[u8]> + ?Sized),
        ttl: impl Into<Ttl>,
    ) -> Result<(), StoreError> {
        self.write(key, value, ttl.into(), Condition::Always).map(drop)
    }

    /// Stores `value` under `key` with these attributes, if `condition` holds. All writes of a key happen in one order,
    /// which its versions follow.
    ///
    /// ```
    /// # use sharedance_core::store::{Attributes, Condition, Outcome, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let attributes = Attributes { client_flags: 7, ..Attributes::default() };
    /// let Outcome::Done { version } = store.write(b"k", b"one", attributes, Condition::Absent)? else {
    ///     panic!("it was not there");
    /// };
    /// store.set(b"k", b"another")?;
    /// assert_eq!(store.write(b"k", b"two", attributes, Condition::Version(version))?, Outcome::Exists);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn write(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        value: &(impl AsRef<[u8]> + ?Sized),
        attributes: impl Into<Attributes>,
        condition: Condition,
    ) -> Result<Outcome, StoreError> {
        self.inner.change(|inner| inner.write(key.as_ref(), value.as_ref(), attributes.into(), condition))
    }

    /// Stores `value` if `key` has none; answers whether it was stored.
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn add(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        value: &(impl AsRef<[u8]> + ?Sized),
        ttl: impl Into<Ttl>,
    ) -> Result<bool, StoreError> {
        self.write(key, value, ttl.into(), Condition::Absent).map(Outcome::is_done)
    }

    /// Stores `value` if `key` has one already; answers whether it was stored.
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn replace(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        value: &(impl AsRef<[u8]> + ?Sized),
        ttl: impl Into<Ttl>,
    ) -> Result<bool, StoreError> {
        self.write(key, value, ttl.into(), Condition::Present).map(Outcome::is_done)
    }

    /// Stores `value` if `key` still has the value of this [version](Value::version).
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn compare_and_set(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        value: &(impl AsRef<[u8]> + ?Sized),
        ttl: impl Into<Ttl>,
        version: u64,
    ) -> Result<Outcome, StoreError> {
        self.write(key, value, ttl.into(), Condition::Version(version))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::store::{MAX_KEY_LEN, Options};

    fn open(options: Options) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = options.segment_len(65_536).clock(Clock::manual().0).open(dir.path()).unwrap();
        (dir, store)
    }

    #[test]
    fn what_can_never_be_stored_is_refused_and_the_old_value_stays() {
        let (_dir, store) = open(Options::new().max_value_len(30_000));
        let longest = [b'k'; MAX_KEY_LEN];
        store.set(&longest, &[1; 30_000]).unwrap();
        let too_large = store.set(&longest, &[2; 30_001]).unwrap_err();
        assert!(matches!(too_large, StoreError::ValueLen { len: 30_001, max: 30_000 }));
        assert_eq!(store.get(&longest).unwrap(), [1; 30_000]);
        for len in [0, MAX_KEY_LEN + 1] {
            let key = vec![b'k'; len];
            assert!(matches!(store.set(&key, b""), Err(StoreError::KeyLen { max: MAX_KEY_LEN, .. })));
            assert!(store.get(&key).is_none() && !store.delete(&key).unwrap());
        }
    }

    #[test]
    fn no_time_to_live_is_a_deletion() {
        let (_dir, store) = open(Options::new());
        store.set(b"key", b"value").unwrap();
        store.set_with_ttl(b"key", b"other", Ttl::After(Duration::from_micros(999))).unwrap();
        assert!(store.get(b"key").is_none());
        assert_eq!(store.stats().live_bytes, 0);
    }
}
