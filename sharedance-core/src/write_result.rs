//! The version of a value, and the result of a conditional write: the same types in the store and in the client.

use std::fmt;
use std::num::NonZeroU64;

/// The version of a stored value: another, greater one after each write to its key.
///
/// ```
/// use sharedance_core::Version;
///
/// let version = Version::new(7).unwrap();
/// assert!(version < Version::new(8).unwrap());
/// assert_eq!(version.get(), 7);
/// assert_eq!(Version::new(0), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(NonZeroU64);

impl Version {
    /// The version with this number; `None` for 0, which is no version.
    ///
    /// ```
    /// use sharedance_core::Version;
    ///
    /// assert!(Version::new(7).is_some());
    /// ```
    pub const fn new(number: u64) -> Option<Version> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Version(number)),
            None => None,
        }
    }

    /// The number.
    ///
    /// ```
    /// use sharedance_core::Version;
    ///
    /// assert_eq!(Version::new(7).map(Version::get), Some(7));
    /// ```
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl From<NonZeroU64> for Version {
    fn from(number: NonZeroU64) -> Version {
        Version(number)
    }
}

impl From<Version> for u64 {
    fn from(version: Version) -> u64 {
        version.get()
    }
}

/// Prints the number.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The result of a conditional write.
///
/// ```
/// use sharedance_core::{Version, WriteResult};
///
/// fn describe(result: WriteResult) -> String {
///     match result {
///         WriteResult::Stored(version) => format!("stored as version {}", version.get()),
///         WriteResult::Conflict => "another value is there: read it again".to_owned(),
///         WriteResult::NotFound => "it is gone".to_owned(),
///     }
/// }
///
/// assert_eq!(describe(WriteResult::Stored(Version::new(7).unwrap())), "stored as version 7");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "a conditional write may have changed nothing"]
pub enum WriteResult {
    /// The condition held. The value has this version now.
    Stored(Version),
    /// There is a value where none was expected, or one of another version. It stays.
    Conflict,
    /// There is no value, and none was stored.
    NotFound,
}

impl WriteResult {
    /// Whether the value was stored.
    ///
    /// ```
    /// use sharedance_core::WriteResult;
    ///
    /// assert!(!WriteResult::Conflict.is_stored());
    /// ```
    pub const fn is_stored(self) -> bool {
        matches!(self, WriteResult::Stored(_))
    }

    /// The version of the value that was stored.
    ///
    /// ```
    /// use sharedance_core::WriteResult;
    ///
    /// assert_eq!(WriteResult::NotFound.version(), None);
    /// ```
    pub const fn version(self) -> Option<Version> {
        match self {
            WriteResult::Stored(version) => Some(version),
            WriteResult::Conflict | WriteResult::NotFound => None,
        }
    }
}
