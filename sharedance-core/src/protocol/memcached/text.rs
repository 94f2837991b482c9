//! The text dialect: command lines, and data blocks of an announced length behind some of them.
//!
//! [`Decoder::decode`] answers one [`Request`] after the other; a server says its answers with [`Reply`],
//! [`push_value`] and [`push_number`]. Meta commands are part of the dialect, and in [`meta`].
//!
//! Verdicts depend on the bytes alone. A line is looked at as a whole, up to [`MAX_LINE_LEN`]. What is longer can only be
//! a retrieval: it is decoded word by word, so that neither its keys nor its answers need to be held at the same time.

use std::fmt;
use std::time::Duration;

use super::numbers::{self, signed, unsigned, unsigned_32};
use super::tokens::{Tokens, find};
use super::{Direction, Exptime, Key, MAX_KEY_LEN, MAX_LINE_LEN, Mode, Update, meta};
use crate::protocol::{DecodeError, Decoded, Limits};

/// What ends a data block.
pub(super) const END_OF_BLOCK: &[u8] = b"\r\n";

/// The longest data block that a line can announce: what fits into 31 bits with its end.
pub(super) const MAX_BLOCK_LEN: u64 = i32::MAX as u64 - 2;

/// More words than any command has, but for retrievals: what stands behind them is not looked at.
const MAX_WORDS: usize = 8;

/// What a peer asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// Nothing: bytes that were to be thrown away. There is no answer.
    Discarded,
    /// A key of `get`, `gets`, `gat` or `gats`.
    Get(Get<'a>),
    /// The end of a retrieval whose last key was not known to be the last: to be answered by [`Reply::End`].
    EndOfGet,
    /// `set`, `add`, `replace`, `append`, `prepend`, `cas`.
    Update {
        /// What to write.
        update: Update<'a>,
        /// Whether nothing is to be answered.
        noreply: bool,
    },
    /// A write of more than the limit: to be answered by [`Reply::TooLarge`]. The data block will be discarded.
    TooLarge {
        /// The key.
        key: Key<'a>,
        /// Whether the value in place is to be deleted: it would have been replaced in any case, and must not be taken
        /// for what was to replace it.
        deletes: bool,
        /// Whether nothing is to be answered.
        noreply: bool,
    },
    /// `delete`.
    Delete {
        /// The key.
        key: Key<'a>,
        /// Whether nothing is to be answered.
        noreply: bool,
    },
    /// `incr`, `decr`.
    Count {
        /// The key.
        key: Key<'a>,
        /// `incr` is up.
        direction: Direction,
        /// How far.
        delta: u64,
        /// Whether nothing is to be answered.
        noreply: bool,
    },
    /// `touch`.
    Touch {
        /// The key.
        key: Key<'a>,
        /// How long it lives from now on.
        exptime: Exptime,
        /// Whether nothing is to be answered.
        noreply: bool,
    },
    /// `flush_all`.
    FlushAll {
        /// When; [`Exptime::Never`] and [`Exptime::Past`] mean at once.
        at: Exptime,
        /// Whether nothing is to be answered.
        noreply: bool,
    },
    /// `stats`, and what it is to be about: nothing, or words.
    Stats {
        /// The words behind the command, spaces between them.
        about: &'a [u8],
    },
    /// `version`.
    Version,
    /// `verbosity`: to be answered by [`Reply::Ok`].
    Verbosity {
        /// Whether nothing is to be answered.
        noreply: bool,
    },
    /// `quit`: the connection is to be closed once what precedes is answered.
    Quit,
    /// `lock`.
    Lock {
        /// The key.
        key: &'a [u8],
        /// How long to wait for it.
        wait: Duration,
        /// How long it is held unless it is given back before.
        ttl: Duration,
    },
    /// `unlock`.
    Unlock {
        /// The key.
        key: &'a [u8],
    },
    /// A meta command.
    Meta(meta::Request<'a>),
    /// What cannot be carried out, and what to answer. The connection goes on.
    Refused(Reply),
}

/// A key of a retrieval. The values are answered in the order of the keys, and behind the last [`Reply::End`].
///
/// `Debug` prints the key's length alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Get<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Whether the answer tells the version: `gets`, `gats`.
    pub with_version: bool,
    /// How long the pair lives from now on: `gat`, `gats`.
    pub touch: Option<Exptime>,
    /// Whether this is known to be the last key.
    pub is_last: bool,
}

