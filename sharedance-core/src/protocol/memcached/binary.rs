//! The binary dialect: frames of a header of fixed length, extras, a key and a value.
//!
//! ```text
//! 0x80  opcode  key length  extras length  0  0   body length  opaque  version   extras  key  value
//!   1      1         2             1       1  2        4          4       8                           bytes
//! ```
//!
//! Numbers are big-endian; the body is what stands behind the header. An answer is a frame too, with 0x81 in front and a
//! status in place of the bytes that are zero. It repeats the opcode and the opaque.

use std::fmt;

use super::{Direction, Exptime, Key, MAX_KEY_LEN, Mode, Update};
use crate::protocol::{DecodeError, Decoded, Limits};

/// What every frame of a client begins with.
pub const MAGIC: u8 = 0x80;

/// What every frame of a server begins with.
pub const RESPONSE_MAGIC: u8 = 0x81;

/// The length of a header in bytes.
pub const HEADER_LEN: usize = 24;

/// The expiration time with which a count creates nothing.
const CREATES_NOTHING: u32 = u32::MAX;

/// What a peer asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What to do.
    pub command: Command<'a>,
    /// What the answers are to be told by.
    pub tag: Tag,
    /// Whether what the peer expects is not answered: a miss of a retrieval, success of anything else.
    pub quiet: bool,
}

/// What an answer repeats of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    opcode: u8,
    opaque: [u8; 4],
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command<'a> {
    /// Nothing: bytes that were to be thrown away. There is no answer.
    Discarded,
    /// To be answered by [`push_found`] or [`push_missing`].
    Get {
        /// The key.
        key: &'a [u8],
        /// Whether the answer repeats the key.
        with_key: bool,
        /// Whether the answer has the value.
        wants_value: bool,
        /// How long the pair lives from now on.
        touch: Option<Exptime>,
    },
    /// A write.
    Update(Update<'a>),
    /// A write of more than the limit: to be answered by [`Status::TooLarge`].
    TooLarge {
        /// The key.
        key: Key<'a>,
        /// Whether the value in place is to be deleted: it must not be taken for what was to replace it.
        deletes: bool,
    },
    /// A deletion.
    Delete {
        /// The key.
        key: &'a [u8],
        /// The version that the value must have.
        version: Option<u64>,
    },
    /// To be answered by [`push_number`].
    Count {
        /// The key.
        key: &'a [u8],
        /// Which way.
        direction: Direction,
        /// How far.
        delta: u64,
        /// The value to store where there is none.
        initial: u64,
        /// How long that lives; `None` stores nothing.
        create: Option<Exptime>,
        /// The version that the value must have.
        version: Option<u64>,
    },
    /// Everything is to be deleted; [`Exptime::Never`] means at once.
    FlushAll {
        /// When.
        at: Exptime,
    },
    /// To be answered by [`push_done`]: what precedes is answered.
    Noop,
    /// To be answered by [`push_text`].
    Version,
    /// To be answered by [`push_stat`], many times.
    Stats {
        /// What about; empty for everything.
        about: &'a [u8],
    },
    /// To be answered by [`push_done`]; the connection is to be closed then.
    Quit,
    /// There is no such command: [`Status::UnknownCommand`].
    Unknown,
    /// A frame that is none: the status is to be answered, and the connection to be closed.
    Invalid(Status),
}

