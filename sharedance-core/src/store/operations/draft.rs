//! Drafts: the contents of a record that will be written.

use crate::Version;
use crate::store::api::request::Ttl;
use crate::store::disk::format::{
    CLIENT_FLAGS_LEN, FLAG_CLIENT_FLAGS, FLAG_REFRESHER, FLAG_STALE, FLAG_VERSION, VERSION_LEN,
};
use crate::store::segment::payload::Payload;
use crate::store::segment::record::Pinned;

/// Marks of a record: see [`Entry`](crate::store::Entry).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Marks {
    pub(crate) is_stale: bool,
    pub(crate) has_refresher: bool,
}

impl Marks {
    fn flags(self) -> u8 {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        flag(self.is_stale, FLAG_STALE) | flag(self.has_refresher, FLAG_REFRESHER)
    }
}

/// The attributes of a value that replaces another one. `None` keeps the old attribute, except that the version is a
/// new one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rewrite {
    pub(crate) ttl: Option<Ttl>,
    pub(crate) marks: Marks,
    pub(crate) client_flags: Option<u32>,
    pub(crate) version: Option<Version>,
}

/// What precedes the key: client flags unless they are zero, and a version if the caller has chosen one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Prefix {
    bytes: [u8; CLIENT_FLAGS_LEN + VERSION_LEN],
    len: usize,
    flags: u8,
}

impl Prefix {
    pub(crate) fn new(client_flags: u32, version: Option<Version>) -> Prefix {
        let mut prefix = Prefix::default();
        if client_flags != 0 {
            prefix.push(&client_flags.to_le_bytes(), FLAG_CLIENT_FLAGS);
        }
        if let Some(version) = version {
            prefix.push(&version.get().to_le_bytes(), FLAG_VERSION);
        }
        prefix
    }

    fn push(&mut self, bytes: &[u8], flag: u8) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
        self.flags |= flag;
    }
}

/// The contents of a record that will be written.
pub(crate) struct Draft<'a> {
    pub(crate) prefix: Prefix,
    pub(crate) marks: Marks,
    pub(crate) key: &'a [u8],
    /// The parts of the value.
    pub(crate) value: &'a [&'a [u8]],
}

impl Draft<'_> {
    pub(crate) fn flags(&self) -> u8 {
        self.marks.flags() | self.prefix.flags
    }

    pub(crate) fn value_len(&self) -> usize {
        self.value.iter().map(|part| part.len()).sum()
    }

    /// Whether `current` equals this draft. The comparison may take long: the caller should hold no lock.
    pub(crate) fn is(&self, current: &Pinned, payload: &Payload<'_>) -> bool {
        current.record().word().flags == self.flags() && current.record().has_payload(payload)
    }

    pub(crate) fn payload(&self) -> Payload<'_> {
        let prefix = &self.prefix.bytes[..self.prefix.len];
        Payload::of([prefix, self.key].into_iter().chain(self.value.iter().copied()))
    }
}
