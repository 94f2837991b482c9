//! The name and the password of a client, and the request that presents them.

use std::fmt;
use std::io::Write;

use crate::error::Error;

/// A name and a password for servers that require them. `Debug` shows the name only.
///
/// The client sends them on each new connection, together with the first request, in the way of memcached's text
/// protocol. They are readable on the network unless the connection uses TLS.
///
/// ```
/// use sharedance_client::{Client, Credentials};
///
/// # fn main() -> Result<(), sharedance_client::Error> {
/// let credentials = Credentials::new("web", "a password");
/// assert!(!format!("{credentials:?}").contains("password"));
/// /// let client = Client::builder("localhost").credentials(credentials).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    name: String,
    password: String,
}

impl Credentials {
    /// The name, which contains no space, and the password; neither contains a control character. memcached accepts no
    /// space in a password either.
    ///
    /// ```
    /// let credentials = sharedance_client::Credentials::new("web", "a-password");
    /// ```
    pub fn new(name: impl Into<String>, password: impl Into<String>) -> Credentials {
        Credentials { name: name.into(), password: password.into() }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let is_control = |byte: u8| byte < b' ' || byte == 0x7f;
        match (&self.name[..], &self.password[..]) {
            ("", _) => Err(Error::Credentials { reason: "the name is missing" }),
            (_, "") => Err(Error::Credentials { reason: "the password is missing" }),
            (name, _) if name.bytes().any(|byte| is_control(byte) || byte == b' ') => {
                Err(Error::Credentials { reason: "the name contains a space or a control character" })
            }
            (_, password) if password.bytes().any(is_control) => {
                Err(Error::Credentials { reason: "the password contains a control character" })
            }
            _ => Ok(()),
        }
    }

    /// Appends the request. Servers with credentials ignore its key and its exptime; on servers without, the exptime
    /// prevents that the password can be read: the pair has already expired.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let len = self.name.len() + " ".len() + self.password.len();
        // Writing to a vector does not fail.
        let _ = write!(out, "set auth 0 -1 {len}\r\n{} {}\r\n", self.name, self.password);
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_a_set_of_an_expired_pair() {
        let mut out = Vec::new();
        Credentials::new("ada", "pässword").encode(&mut out);
        assert_eq!(out, "set auth 0 -1 13\r\nada pässword\r\n".as_bytes());
    }

    #[test]
    fn a_name_or_a_password_that_would_be_another_request_is_refused() {
        for (name, password, part) in [
            ("", "secret", "name is missing"),
            ("ada", "", "password is missing"),
            ("ada b", "secret", "name contains"),
            ("ada", "secret\r\nflush_all", "password contains"),
            ("a\0", "secret", "name contains"),
        ] {
            let error = Credentials::new(name, password).check().unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains(part) && !text.contains("secret"), "{text}");
        }
    }
}
