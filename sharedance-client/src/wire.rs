//! The buffers of one connection between the codec and the socket: bytes to send, received bytes that are not decoded
//! yet, and the pending responses that no command waits for. No I/O.

use std::collections::VecDeque;

use sharedance_core::protocol::Decoded;

use crate::command::{Command, Guarded, Tag};
use crate::credentials::Credentials;
use crate::reply::{self, Rejection, Reply, ReplyError, decimal};

/// The space for a read, and the maximum capacity that a buffer keeps between two uses, in bytes.
const READ_LEN: usize = 16 * 1024;
const KEPT_LEN: usize = 256 * 1024;

/// A pending response that no command waits for.
enum Owed {
    /// To the credentials.
    Authentication,
    /// To the release of all locks after an earlier use of the connection.
    UnlockedAll(Tag),
}

#[derive(Default)]
pub(crate) struct Wire {
    /// What precedes the first command: the credentials, encoded.
    preface: Option<Vec<u8>>,
    output: Vec<u8>,
    sent_len: usize,
    /// The received bytes are at `start..end`; the space after them is free.
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// How many bytes must be there before decoding again can succeed.
    needed: usize,
    next_tag: Tag,
    /// In the order of the requests.
    owed: VecDeque<Owed>,
    /// Whether a lock was requested, and has not been released since.
    may_hold_lock: bool,
}

impl Wire {
    pub(crate) fn new(credentials: Option<&Credentials>) -> Wire {
        let preface = credentials.map(|credentials| {
            let mut preface = Vec::new();
            credentials.encode(&mut preface);
            preface
        });
        Wire { preface, ..Wire::default() }
    }