impl fmt::Debug for Get<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Get {{ key: {} bytes, touch: {:?}, is_last: {} }}", self.key.len(), self.touch, self.is_last)
    }
}

/// The answers that are a line, always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// The value was stored.
    Stored,
    /// The condition did not hold.
    NotStored,
    /// The value has another version.
    Exists,
    /// There is no such pair, or no such lock.
    NotFound,
    /// The pair is deleted.
    Deleted,
    /// The pair's life is changed.
    Touched,
    /// Done.
    Ok,
    /// There is nothing more to a list.
    End,
    /// The counters start at zero again.
    Reset,
    /// The lock is held.
    Locked,
    /// The lock was not to be had in time.
    Timeout,
    /// The lock is given back.
    Unlocked,
    /// The answer to a meta no-op.
    MetaNoop,
    /// No such command.
    Error,
    /// The command line is none.
    BadFormat,
    /// A line of `delete` that is none.
    BadDelete,
    /// A data block does not end where it was said to end.
    BadDataChunk,
    /// An expiration time is no number.
    BadExptime,
    /// A delta is no number.
    BadDelta,
    /// The value is no number.
    NotANumber,
    /// A flag stands there twice.
    DuplicateFlag,
    /// A flag that there is not.
    InvalidFlag,
    /// One or the other.
    InvalidOrDuplicateFlag,
    /// Too many flags, of `mg`.
    FlagsAreTooLong,
    /// Too many flags, of the other meta commands.
    FlagsTooLong,
    /// A key is no base64.
    BadBase64,
    /// What stands behind a flag is none of its values.
    BadToken,
    /// The mode is longer than one character.
    BadModeLen,
    /// There is no such mode of `ms`.
    BadSetMode,
    /// There is no such mode of `ma`.
    BadArithmeticMode,
    /// The initial value is no number.
    BadInitial,
    /// The delta is no number, in `ma`.
    BadMetaDelta,
    /// The opaque is too long.
    OpaqueTooLong,
    /// The statistics asked for name keys, which are nobody's business.
    DumpNotAllowed,
    /// The value is larger than the limit.
    TooLarge,
    /// There is no room for the value.
    OutOfMemory,
    /// The server could not do it.
    Failed,
}

