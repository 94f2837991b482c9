//! A name and a password, compared in constant time, and the rights that they give.

use std::fmt;
use std::sync::Arc;

use subtle::{Choice, ConstantTimeEq};

use super::rights::Rights;

/// The longest name, and the longest password.
pub(super) const MAX_FIELD_LEN: usize = 255;

/// A user of the server.
pub(crate) struct User {
    name: Padded,
    password: Padded,
    pub(super) rights: Rights,
}

/// A user whose credentials were right.
#[derive(Debug)]
pub(crate) struct LogIn {
    pub(super) user: Arc<User>,
    /// The generation of the credentials, read before the user was looked up.
    pub(super) generation: u32,
}

impl PartialEq for LogIn {
    fn eq(&self, other: &LogIn) -> bool {
        Arc::ptr_eq(&self.user, &other.user) && self.generation == other.generation
    }
}

impl Eq for LogIn {}

/// A name and a password that a client has sent, in a form that can be compared.
pub(super) struct Attempt {
    name: Padded,
    password: Padded,
}

impl Attempt {
    pub(super) fn new(name: &[u8], password: &[u8]) -> Attempt {
        Attempt { name: Padded::new(name), password: Padded::new(password) }
    }
}

impl User {
    /// `name` and `password` have at most [`MAX_FIELD_LEN`] bytes.
    pub(super) fn new(name: &[u8], password: &[u8], rights: Rights) -> User {
        User { name: Padded::new(name), password: Padded::new(password), rights }
    }

    /// Whether the attempt has this name and this password. The time does not depend on either of them.
    pub(super) fn matches(&self, attempt: &Attempt) -> Choice {
        self.name.ct_eq(&attempt.name) & self.password.ct_eq(&attempt.password)
    }

    /// Whether both have the same name and password.
    pub(super) fn is_same(&self, other: &User) -> bool {
        (self.name.ct_eq(&other.name) & self.password.ct_eq(&other.password)).into()
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("rights", &self.rights).finish_non_exhaustive()
    }
}

/// Bytes in an array of fixed length, so that the time of a comparison does not disclose how long they are.
struct Padded {
    bytes: [u8; MAX_FIELD_LEN],
    len: u64,
}

impl Padded {
    /// Of bytes that are too long, a part. They equal no others, because their length is another one.
    fn new(bytes: &[u8]) -> Padded {
        let mut padded = [0; MAX_FIELD_LEN];
        let kept = bytes.len().min(MAX_FIELD_LEN);
        padded[..kept].copy_from_slice(&bytes[..kept]);
        Padded { bytes: padded, len: bytes.len() as u64 }
    }

    fn ct_eq(&self, other: &Padded) -> Choice {
        self.bytes.ct_eq(&other.bytes) & self.len.ct_eq(&other.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_right(name: &[u8], password: &[u8], attempt: (&[u8], &[u8])) -> bool {
        User::new(name, password, Rights::default()).matches(&Attempt::new(attempt.0, attempt.1)).into()
    }

    #[test]
    fn only_the_exact_name_and_password_match() {
        assert!(is_right(b"ada", b"secret", (b"ada", b"secret")));
        for attempt in [
            (&b"ada"[..], &b"secre"[..]),
            (b"ada", b"secret\0"),
            (b"ada", b"secret "),
            (b"ada\0", b"secret"),
            (b"ad", b"asecret"),
            (b"Ada", b"secret"),
            (b"secret", b"ada"),
            (b"", b""),
        ] {
            assert!(!is_right(b"ada", b"secret", attempt), "{attempt:?}");
        }
    }

    #[test]
    fn a_password_beyond_the_longest_one_equals_no_other() {
        let longest = [b'p'; MAX_FIELD_LEN];
        assert!(is_right(b"n", &longest, (b"n", &longest)));
        let longer = [b'p'; MAX_FIELD_LEN + 1];
        assert!(!is_right(b"n", &longest, (b"n", &longer)));
        assert!(!is_right(b"n", &longest, (b"n", &longest[1..])));
    }
}
