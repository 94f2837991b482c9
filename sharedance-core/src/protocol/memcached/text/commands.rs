//! Decodes complete command lines.

use std::time::Duration;

use super::{Get, Reply, Request};
use crate::protocol::memcached::numbers::{unsigned, unsigned_32};
use crate::protocol::memcached::tokens::Tokens;
use crate::protocol::memcached::{Direction, Exptime, Key, MAX_KEY_LEN, Mode, Update, meta};

/// The longest data block: with its end, its length fits into 31 bits.
const MAX_BLOCK_LEN: u64 = i32::MAX as u64 - 2;

/// More words than any command has, except retrievals. The words after these are ignored.
const MAX_WORDS: usize = 8;

/// The maximum wait for a lock and the maximum TTL of one: about 136 years. Longer ones count as this, so that sums do
/// not overflow.
const MAX_LOCK_TIME: Duration = Duration::from_secs(u32::MAX as u64);

/// The properties of all keys of a retrieval.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::protocol::memcached) struct Retrieval {
    pub(super) with_version: bool,
    pub(super) touch: Option<Exptime>,
}

impl Retrieval {
    pub(super) fn get(self, key: &[u8], is_last: bool) -> Request<'_> {
        Request::Get(Get { key, with_version: self.with_version, touch: self.touch, is_last })
    }
}

/// A decoded line.
pub(in crate::protocol::memcached) enum Line<'a> {
    /// A complete request.
    Whole(Request<'a>),
    /// The first of several keys, and where it ends in the input.
    FirstKey { retrieval: Retrieval, key: &'a [u8], key_end: usize },
    /// A request with a data block of this length.
    WithBlock { block_len: u64, announced: Announced<'a> },
    /// A storage command that is refused.
    RefusedStorage(RefusedStorage),
}

/// A refused storage command. The decoder must know the length of its data block, so that the block is not decoded as
/// commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol::memcached) struct RefusedStorage {
    pub(super) reply: Reply,
    /// The length of the data block after the line; `None` if the line has none, or has one that is not reliable.
    pub(super) block_len: Option<u64>,
    /// Whether the client wants no response. It gets one nevertheless if the connection must be closed.
    pub(super) noreply: bool,
}

impl<'a> Line<'a> {
    /// Refuses a storage command whose data block has a known length.
    pub(in crate::protocol::memcached) fn refused_with_block(reply: Reply, block_len: u64, noreply: bool) -> Line<'a> {
        Line::RefusedStorage(RefusedStorage { reply, block_len: Some(block_len), noreply })
    }

    /// Refuses a storage command with a data block of unknown length.
    pub(in crate::protocol::memcached) fn refused_without_length(reply: Reply) -> Line<'a> {
        Line::RefusedStorage(RefusedStorage { reply, block_len: None, noreply: false })
    }
}

/// The length of a data block, if `word` is one.
#[inline]
pub(in crate::protocol::memcached) fn block_len(word: &[u8]) -> Option<u64> {
    unsigned(word).filter(|&len| len <= MAX_BLOCK_LEN)
}

/// The command of a data block.
#[derive(Clone, Copy)]
pub(in crate::protocol::memcached) enum Announced<'a> {
    Update { update: Update<'a>, noreply: bool },
    Meta(meta::Set<'a>),
}

impl<'a> Announced<'a> {
    pub(super) fn with_value(self, value: &'a [u8]) -> Request<'a> {
        match self {
            Announced::Update { update, noreply } => Request::Update { update: Update { value, ..update }, noreply },
            Announced::Meta(set) => Request::Meta(meta::Request::Set(set.with_value(value))),
        }
    }

    pub(super) fn too_large(self) -> Request<'a> {
        match self {
            Announced::Update { update, noreply } => {
                Request::TooLarge { key: update.key, deletes: update.is_unconditional(), noreply }
            }
            // A quiet `ms` suppresses the response to success only. Whether the lock is held is checked elsewhere.
            Announced::Meta(set) => {
                let deletes = set.update.is_unconditional() && !set.needs_lock;
                Request::TooLarge { key: set.update.key, deletes, noreply: false }
            }
        }
    }
}

#[inline]
pub(super) fn decode_command(line: &[u8]) -> Line<'_> {
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
    // After an invalid key the whole line is refused.
    if tokens.any(|key| key.len() > MAX_KEY_LEN) {
        return Line::Whole(Request::Refused(Reply::BadFormat));
    }
    Line::FirstKey { retrieval, key, key_end }
}