impl Reply {
    /// The line, with its end.
    pub fn as_bytes(self) -> &'static [u8] {
        match self {
            Reply::Stored => b"STORED\r\n",
            Reply::NotStored => b"NOT_STORED\r\n",
            Reply::Exists => b"EXISTS\r\n",
            Reply::NotFound => b"NOT_FOUND\r\n",
            Reply::Deleted => b"DELETED\r\n",
            Reply::Touched => b"TOUCHED\r\n",
            Reply::Ok => b"OK\r\n",
            Reply::End => b"END\r\n",
            Reply::Reset => b"RESET\r\n",
            Reply::Locked => b"LOCKED\r\n",
            Reply::Timeout => b"TIMEOUT\r\n",
            Reply::Unlocked => b"UNLOCKED\r\n",
            Reply::MetaNoop => b"MN\r\n",
            Reply::Error => b"ERROR\r\n",
            Reply::BadFormat => b"CLIENT_ERROR bad command line format\r\n",
            Reply::BadDelete => b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n",
            Reply::BadDataChunk => b"CLIENT_ERROR bad data chunk\r\n",
            Reply::BadExptime => b"CLIENT_ERROR invalid exptime argument\r\n",
            Reply::BadDelta => b"CLIENT_ERROR invalid numeric delta argument\r\n",
            Reply::NotANumber => b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
            Reply::DuplicateFlag => b"CLIENT_ERROR duplicate flag\r\n",
            Reply::InvalidFlag => b"CLIENT_ERROR invalid flag\r\n",
            Reply::InvalidOrDuplicateFlag => b"CLIENT_ERROR invalid or duplicate flag\r\n",
            Reply::FlagsAreTooLong => b"CLIENT_ERROR options flags are too long\r\n",
            Reply::FlagsTooLong => b"CLIENT_ERROR options flags too long\r\n",
            Reply::BadBase64 => b"CLIENT_ERROR error decoding key\r\n",
            Reply::BadToken => b"CLIENT_ERROR bad token in command line format\r\n",
            Reply::BadModeLen => b"CLIENT_ERROR incorrect length for M token\r\n",
            Reply::BadSetMode => b"CLIENT_ERROR invalid mode for ms M token\r\n",
            Reply::BadArithmeticMode => b"CLIENT_ERROR invalid mode for ma M token\r\n",
            Reply::BadInitial => b"CLIENT_ERROR invalid numeric initial value\r\n",
            Reply::BadMetaDelta => b"CLIENT_ERROR invalid numeric delta value\r\n",
            Reply::OpaqueTooLong => b"CLIENT_ERROR opaque token too long\r\n",
            Reply::DumpNotAllowed => b"CLIENT_ERROR stats cachedump not allowed\r\n",
            Reply::TooLarge => b"SERVER_ERROR object too large for cache\r\n",
            Reply::OutOfMemory => b"SERVER_ERROR out of memory storing object\r\n",
            Reply::Failed => b"SERVER_ERROR the store failed\r\n",
        }
    }
}

