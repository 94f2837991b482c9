//! A command to be sent to both servers, and what the generators of commands share.

use std::fmt;

use crate::answers::Versions;
use crate::chance::Chance;

/// The keys of the plain kind, and of the kind that is said in base64. Few, so that commands meet.
const KEYS: u64 = 10;

/// A command, as it is sent to each of the two.
#[derive(Debug, Clone, Default)]
pub(crate) struct Command {
    pub(crate) theirs: Vec<u8>,
    pub(crate) ours: Vec<u8>,
    /// It must not be sent in one piece with others: the answer would depend on how much was read at once.
    pub(crate) is_alone: bool,
    /// A line of storage that is refused, with its data block: memcached 1.6.18 takes the block for a command.
    pub(crate) block_is_a_command: bool,
    /// A storage command whose data block ends nobody knows where: both refuse it in the same words, and then
    /// sharedanced closes the connection, while memcached takes what follows for commands.
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

    /// A version in decimal digits, as each knows it.
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

/// A key whose values are numbers. Counting leaves some of what is known of a value in memcached, if the number does
/// not get longer; so nothing is asked of these keys but their values.
pub(crate) fn number_key(chance: &mut Chance) -> Vec<u8> {
    format!("number{}", chance.below(KEYS / 2)).into_bytes()
}

/// A number far from 2⁶³: of greater ones memcached looks for a sign in whatever lies behind them in its memory.
pub(crate) fn small(chance: &mut Chance) -> u64 {
    chance.next_u64() >> (8 + chance.below(56))
}

/// The value of such a key, mostly a number.
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

/// A value that is never the same twice, and no number.
pub(crate) fn value(chance: &mut Chance) -> Vec<u8> {
    match chance.below(30) {
        12 => unique(chance, 20_000),
        13 => unique(chance, 200_000),
        14 => {
            let mut bytes: Vec<u8> = (0..40).map(|_| chance.next_u64() as u8).collect();
            bytes.extend_from_slice(&chance.next_u64().to_le_bytes());
            // What ends an answer stands nowhere else.
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

/// An expiration time that does not end while the test runs, or that has ended.
pub(crate) fn exptime(chance: &mut Chance) -> i64 {
    match chance.below(13) {
        0..5 => 0,
        5 => -1,
        6 => 2_592_000,
        // A Unix time that has passed.
        7 => 2_592_001,
        8 => unix_secs() + 5_000,
        9 => -2_000_000_000,
        // Negative ones, as 32 bits without a sign write them.
        10 => 4_294_967_295 - chance.below(2_592_000) as i64,
        _ => 1_000 + chance.below(100_000) as i64,
    }
}

pub(crate) fn unix_secs() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs() as i64
}

/// A version that was seen, or one that never was.
pub(crate) fn version(chance: &mut Chance, versions: &Versions) -> (u64, u64) {
    match chance.below(12) {
        0 => (u64::MAX, u64::MAX),
        1 => (0, 0),
        _ => versions.pick(chance).unwrap_or((u64::MAX - 1, u64::MAX - 1)),
    }
}

/// A number as text, sometimes one that is none.
pub(crate) fn delta(chance: &mut Chance) -> String {
    match chance.below(12) {
        1 => "0".into(),
        2 => "abc".into(),
        3 => "-1".into(),
        4 => "18446744073709551616".into(),
        _ => small(chance).to_string(),
    }
}
