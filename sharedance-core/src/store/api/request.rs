//! The arguments of writes and deletes, and their results.

use std::fmt;
use std::time::Duration;

use crate::{Version, WriteResult};

/// How long a pair lives, from the moment it is set or touched. A [`Duration`] converts to it.
///
/// ```
/// # use std::time::Duration;
/// # use sharedance_core::clock::Clock;
/// # use sharedance_core::store::{Options, Ttl};
/// # let dir = tempfile::tempdir()?;
/// # let (clock, hand) = Clock::manual();
/// # let store = Options::new().clock(clock).open(dir.path())?;
/// store.set_with_ttl("session", "user=ada", Ttl::Default)?;
/// store.set_with_ttl("code", "1234", Duration::from_secs(300))?;
/// store.set_with_ttl("motto", "per aspera", Ttl::Never)?;
/// hand.advance(Duration::from_secs(300));
/// assert_eq!(store.get_many(["session", "code", "motto"]).iter().flatten().count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ttl {
    /// The TTL that the store was opened with: [`Options::default_ttl`](crate::store::Options::default_ttl).
    #[default]
    Default,
    /// This long, in whole milliseconds. A pair with no time to live is never visible, and 34 years or more mean never.
    After(Duration),
    /// Never expires.
    Never,
}

impl From<Duration> for Ttl {
    fn from(duration: Duration) -> Ttl {
        Ttl::After(duration)
    }
}

/// What a write stores besides the value. A [`Ttl`] or a [`Duration`] converts to it, for writes that set nothing else.
///
/// ```
/// # use sharedance_core::store::{Attributes, Condition, Store, Ttl};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let attributes = Attributes::new(Ttl::Default).client_flags(7);
/// assert!(store.write("user:17", "Ada", attributes, Condition::Always)?.is_stored());
/// assert_eq!(store.get("user:17").unwrap().client_flags(), 7);
/// assert!(store.write("user:17", "Ada", Ttl::Never, Condition::Always)?.is_stored());
/// assert_eq!(store.get("user:17").unwrap().client_flags(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Attributes {
    /// How long it lives.
    pub ttl: Ttl,
    /// A number that the caller chooses, returned by [`Value::client_flags`](crate::store::Value::client_flags).
    pub client_flags: u32,
    /// The version that the value gets. Without one the store assigns a version that is greater than those of all values
    /// before. A caller that chooses versions, for example the row versions of a database, is responsible for their
    /// order.
    pub version: Option<Version>,
}

impl Attributes {
    /// With this TTL, without client flags, with a version that the store assigns.
    ///
    /// ```
    /// use sharedance_core::store::{Attributes, Ttl};
    ///
    /// assert_eq!(Attributes::new(Ttl::Default), Attributes::default());
    /// ```
    pub fn new(ttl: impl Into<Ttl>) -> Attributes {
        Attributes { ttl: ttl.into(), client_flags: 0, version: None }
    }

    /// With these client flags.
    ///
    /// ```
    /// use sharedance_core::store::{Attributes, Ttl};
    ///
    /// assert_eq!(Attributes::new(Ttl::Never).client_flags(7).client_flags, 7);
    /// ```
    pub fn client_flags(self, client_flags: u32) -> Attributes {
        Attributes { client_flags, ..self }
    }

    /// With this version, or with one that the store assigns.
    ///
    /// ```
    /// # use sharedance_core::Version;
    /// # use sharedance_core::store::{Attributes, Condition, Store, Ttl};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let row_version = Version::new(42);
    /// let attributes = Attributes::new(Ttl::Never).version(row_version);
    /// assert_eq!(store.write("row:1", "Ada", attributes, Condition::Always)?.version(), row_version);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn version(self, version: impl Into<Option<Version>>) -> Attributes {
        Attributes { version: version.into(), ..self }
    }
}

impl<T: Into<Ttl>> From<T> for Attributes {
    fn from(ttl: T) -> Attributes {
        Attributes::new(ttl)
    }
}