impl fmt::Debug for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Discarded => f.write_str("Discarded"),
            Command::Get { key, touch, .. } => write!(f, "Get {{ key: {} bytes, touch: {touch:?} }}", key.len()),
            Command::Update(update) => update.fmt(f),
            Command::TooLarge { key, .. } => write!(f, "TooLarge({key:?})"),
            Command::Delete { key, .. } => write!(f, "Delete {{ key: {} bytes }}", key.len()),
            Command::Count { key, direction, .. } => write!(f, "Count {{ key: {} bytes, {direction:?} }}", key.len()),
            Command::FlushAll { at } => write!(f, "FlushAll {{ at: {at:?} }}"),
            Command::Noop => f.write_str("Noop"),
            Command::Version => f.write_str("Version"),
            Command::Stats { .. } => f.write_str("Stats"),
            Command::Quit => f.write_str("Quit"),
            Command::Unknown => f.write_str("Unknown"),
            Command::Invalid(status) => write!(f, "Invalid({status:?})"),
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Done.
    Done,
    /// There is no such pair.
    NotFound,
    /// There is one already, or one of another version.
    Exists,
    /// The value is larger than the limit.
    TooLarge,
    /// The frame's lengths are not those of its command.
    Invalid,
    /// There is nothing to append to.
    NotStored,
    /// The value is no number.
    NotANumber,
    /// There is no such command.
    UnknownCommand,
    /// There is no room for the value.
    OutOfMemory,
    /// The server could not do it.
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
            Status::UnknownCommand => 0x81,
            Status::OutOfMemory => 0x82,
            Status::Failed => 0x84,
        }
    }

    /// What stands in the body of an answer with this status.
    fn text(self) -> &'static [u8] {
        match self {
            Status::Done => b"",
            Status::NotFound => b"Not found",
            Status::Exists => b"Data exists for key.",
            Status::TooLarge => b"Too large.",
            Status::Invalid => b"Invalid arguments",
            Status::NotStored => b"Not stored.",
            Status::NotANumber => b"Non-numeric server-side value for incr or decr",
            Status::UnknownCommand => b"Unknown command",
            Status::OutOfMemory => b"Out of memory",
            Status::Failed => b"Internal error",
        }
    }
}

/// The lengths and the version that an answer announces.
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
    // A value came in a frame once, or is shorter than one: its length fits.
    bytes[8..12].copy_from_slice(&(body_len as u32).to_be_bytes());
    bytes[12..16].copy_from_slice(&tag.opaque);
    bytes[16..24].copy_from_slice(&head.version.to_be_bytes());
    out.extend_from_slice(&bytes);
}

/// Appends an answer without a body; `version` is that of the value written, or zero.
pub fn push_done(out: &mut Vec<u8>, tag: Tag, version: u64) {
    push_head(out, tag, Status::Done, &Head { version, ..Head::default() });
}

/// Appends an answer that tells what went wrong.
pub fn push_error(out: &mut Vec<u8>, tag: Tag, status: Status) {
    push_text_of(out, tag, status, status.text());
}

/// Appends an answer that is a text.
pub fn push_text(out: &mut Vec<u8>, tag: Tag, text: &str) {
    push_text_of(out, tag, Status::Done, text.as_bytes());
}

fn push_text_of(out: &mut Vec<u8>, tag: Tag, status: Status, text: &[u8]) {
    push_head(out, tag, status, &Head { value_len: text.len(), ..Head::default() });
    out.extend_from_slice(text);
}

/// Appends what precedes a value that was found; `key` is empty unless the answer repeats it, and `value_len` zero
/// unless the answer has the value.
pub fn push_found(out: &mut Vec<u8>, tag: Tag, client_flags: u32, key: &[u8], value_len: usize, version: u64) {
    push_head(out, tag, Status::Done, &Head { extras_len: 4, key_len: key.len() as u16, value_len, version });
    out.extend_from_slice(&client_flags.to_be_bytes());
    out.extend_from_slice(key);
}

/// Appends the answer to a retrieval that found nothing; `key` is empty unless the answer repeats it.
pub fn push_missing(out: &mut Vec<u8>, tag: Tag, key: &[u8]) {
    if key.is_empty() {
        return push_error(out, tag, Status::NotFound);
    }
    push_head(out, tag, Status::NotFound, &Head { key_len: key.len() as u16, ..Head::default() });
    out.extend_from_slice(key);
}

/// Appends the answer to a count.
pub fn push_number(out: &mut Vec<u8>, tag: Tag, number: u64, version: u64) {
    push_head(out, tag, Status::Done, &Head { value_len: 8, version, ..Head::default() });
    out.extend_from_slice(&number.to_be_bytes());
}

/// Appends one statistic; one without name and value ends them.
pub fn push_stat(out: &mut Vec<u8>, tag: Tag, name: &str, value: &str) {
    let head = Head { key_len: name.len() as u16, value_len: value.len(), ..Head::default() };
    push_head(out, tag, Status::Done, &head);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(value.as_bytes());
}

/// Decodes the requests of one connection.
#[derive(Debug, Default)]
pub struct Decoder {
    /// So many bytes come next that are thrown away.
    discarding: u64,
}

/// What a header says.
struct Frame {
    tag: Tag,
    key_len: usize,
    extras_len: usize,
    body_len: u32,
    version: Option<u64>,
}