fn decode_get_and_touch<'a>(line: &'a [u8], mut tokens: Tokens<'a>, with_version: bool) -> Line<'a> {
    let Some(exptime) = tokens.next() else {
        return Line::Whole(Request::Refused(Reply::Error));
    };
    match Exptime::parse(exptime) {
        Some(exptime) => decode_get(line, tokens, Retrieval { with_version, touch: Some(exptime) }),
        None => Line::Whole(Request::Refused(Reply::BadExptime)),
    }
}

/// Whether `word` can be the opaque of `unlock_all`.
fn is_opaque(word: &[u8]) -> bool {
    word.len() < meta::MAX_OPAQUE_LEN && word.iter().all(u8::is_ascii_graphic)
}

/// The words after a command that has few of them.
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

    /// Whether the last word is `noreply`.
    fn noreply(&self) -> bool {
        self.count > 0 && self.words[self.count - 1] == b"noreply"
    }
}

fn decode_update(tokens: Tokens<'_>, mode: Mode, has_version: bool) -> Line<'_> {
    let words = Words::new(tokens);
    let noreply = words.noreply();
    let expected = if has_version { 5 } else { 4 };
    if words.count - usize::from(noreply) != expected {
        // A word is missing, or there is one too many, for example because of a space in the key. Then any word could
        // be the length.
        return Line::refused_without_length(Reply::Error);
    }
    let [key, client_flags, exptime, len, version, ..] = words.words;
    let Some(block_len) = block_len(len) else {
        return Line::refused_without_length(Reply::BadFormat);
    };
    let version = if has_version { unsigned(version) } else { None };
    let (Some(client_flags), Some(exptime), true, true) = (
        unsigned_32(client_flags),
        Exptime::parse(exptime),
        version.is_some() == has_version,
        key.len() <= MAX_KEY_LEN,
    ) else {
        return Line::refused_with_block(Reply::BadFormat, block_len, noreply);
    };
    let update = Update { key: Key::plain(key), value: &[], mode, client_flags, exptime, version };
    Line::WithBlock { block_len, announced: Announced::Update { update, noreply } }
}

/// The commands without a data block and with a fixed number of words.
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
        (b"touch", 2..=3) => match Exptime::parse(second) {
            Some(exptime) => Request::Touch { key, exptime, noreply },
            None => refused(Reply::BadExptime),
        },
        (b"lock", 3) => match (unsigned(second), unsigned(third)) {
            (Some(wait_ms), Some(ttl_secs)) if !is_key_too_long => {
                let (wait, ttl) = (Duration::from_millis(wait_ms), Duration::from_secs(ttl_secs));
                Request::Lock { key: first, wait: wait.min(MAX_LOCK_TIME), ttl: ttl.min(MAX_LOCK_TIME) }
            }
            _ => Request::Refused(Reply::BadFormat),
        },
        (b"unlock", 1) if is_key_too_long => Request::Refused(Reply::BadFormat),
        (b"unlock", 1) => Request::Unlock { key: first },
        (b"unlock_all", 0) => Request::UnlockAll { opaque: None },
        (b"unlock_all", 1) if is_opaque(first) => Request::UnlockAll { opaque: Some(first) },
        (b"unlock_all", 1) => Request::Refused(Reply::BadFormat),
        (b"flush_all", 0..=2) => {
            let at = match words.count - usize::from(noreply) {
                0 => Some(Exptime::Never),
                _ => Exptime::parse(first),
            };
            match at {
                Some(at) => Request::FlushAll { at, noreply },
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
