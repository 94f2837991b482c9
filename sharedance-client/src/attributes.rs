//! The attributes of a stored value.

use std::time::Duration;

use crate::time::unix_secs;
use crate::ttl::Ttl;

/// The attributes of a stored value: its TTL, and a number that clients may store with it. Pass a [`Ttl`] or a
/// [`Duration`] where only the TTL matters.
///
/// ```no_run
/// # fn example(client: &sharedance_client::Client) -> Result<(), sharedance_client::Error> {
/// use sharedance_client::{Attributes, Ttl};
///
/// client.set("page-42", "<p>Hello", Ttl::from_secs(60))?;
/// client.set("page-43", "<p>Hello", Attributes::new(Ttl::from_secs(60)).client_flags(2))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attributes {
    /// The TTL of the value.
    pub ttl: Ttl,
    /// Returned as [`Entry::client_flags`](crate::Entry::client_flags). Many clients keep the encoding of the value in
    /// it; this one stores 0 by default.
    pub client_flags: u32,
}

impl Attributes {
    /// With no client flags.
    ///
    /// ```
    /// use sharedance_client::{Attributes, Ttl};
    ///
    /// assert_eq!(Attributes::new(Ttl::Never), Attributes::from(Ttl::Never));
    /// ```
    pub fn new(ttl: impl Into<Ttl>) -> Attributes {
        Attributes { ttl: ttl.into(), client_flags: 0 }
    }

    /// With these client flags.
    ///
    /// ```
    /// use sharedance_client::{Attributes, Ttl};
    ///
    /// let attributes = Attributes::new(Ttl::Never).client_flags(2);
    /// assert_eq!(attributes.client_flags, 2);
    /// ```
    #[must_use]
    pub fn client_flags(mut self, flags: u32) -> Attributes {
        self.client_flags = flags;
        self
    }

    /// The TTL as the dialect's expiration number.
    pub(crate) fn exptime(self) -> i64 {
        self.ttl.exptime(unix_secs)
    }
}

impl From<Ttl> for Attributes {
    fn from(ttl: Ttl) -> Attributes {
        Attributes::new(ttl)
    }
}

impl From<Duration> for Attributes {
    fn from(ttl: Duration) -> Attributes {
        Attributes::new(ttl)
    }
}
