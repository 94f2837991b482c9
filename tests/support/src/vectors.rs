//! Reads wire transcripts. `tests/vectors/README.md` describes the format.
//!
//! A file that violates the format panics with its name and line, because it is a part of the test that reads it.

use std::fs;
use std::ops::Range;
use std::path::Path;

/// One file: consecutive exchanges with one server.
pub struct Vector {
    /// The name of the file, without its extension.
    pub name: String,
    /// The server's limit on requests in bytes, unless it is the default.
    pub limit: Option<usize>,
    /// One exchange per connection.
    pub exchanges: Vec<Exchange>,
}

/// One connection.
pub struct Exchange {
    /// `file:line` of its last line, for messages.
    pub place: String,
    /// All bytes that the client sends.
    pub sent: Vec<u8>,
    /// Start of the part of `sent` that is sent in one piece with the byte before it.
    pub behind_at: usize,
    /// Whether the client then shuts down its sending side.
    pub shuts_down: bool,
    /// All bytes that the server sends.
    pub expected: Vec<u8>,
    /// The server's action afterwards.
    pub end: End,
}

/// The end of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The server closes.
    Closed,
    /// The server closes without a response and changes nothing.
    Refused {
        /// The reason, in one word.
        reason: String,
    },
    /// The server waits for more bytes.
    Waiting,
}

/// A long exchange is cut at this many places from either end.
const CUTS_FROM_EACH_END: usize = 24;

/// An exchange that is longer than this is long.
const LONG_EXCHANGE_LEN: usize = 8192;

impl Exchange {
    /// Returns the places at which the sent bytes are cut in two. Each is the length of the first piece.
    pub fn cuts(&self) -> Vec<usize> {
        let len = self.sent.len();
        let near: Range<usize> =
            if len > LONG_EXCHANGE_LEN { CUTS_FROM_EACH_END..len - CUTS_FROM_EACH_END } else { 0..0 };
        let may_cut = |at: &usize| *at != self.behind_at && !near.contains(at);
        (1..len).filter(may_cut).collect()
    }
}

/// Reads all vectors of a folder, sorted by name.
pub fn load(folder: &Path) -> Vec<Vector> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no vector in {}", folder.display());
    paths
        .iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap();
            parse(name, &fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// Parses one vector from the text of its file.
pub fn parse(name: &str, text: &str) -> Vector {
    assert!(text.starts_with("# "), "{name}: does not start with its reason");
    let mut vector = Vector { name: name.to_owned(), limit: None, exchanges: Vec::new() };
    let mut open = Open::default();
    for (index, line) in text.lines().enumerate() {
        let place = format!("{name}:{}", index + 1);
        let (mark, rest) = line.split_at(line.len().min(2));
        match (mark, rest) {
            ("" | "# " | "#", _) => {}
            ("! ", _) => {
                assert!(vector.limit.is_none() && vector.exchanges.is_empty(), "{place}");
                let limit = rest.strip_prefix("limit ").unwrap_or_else(|| panic!("{place}"));
                vector.limit = Some(limit.parse().unwrap());
            }
            ("> ", "shutdown") => open.shuts_down = true,
            ("> ", _) => {
                assert!(open.behind.is_empty() && !open.shuts_down, "{place}: sent too late");
                open.sent.extend(bytes(rest, &place));
            }
            ("+ ", _) => {
                assert!(!open.sent.is_empty() && !open.shuts_down, "{place}: behind nothing");
                open.behind.extend(bytes(rest, &place));
            }
            ("< ", _) => open.expected.extend(bytes(rest, &place)),
            ("= ", _) => {
                let end = end(rest).unwrap_or_else(|| panic!("{place}: unknown end"));
                assert!(open.expected.is_empty() || end == End::Closed, "{place}");
                vector.exchanges.push(std::mem::take(&mut open).ended(place, end));
            }
            _ => panic!("{place}: no line of this format"),
        }
    }
    assert!(open.is_empty(), "{name}: the last exchange has no end");
    assert!(!vector.exchanges.is_empty(), "{name}: no exchange");
    vector
}

/// An exchange whose end has not been read yet.
#[derive(Default)]
struct Open {
    sent: Vec<u8>,
    behind: Vec<u8>,
    shuts_down: bool,
    expected: Vec<u8>,
}

impl Open {
    fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.expected.is_empty() && !self.shuts_down
    }

    fn ended(self, place: String, end: End) -> Exchange {
        let behind_at = self.sent.len();
        Exchange {
            place,
            sent: [self.sent, self.behind].concat(),
            behind_at,
            shuts_down: self.shuts_down,
            expected: self.expected,
            end,
        }
    }
}

fn end(text: &str) -> Option<End> {
    match text.split_once(' ') {
        None if text == "closed" => Some(End::Closed),
        None if text == "waiting" => Some(End::Waiting),
        Some(("refused", reason)) => Some(End::Refused { reason: reason.to_owned() }),
        _ => None,
    }
}

/// Parses `"…"` or `"…" * N` into bytes.
fn bytes(text: &str, place: &str) -> Vec<u8> {
    let broken = || -> ! { panic!("{place}: no quoted bytes") };
    let inner = text.strip_prefix('"').unwrap_or_else(|| broken());
    let (quoted, behind) = inner.rsplit_once('"').unwrap_or_else(|| broken());
    let times = match behind.strip_prefix(" * ") {
        Some(times) => times.parse().unwrap_or_else(|_| broken()),
        None if behind.is_empty() => 1,
        None => broken(),
    };
    unescaped(quoted).unwrap_or_else(|| broken()).repeat(times)
}

fn unescaped(quoted: &str) -> Option<Vec<u8>> {
    let mut unread = quoted.as_bytes();
    let mut bytes = Vec::with_capacity(unread.len());
    while let [byte, rest @ ..] = unread {
        unread = rest;
        bytes.push(match (byte, rest) {
            (b'\\', [escape, rest @ ..]) => {
                unread = rest;
                match escape {
                    b'n' => b'\n',
                    b'\\' | b'"' => *escape,
                    b'x' => {
                        let (digits, rest) = rest.split_at_checked(2)?;
                        unread = rest;
                        u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
                    }
                    _ => return None,
                }
            }
            (b' '..=b'~', _) if *byte != b'"' => *byte,
            _ => return None,
        });
    }
    Some(bytes)
}
