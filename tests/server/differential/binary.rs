//! Generates frames of the binary dialect, most of them valid, and compares the responses.

use crate::answers::{Piece, Versions, without_padding};
use crate::chance::Chance;
use crate::script::{Command, exptime, key, number, number_key, small, value, version};

const HEADER_LEN: usize = 24;
const NOOP: u8 = 0x0a;
const VERSION: u8 = 0x0b;
const LAST_OPAQUE: u32 = 0xfeed_beef;

/// The content of a frame.
#[derive(Default)]
struct Parts {
    opcode: u8,
    extras: Vec<u8>,
    key: Vec<u8>,
    value: Vec<u8>,
    version: (u64, u64),
}

pub(crate) fn command(chance: &mut Chance, versions: &Versions) -> Command {
    let mut parts = Parts::default();
    let mut is_alone = false;
    if chance.percent(30) {
        parts.version = version(chance, versions);
    }
    match chance.below(100) {
        0..30 => {
            parts.opcode = one_of(chance, &[0x01, 0x02, 0x03, 0x11, 0x12, 0x13]);
            parts.key = key(chance);
            let is_too_large = chance.percent(2);
            parts.value = if is_too_large { vec![b'L'; 2 << 20] } else { value(chance) };
            if is_too_large {
                // In this case memcached deletes the old value, whatever version was requested.
                parts.version = (0, 0);
            }
            if chance.percent(20) {
                parts.key = number_key(chance);
                parts.value = number(chance);
            }
            parts.extras.extend_from_slice(&(chance.next_u64() as u32).to_be_bytes());
            parts.extras.extend_from_slice(&binary_exptime(chance).to_be_bytes());
        }
        30..55 => {
            parts.opcode = one_of(chance, &[0x00, 0x09, 0x0c, 0x0d]);
            parts.key = if chance.percent(20) { number_key(chance) } else { key(chance) };
        }
        55..63 => {
            parts.opcode = one_of(chance, &[0x1c, 0x1d, 0x1e, 0x23, 0x24]);
            parts.key = key(chance);
            parts.extras.extend_from_slice(&binary_exptime(chance).to_be_bytes());
        }
        63..70 => {
            parts.opcode = one_of(chance, &[0x04, 0x14]);
            parts.key = key(chance);
        }
        70..80 => {
            parts.opcode = one_of(chance, &[0x05, 0x06, 0x15, 0x16]);
            parts.key = if chance.percent(90) { number_key(chance) } else { key(chance) };
            for _ in 0..2 {
                parts.extras.extend_from_slice(&small(chance).to_be_bytes());
            }
            let create = if chance.percent(50) { u32::MAX } else { 1_000 };
            parts.extras.extend_from_slice(&create.to_be_bytes());
            is_alone = true;
        }
        80..90 => {
            parts.opcode = one_of(chance, &[0x0e, 0x0f, 0x19, 0x1a]);
            parts.key = key(chance);
            parts.value = value(chance);
        }
        90..93 => parts.opcode = one_of(chance, &[NOOP, VERSION]),
        93 => {
            parts.opcode = one_of(chance, &[0x08, 0x18]);
            if chance.percent(50) {
                // In memcached a delay would bring back pairs that have just been deleted.
                parts.extras.extend_from_slice(&0_u32.to_be_bytes());
            }
        }
        94 => parts.opcode = one_of(chance, &[0x20, 0x30, 0x7f, 0xff, 0x1b]),
        95 => parts.opcode = one_of(chance, &[0x07, 0x17]),
        _ => {
            mistake(chance, &mut parts);
            is_alone = true;
        }
    }
    let opaque = chance.next_u64() as u32 & 0x7fff_ffff;
    let frame = |version| parts.frame(version, opaque);
    Command { theirs: frame(parts.version.0), ours: frame(parts.version.1), is_alone, ..Command::default() }
}

fn one_of(chance: &mut Chance, opcodes: &[u8]) -> u8 {
    opcodes[chance.below(opcodes.len() as u64) as usize]
}

fn binary_exptime(chance: &mut Chance) -> u32 {
    // In this dialect memcached treats negative 32-bit numbers as dates.
    i32::try_from(exptime(chance)).ok().and_then(|exptime| u32::try_from(exptime).ok()).unwrap_or(0)
}

/// Lengths that are invalid for the opcode. Both servers close the connection.
fn mistake(chance: &mut Chance, parts: &mut Parts) {
    match chance.below(5) {
        0 => {
            parts.opcode = one_of(chance, &[0x00, 0x04, 0x01, 0x1c, 0x05]);
            parts.extras = vec![0; 3];
            parts.key = key(chance);
        }
        1 => parts.opcode = one_of(chance, &[0x00, 0x01, 0x04, 0x05, 0x0e, 0x1d]),
        2 => {
            parts.opcode = one_of(chance, &[NOOP, VERSION, 0x07, 0x08]);
            parts.key = key(chance);
        }
        3 => {
            parts.opcode = 0x00;
            parts.key = vec![b'K'; 251];
        }
        _ => {
            parts.opcode = 0x10;
            parts.extras = vec![0; 4];
        }
    }
}

impl Parts {
    fn frame(&self, version: u64, opaque: u32) -> Vec<u8> {
        let body_len = self.extras.len() + self.key.len() + self.value.len();
        let mut frame = vec![0x80, self.opcode];
        frame.extend_from_slice(&(self.key.len() as u16).to_be_bytes());
        frame.extend_from_slice(&[self.extras.len() as u8, 0, 0, 0]);
        frame.extend_from_slice(&(body_len as u32).to_be_bytes());
        frame.extend_from_slice(&opaque.to_be_bytes());
        frame.extend_from_slice(&version.to_be_bytes());
        for part in [&self.extras, &self.key, &self.value] {
            frame.extend_from_slice(part);
        }
        frame
    }
}

/// Returns a command whose response shows that all commands before it have been answered.
pub(crate) fn last_command() -> Vec<u8> {
    Parts { opcode: NOOP, ..Parts::default() }.frame(0, LAST_OPAQUE)
}

/// Returns true if the response to [`last_command`] is complete.
pub(crate) fn has_ended(answer: &[u8]) -> bool {
    let Some(last) = answer.len().checked_sub(HEADER_LEN).map(|start| &answer[start..]) else {
        return false;
    };
    last[..2] == [0x81, NOOP] && last[12..16] == LAST_OPAQUE.to_be_bytes()
}

/// Splits a response into frames, in pieces.
pub(crate) fn pieces(mut answer: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while let Some((header, rest)) = answer.split_at_checked(HEADER_LEN) {
        let body_len = u32::from_be_bytes(header[8..12].try_into().unwrap()) as usize;
        let (body, rest) = rest.split_at(body_len.min(rest.len()));
        answer = rest;
        let is_version = header[1] == VERSION && header[6..8] == [0, 0];
        // The length of the body is not compared, because the body itself is.
        pieces.push(Piece::Same([&header[..8], &header[12..16]].concat()));
        pieces.push(Piece::Version(u64::from_be_bytes(header[16..].try_into().unwrap())));
        if !is_version {
            pieces.push(Piece::Same(without_padding(body).to_vec()));
        }
    }
    pieces.push(Piece::Same(answer.to_vec()));
    pieces
}
