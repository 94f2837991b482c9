//! The arguments and results of reads that return more than the value, and that decide which reader makes a new one.

use std::time::Duration;

use crate::Version;
use crate::store::api::request::Ttl;
use crate::store::api::value::Value;

/// The arguments of [`Store::get_with`](crate::store::Store::get_with). By default it reads the value as
/// [`Store::get`](crate::store::Store::get) does, and this reader makes a new one if the value is stale.
///
/// ```
/// # use sharedance_core::store::{GetOptions, Store, Ttl};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// store.set("session:17", "user=ada")?;
/// store.get_with("session:17", GetOptions::new().touch(Ttl::Never))?;
/// let entry = store.get_with("session:17", GetOptions::new())?.expect("it was stored");
/// assert_eq!(entry.expires_in, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct GetOptions {
    /// Lets the value live for this TTL from now on.
    pub touch: Option<Ttl>,
    /// If there is no value, stores an empty one with this TTL, and gives this reader [`Recache::Yours`].
    pub create: Option<Ttl>,
    /// The version of the value that is created; without one the store assigns it.
    pub create_version: Option<Version>,
    /// Gives one reader [`Recache::Yours`] when the value has less than this left to live.
    pub recache_below: Option<Duration>,
    /// Whether this does not count as a read: in [`Entry::idle`], in [`Entry::was_read`], for
    /// [`WhenFull::Evict`](crate::store::WhenFull::Evict), which keeps pairs that are read, and in the hits and misses of
    /// [`Stats`](crate::store::Stats).
    pub peek: bool,
    /// Whether this reader never makes the new value, whatever the state of the old one.
    pub never_recache: bool,
}

impl GetOptions {
    /// The default.
    ///
    /// ```
    /// use sharedance_core::store::GetOptions;
    ///
    /// assert_eq!(GetOptions::new(), GetOptions::default());
    /// ```
    pub const fn new() -> GetOptions {
        GetOptions {
            touch: None,
            create: None,
            create_version: None,
            recache_below: None,
            peek: false,
            never_recache: false,
        }
    }

    /// Lets the value live for `ttl` from now on.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::store::{GetOptions, Store, Ttl};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("session:17", "user=ada")?;
    /// let options = GetOptions::new().touch(Ttl::from(Duration::from_secs(60)));
    /// let entry = store.get_with("session:17", options)?.expect("it was stored");
    /// assert!(entry.expires_in < Some(Duration::from_secs(61)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn touch(self, ttl: impl Into<Option<Ttl>>) -> GetOptions {
        GetOptions { touch: ttl.into(), ..self }
    }

    /// If there is no value, stores an empty one with this TTL, and gives this reader [`Recache::Yours`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::store::{GetOptions, Recache, Store, Ttl};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let options = GetOptions::new().create(Ttl::from(Duration::from_secs(10)));
    /// let entry = store.get_with("front page", options)?.expect("it was created");
    /// assert!(entry.is_new && entry.value.is_empty() && entry.recache == Recache::Yours);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create(self, ttl: impl Into<Option<Ttl>>) -> GetOptions {
        GetOptions { create: ttl.into(), ..self }
    }

    /// The version of the value that is [created](GetOptions::create).
    ///
    /// ```
    /// # use sharedance_core::Version;
    /// # use sharedance_core::store::{GetOptions, Store, Ttl};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let options = GetOptions::new().create(Ttl::Default).create_version(Version::new(7));
    /// let entry = store.get_with("front page", options)?.expect("it was created");
    /// assert_eq!(Some(entry.value.version()), Version::new(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_version(self, version: impl Into<Option<Version>>) -> GetOptions {
        GetOptions { create_version: version.into(), ..self }
    }

    /// Gives one reader [`Recache::Yours`] when the value has less than `remaining` left to live.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::store::{GetOptions, Recache, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set_with_ttl("front page", "<html>", Duration::from_secs(30))?;
    /// let options = GetOptions::new().recache_below(Duration::from_secs(60));
    /// let recache = || store.get_with("front page", options).map(|entry| entry.expect("it was stored").recache);
    /// assert_eq!((recache()?, recache()?), (Recache::Yours, Recache::InProgress));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recache_below(self, remaining: impl Into<Option<Duration>>) -> GetOptions {
        GetOptions { recache_below: remaining.into(), ..self }
    }

    /// Whether this does not count as a read: see [`GetOptions::peek`](#structfield.peek).
    ///
    /// ```
    /// # use sharedance_core::store::{GetOptions, Options};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().track_accesses(true).open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// let was_read = || store.get_with("user:17", GetOptions::new().peek(true)).map(|entry| entry.unwrap().was_read);
    /// assert!(!was_read()? && !was_read()?);
    /// store.get("user:17");
    /// assert!(was_read()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn peek(self, peek: bool) -> GetOptions {
        GetOptions { peek, ..self }
    }

    /// Whether this reader never makes the new value.
    ///
    /// ```
    /// # use sharedance_core::store::{Condition, GetOptions, Recache, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("front page", "<html>")?;
    /// store.invalidate("front page", Condition::Present, None)?;
    /// let entry = store.get_with("front page", GetOptions::new().never_recache(true))?.expect("it was stored");
    /// assert!(entry.is_stale && entry.recache == Recache::NotNeeded);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn never_recache(self, never_recache: bool) -> GetOptions {
        GetOptions { never_recache, ..self }
    }
}

