//! What is told of a stored pair besides its value, and what comes of a conditional write.

use std::fmt;
use std::time::Duration;

/// The version of a stored value: another one after each write to its key.
///
/// ```no_run
/// # fn example(client: &sharedance_client::Client) -> Result<(), sharedance_client::Error> {
/// use sharedance_client::Version;
///
/// let version: Option<Version> = client.get_entry("greeting")?.map(|entry| entry.version);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version(pub(crate) u64);

/// A value with what the server knows of it. `Debug` shows the value's length only.
///
/// ```no_run
/// # fn example(client: &sharedance_client::Client) -> Result<(), sharedance_client::Error> {
/// if let Some(entry) = client.get_entry("greeting")? {
///     println!("{} bytes, for another {:?}", entry.value.len(), entry.expires_in);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// Its version, to be given to `compare_and_set`.
    pub version: Version,
    /// How long it will live, to the second; `None` is for ever.
    pub expires_in: Option<Duration>,
    /// The number that another client may have stored beside it; this one stores 0.
    pub client_flags: u32,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("value_len", &self.value.len())
            .field("version", &self.version)
            .field("expires_in", &self.expires_in)
            .field("client_flags", &self.client_flags)
            .finish()
    }
}

/// What came of a `compare_and_set`.
///
/// ```no_run
/// # fn example(client: &sharedance_client::Client) -> Result<(), sharedance_client::Error> {
/// use sharedance_client::{Swap, Ttl};
///
/// if let Some(entry) = client.get_entry("visits")? {
///     match client.compare_and_set("visits", "2", Ttl::Never, entry.version)? {
///         Swap::Stored => println!("ours"),
///         Swap::Changed => println!("somebody was faster: read it again"),
///         Swap::Missing => println!("it is gone"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum Swap {
    /// The value had that version, and is replaced.
    Stored,
    /// It has another version by now, and stays.
    Changed,
    /// There is no value any more, and none is stored.
    Missing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_value() {
        let entry = Entry { value: b"secret".into(), version: Version(7), expires_in: None, client_flags: 3 };
        let shown = format!("{entry:?}");
        assert_eq!(shown, "Entry { value_len: 6, version: Version(7), expires_in: None, client_flags: 3 }");
    }
}
