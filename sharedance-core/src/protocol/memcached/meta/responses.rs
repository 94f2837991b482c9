//! Responses to meta commands.

use super::{Count, Flags, Get, Set};
use crate::protocol::memcached::Key;
use crate::protocol::memcached::numbers::{self, Digits};

/// The code of a response without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// `HD`: done.
    Done,
    /// `EN`: `mg` and `me` found nothing.
    Missing,
    /// `NF`: other commands found nothing.
    NotFound,
    /// `NS`: a condition did not hold.
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

/// The metadata of a pair for responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The value's length in bytes.
    pub value_len: usize,
    /// The number that is stored with the value.
    pub client_flags: u32,
    /// The value's version.
    pub version: u64,
    /// The remaining TTL in seconds; `None` if the pair never expires.
    pub ttl_secs: Option<u64>,
    /// The seconds since the last access.
    pub idle_secs: u64,
    /// Whether it was read before.
    pub was_read: bool,
    /// `W`: the client is chosen to compute the value again.
    pub is_yours: bool,
    /// `X`: the value is stale.
    pub is_stale: bool,
    /// `Z`: another client is chosen to compute the value again.
    pub is_taken: bool,
}

/// Appends the response to a `mg` that found a value. The value and `\r\n` follow if [`Get::wants_value`].
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

/// Appends the response to a `ms`. `version` is that of the stored value, or zero; `value_len` is the length of that
/// value, or of the one that was sent if none was stored.
pub fn push_stored(out: &mut Vec<u8>, set: &Set<'_>, status: Status, version: u64, value_len: usize) {
    out.extend_from_slice(status.as_bytes());
    for (letter, word) in set.flags.iter() {
        match letter {
            b'c' => push_fact(out, letter, version),
            b's' => push_fact(out, letter, value_len as u64),
            _ => push_echo(out, letter, word, set.update.key),
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the response to a `ma` that was executed, with the number if it is requested.
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

/// Appends a response without metadata of a pair.
pub fn push_status(out: &mut Vec<u8>, status: Status, flags: Flags<'_>, key: Key<'_>) {
    out.extend_from_slice(status.as_bytes());
    for (letter, word) in flags.iter() {
        push_echo(out, letter, word, key);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the response to a `me` that found a pair.
pub fn push_debug(out: &mut Vec<u8>, key: Key<'_>, facts: &Facts) {
    out.extend_from_slice(b"ME ");
    out.extend_from_slice(key.encoded());
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

/// The flags that each response repeats: the opaque and the key.
fn push_echo(out: &mut Vec<u8>, letter: u8, word: &[u8], key: Key<'_>) {
    match letter {
        b'O' => {
            out.push(b' ');
            out.extend_from_slice(word);
        }
        b'k' => {
            out.extend_from_slice(b" k");
            out.extend_from_slice(key.encoded());
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