/// A value with its metadata, at the time of the [`Store::get_with`](crate::store::Store::get_with) that returned it.
///
/// ```
/// # use std::time::Duration;
/// # use sharedance_core::clock::Clock;
/// # use sharedance_core::store::{GetOptions, Options};
/// # let dir = tempfile::tempdir()?;
/// # let (clock, hand) = Clock::manual();
/// # let store = Options::new().clock(clock).open(dir.path())?;
/// store.set_with_ttl("code", "1234", Duration::from_secs(300))?;
/// hand.advance(Duration::from_secs(100));
/// let entry = store.get_with("code", GetOptions::new())?.expect("it was stored");
/// assert_eq!(entry.value, "1234");
/// assert_eq!(entry.expires_in, Some(Duration::from_secs(200)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// Whether this call has stored the value, which is empty.
    pub is_new: bool,
    /// The remaining TTL; `None` if it never expires.
    pub expires_in: Option<Duration>,
    /// The time since it was last read or, if it has not been read, written; in whole seconds. `None` unless
    /// [`Options::track_accesses`](crate::store::Options::track_accesses).
    pub idle: Option<Duration>,
    /// Whether it has been read since it was written. Always false unless
    /// [`Options::track_accesses`](crate::store::Options::track_accesses).
    pub was_read: bool,
    /// Whether it was marked stale: [`Store::invalidate`](crate::store::Store::invalidate).
    pub is_stale: bool,
    /// Which reader is to make a new value.
    pub recache: Recache,
}

/// Which reader is to make a new value. There will be no further variant.
///
/// ```
/// # use sharedance_core::store::{GetOptions, Recache, Store, StoreError, Ttl, Value};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # let make_page = || "<html>";
/// let page = |store: &Store| -> Result<Option<Value>, StoreError> {
///     let Some(entry) = store.get_with("front page", GetOptions::new().create(Ttl::Default))? else {
///         return Ok(None);
///     };
///     Ok(match entry.recache {
///         Recache::NotNeeded => Some(entry.value),
///         Recache::Yours => {
///             store.set("front page", make_page())?;
///             store.get("front page")
///         }
///         Recache::InProgress => None, // Another reader makes it: try again soon.
///     })
/// };
/// assert_eq!(page(&store)?.unwrap(), "<html>");
/// assert_eq!(page(&store)?.unwrap(), "<html>");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// If the reader that got [`Recache::Yours`] fails, the value stays as it is until it expires. Therefore give what you
/// [create](GetOptions::create) a short TTL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recache {
    /// None: the value is fresh, or this reader never makes a new one.
    NotNeeded,
    /// The reader that gets this, and no other.
    Yours,
    /// Another reader, which got [`Recache::Yours`] before.
    InProgress,
}
