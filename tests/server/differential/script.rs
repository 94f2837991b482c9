//! A command for both servers, and the shared parts of the generators.

use std::fmt;

use crate::answers::Versions;
use crate::chance::Chance;

/// Plain keys, and keys that are sent in base64. They are few, so that commands use the same keys.
const KEYS: u64 = 10;

/// A command in the form for each server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Command {
    pub(crate) theirs: Vec<u8>,
    pub(crate) ours: Vec<u8>,
    /// Must be sent alone: its response depends on the number of bytes read at once.
    pub(crate) is_alone: bool,
    /// A refused storage line with its data block: memcached 1.6.18 takes the block for a command.
    pub(crate) block_is_a_command: bool,
    /// A storage command with a data block of unknown length. Both servers refuse it with the same words. Then
    /// sharedanced closes the connection, and memcached takes the following bytes for commands.
    pub(crate) ends_ours: bool,
}

impl Command {
    pub(crate) fn push(&mut self, bytes: impl AsRef<[u8]>) {
        self.theirs.extend_from_slice(bytes.as_ref());
        self.ours.extend_from_slice(bytes.as_ref());
    }

    /// For a command that [ends the connection](Command::ends_ours) to sharedanced.
    pub(crate) fn end_ours(&mut self) {
        self.ends_ours = true;
        self.is_alone = true;
    }

    pub(crate) fn word(&mut self, bytes: impl AsRef<[u8]>) {
        self.push(b" ");
        self.push(bytes);
    }

    /// Appends a version in decimal digits, each server's own.
    pub(crate) fn version(&mut self, (theirs, ours): (u64, u64)) {
        self.theirs.extend_from_slice(theirs.to_string().as_bytes());
        self.ours.extend_from_slice(ours.to_string().as_bytes());
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.ours[..self.ours.len().min(360)];
        write!(f, "{}", shown.escape_ascii())
    }
}

pub(crate) fn pick<'a, T: ?Sized>(chance: &mut Chance, of: &[&'a T]) -> &'a T {
    of[chance.below(of.len() as u64) as usize]
}

pub(crate) fn key(chance: &mut Chance) -> Vec<u8> {
    match chance.below(40) {
        0 => vec![b'l'; 250],
        1 => b"with\ttab".to_vec(),
        2 => b"\xff\xfe\x80".to_vec(),
        _ => format!("key{}", chance.below(KEYS)).into_bytes(),
    }
}

/// Returns a key whose values are numbers. If the number does not become longer, memcached keeps some properties of the
/// old value when it counts; therefore commands on these keys request only values.
pub(crate) fn number_key(chance: &mut Chance) -> Vec<u8> {
    format!("number{}", chance.below(KEYS / 2)).into_bytes()
}

/// A number far below 2⁶³: for greater ones memcached looks for a sign in the memory after them.
pub(crate) fn small(chance: &mut Chance) -> u64 {
    chance.next_u64() >> (8 + chance.below(56))
}

/// Returns a value of such a key, usually a number.
pub(crate) fn number(chance: &mut Chance) -> Vec<u8> {
    let mut value = small(chance).to_string().into_bytes();
    match chance.below(16) {
        0 => value.push(b'x'),
        1 => value = b"-1".to_vec(),
        2 => value = b"18446744073709551616".to_vec(),
        _ => {}
    }
    value
}

/// Returns a value that is unique and not a number.
pub(crate) fn value(chance: &mut Chance) -> Vec<u8> {
    match chance.below(30) {
        12 => unique(chance, 20_000),
        13 => unique(chance, 200_000),
        14 => {
            let mut bytes: Vec<u8> = (0..40).map(|_| chance.next_u64() as u8).collect();
            bytes.extend_from_slice(&chance.next_u64().to_le_bytes());
            // The end of a response appears nowhere else in it.
            bytes.iter_mut().filter(|byte| **byte == b'M').for_each(|byte| *byte = b'm');
            bytes
        }
        _ => unique(chance, 60),
    }
}

fn unique(chance: &mut Chance, most: u64) -> Vec<u8> {
    let mut bytes = format!("<{:x}>", chance.next_u64()).into_bytes();
    bytes.resize(bytes.len() + chance.below(most) as usize, b'v');
    bytes
}

/// Returns an expiration time that does not pass during the test, or that has passed.
pub(crate) fn exptime(chance: &mut Chance) -> i64 {
    match chance.below(13) {
        0..5 => 0,
        5 => -1,
        6 => 2_592_000,
        // A Unix time that has passed.
        7 => 2_592_001,
        8 => unix_secs() + 5_000,
        9 => -2_000_000_000,
        // Negative numbers as unsigned 32-bit numbers.
        10 => 4_294_967_295 - chance.below(2_592_000) as i64,
        _ => 1_000 + chance.below(100_000) as i64,
    }
}

pub(crate) fn unix_secs() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs() as i64
}

/// Returns a version that was seen, or one that never existed.
pub(crate) fn version(chance: &mut Chance, versions: &Versions) -> (u64, u64) {
    match chance.below(12) {
        0 => (u64::MAX, u64::MAX),
        1 => (0, 0),
        _ => versions.pick(chance).unwrap_or((u64::MAX - 1, u64::MAX - 1)),
    }
}

/// Returns a number as text, sometimes an invalid one.
pub(crate) fn delta(chance: &mut Chance) -> String {
    match chance.below(12) {
        1 => "0".into(),
        2 => "abc".into(),
        3 => "-1".into(),
        4 => "18446744073709551616".into(),
        _ => small(chance).to_string(),
    }
}