/// What an opcode stands for.
#[derive(Clone, Copy)]
enum Verb {
    Get { with_key: bool, wants_value: bool, touches: bool },
    Update(Mode),
    Delete,
    Count(Direction),
    FlushAll,
    Noop,
    Version,
    Stats,
    Quit,
}

impl Verb {
    /// The verb, and whether it is its quiet form.
    fn of(opcode: u8) -> Option<(Verb, bool)> {
        let get = |with_key, touches| Verb::Get { with_key, wants_value: true, touches };
        Some(match opcode {
            0x00 => (get(false, false), false),
            0x01 => (Verb::Update(Mode::Set), false),
            0x02 => (Verb::Update(Mode::Add), false),
            0x03 => (Verb::Update(Mode::Replace), false),
            0x04 => (Verb::Delete, false),
            0x05 => (Verb::Count(Direction::Up), false),
            0x06 => (Verb::Count(Direction::Down), false),
            0x07 => (Verb::Quit, false),
            0x08 => (Verb::FlushAll, false),
            0x09 => (get(false, false), true),
            0x0a => (Verb::Noop, false),
            0x0b => (Verb::Version, false),
            0x0c => (get(true, false), false),
            0x0d => (get(true, false), true),
            0x0e => (Verb::Update(Mode::Append), false),
            0x0f => (Verb::Update(Mode::Prepend), false),
            0x10 => (Verb::Stats, false),
            0x11 => (Verb::Update(Mode::Set), true),
            0x12 => (Verb::Update(Mode::Add), true),
            0x13 => (Verb::Update(Mode::Replace), true),
            0x14 => (Verb::Delete, true),
            0x15 => (Verb::Count(Direction::Up), true),
            0x16 => (Verb::Count(Direction::Down), true),
            0x17 => (Verb::Quit, true),
            0x18 => (Verb::FlushAll, true),
            0x19 => (Verb::Update(Mode::Append), true),
            0x1a => (Verb::Update(Mode::Prepend), true),
            0x1c => (Verb::Get { with_key: false, wants_value: false, touches: true }, false),
            0x1d => (get(false, true), false),
            0x1e => (get(false, true), true),
            0x23 => (get(true, true), false),
            0x24 => (get(true, true), true),
            _ => return None,
        })
    }

    /// Whether a frame of these lengths is one of this verb.
    fn fits(self, frame: &Frame) -> bool {
        let (key_len, extras_len) = (frame.key_len, frame.extras_len);
        let has_value = frame.body_len as usize > key_len + extras_len;
        match self {
            Verb::Get { touches: false, .. } | Verb::Delete => key_len > 0 && extras_len == 0 && !has_value,
            Verb::Get { touches: true, .. } => key_len > 0 && extras_len == 4 && !has_value,
            Verb::Update(Mode::Append | Mode::Prepend) => key_len > 0 && extras_len == 0,
            Verb::Update(_) => key_len > 0 && extras_len == 8,
            Verb::Count(_) => key_len > 0 && extras_len == 20 && !has_value,
            Verb::FlushAll => key_len == 0 && matches!(extras_len, 0 | 4) && !has_value,
            Verb::Noop | Verb::Version | Verb::Quit => frame.body_len == 0,
            Verb::Stats => extras_len == 0 && !has_value,
        }
    }
}

