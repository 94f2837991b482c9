//! Reading values.

use crate::store::api::recache::{Look, Seen};
use crate::store::api::value::Value;
use crate::store::error::StoreError;
use crate::store::handle::store::Store;

/// Reading values.
impl Store {
    /// The value of `key`, unless there is none or it has expired. It is not copied: see [`Value`].
    ///
    /// This never fails. A value whose bytes turn out not to be those that were written (the disk, or another program,
    /// has changed them) is dropped and counted in [`Stats::damaged`](crate::store::Stats::damaged): there is none,
    /// then.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// let name = store.get("user:17").unwrap();
    /// assert_eq!(name, "Ada");
    /// assert_eq!(String::from_utf8_lossy(&name), "Ada");
    /// assert!(store.get("user:18").is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self, key: &(impl AsRef<[u8]> + ?Sized)) -> Option<Value> {
        let key = key.as_ref();
        let engine = &self.to_read().engine;
        engine.read(engine.hash(key), key, engine.timeline.now_ms()).map(Value::new)
    }

    /// The values of several keys, in their order. They are looked up one after the other: together they are no
    /// snapshot.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// let names = store.get_many(["user:17", "user:18"]);
    /// assert_eq!(names[0].as_deref(), Some(&b"Ada"[..]));
    /// assert!(names[1].is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Vec<Option<Value>> {
        keys.into_iter().map(|key| self.get(&key)).collect()
    }

    /// Whether `key` has a value that has not expired. That is found out by reading it, and counts as that.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// assert!(store.contains("user:17") && !store.contains("user:18"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn contains(&self, key: &(impl AsRef<[u8]> + ?Sized)) -> bool {
        self.get(key).is_some()
    }

    /// The value of `key`, with what is known about it, and with the word on who is to make a new one. A value that is
    /// costly to make is made again by one of its readers before it is gone, and not by all of them afterwards.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::store::{Look, Refresh, Store, Ttl};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let minute = Ttl::from(Duration::from_secs(60));
    /// let look = Look { create: Some(minute), refresh_below: Some(Duration::from_secs(5)), ..Look::default() };
    /// // The first who looks is chosen to make the page.
    /// let seen = store.look("front page", &look)?.expect("it was created");
    /// assert!(seen.is_new && seen.refresh == Refresh::Yours);
    /// // Until the page is there, other readers wait, or do without.
    /// let seen = store.look("front page", &look)?.expect("it is there");
    /// assert!(seen.value.is_empty() && seen.refresh == Refresh::InProgress);
    /// store.set_with_ttl("front page", "<html>", minute)?;
    /// assert_eq!(store.look("front page", &look)?.expect("it is there").refresh, Refresh::NotNeeded);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Where [`Look::create`] writes, as for [`Store::set`]; where it or [`Look::touch`] is asked for,
    /// [`StoreError::ReadOnly`] after a failed sync.
    pub fn look(&self, key: &(impl AsRef<[u8]> + ?Sized), look: &Look) -> Result<Option<Seen>, StoreError> {
        let key = key.as_ref();
        match look.touch.is_some() || look.create.is_some() {
            true => self.change(|shared| shared.with_room(|writer| writer.look(key, look))),
            false => self.shared.with_room(|writer| writer.look(key, look)),
        }
    }
}
