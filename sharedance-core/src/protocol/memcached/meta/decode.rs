//! Decodes meta commands.

use std::num::NonZeroU64;

use super::{Count, Delete, Flags, Get, MAX_OPAQUE_LEN, Request, Set};
use crate::protocol::memcached::numbers::{unsigned, unsigned_32};
use crate::protocol::memcached::text::{self, Announced, Line, Reply, block_len};
use crate::protocol::memcached::tokens::Tokens;
use crate::protocol::memcached::{Direction, Exptime, Key, MAX_KEY_LEN, Mode, Update};

/// The maximum number of words of a line: the command, the key, the length of a data block, the flags.
const MAX_WORDS: usize = 19;

/// Decodes the words after a meta command.
pub(in crate::protocol::memcached) fn decode<'a>(command: &[u8], mut tokens: Tokens<'a>) -> Line<'a> {
    if command == b"mn" {
        return Line::Whole(text::Request::Meta(Request::Noop));
    }
    if command == b"ms" {
        return decode_set(tokens);
    }
    let Some(key) = tokens.next() else {
        return refused(if command == b"me" { Reply::BadFormat } else { Reply::Error });
    };
    if key.len() > MAX_KEY_LEN {
        return refused(Reply::BadFormat);
    }
    let request = match command {
        b"mg" => parse(key, tokens, 2, Reply::FlagsAreTooLong).and_then(Parsed::get).map(Request::Get),
        b"md" => {
            parse(key, tokens, 2, Reply::FlagsTooLong).map_err(vague).and_then(Parsed::delete).map(Request::Delete)
        }
        b"ma" => parse(key, tokens, 2, Reply::FlagsTooLong).map_err(vague).and_then(Parsed::count).map(Request::Count),
        _ => decode_debug(key, tokens),
    };
    request.map_or_else(refused, |request| Line::Whole(text::Request::Meta(request)))
}

fn refused<'a>(reply: Reply) -> Line<'a> {
    Line::Whole(text::Request::Refused(reply))
}

/// The response of `md` and `ma` to invalid flags.
fn vague(reply: Reply) -> Reply {
    match reply {
        Reply::FlagsTooLong => reply,
        _ => Reply::InvalidOrDuplicateFlag,
    }
}

fn decode_debug<'a>(key: &'a [u8], mut tokens: Tokens<'a>) -> Result<Request<'a>, Reply> {
    let key = match tokens.next() {
        Some(b"b") => Key::base64(key).ok_or(Reply::BadFormat)?,
        _ => Key::plain(key),
    };
    Ok(Request::Debug { key })
}

fn decode_set(mut tokens: Tokens<'_>) -> Line<'_> {
    let Some(key) = tokens.next() else {
        return Line::refused_without_length(Reply::Error);
    };
    let Some(block_len) = tokens.next().and_then(block_len) else {
        return Line::refused_without_length(Reply::BadFormat);
    };
    if tokens.rest().iter().find(|&&byte| byte != b' ').is_some_and(|flag| !flag.is_ascii_alphabetic()) {
        // The key contains a space: this word is the length, and the word in its place is a part of the key.
        return Line::refused_without_length(Reply::InvalidFlag);
    }
    if key.len() > MAX_KEY_LEN {
        return Line::refused_with_block(Reply::BadFormat, block_len, false);
    }
    match parse(key, tokens, 3, Reply::FlagsTooLong).and_then(Parsed::set) {
        Ok(set) => Line::WithBlock { block_len, announced: Announced::Meta(set) },
        Err(reply) => Line::refused_with_block(reply, block_len, false),
    }
}

/// The flags of a command.
struct Parsed<'a> {
    key: Key<'a>,
    flags: Flags<'a>,
    wants_value: bool,
    quiet: bool,
    unnoticed: bool,
    invalidates: bool,
    removes_value: bool,
    touch: Option<Exptime>,
    create: Option<Exptime>,
    refresh_below: Option<Exptime>,
    client_flags: u32,
    version: Option<u64>,
    new_version: Option<NonZeroU64>,
    mode: Option<u8>,
    delta: u64,
    initial: u64,
    needs_lock: bool,
    is_opaque_too_long: bool,
}

/// Decodes flags. The last of several errors is reported, unless one ends the decoding.
fn parse<'a>(key: &'a [u8], tokens: Tokens<'a>, words_before: usize, too_many: Reply) -> Result<Parsed<'a>, Reply> {
    let most = MAX_WORDS - words_before;
    // A word takes at least two bytes, so most lines need no count.
    if tokens.rest().len() >= 2 * most && tokens.clone().count() > most {
        return Err(too_many);
    }
    let mut parsed = Parsed::new(key, &tokens);
    let mut seen = 0_u128;
    let mut mistake = None;
    for token in tokens {
        let (&letter, argument) = token.split_first().unwrap_or((&0, &[]));
        let bit = if letter < 127 { 1_u128 << letter } else { 0 };
        if bit == 0 || seen & bit != 0 {
            return Err(Reply::DuplicateFlag);
        }
        seen |= bit;
        match parsed.take(letter, argument) {
            Ok(()) => {}
            Err(Reply::InvalidFlag) => return Err(Reply::InvalidFlag),
            // Client flags that are not a number do not change the error.
            Err(_) if letter == b'F' => mistake = mistake.or(Some(Reply::BadFormat)),
            Err(reply) => mistake = Some(reply),
        }
    }
    mistake.map_or(Ok(parsed), Err)
}

