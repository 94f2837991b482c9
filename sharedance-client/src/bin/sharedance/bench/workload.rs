//! The sequence of requests, and their encoding in each dialect.

use std::io::Write;
use std::ops::RangeInclusive;

use crate::options::{Bench, Dialect};

use super::chance::{Chance, Keys};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Get,
    Set,
}

/// An endless sequence of requests.
pub(super) struct Workload {
    dialect: Dialect,
    gets: u64,
    keys: Keys,
    value_lens: RangeInclusive<usize>,
    ttl: u32,
    chance: Chance,
    value: Vec<u8>,
    writes: u64,
}

impl Workload {
    /// `number` distinguishes the sequences of several threads.
    pub(super) fn new(options: &Bench, number: u64) -> Workload {
        let mut chance = Chance::new(options.seed.wrapping_mul(0x1_0000_0001).wrapping_add(number));
        let value = (0..*options.value_len.end()).map(|_| chance.next() as u8).collect();
        Workload {
            dialect: options.dialect,
            gets: options.gets,
            keys: Keys::new(options.keys, options.zipf),
            value_lens: options.value_len.clone(),
            ttl: options.ttl,
            chance,
            value,
            // No two threads write the same value.
            writes: number << 48,
        }
    }

    /// Appends the next request to `out`.
    pub(super) fn put_next(&mut self, out: &mut Vec<u8>) -> Kind {
        let key = self.keys.next(&mut self.chance);
        match self.chance.below(100) < self.gets {
            true => {
                put_get(self.dialect, &Key::new(key), out);
                Kind::Get
            }
            false => {
                self.put_set(key, out);
                Kind::Set
            }
        }
    }

    /// Appends a request that stores a new value under the key of this number.
    pub(super) fn put_set(&mut self, key: u64, out: &mut Vec<u8>) {
        let (from, to) = (*self.value_lens.start(), *self.value_lens.end());
        let len = from + self.chance.below((to - from + 1) as u64) as usize;
        // Storing an identical value is cheaper for some servers.
        self.writes += 1;
        self.value[..8].copy_from_slice(&self.writes.to_le_bytes());
        put_set(self.dialect, &Key::new(key), &self.value[..len], self.ttl, out);
    }
}

const KEY_START: &[u8; 6] = b"bench-";
const KEY_DIGITS: usize = 10;
const KEY_LEN: usize = KEY_START.len() + KEY_DIGITS;

struct Key([u8; KEY_LEN]);

impl Key {
    fn new(mut number: u64) -> Key {
        let mut key = [0; KEY_LEN];
        key[..KEY_START.len()].copy_from_slice(KEY_START);
        for digit in key[KEY_START.len()..].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        Key(key)
    }
}

/// Writing to a vector does not fail.
macro_rules! put {
    ($out:expr, $($format:tt)*) => {{
        let _ = write!($out, $($format)*);
    }};
}

fn put_get(dialect: Dialect, Key(key): &Key, out: &mut Vec<u8>) {
    match dialect {
        Dialect::Classic => {
            out.push(b'F');
            out.extend_from_slice(&(KEY_LEN as u32).to_be_bytes());
            out.extend_from_slice(key);
        }
        Dialect::Text | Dialect::Meta => {
            out.extend_from_slice(if dialect == Dialect::Text { b"get " } else { b"mg " });
            out.extend_from_slice(key);
            out.extend_from_slice(if dialect == Dialect::Text { b"\r\n" } else { b" v\r\n" });
        }
        Dialect::Redis => {
            put!(out, "*2\r\n$3\r\nGET\r\n${KEY_LEN}\r\n");
            out.extend_from_slice(key);
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn put_set(dialect: Dialect, Key(key): &Key, value: &[u8], ttl: u32, out: &mut Vec<u8>) {
    let len = value.len();
    match dialect {
        Dialect::Classic => {
            out.push(b'S');
            out.extend_from_slice(&(KEY_LEN as u32).to_be_bytes());
            out.extend_from_slice(&(len as u32).to_be_bytes());
            out.extend_from_slice(key);
            out.extend_from_slice(value);
            return;
        }
        Dialect::Text => {
            out.extend_from_slice(b"set ");
            out.extend_from_slice(key);
            put!(out, " 0 {ttl} {len}\r\n");
        }
        Dialect::Meta => {
            out.extend_from_slice(b"ms ");
            out.extend_from_slice(key);
            put!(out, " {len} T{ttl}\r\n");
        }
        Dialect::Redis => {
            let (ttl_digits, ttl) = (ttl.to_string().len(), ttl);
            put!(out, "*5\r\n$3\r\nSET\r\n${KEY_LEN}\r\n");
            out.extend_from_slice(key);
            // The expiry is before the value here, so that all requests end in the same way.
            put!(out, "\r\n${len}\r\n");
            out.extend_from_slice(value);
            put!(out, "\r\n$2\r\nEX\r\n${ttl_digits}\r\n{ttl}\r\n");
            return;
        }
    }
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(put: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn encoded_requests() {
        let key = Key::new(42);
        let get = |dialect| written(|out| put_get(dialect, &key, out));
        let set = |dialect| written(|out| put_set(dialect, &key, b"12345678", 60, out));
        for (found, expected) in [
            (get(Dialect::Classic), "F\0\0\0\x10bench-0000000042"),
            (get(Dialect::Text), "get bench-0000000042\r\n"),
            (get(Dialect::Meta), "mg bench-0000000042 v\r\n"),
            (get(Dialect::Redis), "*2\r\n$3\r\nGET\r\n$16\r\nbench-0000000042\r\n"),
            (set(Dialect::Classic), "S\0\0\0\x10\0\0\0\x08bench-000000004212345678"),
            (set(Dialect::Text), "set bench-0000000042 0 60 8\r\n12345678\r\n"),
            (set(Dialect::Meta), "ms bench-0000000042 8 T60\r\n12345678\r\n"),
            (
                set(Dialect::Redis),
                "*5\r\n$3\r\nSET\r\n$16\r\nbench-0000000042\r\n$8\r\n12345678\r\n$2\r\nEX\r\n$2\r\n60\r\n",
            ),
        ] {
            assert_eq!(found, expected);
        }
    }
}