/// Appends what precedes the value of a pair that a retrieval found; behind the value goes `\r\n`. `version` where the
/// retrieval asks for it.
#[inline]
pub fn push_value(out: &mut Vec<u8>, key: &[u8], client_flags: u32, value_len: usize, version: Option<u64>) {
    out.extend_from_slice(b"VALUE ");
    out.extend_from_slice(key);
    out.push(b' ');
    numbers::push(out, client_flags.into());
    out.push(b' ');
    numbers::push(out, value_len as u64);
    if let Some(version) = version {
        out.push(b' ');
        numbers::push(out, version);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the line that answers `incr` and `decr`.
pub fn push_number(out: &mut Vec<u8>, number: u64) {
    numbers::push(out, number);
    out.extend_from_slice(b"\r\n");
}

/// Appends a number, as the value of a pair that counts.
pub fn push_digits(out: &mut Vec<u8>, number: u64) {
    numbers::push(out, number);
}

/// Appends the line of one statistic.
pub fn push_stat(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in ["STAT ", name, " ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Decodes the requests of one connection.
#[derive(Debug, Default)]
pub struct Decoder {
    /// So many bytes of the line that comes next are known to be in it, and not its end.
    scanned: usize,
    state: State,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    /// A line comes next.
    #[default]
    Line,
    /// Keys, up to the end of the line.
    Keys(Retrieval),
    /// So many bytes that are thrown away.
    Discarding(u64),
    /// The rest of a line, thrown away.
    DiscardingLine,
}

/// What holds for all keys of a retrieval.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Retrieval {
    with_version: bool,
    touch: Option<Exptime>,
}

impl Retrieval {
    fn get(self, key: &[u8], is_last: bool) -> Request<'_> {
        Request::Get(Get { key, with_version: self.with_version, touch: self.touch, is_last })
    }
}

/// What a line turned out to be.
pub(super) enum Line<'a> {
    /// A request, all of it.
    Whole(Request<'a>),
    /// The first key of several, which ends there in the input.
    FirstKey { retrieval: Retrieval, key: &'a [u8], key_end: usize },
    /// A request that a data block of this length belongs to.
    WithBlock { block_len: u64, announced: Announced<'a> },
    /// A request that is refused, or nothing, and a data block of this length that belongs to it.
    Refused { reply: Option<Reply>, block_len: u64 },
}

/// What a data block is for.
#[derive(Clone, Copy)]
pub(super) enum Announced<'a> {
    Update { update: Update<'a>, noreply: bool },
    Meta(meta::Set<'a>),
}

impl Decoder {
    /// A decoder for a connection on which nothing has been decoded yet.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Decodes the next request. `input` is all that has arrived and was not consumed.
    ///
    /// [`Decoded::Incomplete`] is right for as long as `input` begins at the same place, and names the end of a data
    /// block once its length is known.
    ///
    /// # Errors
    /// [`DecodeError::LineTooLong`]: more than [`MAX_LINE_LEN`] bytes are no line, nor the beginning of a retrieval.
    #[inline]
    pub fn decode<'a>(&mut self, input: &'a [u8], limits: &Limits) -> Result<Decoded<Request<'a>>, DecodeError> {
        match self.state {
            State::Line => self.decode_line(input, limits),
            State::Keys(retrieval) => Ok(self.decode_key(input, retrieval)),
            State::Discarding(len) => Ok(self.discard(input, len)),
            State::DiscardingLine => Ok(self.discard_line(input)),
        }
    }

    fn decode_line<'a>(&mut self, input: &'a [u8], limits: &Limits) -> Result<Decoded<Request<'a>>, DecodeError> {
        let window = &input[..input.len().min(MAX_LINE_LEN + 1)];
        let Some(offset) = find(window.get(self.scanned..).unwrap_or_default(), b'\n') else {
            if input.len() > MAX_LINE_LEN {
                return self.decode_long_line(window);
            }
            self.scanned = input.len();
            return Ok(Decoded::Incomplete { needed: input.len() + 1 });
        };
        let end = self.scanned + offset;
        self.scanned = 0;
        let line = window[..end].strip_suffix(b"\r").unwrap_or(&window[..end]);
        let line_len = end + 1;
        Ok(match decode_command(line) {
            Line::Whole(message) => Decoded::Complete { message, consumed: line_len },
            Line::FirstKey { retrieval, key, key_end } => {
                self.state = State::Keys(retrieval);
                Decoded::Complete { message: retrieval.get(key, false), consumed: key_end }
            }
            Line::WithBlock { block_len, announced } => {
                self.decode_block(input, line_len, block_len, announced, limits)
            }
            Line::Refused { reply, block_len } => {
                self.state = State::Discarding(block_len + END_OF_BLOCK.len() as u64);
                let message = reply.map_or(Request::Discarded, Request::Refused);
                Decoded::Complete { message, consumed: line_len }
            }
        })
    }

    fn decode_block<'a>(
        &mut self,
        input: &'a [u8],
        line_len: usize,
        block_len: u64,
        announced: Announced<'a>,
        limits: &Limits,
    ) -> Decoded<Request<'a>> {
        let whole_len = line_len as u64 + block_len + END_OF_BLOCK.len() as u64;
        if whole_len > limits.max_request_len as u64 {
            self.state = State::Discarding(block_len + END_OF_BLOCK.len() as u64);
            return Decoded::Complete { message: announced.too_large(), consumed: line_len };
        }
        // The length is within the limit, which is a usize: so is each of its parts.
        let needed = whole_len as usize;
        let Some(block) = input.get(line_len..needed) else {
            return Decoded::Incomplete { needed };
        };
        let message = match block.strip_suffix(END_OF_BLOCK) {
            Some(value) => announced.with_value(value),
            None => announced.refused(Reply::BadDataChunk),
        };
        Decoded::Complete { message, consumed: needed }
    }

    /// A line whose end is too far away. A retrieval goes on key by key, from behind its last word that is no key.
    fn decode_long_line<'a>(&mut self, window: &'a [u8]) -> Result<Decoded<Request<'a>>, DecodeError> {
        let too_long = DecodeError::LineTooLong { max: MAX_LINE_LEN };
        let mut tokens = Tokens::new(window);
        let (with_version, has_exptime) = match tokens.next() {
            Some(b"get") => (false, false),
            Some(b"gets") => (true, false),
            Some(b"gat") => (false, true),
            Some(b"gats") => (true, true),
            _ => return Err(too_long),
        };
        let touch = match has_exptime.then(|| tokens.next()) {
            None => None,
            Some(None) => return Err(too_long),
            Some(Some(token)) => match signed(token) {
                Some(number) => Some(Exptime::new(number)),
                None => {
                    self.scanned = 0;
                    self.state = State::DiscardingLine;
                    let message = Request::Refused(Reply::BadExptime);
                    return Ok(Decoded::Complete { message, consumed: window.len() });
                }
            },
        };
        self.scanned = 0;
        self.state = State::Keys(Retrieval { with_version, touch });
        Ok(Decoded::Complete { message: Request::Discarded, consumed: window.len() - tokens.rest().len() })
    }

    fn decode_key<'a>(&mut self, input: &'a [u8], retrieval: Retrieval) -> Decoded<Request<'a>> {
        let spaces = input.iter().take_while(|&&byte| byte == b' ').count();
        // A key, a carriage return, and what ends either.
        let window = &input[spaces..input.len().min(spaces + MAX_KEY_LEN + 2)];
        let Some(len) = window.iter().position(|&byte| matches!(byte, b' ' | b'\n')) else {
            if window.len() == MAX_KEY_LEN + 2 {
                self.state = State::DiscardingLine;
                return Decoded::Complete { message: Request::Refused(Reply::BadFormat), consumed: spaces };
            }
            // However many spaces come, none of them is kept.
            return match spaces {
                0 => Decoded::Incomplete { needed: input.len() + 1 },
                consumed => Decoded::Complete { message: Request::Discarded, consumed },
            };
        };
        let consumed = spaces + len + 1;
        let is_last = window[len] == b'\n';
        let key = &window[..len];
        let key = if is_last { key.strip_suffix(b"\r").unwrap_or(key) } else { key };
        self.state = if is_last { State::Line } else { State::Keys(retrieval) };
        let message = match key.len() {
            0 => Request::EndOfGet,
            1..=MAX_KEY_LEN => retrieval.get(key, is_last),
            _ => {
                self.state = if is_last { State::Line } else { State::DiscardingLine };
                Request::Refused(Reply::BadFormat)
            }
        };
        Decoded::Complete { message, consumed }
    }

    fn discard<'a>(&mut self, input: &[u8], len: u64) -> Decoded<Request<'a>> {
        if input.is_empty() {
            return Decoded::Incomplete { needed: 1 };
        }
        let consumed = usize::try_from(len).unwrap_or(usize::MAX).min(input.len());
        self.state = match len - consumed as u64 {
            0 => State::Line,
            rest => State::Discarding(rest),
        };
        Decoded::Complete { message: Request::Discarded, consumed }
    }

    fn discard_line<'a>(&mut self, input: &[u8]) -> Decoded<Request<'a>> {
        if input.is_empty() {
            return Decoded::Incomplete { needed: 1 };
        }
        let consumed = match find(input, b'\n') {
            Some(end) => {
                self.state = State::Line;
                end + 1
            }
            None => input.len(),
        };
        Decoded::Complete { message: Request::Discarded, consumed }
    }
}

