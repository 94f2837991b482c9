//! Reading values.

use crate::store::api::recache::{Entry, GetOptions};
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
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Value> {
        self.get_bytes(key.as_ref())
    }

    fn get_bytes(&self, key: &[u8]) -> Option<Value> {
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
        keys.into_iter().map(|key| self.get(key)).collect()
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
    pub fn contains(&self, key: impl AsRef<[u8]>) -> bool {
        self.get(key).is_some()
    }

    /// The value of `key` with its metadata, and whether this reader is to make a new value. So one reader makes a costly
    /// value again before it expires, and not all readers afterwards.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::store::{GetOptions, Recache, Store, Ttl};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let minute = Ttl::from(Duration::from_secs(60));
    /// let options = GetOptions::new().create(minute).recache_below(Duration::from_secs(5));
    /// // The first reader makes the page.
    /// let entry = store.get_with("front page", options)?.expect("it was created");
    /// assert!(entry.is_new && entry.recache == Recache::Yours);
    /// // Until the page is stored, other readers wait, or do without it.
    /// let entry = store.get_with("front page", options)?.expect("it was created");
    /// assert!(entry.value.is_empty() && entry.recache == Recache::InProgress);
    /// store.set_with_ttl("front page", "<html>", minute)?;
    /// assert_eq!(store.get_with("front page", options)?.expect("it was stored").recache, Recache::NotNeeded);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// With [`GetOptions::touch`] or [`GetOptions::create`] as for [`Store::set`]; otherwise it never fails.
    pub fn get_with(&self, key: impl AsRef<[u8]>, options: GetOptions) -> Result<Option<Entry>, StoreError> {
        self.get_entry(key.as_ref(), options)
    }

    fn get_entry(&self, key: &[u8], options: GetOptions) -> Result<Option<Entry>, StoreError> {
        match options.touch.is_some() || options.create.is_some() {
            true => self.change(|shared| shared.with_room(|writer| writer.get_with(key, options))),
            false => self.to_read().with_room(|writer| writer.get_with(key, options)),
        }
    }
}
