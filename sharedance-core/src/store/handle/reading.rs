//! Reading values.

use super::Store;
use crate::store::error::StoreError;
use crate::store::looking::{Look, Seen};
use crate::store::value::Value;

impl Store {
    /// The value of `key`, unless there is none or it has expired. It is not copied: see [`Value`].
    pub fn get(&self, key: &(impl AsRef<[u8]> + ?Sized)) -> Option<Value> {
        let key = key.as_ref();
        let hash = self.inner.hash(key);
        self.inner.read(hash, key, self.inner.timeline.now_ms()).map(Value::new)
    }

    /// The values of several keys, in their order. They are looked up one after the other: together they are no
    /// snapshot.
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Vec<Option<Value>> {
        keys.into_iter().map(|key| self.get(&key)).collect()
    }

    /// Whether `key` has a value that has not expired.
    pub fn contains(&self, key: &(impl AsRef<[u8]> + ?Sized)) -> bool {
        self.get(key).is_some()
    }

    /// The value of `key`, with what is known about it, and with the word on who is to make a new one. A value that is
    /// costly to make is so made anew by one of its readers before it is gone, and not by all of them afterwards.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::store::{Look, Refresh, Store, Ttl};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let minute = Ttl::After(Duration::from_secs(60));
    /// let look = Look { create: Some(minute), refresh_below: Some(Duration::from_secs(5)), ..Look::default() };
    /// let seen = store.look(b"front page", &look)?.expect("it was created");
    /// assert!(seen.is_new && seen.refresh == Refresh::You);
    /// // Whoever looks before the page is there waits, or does without.
    /// let seen = store.look(b"front page", &look)?.expect("it is there");
    /// assert!(seen.value.is_empty() && seen.refresh == Refresh::Another);
    /// store.set_with_ttl(b"front page", b"<html>", minute)?;
    /// assert_eq!(store.look(b"front page", &look)?.expect("it is there").refresh, Refresh::Nobody);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Where [`Look::create`] writes, as for [`Store::set`]; where it or [`Look::touch`] is asked for,
    /// [`StoreError::ReadOnly`] after a failed sync.
    pub fn look(&self, key: &(impl AsRef<[u8]> + ?Sized), look: &Look) -> Result<Option<Seen>, StoreError> {
        let key = key.as_ref();
        match look.touch.is_some() || look.create.is_some() {
            true => self.inner.change(|inner| inner.look(key, look)),
            false => self.inner.look(key, look),
        }
    }
}
