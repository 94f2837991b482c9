//! One request after the other, from the bytes of a connection.

use super::commands::{Announced, Line, Retrieval, decode_command};
use super::{Reply, Request};
use crate::protocol::memcached::numbers::signed;
use crate::protocol::memcached::tokens::{Tokens, find};
use crate::protocol::memcached::{Exptime, MAX_KEY_LEN, MAX_LINE_LEN};
use crate::protocol::{DecodeError, Decoded, Limits};

/// What ends a data block.
const END_OF_BLOCK: &[u8] = b"\r\n";

/// Decodes the requests of one connection.
#[derive(Debug, Default)]
pub struct Decoder {
    /// So many bytes of the line that comes next are known to be in it, and not its end.
    scanned: usize,
    state: State,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    /// A line comes next.
    #[default]
    Line,
    /// Keys, up to the end of the line.
    Keys(Retrieval),
    /// So many bytes that are thrown away.
    Discarding(u64),
    /// The rest of a line, thrown away.
    DiscardingLine,
}

impl Decoder {
    /// A decoder for a connection on which nothing has been decoded yet.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Decodes the next request. `input` is all that has arrived and was not consumed.
    ///
    /// [`Decoded::Incomplete`] is right for as long as `input` begins at the same place, and names the end of a data
    /// block once its length is known.
    ///
    /// # Errors
    /// [`DecodeError::LineTooLong`]: more than [`MAX_LINE_LEN`] bytes are no line, nor the beginning of a retrieval.
    #[inline]
    pub fn decode<'a>(&mut self, input: &'a [u8], limits: &Limits) -> Result<Decoded<Request<'a>>, DecodeError> {
        match self.state {
            State::Line => self.decode_line(input, limits),
            State::Keys(retrieval) => Ok(self.decode_key(input, retrieval)),
            State::Discarding(len) => Ok(self.discard(input, len)),
            State::DiscardingLine => Ok(self.discard_line(input)),
        }
    }

    fn decode_line<'a>(&mut self, input: &'a [u8], limits: &Limits) -> Result<Decoded<Request<'a>>, DecodeError> {
        let window = &input[..input.len().min(MAX_LINE_LEN + 1)];
        let Some(offset) = find(window.get(self.scanned..).unwrap_or_default(), b'\n') else {
            if input.len() > MAX_LINE_LEN {
                return self.decode_long_line(window);
            }
            self.scanned = input.len();
            return Ok(Decoded::Incomplete { needed: input.len() + 1 });
        };
        let end = self.scanned + offset;
        self.scanned = 0;
        let line = window[..end].strip_suffix(b"\r").unwrap_or(&window[..end]);
        let line_len = end + 1;
        Ok(match decode_command(line) {
            Line::Whole(message) => Decoded::Complete { message, consumed: line_len },
            Line::FirstKey { retrieval, key, key_end } => {
                self.state = State::Keys(retrieval);
                Decoded::Complete { message: retrieval.get(key, false), consumed: key_end }
            }
            Line::WithBlock { block_len, announced } => {
                self.decode_block(input, line_len, block_len, announced, limits)
            }
            Line::Refused { reply, block_len } => {
                self.state = State::Discarding(block_len + END_OF_BLOCK.len() as u64);
                let message = reply.map_or(Request::Discarded, Request::Refused);
                Decoded::Complete { message, consumed: line_len }
            }
        })
    }

    fn decode_block<'a>(
        &mut self,
        input: &'a [u8],
        line_len: usize,
        block_len: u64,
        announced: Announced<'a>,
        limits: &Limits,
    ) -> Decoded<Request<'a>> {
        let whole_len = line_len as u64 + block_len + END_OF_BLOCK.len() as u64;
        if whole_len > limits.max_request_len as u64 {
            self.state = State::Discarding(block_len + END_OF_BLOCK.len() as u64);
            return Decoded::Complete { message: announced.too_large(), consumed: line_len };
        }
        // The length is within the limit, which is a usize: so is each of its parts.
        let needed = whole_len as usize;
        let Some(block) = input.get(line_len..needed) else {
            return Decoded::Incomplete { needed };
        };
        let message = match block.strip_suffix(END_OF_BLOCK) {
            Some(value) => announced.with_value(value),
            None => announced.refused(Reply::BadDataChunk),
        };
        Decoded::Complete { message, consumed: needed }
    }

    /// A line whose end is too far away. A retrieval goes on key by key, from behind its last word that is no key.
    fn decode_long_line<'a>(&mut self, window: &'a [u8]) -> Result<Decoded<Request<'a>>, DecodeError> {
        let too_long = DecodeError::LineTooLong { max: MAX_LINE_LEN };
        let mut tokens = Tokens::new(window);
        let (with_version, has_exptime) = match tokens.next() {
            Some(b"get") => (false, false),
            Some(b"gets") => (true, false),
            Some(b"gat") => (false, true),
            Some(b"gats") => (true, true),
            _ => return Err(too_long),
        };
        let touch = match has_exptime.then(|| tokens.next()) {
            None => None,
            Some(None) => return Err(too_long),
            Some(Some(token)) => match signed(token) {
                Some(number) => Some(Exptime::new(number)),
                None => {
                    self.scanned = 0;
                    self.state = State::DiscardingLine;
                    let message = Request::Refused(Reply::BadExptime);
                    return Ok(Decoded::Complete { message, consumed: window.len() });
                }
            },
        };
        self.scanned = 0;
        self.state = State::Keys(Retrieval { with_version, touch });
        Ok(Decoded::Complete { message: Request::Discarded, consumed: window.len() - tokens.rest().len() })
    }

    fn decode_key<'a>(&mut self, input: &'a [u8], retrieval: Retrieval) -> Decoded<Request<'a>> {
        let spaces = input.iter().take_while(|&&byte| byte == b' ').count();
        // A key, a carriage return, and what ends either.
        let window = &input[spaces..input.len().min(spaces + MAX_KEY_LEN + 2)];
        let Some(len) = window.iter().position(|&byte| matches!(byte, b' ' | b'\n')) else {
            if window.len() == MAX_KEY_LEN + 2 {
                self.state = State::DiscardingLine;
                let consumed = spaces + window.len();
                return Decoded::Complete { message: Request::Refused(Reply::BadFormat), consumed };
            }
            // However many spaces come, none of them is kept.
            return match spaces {
                0 => Decoded::Incomplete { needed: input.len() + 1 },
                consumed => Decoded::Complete { message: Request::Discarded, consumed },
            };
        };
        let consumed = spaces + len + 1;
        let is_last = window[len] == b'\n';
        let key = &window[..len];
        let key = if is_last { key.strip_suffix(b"\r").unwrap_or(key) } else { key };
        self.state = if is_last { State::Line } else { State::Keys(retrieval) };
        let message = match key.len() {
            0 => Request::EndOfGet,
            1..=MAX_KEY_LEN => retrieval.get(key, is_last),
            _ => {
                self.state = if is_last { State::Line } else { State::DiscardingLine };
                Request::Refused(Reply::BadFormat)
            }
        };
        Decoded::Complete { message, consumed }
    }

    fn discard<'a>(&mut self, input: &[u8], len: u64) -> Decoded<Request<'a>> {
        if input.is_empty() {
            return Decoded::Incomplete { needed: 1 };
        }
        let consumed = usize::try_from(len).unwrap_or(usize::MAX).min(input.len());
        self.state = match len - consumed as u64 {
            0 => State::Line,
            rest => State::Discarding(rest),
        };
        Decoded::Complete { message: Request::Discarded, consumed }
    }

    fn discard_line<'a>(&mut self, input: &[u8]) -> Decoded<Request<'a>> {
        if input.is_empty() {
            return Decoded::Incomplete { needed: 1 };
        }
        let consumed = match find(input, b'\n') {
            Some(end) => {
                self.state = State::Line;
                end + 1
            }
            None => input.len(),
        };
        Decoded::Complete { message: Request::Discarded, consumed }
    }
}
