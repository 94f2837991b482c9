//! The meta commands of the text dialect: `mg`, `ms`, `md`, `ma`, `mn`, `me`.
//!
//! A command has a key and flags, each a letter with something behind it or nothing. What the flags ask for is decoded;
//! which of them the answer repeats, and in which order, is found in them again when it is encoded. What is refused is
//! refused as a whole: it changes nothing.

use std::fmt;

use super::numbers::{self, Digits, signed, unsigned, unsigned_32};
use super::text::{Announced, Line, MAX_BLOCK_LEN, Reply};
use super::tokens::Tokens;
use super::{Direction, Exptime, Key, MAX_KEY_LEN, Mode, Update};

/// The longest opaque, the letter before it included, in bytes.
pub const MAX_OPAQUE_LEN: usize = 32;

/// The most words of a line: the command, the key, the length of a data block, the flags.
const MAX_WORDS: usize = 19;

/// The flags of a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Flags<'a> {
    words: &'a [u8],
}

impl<'a> Flags<'a> {
    fn iter(self) -> impl Iterator<Item = (u8, &'a [u8])> {
        Tokens::new(self.words).filter_map(|token| token.split_first().map(|(&letter, _)| (letter, token)))
    }
}

impl Flags<'_> {
    /// Whether the answer tells how long the pair still lives: `t`.
    pub fn ask_for_ttl(self) -> bool {
        self.iter().any(|(letter, _)| letter == b't')
    }
}

impl fmt::Debug for Flags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({} bytes)", self.words.len())
    }
}

/// A meta command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// `mg`.
    Get(Get<'a>),
    /// `ms`.
    Set(Set<'a>),
    /// `md`.
    Delete(Delete<'a>),
    /// `ma`.
    Count(Count<'a>),
    /// `me`.
    Debug {
        /// The key.
        key: Key<'a>,
    },
    /// `mn`: to be answered by [`Reply::MetaNoop`].
    Noop,
}

/// `mg`: to be answered by [`push_found`] or by [`push_status`] with [`Status::Missing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Get<'a> {
    /// The key.
    pub key: Key<'a>,
    /// For the answer.
    pub flags: Flags<'a>,
    /// Whether the value is asked for: `v`.
    pub wants_value: bool,
    /// Whether a miss is not answered: `q`.
    pub quiet: bool,
    /// Whether this shall not count as an access: `u`.
    pub unnoticed: bool,
    /// How long the pair lives from now on: `T`.
    pub touch: Option<Exptime>,
    /// How long an empty value lives that is stored where there is none: `N`.
    pub create: Option<Exptime>,
    /// The value is due to be computed anew when it lives for less: `R`.
    pub refresh_below: Option<Exptime>,
}

/// `ms`: to be answered by [`push_stored`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set<'a> {
    /// What to write.
    pub update: Update<'a>,
    /// For the answer.
    pub flags: Flags<'a>,
    /// Whether success is not answered: `q`.
    pub quiet: bool,
    /// Whether a version that is too old stores a value that is stale: `I`.
    pub may_be_stale: bool,
}

/// `md`: to be answered by [`push_status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delete<'a> {
    /// The key.
    pub key: Key<'a>,
    /// For the answer.
    pub flags: Flags<'a>,
    /// Whether success is not answered: `q`.
    pub quiet: bool,
    /// The version that the value must have: `C`.
    pub version: Option<u64>,
    /// Whether the value stays, and is stale: `I`.
    pub invalidates: bool,
    /// How long it lives then: `T`.
    pub touch: Option<Exptime>,
}

/// `ma`: to be answered by [`push_counted`] or by [`push_status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count<'a> {
    /// The key.
    pub key: Key<'a>,
    /// For the answer.
    pub flags: Flags<'a>,
    /// Whether the number is asked for: `v`.
    pub wants_value: bool,
    /// Whether success is not answered: `q`.
    pub quiet: bool,
    /// The version that the value must have, unless it is zero: `C`.
    pub version: Option<u64>,
    /// Which way: `M`.
    pub direction: Direction,
    /// How far: `D`.
    pub delta: u64,
    /// How long the initial value lives that is stored where there is none: `N`.
    pub create: Option<Exptime>,
    /// That value: `J`.
    pub initial: u64,
    /// How long the pair lives from now on: `T`.
    pub touch: Option<Exptime>,
}

impl<'a> Set<'a> {
    pub(super) fn with_value(self, value: &'a [u8]) -> Set<'a> {
        Set { update: Update { value, ..self.update }, ..self }
    }
}

/// What an answer starts with that tells no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// `HD`: done.
    Done,
    /// `EN`: `mg` and `me` find nothing.
    Missing,
    /// `NF`: the others find nothing.
    NotFound,
    /// `NS`: a condition does not hold.
    NotStored,
    /// `EX`: the value has another version.
    Exists,
}