impl<'a> Announced<'a> {
    fn with_value(self, value: &'a [u8]) -> Request<'a> {
        match self {
            Announced::Update { update, noreply } => Request::Update { update: Update { value, ..update }, noreply },
            Announced::Meta(set) => Request::Meta(meta::Request::Set(set.with_value(value))),
        }
    }

    fn too_large(self) -> Request<'a> {
        match self {
            Announced::Update { update, noreply } => {
                let deletes = update.mode == Mode::Set && update.version.is_none();
                Request::TooLarge { key: update.key, deletes, noreply }
            }
            // Whatever its mode is, and never silently.
            Announced::Meta(set) => Request::TooLarge { key: set.update.key, deletes: true, noreply: false },
        }
    }

    fn refused(self, reply: Reply) -> Request<'a> {
        match self {
            Announced::Update { noreply: true, .. } => Request::Discarded,
            _ => Request::Refused(reply),
        }
    }
}

#[inline]
fn decode_command(line: &[u8]) -> Line<'_> {
    let mut tokens = Tokens::new(line);
    let Some(command) = tokens.next() else {
        return Line::Whole(Request::Refused(Reply::Error));
    };
    let mode = match command {
        b"get" => return decode_get(line, tokens, Retrieval::default()),
        b"set" => Mode::Set,
        b"gets" => return decode_get(line, tokens, Retrieval { with_version: true, touch: None }),
        b"mg" | b"ms" | b"md" | b"ma" | b"mn" | b"me" => return meta::decode(command, tokens),
        b"add" => Mode::Add,
        b"replace" => Mode::Replace,
        b"append" => Mode::Append,
        b"prepend" => Mode::Prepend,
        b"cas" => return decode_update(tokens, Mode::Set, true),
        b"gat" => return decode_get_and_touch(line, tokens, false),
        b"gats" => return decode_get_and_touch(line, tokens, true),
        _ => return Line::Whole(decode_short_command(command, tokens)),
    };
    decode_update(tokens, mode, false)
}

