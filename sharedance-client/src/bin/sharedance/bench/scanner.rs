//! Finds the responses in the bytes of a server, without storing their values. The bytes may be split anywhere.

use crate::options::Dialect;

/// The maximum length of a line of a response.
const MAX_LINE_LEN: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Hit,
    Miss,
    Stored,
}

/// A line of the server that is not a response to the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unexpected(pub(super) String);

#[derive(Debug)]
pub(super) struct Scanner {
    dialect: Dialect,
    /// The received part of a line.
    line: Vec<u8>,
    /// The number of bytes of a value and its end that are still missing.
    skip: usize,
    /// Whether the value is the whole response.
    ends_with_value: bool,
    has_value: bool,
    /// The line that must precede the responses.
    expected: Option<&'static [u8]>,
}

impl Scanner {
    pub(super) fn new(dialect: Dialect) -> Scanner {
        Scanner { dialect, line: Vec::new(), skip: 0, ends_with_value: false, has_value: false, expected: None }
    }

    /// Expects this line before the first response.
    pub(super) fn expect(&mut self, line: &'static [u8]) {
        self.expected = Some(line);
    }

    /// Takes received bytes, and calls `answered` for each complete response.
    pub(super) fn take(
        &mut self,
        mut bytes: &[u8],
        mut answered: impl FnMut(Answer) -> Result<(), Unexpected>,
    ) -> Result<(), Unexpected> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let len = self.skip.min(bytes.len());
                self.skip -= len;
                bytes = &bytes[len..];
                if self.skip == 0 && self.ends_with_value {
                    answered(Answer::Hit)?;
                }
                continue;
            }
            let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
                self.line.extend_from_slice(bytes);
                return match self.line.len() {
                    ..MAX_LINE_LEN => Ok(()),
                    _ => Err(unexpected(&self.line)),
                };
            };
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let answer = self.end_line();
            self.line.clear();
            if let Some(answer) = answer? {
                answered(answer)?;
            }
        }
        Ok(())
    }

    /// Handles a complete line: a response, or the first line of one.
    fn end_line(&mut self) -> Result<Option<Answer>, Unexpected> {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        if let Some(expected) = self.expected.take() {
            return if line == expected { Ok(None) } else { Err(unexpected(line)) };
        }
        let mut words = line.split(|&byte| byte == b' ');
        let first = words.next().unwrap_or_default();
        let value_len = match (self.dialect, first) {
            (Dialect::Meta, b"VA") => words.next().and_then(number),
            (Dialect::Text, b"VALUE") => words.nth(2).and_then(number),
            (Dialect::Redis, [b'$', len @ ..]) if len != b"-1" => number(len),
            (Dialect::Meta, b"HD") | (Dialect::Text, b"STORED") | (Dialect::Redis, b"+OK") => {
                return Ok(Some(Answer::Stored));
            }
            (Dialect::Meta, b"EN") | (Dialect::Redis, b"$-1") => return Ok(Some(Answer::Miss)),
            (Dialect::Text, b"END") => {
                let has_value = std::mem::take(&mut self.has_value);
                return Ok(Some(if has_value { Answer::Hit } else { Answer::Miss }));
            }
            _ => None,
        };
        let Some(len) = value_len else {
            return Err(unexpected(line));
        };
        self.skip = len + b"\r\n".len();
        self.ends_with_value = self.dialect != Dialect::Text;
        self.has_value = true;
        Ok(None)
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn unexpected(line: &[u8]) -> Unexpected {
    const SHOWN_LEN: usize = 100;
    Unexpected(String::from_utf8_lossy(&line[..line.len().min(SHOWN_LEN)]).escape_debug().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(dialect: Dialect, bytes: &[u8], piece_len: usize) -> Result<Vec<Answer>, Unexpected> {
        let (mut scanner, mut answers) = (Scanner::new(dialect), Vec::new());
        for piece in bytes.chunks(piece_len) {
            scanner.take(piece, |answer| {
                answers.push(answer);
                Ok(())
            })?;
        }
        Ok(answers)
    }

    #[test]
    fn responses_for_every_fragmentation() {
        let expected = [Answer::Stored, Answer::Hit, Answer::Miss, Answer::Hit, Answer::Stored];
        for (dialect, bytes) in [
            (Dialect::Meta, &b"HD\r\nVA 5\r\nEN\r\n\n\r\nEN\r\nVA 0 t1\r\n\r\nHD\r\n"[..]),
            (Dialect::Text, b"STORED\r\nVALUE k 0 5\r\nEND\r\n\r\nEND\r\nEND\r\nVALUE k 0 0\r\n\r\nEND\r\nSTORED\r\n"),
            (Dialect::Redis, b"+OK\r\n$5\r\n+OK\r\n\r\n$-1\r\n$0\r\n\r\n+OK\r\n"),
        ] {
            for piece_len in 1..=bytes.len() {
                assert_eq!(scan(dialect, bytes, piece_len).unwrap(), expected, "{dialect:?} in pieces of {piece_len}");
            }
        }
    }

    #[test]
    fn the_response_to_credentials_precedes_the_others() {
        for (said, is_accepted) in
            [(&b"STORED\r\nHD\r\n"[..], true), (b"CLIENT_ERROR authentication failure\r\n", false)]
        {
            let mut scanner = Scanner::new(Dialect::Meta);
            scanner.expect(b"STORED");
            let mut answers = Vec::new();
            let outcome = scanner.take(said, |answer| {
                answers.push(answer);
                Ok(())
            });
            assert_eq!((outcome.is_ok(), answers.len()), (is_accepted, usize::from(is_accepted)));
        }
    }

    #[test]
    fn a_line_that_is_not_a_response_is_shown() {
        for (dialect, bytes) in [
            (Dialect::Meta, &b"SERVER_ERROR out of memory\r\n"[..]),
            (Dialect::Text, b"ERROR\r\n"),
            (Dialect::Redis, b"-ERR unknown command\r\n"),
            (Dialect::Meta, b"VA x\r\n"),
            (Dialect::Redis, b"$\r\n"),
            (Dialect::Text, &[b'x'; 2000]),
        ] {
            let Unexpected(shown) = scan(dialect, bytes, 7).unwrap_err();
            assert!(!shown.is_empty() && bytes.starts_with(shown.as_bytes()), "{shown}");
        }
    }
}
