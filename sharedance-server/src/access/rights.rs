//! What a user may do.

use std::fmt;

use sharedance_core::protocol::Operation;
use sharedance_core::protocol::memcached::{Key, KeyBuffer};

/// What a user may do. The default is everything except administration.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    /// What the keys must begin with; never empty.
    pub(super) prefix: Option<Box<[u8]>>,
    /// Whether the user may change nothing.
    pub(super) is_read_only: bool,
    /// Whether the user may administer the server.
    pub(super) is_admin: bool,
}

impl Rights {
    /// Everything except administration.
    pub(super) const WITHOUT_CREDENTIALS: &'static Rights =
        &Rights { prefix: None, is_read_only: false, is_admin: false };

    /// Whether the user may do this. `is_admin` if the user or the listener has that right.
    pub(super) fn permit(&self, operation: Operation<'_>, is_admin: bool) -> bool {
        match operation {
            // Of the statistics, a user that is no administrator gets those that identify the server.
            Operation::Connection | Operation::Authenticate | Operation::Report => true,
            Operation::Read(key) => self.includes(key),
            // A lock makes others wait.
            Operation::Write(key) | Operation::Lock(key) => !self.is_read_only && self.includes(key),
            Operation::Clear => is_admin && !self.is_read_only && self.prefix.is_none(),
        }
    }

    fn includes(&self, key: Key<'_>) -> bool {
        self.prefix.as_ref().is_none_or(|prefix| key.bytes(&mut KeyBuffer::default()).starts_with(prefix))
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A prefix is a part of keys.
        f.debug_struct("Rights")
            .field("prefix_len", &self.prefix.as_ref().map(|prefix| prefix.len()))
            .field("is_read_only", &self.is_read_only)
            .field("is_admin", &self.is_admin)
            .finish()
    }
}
