//! What a write is told, and what comes of it.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

/// How long a pair lives, from the moment it is set or touched. A [`Duration`] does wherever one is asked for.
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
    /// As long as the store was told: [`Options::default_ttl`](crate::store::Options::default_ttl).
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

/// What is kept beside a value. Name what you want, and leave the rest to `..Attributes::default()`: more may be added.
/// A [`Ttl`], or a [`Duration`], does for those who want nothing else.
///
/// ```
/// # use sharedance_core::store::{Attributes, Condition, Store, Ttl};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let attributes = Attributes { client_flags: 7, ..Attributes::default() };
/// store.write("user:17", "Ada", attributes, Condition::Always)?;
/// assert_eq!(store.get("user:17").unwrap().client_flags(), 7);
/// store.write("user:17", "Ada", Ttl::Never, Condition::Always)?;
/// assert_eq!(store.get("user:17").unwrap().client_flags(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// How long it lives.
    pub ttl: Ttl,
    /// A number of the caller's, returned untouched.
    pub client_flags: u32,
    /// The [version](crate::store::Value::version) that the value gets; without one, a new version that is greater than all
    /// that the store has chosen before. A caller that chooses versions itself, such as row versions of a database, is
    /// responsible for their order.
    pub version: Option<NonZeroU64>,
}

impl<T: Into<Ttl>> From<T> for Attributes {
    fn from(ttl: T) -> Attributes {
        Attributes { ttl: ttl.into(), ..Attributes::default() }
    }
}

/// What an [update](crate::store::Store::update) makes of a value. The bytes alone do where the deadline is to stay.
///
/// ```
/// # use std::time::Duration;
/// # use sharedance_core::store::{Store, StoreError, Ttl, Update, Value};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// store.set_with_ttl("user:17", "ada", Duration::from_secs(300))?;
/// let capitalise = |name: &Value| -> Result<Update, StoreError> {
///     Ok(Update { value: name.to_ascii_uppercase(), ttl: Some(Ttl::Never), ..Update::default() })
/// };
/// store.update("user:17", capitalise)?;
/// assert_eq!(store.get("user:17").unwrap(), "ADA");
/// # assert!(store.iter().all(|pair| pair.expires_in().is_none()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// The new value.
    pub value: Vec<u8>,
    /// How long it lives from now on; `None` leaves the deadline as it is.
    pub ttl: Option<Ttl>,
    /// The client flags; `None` leaves them as they are.
    pub client_flags: Option<u32>,
    /// Whether the new value is marked stale, as by [`Store::invalidate`](crate::store::Store::invalidate).
    pub is_stale: bool,
    /// The version that the value gets: see [`Attributes::version`].
    pub version: Option<NonZeroU64>,
}

impl From<Vec<u8>> for Update {
    fn from(value: Vec<u8>) -> Update {
        Update { value, ..Update::default() }
    }
}

/// Prints the length of the value alone: it may hold a secret.
impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Update({} bytes, {:?})", self.value.len(), self.ttl)
    }
}

/// What must hold for a write, or a delete, to take place. What has expired is not there.
///
/// ```
/// # use sharedance_core::store::{Condition, Outcome, Store, Ttl};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let set_if = |condition| store.write("user:17", "Ada", Ttl::Default, condition);
/// assert_eq!(set_if(Condition::Present)?, Outcome::Missing);
/// assert!(set_if(Condition::Absent)?.is_done());
/// assert_eq!(set_if(Condition::Absent)?, Outcome::Exists);
/// let version = store.get("user:17").unwrap().version();
/// assert_eq!(set_if(Condition::Version(version + 1))?, Outcome::Exists);
/// assert!(set_if(Condition::Version(version))?.is_done());
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
    Version(u64),
    /// The key has the value of this version, or a newer one. In the place of a newer one the value is written as
    /// stale, and lives no longer than that would have: it was made from something that has changed meanwhile, and will
    /// do until a better one comes.
    VersionOrStale(u64),
}

/// The result of a write, or a delete, under a [`Condition`]. There will be no further variant.
///
/// ```
/// # use sharedance_core::store::{Condition, Outcome, Store, Ttl};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// match store.write("user:17", "Ada", Ttl::Default, Condition::Absent)? {
///     Outcome::Done { version } => assert_eq!(store.get("user:17").unwrap().version(), version),
///     Outcome::Exists | Outcome::Missing => panic!("no other thread has written it"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It took place. The version is that of the value that was written, or deleted.
    Done {
        /// See [`Value::version`](crate::store::Value::version).
        version: u64,
    },
    /// It did not: there is a value, or one of another version.
    Exists,
    /// It did not: there is no value.
    Missing,
}

impl Outcome {
    /// Whether it took place.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// assert!(!store.append("log", "started ")?.is_done());
    /// store.set("log", "")?;
    /// assert!(store.append("log", "started ")?.is_done());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_done(self) -> bool {
        matches!(self, Outcome::Done { .. })
    }
}

impl Condition {
    /// What a write under this condition comes to if it does not hold for a pair of this version, or for none.
    pub(crate) fn refuses(self, current: Option<u64>) -> Option<Outcome> {
        match (self, current) {
            (Condition::Always, _) | (Condition::Absent, None) | (Condition::Present, Some(_)) => None,
            (Condition::Absent, Some(_)) => Some(Outcome::Exists),
            (Condition::Present | Condition::Version(_) | Condition::VersionOrStale(_), None) => Some(Outcome::Missing),
            (Condition::Version(expected), Some(version)) => (expected != version).then_some(Outcome::Exists),
            (Condition::VersionOrStale(oldest), Some(version)) => (oldest > version).then_some(Outcome::Exists),
        }
    }

    /// Whether it is enough to move the deadline of a value that is there already. Who compares versions counts on
    /// each write to have a new one.
    pub(crate) fn allows_identical(self) -> bool {
        matches!(self, Condition::Always | Condition::Present)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_prints_none_of_its_bytes() {
        let update = Update { value: b"secret".to_vec(), ttl: Some(Ttl::Never), ..Update::default() };
        assert_eq!(format!("{update:?}"), "Update(6 bytes, Some(Never))");
    }
}