/// The new value that an [update](crate::store::Store::update) makes from the old one. Bytes convert to it, for updates
/// that change nothing else.
///
/// ```
/// # use std::time::Duration;
/// # use sharedance_core::store::{Store, StoreError, Ttl, Update, Value};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// store.set_with_ttl("user:17", "ada", Duration::from_secs(300))?;
/// let capitalise = |name: &Value| -> Result<Update, StoreError> {
///     Ok(Update::new(name.to_ascii_uppercase()).ttl(Ttl::Never))
/// };
/// assert!(store.update("user:17", capitalise)?.is_stored());
/// assert_eq!(store.get("user:17").unwrap(), "ADA");
/// # assert!(store.iter().all(|pair| pair.expires_in().is_none()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Update {
    /// The new value.
    pub value: Vec<u8>,
    /// How long it lives from now on; `None` keeps the deadline.
    pub ttl: Option<Ttl>,
    /// The client flags; `None` keeps them.
    pub client_flags: Option<u32>,
    /// Whether the new value is marked stale, as by [`Store::invalidate`](crate::store::Store::invalidate).
    pub is_stale: bool,
    /// The version that the value gets: see [`Attributes::version`].
    pub version: Option<Version>,
}

impl Update {
    /// Replaces the value, and keeps the deadline and the client flags.
    ///
    /// ```
    /// use sharedance_core::store::Update;
    ///
    /// assert_eq!(Update::new("Ada"), Update::from(b"Ada".to_vec()));
    /// ```
    pub fn new(value: impl Into<Vec<u8>>) -> Update {
        Update { value: value.into(), ..Update::default() }
    }

    /// With this TTL from now on; `None` keeps the deadline.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sharedance_core::store::{Ttl, Update};
    ///
    /// let update = Update::new("Ada").ttl(Ttl::from(Duration::from_secs(60)));
    /// assert!(update.ttl.is_some());
    /// ```
    pub fn ttl(self, ttl: impl Into<Option<Ttl>>) -> Update {
        Update { ttl: ttl.into(), ..self }
    }

    /// With these client flags; `None` keeps them.
    ///
    /// ```
    /// use sharedance_core::store::Update;
    ///
    /// assert_eq!(Update::new("Ada").client_flags(7).client_flags, Some(7));
    /// ```
    pub fn client_flags(self, client_flags: impl Into<Option<u32>>) -> Update {
        Update { client_flags: client_flags.into(), ..self }
    }

    /// Marked stale, or not.
    ///
    /// ```
    /// use sharedance_core::store::Update;
    ///
    /// assert!(Update::new("Ada").stale(true).is_stale);
    /// ```
    pub fn stale(self, is_stale: bool) -> Update {
        Update { is_stale, ..self }
    }

    /// With this version, or with one that the store assigns.
    ///
    /// ```
    /// use sharedance_core::Version;
    /// use sharedance_core::store::Update;
    ///
    /// assert_eq!(Update::new("Ada").version(Version::new(7)).version, Version::new(7));
    /// ```
    pub fn version(self, version: impl Into<Option<Version>>) -> Update {
        Update { version: version.into(), ..self }
    }
}

impl From<Vec<u8>> for Update {
    fn from(value: Vec<u8>) -> Update {
        Update::new(value)
    }
}

impl From<String> for Update {
    fn from(value: String) -> Update {
        Update::new(value)
    }
}

/// Prints only the length of the value, which may be a secret.
impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Update({} bytes, {:?})", self.value.len(), self.ttl)
    }
}

