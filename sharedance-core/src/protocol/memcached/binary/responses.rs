//! Responses of the binary dialect.

use super::{HEADER_LEN, RESPONSE_MAGIC, Tag};

/// The status of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Done.
    Done,
    /// There is no such pair.
    NotFound,
    /// There is such a pair already, or one with another version.
    Exists,
    /// The value is larger than the limit.
    TooLarge,
    /// The lengths of the frame are wrong for its command.
    Invalid,
    /// There is no value to append to.
    NotStored,
    /// The value is not a number.
    NotANumber,
    /// The credentials are wrong, or a request needs some.
    AuthenticationFailed,
    /// The exchange of credentials continues.
    AuthenticationContinues,
    /// The client may not do this.
    AccessDenied,
    /// The command is unknown.
    UnknownCommand,
    /// The dialect is not allowed on this connection.
    NotSupported,
    /// There is no space for the value.
    OutOfMemory,
    /// The server failed.
    Failed,
}

impl Status {
    fn code(self) -> u16 {
        match self {
            Status::Done => 0x00,
            Status::NotFound => 0x01,
            Status::Exists => 0x02,
            Status::TooLarge => 0x03,
            Status::Invalid => 0x04,
            Status::NotStored => 0x05,
            Status::NotANumber => 0x06,
            Status::AuthenticationFailed => 0x20,
            Status::AuthenticationContinues => 0x21,
            Status::AccessDenied => 0x24,
            Status::UnknownCommand => 0x81,
            Status::OutOfMemory => 0x82,
            Status::NotSupported => 0x83,
            Status::Failed => 0x84,
        }
    }

    /// The body of a response with this status.
    fn text(self) -> &'static [u8] {
        match self {
            Status::Done => b"",
            Status::NotFound => b"Not found",
            Status::Exists => b"Data exists for key.",
            Status::TooLarge => b"Too large.",
            Status::Invalid => b"Invalid arguments",
            Status::NotStored => b"Not stored.",
            Status::NotANumber => b"Non-numeric server-side value for incr or decr",
            Status::AuthenticationFailed => b"Auth failure.",
            Status::AuthenticationContinues => b"",
            Status::AccessDenied => b"Access denied",
            Status::UnknownCommand => b"Unknown command",
            Status::OutOfMemory => b"Out of memory",
            Status::NotSupported => b"Not supported",
            Status::Failed => b"Internal error",
        }
    }
}

/// The lengths and the version in a header.
#[derive(Default)]
struct Head {
    extras_len: u8,
    key_len: u16,
    value_len: usize,
    version: u64,
}

fn push_head(out: &mut Vec<u8>, tag: Tag, status: Status, head: &Head) {
    let body_len = usize::from(head.extras_len) + usize::from(head.key_len) + head.value_len;
    let mut bytes = [0; HEADER_LEN];
    bytes[0] = RESPONSE_MAGIC;
    bytes[1] = tag.opcode;
    bytes[2..4].copy_from_slice(&head.key_len.to_be_bytes());
    bytes[4] = head.extras_len;
    bytes[6..8].copy_from_slice(&status.code().to_be_bytes());
    // A value has arrived in a frame, or is shorter than one, so its length fits.
    bytes[8..12].copy_from_slice(&(body_len as u32).to_be_bytes());
    bytes[12..16].copy_from_slice(&tag.opaque);
    bytes[16..24].copy_from_slice(&head.version.to_be_bytes());
    out.extend_from_slice(&bytes);
}

/// Appends a response without a body; `version` is that of the written value, or zero.
pub fn push_done(out: &mut Vec<u8>, tag: Tag, version: u64) {
    push_head(out, tag, Status::Done, &Head { version, ..Head::default() });
}

/// Appends a response that reports an error.
pub fn push_error(out: &mut Vec<u8>, tag: Tag, status: Status) {
    push_text_of(out, tag, status, status.text());
}

/// Appends a response with a text.
pub fn push_text(out: &mut Vec<u8>, tag: Tag, text: &str) {
    push_text_of(out, tag, Status::Done, text.as_bytes());
}

fn push_text_of(out: &mut Vec<u8>, tag: Tag, status: Status, text: &[u8]) {
    push_head(out, tag, status, &Head { value_len: text.len(), ..Head::default() });
    out.extend_from_slice(text);
}

/// Appends what precedes a value that was found. `key` is empty unless the response repeats it, and `value_len` is zero
/// unless the response has the value.
pub fn push_found(out: &mut Vec<u8>, tag: Tag, client_flags: u32, key: &[u8], value_len: usize, version: u64) {
    push_head(out, tag, Status::Done, &Head { extras_len: 4, key_len: key.len() as u16, value_len, version });
    out.extend_from_slice(&client_flags.to_be_bytes());
    out.extend_from_slice(key);
}

/// Appends the response to a retrieval that found nothing. `key` is empty unless the response repeats it.
pub fn push_missing(out: &mut Vec<u8>, tag: Tag, key: &[u8]) {
    if key.is_empty() {
        return push_error(out, tag, Status::NotFound);
    }
    push_head(out, tag, Status::NotFound, &Head { key_len: key.len() as u16, ..Head::default() });
    out.extend_from_slice(key);
}

/// Appends the response to a count.
pub fn push_number(out: &mut Vec<u8>, tag: Tag, number: u64, version: u64) {
    push_head(out, tag, Status::Done, &Head { value_len: 8, version, ..Head::default() });
    out.extend_from_slice(&number.to_be_bytes());
}

/// Appends one statistic. An empty name and value end the list.
pub fn push_stat(out: &mut Vec<u8>, tag: Tag, name: &str, value: &str) {
    let head = Head { key_len: name.len() as u16, value_len: value.len(), ..Head::default() };
    push_head(out, tag, Status::Done, &head);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(value.as_bytes());
}