fn decode_get<'a>(line: &'a [u8], mut tokens: Tokens<'a>, retrieval: Retrieval) -> Line<'a> {
    let Some(key) = tokens.next() else {
        return Line::Whole(Request::Refused(Reply::Error));
    };
    if key.len() > MAX_KEY_LEN {
        return Line::Whole(Request::Refused(Reply::BadFormat));
    }
    let key_end = line.len() - tokens.rest().len();
    if tokens.clone().next().is_none() {
        return Line::Whole(retrieval.get(key, true));
    }
    // All or nothing: who sent a key that is none did not mean the others either.
    if tokens.any(|key| key.len() > MAX_KEY_LEN) {
        return Line::Whole(Request::Refused(Reply::BadFormat));
    }
    Line::FirstKey { retrieval, key, key_end }
}

fn decode_get_and_touch<'a>(line: &'a [u8], mut tokens: Tokens<'a>, with_version: bool) -> Line<'a> {
    let Some(exptime) = tokens.next() else {
        return Line::Whole(Request::Refused(Reply::Error));
    };
    match signed(exptime) {
        Some(number) => decode_get(line, tokens, Retrieval { with_version, touch: Some(Exptime::new(number)) }),
        None => Line::Whole(Request::Refused(Reply::BadExptime)),
    }
}

/// The words behind a command that has few of them.
struct Words<'a> {
    words: [&'a [u8]; MAX_WORDS],
    count: usize,
}

