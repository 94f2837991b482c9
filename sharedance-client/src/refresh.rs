//! Values that are computed again before they expire, by one client while the others use the old one.

use std::time::Duration;

use sharedance_core::Version;

use crate::attributes::Attributes;
use crate::command::{Mode, Seen};
use crate::ttl::Ttl;

/// By default, a value is computed again in the last tenth of its TTL.
const PART: u32 = 10;

/// How a value is kept fresh: see [`Client::get_or_refresh`](crate::Client::get_or_refresh).
///
/// ```
/// use std::time::Duration;
/// use sharedance_client::{RefreshOptions, Ttl};
///
/// // Lives for ten minutes, and is computed again in the last two.
/// let options = RefreshOptions::new(Ttl::from_secs(600)).before(Duration::from_secs(120));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct RefreshOptions {
    /// The attributes of the new value.
    pub attributes: Attributes,
    /// How long before its expiry a value is computed again.
    pub before: Duration,
}

impl RefreshOptions {
    /// Computes the value again in the last tenth of its TTL.
    ///
    /// ```
    /// use sharedance_client::{RefreshOptions, Ttl};
    ///
    /// assert_eq!(RefreshOptions::new(Ttl::from_secs(600)).before.as_secs(), 60);
    /// ```
    pub fn new(attributes: impl Into<Attributes>) -> RefreshOptions {
        let attributes = attributes.into();
        let before = match attributes.ttl {
            Ttl::After(ttl) => ttl / PART,
            Ttl::Never => Duration::ZERO,
        };
        RefreshOptions { attributes, before }
    }

    /// Computes the value again when its remaining TTL is less than this.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_client::{RefreshOptions, Ttl};
    /// let options = RefreshOptions::new(Ttl::from_secs(600)).before(Duration::from_secs(120));
    /// ```
    pub fn before(mut self, before: Duration) -> RefreshOptions {
        self.before = before;
        self
    }
}

/// Whether a value must be computed.
pub(crate) enum Need {
    /// The value is fresh, or another client computes it.
    Nothing(Vec<u8>),
    /// The caller must compute the value, and store it in place of the value with this version, or of no value.
    Compute(Option<Version>),
}

impl Need {
    pub(crate) fn of(seen: Option<Seen>) -> Need {
        match seen {
            None => Need::Compute(None),
            Some(Seen { entry, is_chosen: true }) => Need::Compute(Some(entry.version)),
            Some(Seen { entry, .. }) => Need::Nothing(entry.value),
        }
    }
}

/// The mode of the store of a computed value, which keeps a value that was stored meanwhile.
pub(crate) fn mode(version: Option<Version>) -> Mode {
    version.map_or(Mode::Add, Mode::IfVersion)
}