/// What must hold for a write, or a delete, to take place. An expired value counts as none.
///
/// ```
/// # use sharedance_core::WriteResult;
/// # use sharedance_core::store::{Condition, Store, Ttl};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let set_if = |condition| store.write("user:17", "Ada", Ttl::Default, condition);
/// assert_eq!(set_if(Condition::Present)?, WriteResult::NotFound);
/// assert!(set_if(Condition::Absent)?.is_stored());
/// assert_eq!(set_if(Condition::Absent)?, WriteResult::Conflict);
/// let version = store.get("user:17").unwrap().version();
/// assert!(set_if(Condition::Version(version))?.is_stored());
/// assert_eq!(set_if(Condition::Version(version))?, WriteResult::Conflict);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// Nothing.
    Always,
    /// The key has no value.
    Absent,
    /// The key has a value.
    Present,
    /// The key has the value of this [version](crate::store::Value::version).
    Version(Version),
    /// The key has the value of this version, or a newer one. In place of a newer one the value is stored as stale, and
    /// expires when the newer one would have: it was made from data that has changed since, and is used until a better
    /// value is stored.
    VersionOrStale(Version),
}

/// The result of a delete under a [`Condition`].
///
/// ```
/// # use sharedance_core::store::{Condition, DeleteResult, Store};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// store.set("user:17", "Ada")?;
/// let old = store.get("user:17").unwrap();
/// store.set("user:17", "Grace")?;
/// assert_eq!(store.delete_if("user:17", Condition::Version(old.version()))?, DeleteResult::Conflict);
/// let new = store.get("user:17").unwrap().version();
/// assert_eq!(store.delete_if("user:17", Condition::Version(new))?, DeleteResult::Deleted(new));
/// assert_eq!(store.delete_if("user:17", Condition::Version(new))?, DeleteResult::NotFound);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "a conditional delete may have deleted nothing"]
pub enum DeleteResult {
    /// The condition held. The value that was deleted had this version.
    Deleted(Version),
    /// There is a value where none was expected, or one of another version. It stays.
    Conflict,
    /// There is no value.
    NotFound,
}

impl DeleteResult {
    /// Whether a value was deleted.
    ///
    /// ```
    /// use sharedance_core::store::DeleteResult;
    ///
    /// assert!(!DeleteResult::NotFound.is_deleted());
    /// ```
    pub const fn is_deleted(self) -> bool {
        matches!(self, DeleteResult::Deleted(_))
    }
}

/// Why a condition does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Conflict,
    NotFound,
}

impl From<Refusal> for WriteResult {
    fn from(refusal: Refusal) -> WriteResult {
        match refusal {
            Refusal::Conflict => WriteResult::Conflict,
            Refusal::NotFound => WriteResult::NotFound,
        }
    }
}

impl From<Refusal> for DeleteResult {
    fn from(refusal: Refusal) -> DeleteResult {
        match refusal {
            Refusal::Conflict => DeleteResult::Conflict,
            Refusal::NotFound => DeleteResult::NotFound,
        }
    }
}

impl Condition {
    /// Why the condition does not hold for a pair of this version, or for no pair; `None` where it holds.
    pub(crate) fn refuses(self, current: Option<Version>) -> Option<Refusal> {
        match (self, current) {
            (Condition::Always, _) | (Condition::Absent, None) | (Condition::Present, Some(_)) => None,
            (Condition::Absent, Some(_)) => Some(Refusal::Conflict),
            (Condition::Present | Condition::Version(_) | Condition::VersionOrStale(_), None) => {
                Some(Refusal::NotFound)
            }
            (Condition::Version(expected), Some(version)) => (expected != version).then_some(Refusal::Conflict),
            (Condition::VersionOrStale(oldest), Some(version)) => (oldest > version).then_some(Refusal::Conflict),
        }
    }

    /// Whether it is enough to move the deadline if the value is stored already. Callers that compare versions rely on
    /// each write to assign a new one.
    pub(crate) fn allows_identical(self) -> bool {
        matches!(self, Condition::Always | Condition::Present)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_prints_none_of_its_bytes() {
        let update = Update::new("secret").ttl(Ttl::Never);
        assert_eq!(format!("{update:?}"), "Update(6 bytes, Some(Never))");
    }
}