    /// The bytes to send next.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.output[self.sent_len..]
    }

    pub(crate) fn sent(&mut self, len: usize) {
        self.sent_len += len;
        if self.sent_len == self.output.len() {
            self.sent_len = 0;
            self.output.clear();
            self.output.shrink_to(KEPT_LEN);
        }
    }

    /// The space for the next read: never empty.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        // It grows with the received bytes, not with the announced length.
        let wanted = self.needed.max(READ_LEN).min(2 * self.end.max(READ_LEN));
        if self.input.len() < wanted.max(self.end + 1) {
            self.input.resize(wanted.max(self.end + 1), 0);
        }
        &mut self.input[self.end..]
    }

    pub(crate) fn received(&mut self, len: usize) {
        self.end += len;
    }

    /// Bytes that have been received but not decoded.
    pub(crate) fn pending_len(&self) -> usize {
        self.end - self.start
    }

    /// Whether only responses to earlier uses are pending: another caller may use the connection.
    pub(crate) fn is_idle(&self) -> bool {
        self.unsent().is_empty() && self.pending_len() == 0
    }

    /// Whether responses of the server are pending.
    pub(crate) fn is_owed(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Appends a command to the bytes to send, and returns its tag.
    pub(crate) fn put(&mut self, command: &impl Command) -> Tag {
        if let Some(preface) = self.preface.take() {
            self.output.extend_from_slice(&preface);
            self.owed.push_back(Owed::Authentication);
        }
        let tag = self.next_tag;
        self.next_tag = tag.wrapping_add(1);
        command.encode(tag, &mut self.output);
        self.may_hold_lock = command.holds_lock_after(self.may_hold_lock);
        tag
    }

    /// Whether the connection may hold a lock: a lock was requested, and no command that releases it was appended
    /// since.
    pub(crate) fn may_hold_lock(&self) -> bool {
        self.may_hold_lock
    }

    /// Releases all locks without waiting for the response: the next use of the connection reads it first.
    pub(crate) fn put_unlock_all(&mut self) {
        let tag = self.put(&Guarded::UnlockAll);
        self.owed.push_back(Owed::UnlockedAll(tag));
    }

    /// Passes the next response that a caller waits for to `take`; returns `None` if more must be received first.
    pub(crate) fn take_reply<T>(
        &mut self,
        max_value_len: usize,
        mut take: impl FnMut(Reply<'_>) -> T,
    ) -> Result<Option<T>, ReplyError> {
        loop {
            if self.pending_len() < self.needed {
                return Ok(None);
            }
            let taken = match reply::decode(&self.input[self.start..self.end], max_value_len)? {
                Decoded::Incomplete { needed } => {
                    self.needed = needed;
                    return Ok(None);
                }
                Decoded::Complete { message, consumed } => {
                    self.start += consumed;
                    match (self.owed.pop_front(), message) {
                        (None, message) => {
                            self.may_hold_lock &= message != Reply::LockTimedOut;
                            Some(take(message))
                        }
                        (Some(Owed::UnlockedAll(tag)), Reply::UnlockedAll { opaque })
                            if decimal(opaque) == Some(tag.into()) =>
                        {
                            None
                        }
                        (Some(Owed::Authentication), message) => authenticated(message, &mut take)?,
                        _ => return Err(ReplyError::Foreign),
                    }
                }
            };
            self.needed = 0;
            self.settle_input();
            if taken.is_some() {
                return Ok(taken);
            }
        }
    }

    fn settle_input(&mut self) {
        if self.start < self.end {
            return;
        }
        (self.start, self.end) = (0, 0);
        if self.input.len() > KEPT_LEN {
            self.input = Vec::new();
        }
    }
}

/// Handles the response to the credentials.
fn authenticated<T>(message: Reply<'_>, take: &mut impl FnMut(Reply<'_>) -> T) -> Result<Option<T>, ReplyError> {
    match message {
        Reply::Stored => Ok(None),
        Reply::Rejected(rejection) => match rejection {
            Rejection::BadRequest | Rejection::AuthenticationRequired => Err(ReplyError::AuthenticationFailed),
            // A server without credentials that stores nothing more: the command has its own response.
            Rejection::ValueTooLarge | Rejection::OutOfMemory => Ok(None),
            // A failure of the server, which the command shares: the connection is not used again.
            rejection if !rejection.leaves_connection_usable() => Ok(Some(take(message))),
            _ => Err(ReplyError::Foreign),
        },
        _ => Err(ReplyError::Foreign),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Delete;

    const MAX: usize = 10_000_000;

    fn receive(wire: &mut Wire, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let spare = wire.spare();
            let len = spare.len().min(bytes.len());
            spare[..len].copy_from_slice(&bytes[..len]);
            wire.received(len);
            bytes = &bytes[len..];
        }
    }

    #[test]
    fn a_partial_send_continues_where_it_stopped() {
        let mut wire = Wire::default();
        wire.put(&Delete { key: b"k" });
        wire.put(&Delete { key: b"l" });
        assert_eq!(wire.unsent(), b"md k O0\r\nmd l O1\r\n");
        wire.sent(4);
        assert_eq!(wire.unsent(), b" O0\r\nmd l O1\r\n");
        assert!(!wire.is_idle());
        wire.sent(14);
        assert!(wire.unsent().is_empty() && wire.is_idle());
    }

    #[test]
    fn a_response_to_an_earlier_use_is_skipped_and_nothing_else_is() {
        let mut wire = Wire::default();
        wire.put_unlock_all();
        wire.put_unlock_all();
        assert_eq!(wire.unsent(), b"unlock_all 0\r\nunlock_all 1\r\n");
        receive(&mut wire, b"UNLOCKED 1 0\r\nUNLOCKED 0 1\r\nHD O2\r\n");
        assert_eq!(wire.take_reply(MAX, |reply| matches!(reply, Reply::Done(_))), Ok(Some(true)));
        assert!(!wire.is_owed());

        for other in [&b"VA 1 O0\r\nx\r\n"[..], b"UNLOCKED\r\n", b"UNLOCKED 1 1\r\n", b"ERROR\r\n"] {
            let mut wire = Wire::default();
            wire.put_unlock_all();
            receive(&mut wire, other);
            assert_eq!(wire.take_reply(MAX, |_| ()), Err(ReplyError::Foreign));
        }
    }

    #[test]
    fn credentials_precede_the_first_command_and_their_response_is_not_one_of_a_command() {
        let with_credentials = || Wire::new(Some(&Credentials::new("ada", "secret")));
        let mut wire = with_credentials();
        wire.put(&Delete { key: b"k" });
        wire.put(&Delete { key: b"l" });
        assert_eq!(wire.unsent(), b"set auth 0 -1 10\r\nada secret\r\nmd k O0\r\nmd l O1\r\n");
        receive(&mut wire, b"STORED\r\nHD O0\r\n");
        assert_eq!(wire.take_reply(MAX, |reply| matches!(reply, Reply::Done(_))), Ok(Some(true)));
        assert!(!wire.is_owed());

        for (response, expected) in [
            ("CLIENT_ERROR authentication failure\r\n", Err(ReplyError::AuthenticationFailed)),
            ("CLIENT_ERROR unauthenticated\r\n", Err(ReplyError::AuthenticationFailed)),
            ("HD O0\r\n", Err(ReplyError::Foreign)),
            ("STORED\r\n", Ok(None)),
            ("SERVER_ERROR out of memory storing object\r\n", Ok(None)),
            ("ERROR Too many open connections\r\n", Ok(Some(()))),
        ] {
            let mut wire = with_credentials();
            wire.put(&Delete { key: b"k" });
            receive(&mut wire, response.as_bytes());
            assert_eq!(wire.take_reply(MAX, |_| ()), expected, "{response}");
        }
        // Without credentials no server confirms any.
        let mut wire = Wire::new(None);
        wire.put(&Delete { key: b"k" });
        receive(&mut wire, b"STORED\r\n");
        assert_eq!(wire.take_reply(MAX, |reply| reply == Reply::Stored), Ok(Some(true)));
    }

    #[test]
    fn a_lock_may_be_held_from_its_request_until_its_release() {
        let mut wire = Wire::default();
        wire.put(&Delete { key: b"k" });
        assert!(!wire.may_hold_lock());
        wire.put(&Guarded::Lock { key: b"k", wait_ms: 0, ttl_secs: 1 });
        wire.put(&Guarded::Delete(Delete { key: b"k" }));
        assert!(wire.may_hold_lock());
        wire.put(&Guarded::Unlock { key: b"k" });
        assert!(!wire.may_hold_lock());
        wire.put(&Guarded::Lock { key: b"k", wait_ms: 0, ttl_secs: 1 });
        wire.put_unlock_all();
        assert!(!wire.may_hold_lock());

        let mut wire = Wire::default();
        wire.put(&Guarded::Lock { key: b"k", wait_ms: 0, ttl_secs: 1 });
        receive(&mut wire, b"TIMEOUT\r\n");
        assert_eq!(wire.take_reply(MAX, |_| ()), Ok(Some(())));
        assert!(!wire.may_hold_lock());
    }

    #[test]
    fn a_large_announced_length_reserves_no_memory() {
        let mut wire = Wire::default();
        receive(&mut wire, b"VA 9000000 O0\r\n");
        assert_eq!(wire.take_reply(MAX, |_| ()), Ok(None));
        wire.spare();
        assert!(wire.input.len() <= 2 * READ_LEN, "{}", wire.input.len());
    }

    #[test]
    fn a_large_value_leaves_no_large_buffer_behind() {
        let mut wire = Wire::default();
        let value = vec![b'v'; 3_000_000];
        receive(&mut wire, &[b"VA 3000000 O0\r\n", &value[..], b"\r\n"].concat());
        let len = wire.take_reply(MAX, |reply| match reply {
            Reply::Value { value, .. } => value.len(),
            _ => 0,
        });
        assert_eq!(len, Ok(Some(3_000_000)));
        assert!(wire.is_idle() && wire.input.is_empty());
    }
}