impl<'a> Parsed<'a> {
    fn new(key: &'a [u8], tokens: &Tokens<'a>) -> Parsed<'a> {
        Parsed {
            key: Key::plain(key),
            flags: Flags { words: tokens.rest() },
            wants_value: false,
            quiet: false,
            unnoticed: false,
            invalidates: false,
            removes_value: false,
            touch: None,
            create: None,
            refresh_below: None,
            client_flags: 0,
            version: None,
            new_version: None,
            mode: None,
            delta: 1,
            initial: 0,
            needs_lock: false,
            is_opaque_too_long: false,
        }
    }

    /// Decodes one flag.
    fn take(&mut self, letter: u8, argument: &[u8]) -> Result<(), Reply> {
        let exptime = || Exptime::parse(argument).ok_or(Reply::BadToken);
        match letter {
            // They concern the response only, or a proxy between client and server.
            b'k' | b's' | b't' | b'c' | b'f' | b'l' | b'h' | b'P' | b'L' => {}
            b'O' => self.is_opaque_too_long = argument.len() >= MAX_OPAQUE_LEN,
            b'v' => self.wants_value = true,
            b'u' => self.unnoticed = true,
            b'q' => self.quiet = true,
            b'I' => self.invalidates = true,
            b'H' => self.needs_lock = true,
            b'x' => self.removes_value = true,
            b'b' => self.key = Key::base64(self.key.encoded()).ok_or(Reply::BadBase64)?,
            b'T' => self.touch = Some(exptime()?),
            b'N' => self.create = Some(exptime()?),
            b'R' => self.refresh_below = Some(exptime()?),
            b'F' => self.client_flags = unsigned_32(argument).ok_or(Reply::BadFormat)?,
            b'C' => self.version = Some(unsigned(argument).ok_or(Reply::BadToken)?),
            b'E' => self.new_version = NonZeroU64::new(unsigned(argument).ok_or(Reply::BadToken)?),
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

    /// The error that is reported if there is no other one.
    fn check_opaque(&self) -> Result<(), Reply> {
        if self.is_opaque_too_long { Err(Reply::OpaqueTooLong) } else { Ok(()) }
    }

    fn get(self) -> Result<Get<'a>, Reply> {
        self.check_opaque()?;
        Ok(Get {
            key: self.key,
            flags: self.flags,
            wants_value: self.wants_value,
            quiet: self.quiet,
            unnoticed: self.unnoticed,
            touch: self.touch,
            create: self.create,
            refresh_below: self.refresh_below,
            needs_lock: self.needs_lock,
            known_version: self.version.and_then(NonZeroU64::new),
            new_version: self.new_version,
        })
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
        self.check_opaque()?;
        let extends = matches!(mode, Mode::Append | Mode::Prepend);
        let update = Update {
            key: self.key,
            value: &[],
            mode,
            client_flags: self.client_flags,
            exptime: if extends { self.create } else { self.touch }.unwrap_or(Exptime::Never),
            version: self.version,
        };
        Ok(Set {
            update,
            flags: self.flags,
            quiet: self.quiet,
            may_be_stale: self.invalidates,
            needs_lock: self.needs_lock,
            creates: extends && self.create.is_some(),
            new_version: self.new_version,
        })
    }

    fn delete(self) -> Result<Delete<'a>, Reply> {
        self.check_opaque()?;
        Ok(Delete {
            key: self.key,
            flags: self.flags,
            quiet: self.quiet,
            version: self.version,
            invalidates: self.invalidates,
            removes_value: self.removes_value,
            client_flags: self.client_flags,
            touch: self.touch,
            needs_lock: self.needs_lock,
            new_version: self.new_version,
        })
    }

    fn count(self) -> Result<Count<'a>, Reply> {
        let direction = match self.mode {
            None | Some(b'I' | b'+') => Direction::Up,
            Some(b'D' | b'-') => Direction::Down,
            Some(_) => return Err(Reply::BadArithmeticMode),
        };
        self.check_opaque()?;
        Ok(Count {
            key: self.key,
            flags: self.flags,
            wants_value: self.wants_value,
            quiet: self.quiet,
            version: self.version.and_then(NonZeroU64::new),
            direction,
            delta: self.delta,
            create: self.create,
            initial: self.initial,
            touch: self.touch,
            needs_lock: self.needs_lock,
            new_version: self.new_version,
        })
    }
}
