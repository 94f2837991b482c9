//! A stored value together with its metadata.

use std::fmt;
use std::time::Duration;

use sharedance_core::Version;

/// A value with its metadata. `Debug` shows only the length of the value.
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
    /// Its version, for `compare_and_set`.
    pub version: Version,
    /// The remaining TTL in whole seconds; `None` if it never expires.
    pub expires_in: Option<Duration>,
    /// The client flags: a number that a client has stored with the value; see [`Attributes`](crate::Attributes).
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_value() {
        let entry =
            Entry { value: b"secret".into(), version: Version::new(7).unwrap(), expires_in: None, client_flags: 3 };
        let shown = format!("{entry:?}");
        assert_eq!(shown, "Entry { value_len: 6, version: Version(7), expires_in: None, client_flags: 3 }");
    }
}
