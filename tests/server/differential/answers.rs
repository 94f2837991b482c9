//! Compares two responses word by word, except versions, times, and the padding of numbers.

use std::collections::HashMap;

use crate::binary;
use crate::chance::Chance;
use crate::peers::{Answer, Dialect};

/// The allowed difference between two remaining lives, in seconds.
const MAX_TIME_DIFFERENCE: u64 = 3;

/// The number of versions that are kept for use in commands.
const KNOWN_VERSIONS: usize = 60;

/// Maps memcached's versions to sharedanced's.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    ours: HashMap<u64, u64>,
    /// The latest versions, in pairs.
    latest: Vec<(u64, u64)>,
}

impl Versions {
    pub(crate) fn len(&self) -> usize {
        self.ours.len()
    }

    pub(crate) fn pick(&self, chance: &mut Chance) -> Option<(u64, u64)> {
        if self.latest.is_empty() {
            return None;
        }
        // Usually one of the last few: older ones are rarely the version of a current value.
        let last = if chance.percent(70) { self.latest.len().min(8) } else { self.latest.len() };
        Some(self.latest[self.latest.len() - 1 - chance.below(last as u64) as usize])
    }

    fn match_up(&mut self, theirs: u64, ours: u64) -> bool {
        if theirs == 0 || ours == 0 {
            return theirs == ours;
        }
        if let Some(known) = self.ours.insert(theirs, ours) {
            return known == ours;
        }
        self.latest.push((theirs, ours));
        if self.latest.len() > KNOWN_VERSIONS {
            self.latest.remove(0);
        }
        true
    }
}

/// A piece of a response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Must be equal.
    Same(Vec<u8>),
    /// A version.
    Version(u64),
    /// Approximately the same number.
    Secs(u64),
}

/// Compares the two responses.
pub(crate) fn compare(dialect: Dialect, theirs: &Answer, ours: &Answer, versions: &mut Versions) -> Result<(), String> {
    if theirs.has_closed != ours.has_closed {
        return Err(format!("closed: theirs {}, ours {}", theirs.has_closed, ours.has_closed));
    }
    let pieces = |answer: &Answer| match dialect {
        Dialect::Text => text_pieces(&answer.bytes),
        Dialect::Binary => binary::pieces(&answer.bytes),
    };
    let (their_pieces, our_pieces) = (pieces(theirs), pieces(ours));
    for (at, (theirs, ours)) in their_pieces.iter().zip(&our_pieces).enumerate() {
        let same = match (theirs, ours) {
            (Piece::Version(theirs), Piece::Version(ours)) => versions.match_up(*theirs, *ours),
            (Piece::Secs(theirs), Piece::Secs(ours)) => theirs.abs_diff(*ours) <= MAX_TIME_DIFFERENCE,
            (theirs, ours) => theirs == ours,
        };
        if !same {
            return Err(format!("piece {at}: theirs {}, ours {}", shown(theirs), shown(ours)));
        }
    }
    if their_pieces.len() != our_pieces.len() {
        return Err(format!("{} pieces of theirs, {} of ours", their_pieces.len(), our_pieces.len()));
    }
    Ok(())
}

fn shown(piece: &Piece) -> String {
    match piece {
        Piece::Same(bytes) => format!("{:?}", bytes[..bytes.len().min(200)].escape_ascii().to_string()),
        piece => format!("{piece:?}"),
    }
}

fn text_pieces(mut answer: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while let Some(end) = answer.windows(2).position(|pair| pair == b"\r\n") {
        let (line, rest) = (&answer[..end], &answer[end + 2..]);
        answer = rest;
        if let Some(block_len) = line_pieces(line, &mut pieces) {
            let block_len = block_len.min(answer.len());
            pieces.push(Piece::Same(without_padding(&answer[..block_len]).to_vec()));
            answer = answer[block_len..].strip_prefix(b"\r\n").unwrap_or(&answer[block_len..]);
        }
    }
    pieces.push(Piece::Same(answer.to_vec()));
    pieces
}

/// Returns a value without the spaces after a number that became shorter. Whether memcached pads it depends on other
/// references to the value.
pub(crate) fn without_padding(value: &[u8]) -> &[u8] {
    value.trim_ascii_end()
}

/// Splits a line into pieces. Returns the length of the block that it announces.
fn line_pieces(line: &[u8], pieces: &mut Vec<Piece>) -> Option<usize> {
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<u64>().ok();
    let same = |words: &[&[u8]]| Piece::Same(words.join(&b' '));
    match words[0] {
        b"VALUE" if words.len() >= 4 => {
            // The length of the block is not compared, because the block itself is.
            pieces.push(same(&words[..3]));
            pieces.extend(words.get(4).and_then(|word| number(word)).map(Piece::Version));
            number(words[3]).map(|len| len as usize)
        }
        b"VA" | b"HD" | b"EN" | b"NF" | b"NS" | b"EX" => {
            let is_stale = words.contains(&&b"X"[..]);
            for &word in &words {
                pieces.push(match (word[0], number(&word[1..])) {
                    // Marking a value as stale makes a new one, which has not been read yet.
                    (b'h', Some(_)) if is_stale => Piece::Same(b"h".to_vec()),
                    (b'c', Some(version)) => Piece::Version(version),
                    (b't', Some(secs)) => Piece::Secs(secs),
                    // The time at which memcached records an access depends on its LRU.
                    (b'l', Some(_)) => Piece::Same(b"l".to_vec()),
                    _ => Piece::Same(word.to_vec()),
                });
            }
            if words[0] == b"VA" { number(words[1]).map(|len| len as usize) } else { None }
        }
        b"ME" => {
            for &word in &words {
                let name = word.split(|&byte| byte == b'=').next().unwrap_or_default();
                pieces.push(match name {
                    b"exp" | b"la" | b"fetch" | b"cls" | b"size" => Piece::Same(name.to_vec()),
                    b"cas" => Piece::Version(number(&word[4..]).unwrap_or(0)),
                    _ => Piece::Same(word.to_vec()),
                });
            }
            None
        }
        b"VERSION" => {
            pieces.push(Piece::Same(b"VERSION".to_vec()));
            None
        }
        _ => {
            pieces.push(Piece::Same(line.to_vec()));
            None
        }
    }
}
