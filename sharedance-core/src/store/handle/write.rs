//! Storing values, whatever is there or on a condition.

use crate::store::api::request::{Attributes, Condition, Ttl};
use crate::store::error::StoreError;
use crate::store::handle::store::Store;
use crate::{Version, WriteResult};

/// Storing values, whatever is there or on a condition.
impl Store {
    /// Stores `value` under `key` for the default TTL, replacing an old value.
    ///
    /// When this returns, the value survives the death of the process. What else it survives was chosen with
    /// [`Options::durability`](crate::store::Options::durability). A set of the value that the key already has only moves
    /// its deadline.
    ///
    /// Keys and values are anything that is bytes: `&str`, `String`, `&[u8]`, `Vec<u8>`, arrays, a [`Value`].
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// store.set(format!("user:{}", 17), vec![b'A', b'd', b'a'])?;
    /// store.set(b"user:17", "Grace")?;
    /// assert_eq!(store.get("user:17").unwrap(), "Grace");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [`Value`]: crate::store::Value
    ///
    /// # Errors
    /// - [`StoreError::KeyLen`] and [`StoreError::ValueLen`] for what can never be stored;
    /// - [`StoreError::Full`] where there is no room now;
    /// - [`StoreError::ReadOnly`] where a sync has failed before;
    /// - [`StoreError::Io`] where the system refuses a file for another reason, or where the store syncs each write and
    ///   this sync failed.
    ///
    /// The old value stays, except in the last of these cases: there the new one was written, and may not outlive the
    /// machine.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<(), StoreError> {
        self.set_with_ttl(key, value, Ttl::Default)
    }

    /// Stores `value` under `key` for `ttl`: otherwise as [`Store::set`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::{Options, Store, Ttl};
    /// # let dir = tempfile::tempdir()?;
    /// # let (clock, hand) = Clock::manual();
    /// # let store = Options::new().clock(clock).open(dir.path())?;
    /// store.set_with_ttl("code", "1234", Duration::from_secs(300))?;
    /// store.set_with_ttl("motto", "per aspera", Ttl::Never)?;
    /// hand.advance(Duration::from_millis(299_999));
    /// assert!(store.contains("code"));
    /// hand.advance(Duration::from_millis(1));
    /// assert!(!store.contains("code") && store.contains("motto"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn set_with_ttl(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: impl Into<Ttl>,
    ) -> Result<(), StoreError> {
        self.write_bytes(key.as_ref(), value.as_ref(), ttl.into().into(), Condition::Always).map(|_| ())
    }

    /// Stores `value` under `key` with these attributes, if `condition` holds. All writes of a key happen in one order,
    /// which its versions follow.
    ///
    /// ```
    /// # use sharedance_core::WriteResult;
    /// # use sharedance_core::store::{Attributes, Condition, Store, Ttl};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let attributes = Attributes::new(Ttl::Never).client_flags(7);
    /// let WriteResult::Stored(version) = store.write("user:17", "Ada", attributes, Condition::Absent)? else {
    ///     panic!("there was no value");
    /// };
    /// store.set("user:17", "Grace")?;
    /// // A TTL converts to attributes.
    /// let late = store.write("user:17", "Ada Lovelace", Ttl::Never, Condition::Version(version))?;
    /// assert_eq!(late, WriteResult::Conflict);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn write(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        attributes: impl Into<Attributes>,
        condition: Condition,
    ) -> Result<WriteResult, StoreError> {
        self.write_bytes(key.as_ref(), value.as_ref(), attributes.into(), condition)
    }

    fn write_bytes(
        &self,
        key: &[u8],
        value: &[u8],
        attributes: Attributes,
        condition: Condition,
    ) -> Result<WriteResult, StoreError> {
        self.change(|shared| shared.with_room(|writer| writer.write(key, value, attributes, condition)))
    }

    /// Stores `value` if `key` has none; returns whether it was stored. Of several concurrent calls one succeeds.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// // The worker that adds the key has the job, and loses it after ten seconds.
    /// let job = Duration::from_secs(10);
    /// assert!(store.add("job:nightly", "worker 1", job)?);
    /// assert!(!store.add("job:nightly", "worker 2", job)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn add(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, ttl: impl Into<Ttl>) -> Result<bool, StoreError> {
        self.write(key, value, ttl.into(), Condition::Absent).map(WriteResult::is_stored)
    }

    /// Stores `value` if `key` has one already; returns whether it was stored.
    ///
    /// ```
    /// # use sharedance_core::store::{Store, Ttl};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// // A late write does not log a user in again.
    /// store.set("session:17", "user=ada")?;
    /// store.delete("session:17")?;
    /// assert!(!store.replace("session:17", "user=ada&cart=3", Ttl::Default)?);
    /// assert!(!store.contains("session:17"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn replace(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: impl Into<Ttl>,
    ) -> Result<bool, StoreError> {
        self.write(key, value, ttl.into(), Condition::Present).map(WriteResult::is_stored)
    }

    /// Stores `value` if `key` still has the value of this [version](crate::store::Value::version):
    /// [`WriteResult::Conflict`] if it has another one, [`WriteResult::NotFound`] if it has none. If the new value follows
    /// from the old one alone, use [`Store::update`], which tries again after a conflict.
    ///
    /// ```
    /// # use sharedance_core::WriteResult;
    /// # use sharedance_core::store::{Store, Ttl};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("cart:17", "tea")?;
    /// let mine = store.get("cart:17").unwrap();
    /// let another = store.get("cart:17").unwrap();
    /// assert!(store.compare_and_set("cart:17", "tea, milk", Ttl::Default, mine.version())?.is_stored());
    /// let late = store.compare_and_set("cart:17", "tea, lemon", Ttl::Default, another.version())?;
    /// assert_eq!(late, WriteResult::Conflict);
    /// assert_eq!(store.get("cart:17").unwrap(), "tea, milk");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn compare_and_set(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: impl Into<Ttl>,
        version: Version,
    ) -> Result<WriteResult, StoreError> {
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
    fn a_key_or_a_value_of_a_bad_length_is_refused_and_the_old_value_stays() {
        let (_dir, store) = open(Options::manual().max_value_len(30_000));
        let longest = [b'k'; MAX_KEY_LEN];
        store.set(longest, [1; 30_000]).unwrap();
        let too_large = store.set(longest, [2; 30_001]).unwrap_err();
        assert!(matches!(too_large, StoreError::ValueLen { len: 30_001, max: 30_000 }));
        assert_eq!(store.get(longest).unwrap(), [1; 30_000]);
        for len in [0, MAX_KEY_LEN + 1] {
            let key = vec![b'k'; len];
            assert!(matches!(store.set(&key, b""), Err(StoreError::KeyLen { max: MAX_KEY_LEN, .. })));
            assert!(store.get(&key).is_none() && !store.delete(&key).unwrap());
        }
    }

    #[test]
    fn no_time_to_live_is_a_deletion() {
        let (_dir, store) = open(Options::manual());
        store.set(b"key", b"value").unwrap();
        store.set_with_ttl(b"key", b"other", Ttl::After(Duration::from_micros(999))).unwrap();
        assert!(store.get(b"key").is_none());
        assert_eq!(store.stats().live_bytes, 0);
    }
}