impl Decoder {
    /// A decoder for a connection on which nothing has been decoded yet.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Decodes the next request. `input` is all that has arrived and was not consumed.
    ///
    /// [`Decoded::Incomplete`] is right for as long as `input` begins at the same place.
    ///
    /// # Errors
    /// [`DecodeError::Magic`]: a frame begins with something else than [`MAGIC`].
    pub fn decode<'a>(&mut self, input: &'a [u8], limits: &Limits) -> Result<Decoded<Request<'a>>, DecodeError> {
        let Some(&first) = input.first() else {
            return Ok(Decoded::Incomplete { needed: 1 });
        };
        if self.discarding > 0 {
            return Ok(self.discard(input));
        }
        if first != MAGIC {
            return Err(DecodeError::Magic(first));
        }
        let Some(header) = input.first_chunk() else {
            return Ok(Decoded::Incomplete { needed: HEADER_LEN });
        };
        let frame = Frame::new(header);
        let invalid = |status| {
            let message = Request { command: Command::Invalid(status), tag: frame.tag, quiet: false };
            Ok(Decoded::Complete { message, consumed: HEADER_LEN })
        };
        if frame.key_len + frame.extras_len > frame.body_len as usize {
            return invalid(Status::UnknownCommand);
        }
        if frame.key_len > MAX_KEY_LEN {
            return invalid(Status::Invalid);
        }
        match Verb::of(frame.tag.opcode) {
            Some((verb, quiet)) if verb.fits(&frame) => Ok(self.decode_body(input, &frame, verb, quiet, limits)),
            Some(_) => invalid(Status::Invalid),
            None => {
                self.discarding = frame.body_len.into();
                let message = Request { command: Command::Unknown, tag: frame.tag, quiet: false };
                Ok(Decoded::Complete { message, consumed: HEADER_LEN })
            }
        }
    }

    fn decode_body<'a>(
        &mut self,
        input: &'a [u8],
        frame: &Frame,
        verb: Verb,
        quiet: bool,
        limits: &Limits,
    ) -> Decoded<Request<'a>> {
        let whole_len = HEADER_LEN as u64 + u64::from(frame.body_len);
        let key_end = HEADER_LEN + frame.extras_len + frame.key_len;
        // Of a frame beyond the limit all but its value is decoded.
        let is_too_large = whole_len > limits.max_request_len as u64;
        let needed = if is_too_large { key_end } else { whole_len as usize };
        let Some(bytes) = input.get(..needed) else {
            return Decoded::Incomplete { needed };
        };
        let (key_and_extras, value) = bytes.split_at(key_end);
        let (extras, key) = key_and_extras[HEADER_LEN..].split_at(frame.extras_len);
        let mut command = verb.command(frame, extras, key, value);
        if let Command::Update(update) = command
            && is_too_large
        {
            command = Command::TooLarge { key: update.key, deletes: update.mode == Mode::Set };
            self.discarding = whole_len - needed as u64;
        }
        Decoded::Complete { message: Request { command, tag: frame.tag, quiet }, consumed: needed }
    }

    fn discard<'a>(&mut self, input: &[u8]) -> Decoded<Request<'a>> {
        let consumed = usize::try_from(self.discarding).unwrap_or(usize::MAX).min(input.len());
        self.discarding -= consumed as u64;
        let tag = Tag { opcode: 0, opaque: [0; 4] };
        Decoded::Complete { message: Request { command: Command::Discarded, tag, quiet: true }, consumed }
    }
}

impl Frame {
    fn new(header: &[u8; HEADER_LEN]) -> Frame {
        let version = number_64_at(header, 16);
        Frame {
            tag: Tag { opcode: header[1], opaque: [header[12], header[13], header[14], header[15]] },
            key_len: u16::from_be_bytes([header[2], header[3]]).into(),
            extras_len: header[4].into(),
            body_len: number_32_at(header, 8),
            version: (version != 0).then_some(version),
        }
    }
}

impl Verb {
    /// The command of a frame whose lengths fit.
    fn command<'a>(self, frame: &Frame, extras: &[u8], key: &'a [u8], value: &'a [u8]) -> Command<'a> {
        let version = frame.version;
        let exptime_at = |offset| Exptime::new(number_32_at(extras, offset).into());
        match self {
            Verb::Get { with_key, wants_value, touches } => {
                Command::Get { key, with_key, wants_value, touch: touches.then(|| exptime_at(0)) }
            }
            Verb::Update(mode) => {
                let has_extras = !extras.is_empty();
                Command::Update(Update {
                    key: Key::plain(key),
                    value,
                    mode,
                    client_flags: if has_extras { number_32_at(extras, 0) } else { 0 },
                    exptime: if has_extras { exptime_at(4) } else { Exptime::Never },
                    version,
                })
            }
            Verb::Delete => Command::Delete { key, version },
            Verb::Count(direction) => Command::Count {
                key,
                direction,
                delta: number_64_at(extras, 0),
                initial: number_64_at(extras, 8),
                create: (number_32_at(extras, 16) != CREATES_NOTHING).then(|| exptime_at(16)),
                version,
            },
            Verb::FlushAll => Command::FlushAll { at: if extras.is_empty() { Exptime::Never } else { exptime_at(0) } },
            Verb::Noop => Command::Noop,
            Verb::Version => Command::Version,
            Verb::Stats => Command::Stats { about: key },
            Verb::Quit => Command::Quit,
        }
    }
}

/// The number at `offset`; bytes that are not there count as zero, and are there wherever lengths were found to fit.
fn number_32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |&number| u32::from_be_bytes(number))
}

fn number_64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |&number| u64::from_be_bytes(number))
}