impl Status {
    fn as_bytes(self) -> &'static [u8] {
        match self {
            Status::Done => b"HD",
            Status::Missing => b"EN",
            Status::NotFound => b"NF",
            Status::NotStored => b"NS",
            Status::Exists => b"EX",
        }
    }
}

/// What there is to say of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The value's length in bytes.
    pub value_len: usize,
    /// The number that is kept beside it.
    pub client_flags: u32,
    /// The value's version.
    pub version: u64,
    /// How long it still lives, in seconds; `None` for ever.
    pub ttl_secs: Option<u64>,
    /// How long ago the last access was, in seconds.
    pub idle_secs: u64,
    /// Whether it was read before.
    pub was_read: bool,
    /// `W`: the peer is the one to compute it anew.
    pub is_yours: bool,
    /// `X`: it was declared stale.
    pub is_stale: bool,
    /// `Z`: somebody else is to compute it anew.
    pub is_taken: bool,
}

/// Appends the answer to a `mg` that has found something. Behind it go the value and `\r\n` if
/// [`Get::wants_value`].
pub fn push_found(out: &mut Vec<u8>, get: &Get<'_>, facts: &Facts) {
    push_head(out, get.wants_value.then_some(facts.value_len));
    for (letter, word) in get.flags.iter() {
        match letter {
            b's' => push_fact(out, letter, facts.value_len as u64),
            b't' => push_ttl(out, facts.ttl_secs),
            b'c' => push_fact(out, letter, facts.version),
            b'f' => push_fact(out, letter, facts.client_flags.into()),
            b'l' => push_fact(out, letter, facts.idle_secs),
            b'h' => push_fact(out, letter, facts.was_read.into()),
            _ => push_echo(out, letter, word, get.key),
        }
    }
    for (holds, letter) in [(facts.is_taken, b'Z'), (facts.is_stale, b'X'), (facts.is_yours, b'W')] {
        if holds {
            out.extend_from_slice(&[b' ', letter]);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the answer to a `ms`: the version is that of the value stored, or zero.
pub fn push_stored(out: &mut Vec<u8>, set: &Set<'_>, status: Status, version: u64) {
    out.extend_from_slice(status.as_bytes());
    for (letter, word) in set.flags.iter() {
        match letter {
            b'c' => push_fact(out, letter, version),
            _ => push_echo(out, letter, word, set.update.key),
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the answer to a `ma` that was carried out, the number included if it is asked for.
pub fn push_counted(out: &mut Vec<u8>, count: &Count<'_>, number: u64, version: u64, ttl_secs: Option<u64>) {
    let digits = Digits::new(number);
    push_head(out, count.wants_value.then_some(digits.as_bytes().len()));
    for (letter, word) in count.flags.iter() {
        match letter {
            b'c' => push_fact(out, letter, version),
            b't' => push_ttl(out, ttl_secs),
            _ => push_echo(out, letter, word, count.key),
        }
    }
    out.extend_from_slice(b"\r\n");
    if count.wants_value {
        out.extend_from_slice(digits.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends an answer that tells nothing of a pair.
pub fn push_status(out: &mut Vec<u8>, status: Status, flags: Flags<'_>, key: Key<'_>) {
    out.extend_from_slice(status.as_bytes());
    for (letter, word) in flags.iter() {
        push_echo(out, letter, word, key);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the answer to a `me` that has found something.
pub fn push_debug(out: &mut Vec<u8>, key: Key<'_>, facts: &Facts) {
    out.extend_from_slice(b"ME ");
    out.extend_from_slice(key.said());
    match facts.ttl_secs {
        None => out.extend_from_slice(b" exp=-1"),
        Some(secs) => push_named(out, b" exp=", secs),
    }
    push_named(out, b" la=", facts.idle_secs);
    push_named(out, b" cas=", facts.version);
    out.extend_from_slice(if facts.was_read { b" fetch=yes" } else { b" fetch=no" });
    push_named(out, b" cls=", 1);
    push_named(out, b" size=", facts.value_len as u64);
    out.extend_from_slice(b"\r\n");
}

fn push_head(out: &mut Vec<u8>, value_len: Option<usize>) {
    match value_len {
        None => out.extend_from_slice(Status::Done.as_bytes()),
        Some(len) => push_named(out, b"VA ", len as u64),
    }
}

/// The flags that every answer repeats: the opaque and the key.
fn push_echo(out: &mut Vec<u8>, letter: u8, word: &[u8], key: Key<'_>) {
    match letter {
        b'O' => {
            out.push(b' ');
            out.extend_from_slice(word);
        }
        b'k' => {
            out.extend_from_slice(b" k");
            out.extend_from_slice(key.said());
            if key.is_base64() {
                out.extend_from_slice(b" b");
            }
        }
        _ => {}
    }
}

fn push_ttl(out: &mut Vec<u8>, ttl_secs: Option<u64>) {
    match ttl_secs {
        None => out.extend_from_slice(b" t-1"),
        Some(secs) => push_fact(out, b't', secs),
    }
}

fn push_fact(out: &mut Vec<u8>, letter: u8, number: u64) {
    push_named(out, &[b' ', letter], number);
}

fn push_named(out: &mut Vec<u8>, name: &[u8], number: u64) {
    out.extend_from_slice(name);
    numbers::push(out, number);
}

/// Decodes the words behind a meta command.
pub(super) fn decode<'a>(command: &[u8], mut tokens: Tokens<'a>) -> Line<'a> {
    if command == b"mn" {
        return Line::Whole(whole(Request::Noop));
    }
    let refused = |reply| Line::Whole(super::text::Request::Refused(reply));
    let Some(key) = tokens.next() else {
        return refused(if command == b"me" { Reply::BadFormat } else { Reply::Error });
    };
    if key.len() > MAX_KEY_LEN {
        return refused(Reply::BadFormat);
    }
    match command {
        b"mg" => match parse(key, tokens, 2, Reply::FlagsAreTooLong) {
            Ok(parsed) => Line::Whole(whole(Request::Get(parsed.get()))),
            Err(reply) => refused(reply),
        },
        b"ms" => decode_set(key, tokens),
        b"md" => match parse(key, tokens, 2, Reply::FlagsTooLong) {
            Ok(parsed) => Line::Whole(whole(Request::Delete(parsed.delete()))),
            Err(reply) => refused(reply.vague()),
        },
        b"ma" => match parse(key, tokens, 2, Reply::FlagsTooLong) {
            Ok(parsed) => match parsed.count() {
                Ok(count) => Line::Whole(whole(Request::Count(count))),
                Err(reply) => refused(reply),
            },
            Err(reply) => refused(reply.vague()),
        },
        _ => match tokens.next() {
            Some(b"b") => match Key::base64(key) {
                Some(key) => Line::Whole(whole(Request::Debug { key })),
                None => refused(Reply::BadFormat),
            },
            _ => Line::Whole(whole(Request::Debug { key: Key::plain(key) })),
        },
    }
}

fn whole(request: Request<'_>) -> super::text::Request<'_> {
    super::text::Request::Meta(request)
}

fn decode_set<'a>(key: &'a [u8], mut tokens: Tokens<'a>) -> Line<'a> {
    let refused = Line::Whole(super::text::Request::Refused(Reply::BadFormat));
    let Some(block_len) = tokens.next().and_then(unsigned).filter(|&len| len <= MAX_BLOCK_LEN) else {
        return refused;
    };
    match parse(key, tokens, 3, Reply::FlagsTooLong).and_then(|parsed| parsed.set()) {
        Ok(set) => Line::WithBlock { block_len, announced: Announced::Meta(set) },
        Err(reply) => Line::Refused { reply: Some(reply), block_len },
    }
}

impl Reply {
    /// What `md` and `ma` say of flags that cannot be.
    fn vague(self) -> Reply {
        match self {
            Reply::FlagsTooLong | Reply::OpaqueTooLong => self,
            _ => Reply::InvalidOrDuplicateFlag,
        }
    }
}

/// All that flags can say.
struct Parsed<'a> {
    key: Key<'a>,
    flags: Flags<'a>,
    wants_value: bool,
    quiet: bool,
    unnoticed: bool,
    invalidates: bool,
    touch: Option<Exptime>,
    create: Option<Exptime>,
    refresh_below: Option<Exptime>,
    client_flags: u32,
    version: Option<u64>,
    mode: Option<u8>,
    delta: u64,
    initial: u64,
}

/// Decodes flags. Of several mistakes the last one is answered, but for those that end the decoding.
fn parse<'a>(key: &'a [u8], tokens: Tokens<'a>, words_before: usize, too_many: Reply) -> Result<Parsed<'a>, Reply> {
    let mut parsed = Parsed {
        key: Key::plain(key),
        flags: Flags { words: tokens.rest() },
        wants_value: false,
        quiet: false,
        unnoticed: false,
        invalidates: false,
        touch: None,
        create: None,
        refresh_below: None,
        client_flags: 0,
        version: None,
        mode: None,
        delta: 1,
        initial: 0,
    };
    if words_before + tokens.clone().count() > MAX_WORDS {
        return Err(too_many);
    }
    let mut seen = 0_u128;
    let mut mistake = Reply::BadFormat;
    let mut is_mistaken = false;
    let mut is_opaque_too_long = false;
    for token in tokens {
        let Some((&letter, argument)) = token.split_first() else {
            continue;
        };
        let bit = if letter < 127 { 1_u128 << letter } else { 0 };
        if bit == 0 || seen & bit != 0 {
            return Err(Reply::DuplicateFlag);
        }
        seen |= bit;
        match letter {
            b'O' => is_opaque_too_long = token.len() > MAX_OPAQUE_LEN,
            b'P' | b'L' | b'k' | b's' | b't' | b'c' | b'f' | b'l' | b'h' => {}
            b'v' => parsed.wants_value = true,
            b'u' => parsed.unnoticed = true,
            b'q' => parsed.quiet = true,
            b'I' => parsed.invalidates = true,
            _ => match parsed.take_argument(letter, argument) {
                Ok(()) => {}
                Err(Reply::InvalidFlag) => return Err(Reply::InvalidFlag),
                Err(reply) => {
                    is_mistaken = true;
                    // Client flags that are none leave what was to be said.
                    if letter != b'F' {
                        mistake = reply;
                    }
                }
            },
        }
    }
    match (is_mistaken, is_opaque_too_long) {
        (true, _) => Err(mistake),
        (false, true) => Err(Reply::OpaqueTooLong),
        (false, false) => Ok(parsed),
    }
}

impl<'a> Parsed<'a> {
    fn take_argument(&mut self, letter: u8, argument: &[u8]) -> Result<(), Reply> {
        let exptime = || signed(argument).map(Exptime::new).ok_or(Reply::BadToken);
        match letter {
            b'b' => self.key = Key::base64(self.key.said()).ok_or(Reply::BadBase64)?,
            b'T' => self.touch = Some(exptime()?),
            b'N' => self.create = Some(exptime()?),
            b'R' => self.refresh_below = Some(exptime()?),
            b'F' => self.client_flags = unsigned_32(argument).ok_or(Reply::BadFormat)?,
            b'C' => self.version = Some(unsigned(argument).ok_or(Reply::BadToken)?),
            b'J' => self.initial = unsigned(argument).ok_or(Reply::BadInitial)?,
            b'D' => self.delta = unsigned(argument).ok_or(Reply::BadMetaDelta)?,
            b'M' => match argument {
                [mode] => self.mode = Some(*mode),
                _ => return Err(Reply::BadModeLen),
            },
            _ => return Err(Reply::InvalidFlag),
        }
        Ok(())
    }

    fn get(self) -> Get<'a> {
        Get {
            key: self.key,
            flags: self.flags,
            wants_value: self.wants_value,
            quiet: self.quiet,
            unnoticed: self.unnoticed,
            touch: self.touch,
            create: self.create,
            refresh_below: self.refresh_below,
        }
    }

    fn set(self) -> Result<Set<'a>, Reply> {
        let mode = match self.mode {
            None | Some(b'S') => Mode::Set,
            Some(b'E') => Mode::Add,
            Some(b'A') => Mode::Append,
            Some(b'P') => Mode::Prepend,
            Some(b'R') => Mode::Replace,
            Some(_) => return Err(Reply::BadSetMode),
        };
        let update = Update {
            key: self.key,
            value: &[],
            mode,
            client_flags: self.client_flags,
            exptime: self.touch.unwrap_or(Exptime::Never),
            version: self.version,
        };
        Ok(Set { update, flags: self.flags, quiet: self.quiet, may_be_stale: self.invalidates })
    }

    fn delete(self) -> Delete<'a> {
        Delete {
            key: self.key,
            flags: self.flags,
            quiet: self.quiet,
            version: self.version,
            invalidates: self.invalidates,
            touch: self.touch,
        }
    }

    fn count(self) -> Result<Count<'a>, Reply> {
        let direction = match self.mode {
            None | Some(b'I' | b'+') => Direction::Up,
            Some(b'D' | b'-') => Direction::Down,
            Some(_) => return Err(Reply::BadArithmeticMode),
        };
        Ok(Count {
            key: self.key,
            flags: self.flags,
            wants_value: self.wants_value,
            quiet: self.quiet,
            version: self.version,
            direction,
            delta: self.delta,
            create: self.create,
            initial: self.initial,
            touch: self.touch,
        })
    }
}
