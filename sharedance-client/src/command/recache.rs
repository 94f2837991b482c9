//! Reads that choose one client to compute a value again, and the mark that makes a value stale.

use std::io::Write;

use sharedance_core::Version;

use crate::entry::Entry;
use crate::reply::Reply;

use super::{Command, Tag, Unexpected, entry, put, put_head};

/// Reads a value and its metadata, and requests to be chosen to compute it again if it is stale, or its remaining TTL
/// is less than `below_secs`.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) below_secs: u64,
}

/// A value, and whether this client is chosen to compute it again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) entry: Entry,
    pub(crate) is_chosen: bool,
}

impl Command for Look<'_> {
    type Output = Option<Seen>;

    // Not `IS_READ`: the response may choose this client to compute the value.
    fn key(&self) -> &[u8] {
        self.key
    }

    fn encode(&self, tag: Tag, out: &mut Vec<u8>) {
        put_head(out, "mg", self.key);
        put!(out, " f c t v R{} O{tag}\r\n", self.below_secs);
    }

    fn decode(&self, reply: Reply<'_>) -> Result<Self::Output, Unexpected> {
        match reply {
            Reply::Value { value, flags } => {
                let entry = entry(value, flags).ok_or(Unexpected)?;
                Ok(Some(Seen { entry, is_chosen: flags.token(b'W').is_some() }))
            }
            Reply::Missing(_) => Ok(None),
            _ => Err(Unexpected),
        }
    }
}

/// Marks a value as stale if it has this version: one of its next readers is chosen to compute it again.
#[derive(Clone, Copy)]
pub(crate) struct Invalidate<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) version: Option<Version>,
}

impl Command for Invalidate<'_> {
    type Output = bool;

    fn key(&self) -> &[u8] {
        self.key
    }

    fn encode(&self, tag: Tag, out: &mut Vec<u8>) {
        put_head(out, "md", self.key);
        if let Some(version) = self.version {
            put!(out, " C{}", version.get());
        }
        put!(out, " I O{tag}\r\n");
    }

    fn decode(&self, reply: Reply<'_>) -> Result<bool, Unexpected> {
        match reply {
            Reply::Done(_) => Ok(true),
            Reply::Missing(_) => Ok(false),
            Reply::Exists(_) if self.version.is_some() => Ok(false),
            _ => Err(Unexpected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answered, written};
    use super::*;

    #[test]
    fn commands_and_responses() {
        let look = Look { key: b"k", below_secs: 30 };
        assert_eq!(written(&look), "mg k f c t v R30 O7\r\n");
        for (answer, is_chosen) in
            [(&b"VA 1 f0 c3 t9 O7 W\r\nx\r\n"[..], true), (b"VA 1 f0 c3 t9 O7 X Z\r\nx\r\n", false)]
        {
            assert_eq!(answered(&look, answer).unwrap().unwrap().is_chosen, is_chosen);
        }
        assert_eq!(answered(&look, b"EN\r\n"), Ok(None));
        assert_eq!(answered(&look, b"VA 1 O7 W\r\nx\r\n"), Err(Unexpected));

        let invalidate = |version| Invalidate { key: b"k", version };
        assert_eq!(written(&invalidate(None)), "md k I O7\r\n");
        assert_eq!(written(&invalidate(Version::new(9))), "md k C9 I O7\r\n");
        assert_eq!(answered(&invalidate(None), b"HD O7\r\n"), Ok(true));
        assert_eq!(answered(&invalidate(Version::new(9)), b"EX O7\r\n"), Ok(false));
        assert_eq!(answered(&invalidate(None), b"EX O7\r\n"), Err(Unexpected));
    }
}