impl<'a> Words<'a> {
    fn new(tokens: Tokens<'a>) -> Words<'a> {
        let mut words = [&[][..]; MAX_WORDS];
        let mut count = 0;
        for (word, token) in words.iter_mut().zip(tokens) {
            *word = token;
            count += 1;
        }
        Words { words, count }
    }

    /// Whether the last word asks for silence.
    fn noreply(&self) -> bool {
        self.count > 0 && self.words[self.count - 1] == b"noreply"
    }
}

fn decode_update(tokens: Tokens<'_>, mode: Mode, has_version: bool) -> Line<'_> {
    let words = Words::new(tokens);
    let least = if has_version { 5 } else { 4 };
    if words.count != least && words.count != least + 1 {
        return Line::Whole(Request::Refused(Reply::Error));
    }
    let noreply = words.noreply();
    let [key, client_flags, exptime, len, version, ..] = words.words;
    let refused = (!noreply).then_some(Reply::BadFormat);
    let Some(block_len) = unsigned(len).filter(|&len| len <= MAX_BLOCK_LEN) else {
        return Line::Whole(refused.map_or(Request::Discarded, Request::Refused));
    };
    let version = if has_version { Some(unsigned(version)) } else { None };
    let (Some(client_flags), Some(exptime), false, true) =
        (unsigned_32(client_flags), signed(exptime), version == Some(None), key.len() <= MAX_KEY_LEN)
    else {
        // What follows is data for all that is known, and must not be taken for commands.
        return Line::Refused { reply: refused, block_len };
    };
    let update = Update {
        key: Key::plain(key),
        value: &[],
        mode,
        client_flags,
        exptime: Exptime::new(exptime),
        version: version.flatten(),
    };
    Line::WithBlock { block_len, announced: Announced::Update { update, noreply } }
}

/// The commands without a data block, and with a fixed number of words.
fn decode_short_command<'a>(command: &[u8], tokens: Tokens<'a>) -> Request<'a> {
    let about = tokens.rest();
    let words = Words::new(tokens);
    let noreply = words.noreply();
    let [first, second, third, ..] = words.words;
    let key = Key::plain(first);
    let is_key_too_long = first.len() > MAX_KEY_LEN;
    let refused = |reply| if noreply { Request::Discarded } else { Request::Refused(reply) };
    match (command, words.count) {
        (b"delete", 1..=3) => {
            let is_hold_zero = second == b"0";
            match words.count {
                2 if !(is_hold_zero || noreply) => refused(Reply::BadDelete),
                3 if !(is_hold_zero && noreply) => refused(Reply::BadDelete),
                _ if is_key_too_long => refused(Reply::BadFormat),
                count => Request::Delete { key, noreply: noreply && count > 1 },
            }
        }
        (b"incr" | b"decr" | b"touch", 2..=3) if is_key_too_long => refused(Reply::BadFormat),
        (b"incr" | b"decr", 2..=3) => match unsigned(second) {
            Some(delta) => {
                let direction = if command == b"incr" { Direction::Up } else { Direction::Down };
                Request::Count { key, direction, delta, noreply }
            }
            None => refused(Reply::BadDelta),
        },
        (b"touch", 2..=3) => match signed(second) {
            Some(number) => Request::Touch { key, exptime: Exptime::new(number), noreply },
            None => refused(Reply::BadExptime),
        },
        (b"lock", 3) => match (unsigned_32(second), unsigned_32(third)) {
            (Some(wait_ms), Some(ttl_secs)) if !is_key_too_long => {
                let (wait, ttl) = (Duration::from_millis(wait_ms.into()), Duration::from_secs(ttl_secs.into()));
                Request::Lock { key: first, wait, ttl }
            }
            _ => Request::Refused(Reply::BadFormat),
        },
        (b"unlock", 1) if is_key_too_long => Request::Refused(Reply::BadFormat),
        (b"unlock", 1) => Request::Unlock { key: first },
        (b"flush_all", 0..=2) => {
            let exptime = match words.count - usize::from(noreply) {
                0 => Some(0),
                _ => signed(first),
            };
            match exptime {
                Some(number) => Request::FlushAll { at: Exptime::new(number), noreply },
                None => refused(Reply::BadExptime),
            }
        }
        (b"verbosity", 1..=2) => match unsigned(first) {
            Some(_) => Request::Verbosity { noreply },
            None => refused(Reply::BadFormat),
        },
        (b"stats", _) => Request::Stats { about },
        (b"version", _) => Request::Version,
        (b"quit", _) => Request::Quit,
        _ => Request::Refused(Reply::Error),
    }
}
