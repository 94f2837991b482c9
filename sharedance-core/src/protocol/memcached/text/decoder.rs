//! Decodes one request after the other from the bytes of a connection.

use super::commands::{Announced, Line, RefusedStorage, Retrieval, decode_command};
use super::{Reply, Request};
use crate::protocol::memcached::tokens::{Tokens, find};
use crate::protocol::memcached::{Exptime, MAX_KEY_LEN, MAX_LINE_LEN};
use crate::protocol::{DecodeError, Decoded, Limits};

/// The end of a data block.
const END_OF_BLOCK: &[u8] = b"\r\n";

/// Decodes the requests of one connection.
#[derive(Debug, Default)]
pub struct Decoder {
    /// This many bytes of the next line have been searched and do not contain its end.
    scanned: usize,
    state: State,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    /// A line follows.
    #[default]
    Line,
    /// Keys follow, up to the end of the line.
    Keys(Retrieval),
    /// A data block of this length follows and is discarded. It must end with [`END_OF_BLOCK`].
    Discarding(u64),
    /// The rest of a line follows and is discarded.
    DiscardingLine,
    /// All bytes that follow are discarded: the start of the next line is unknown.
    Ended,
}

impl Decoder {
    /// A decoder for a new connection.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Decodes the next request. `input` is all that has arrived and is not consumed.
    ///
    /// [`Decoded::Incomplete`] is valid while `input` starts at the same byte. It has the end of a data block as soon
    /// as its length is known.
    ///
    /// # Errors
    /// - [`DecodeError::LineTooLong`]: more than [`MAX_LINE_LEN`] bytes without the end of a line, which are not a
    ///   retrieval.
    /// - [`DecodeError::BlockEnd`]: the data block of a refused command has another length than its line says.
    #[inline]
    pub fn decode<'a>(&mut self, input: &'a [u8], limits: &Limits) -> Result<Decoded<Request<'a>>, DecodeError> {
        match self.state {
            State::Line => self.decode_line(input, limits),
            State::Keys(retrieval) => Ok(self.decode_key(input, retrieval)),
            State::Discarding(len) => self.discard(input, len),
            State::DiscardingLine => Ok(self.discard_line(input)),
            State::Ended => Ok(discard_all(input)),
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
            Line::RefusedStorage(refused) => Decoded::Complete { message: self.refuse(refused), consumed: line_len },
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
            self.discard_block(block_len);
            return Decoded::Complete { message: announced.too_large(), consumed: line_len };
        }
        // The length is within the limit, which is a usize. So each of its parts fits into a usize.
        let needed = whole_len as usize;
        let Some(block) = input.get(line_len..needed) else {
            return Decoded::Incomplete { needed };
        };
        let message = match block.strip_suffix(END_OF_BLOCK) {
            Some(value) => announced.with_value(value),
            // The client's data has another length than announced, so its end is unknown.
            None => self.refuse(RefusedStorage { reply: Reply::BadDataChunk, block_len: None, noreply: false }),
        };
        Decoded::Complete { message, consumed: needed }
    }

    /// Handles a refused storage command, so that its data block is not decoded as commands. A block of known length is
    /// discarded. Otherwise nothing that follows is decoded.
    #[cold]
    fn refuse<'a>(&mut self, refused: RefusedStorage) -> Request<'a> {
        let RefusedStorage { reply, block_len, noreply } = refused;
        match block_len {
            Some(block_len) => {
                self.discard_block(block_len);
                if noreply { Request::Discarded } else { Request::Refused(reply) }
            }
            None => {
                self.state = State::Ended;
                Request::Fatal(reply)
            }
        }
    }

    fn discard_block(&mut self, block_len: u64) {
        self.state = State::Discarding(block_len + END_OF_BLOCK.len() as u64);
    }

    /// Handles a line that is too long. A retrieval is decoded key by key, from the end of its last word that is not a
    /// key.
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
            Some(Some(token)) => match Exptime::parse(token) {
                Some(exptime) => Some(exptime),
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
        // A key, a carriage return, and the byte after either.
        let window = &input[spaces..input.len().min(spaces + MAX_KEY_LEN + 2)];
        let Some(len) = window.iter().position(|&byte| matches!(byte, b' ' | b'\n')) else {
            if window.len() == MAX_KEY_LEN + 2 {
                self.state = State::DiscardingLine;
                let consumed = spaces + window.len();
                return Decoded::Complete { message: Request::Refused(Reply::BadFormat), consumed };
            }
            // Spaces are not kept, however many arrive.
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

    fn discard<'a>(&mut self, input: &[u8], len: u64) -> Result<Decoded<Request<'a>>, DecodeError> {
        if input.is_empty() {
            return Ok(Decoded::Incomplete { needed: 1 });
        }
        let consumed = usize::try_from(len).unwrap_or(usize::MAX).min(input.len());
        let rest = len - consumed as u64;
        // These bytes may contain a part of the block's end.
        let before_end = len.saturating_sub(END_OF_BLOCK.len() as u64);
        let end_in_input = &input[usize::try_from(before_end).unwrap_or(usize::MAX).min(consumed)..consumed];
        let end_so_far = END_OF_BLOCK.len() - (rest as usize).min(END_OF_BLOCK.len());
        if !END_OF_BLOCK[..end_so_far].ends_with(end_in_input) {
            self.state = State::Ended;
            return Err(DecodeError::BlockEnd);
        }
        self.state = if rest == 0 { State::Line } else { State::Discarding(rest) };
        Ok(Decoded::Complete { message: Request::Discarded, consumed })
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

fn discard_all<'a>(input: &[u8]) -> Decoded<Request<'a>> {
    match input.len() {
        0 => Decoded::Incomplete { needed: 1 },
        consumed => Decoded::Complete { message: Request::Discarded, consumed },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::memcached::cutting::{assert_the_same_however_it_is_cut, hear};

    const LIMITS: Limits = Limits { max_request_len: 200 };

    fn requests(sent: &[u8]) -> Vec<String> {
        let heard = hear(false, sent, [sent.len()], &LIMITS);
        assert_eq!(heard.error, None);
        heard.requests
    }

    #[test]
    fn the_needed_length_includes_the_whole_block() {
        let mut decoder = Decoder::new();
        let line = b"set key 0 0 100\r\n";
        assert_eq!(decoder.decode(&line[..8], &LIMITS), Ok(Decoded::Incomplete { needed: 9 }));
        let needed = line.len() + 100 + 2;
        assert_eq!(decoder.decode(line, &LIMITS), Ok(Decoded::Incomplete { needed }));
    }

    #[test]
    fn a_refused_block_is_discarded_as_it_arrives() {
        let mut decoder = Decoder::new();
        let line = b"set key 0 0 1000000000\r\n";
        let Ok(Decoded::Complete { message: Request::TooLarge { deletes: true, .. }, consumed }) =
            decoder.decode(line, &LIMITS)
        else {
            panic!("not refused as too large");
        };
        assert_eq!(consumed, line.len());
        let (mut left, piece) = (1_000_000_000_u64, vec![b'x'; 65_536]);
        while left > piece.len() as u64 {
            let all = Decoded::Complete { message: Request::Discarded, consumed: piece.len() };
            assert_eq!(decoder.decode(&piece, &LIMITS), Ok(all));
            left -= piece.len() as u64;
        }
        let end = [&piece[..left as usize], b"\r\nx"].concat();
        let rest = Decoded::Complete { message: Request::Discarded, consumed: left as usize + 2 };
        assert_eq!(decoder.decode(&end, &LIMITS), Ok(rest), "the next line is not part of the block");
        assert_eq!(decoder.decode(b"version\r\n", &LIMITS).map(|_| ()), Ok(()));
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let limits = Limits { max_request_len: usize::MAX };
        for len in ["2147483645", "2147483646", "2147483647", "9223372036854775807", "18446744073709551615"] {
            let line = format!("set key 4294967295 -9223372036854775808 {len}\r\n");
            let decoded = Decoder::new().decode(line.as_bytes(), &limits).unwrap();
            match len {
                "2147483645" => assert_eq!(decoded, Decoded::Incomplete { needed: line.len() + 2_147_483_647 }),
                _ => assert!(matches!(decoded, Decoded::Complete { message: Request::Fatal(Reply::BadFormat), .. })),
            }
        }
    }

    #[test]
    fn a_line_may_have_2048_bytes() {
        let longest = [&[b'x'; MAX_LINE_LEN][..], b"\n"].concat();
        assert_eq!(requests(&longest), ["Refused(Error)"]);
        let longer = [&[b'x'; MAX_LINE_LEN + 1][..], b"\n"].concat();
        let heard = hear(false, &longer, [longer.len()], &LIMITS);
        assert_eq!((heard.requests.len(), heard.error), (0, Some(DecodeError::LineTooLong { max: MAX_LINE_LEN })));
    }

    #[test]
    fn retrievals_around_the_limit_of_a_line_are_the_same_however_they_are_cut() {
        for padding in 2030..2056 {
            for verb in ["get a", "gats 10 a", "gat x a"] {
                let sent = format!("{verb} {} b {}\r\nmn\r\n", "k ".repeat(padding / 2), " ".repeat(padding % 2 * 9));
                let arrivals = |cut| [cut, sent.len()];
                let whole = hear(false, sent.as_bytes(), [sent.len()], &LIMITS);
                assert_eq!(whole.requests.last().map(String::as_str), Some("Meta(Noop)"));
                for cut in (1..sent.len()).step_by(13).chain(2030..2070).filter(|&cut| cut < sent.len()) {
                    assert_eq!(hear(false, sent.as_bytes(), arrivals(cut), &LIMITS), whole, "{padding} {cut}");
                }
            }
        }
    }

    /// Words of commands, in an order that rarely makes a command.
    fn words() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            4 => prop::sample::select(vec![
                "get", "gets", "gat", "set", "cas", "append", "incr", "touch", "delete", "mg", "ms", "md", "ma", "mn", "me",
                "flush_all", "stats", "lock", "unlock", "unlock_all", "version", "noreply", "0", "1", "5", "12", "300", "-1", "a", "key",
                "v", "q", "k", "b", "T5", "Oabc", "C1", "I", "H", "AAEC",
            ]).prop_map(str::to_owned),
            1 => "[a-z0-9]{1,12}",
        ];
        let end = prop::sample::select(vec![" ", " ", " ", "  ", "\r\n", "\n", "\r\n12345\r\n"]);
        prop::collection::vec((word, end), 0..40)
            .prop_map(|words| words.into_iter().map(|(word, end)| word + end).collect::<String>().into_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn words_are_the_same_however_they_are_cut(sent in words()) {
            assert_the_same_however_it_is_cut(false, &sent, &LIMITS);
        }

        #[test]
        fn bytes_are_the_same_however_they_are_cut(sent in prop::collection::vec(any::<u8>(), 0..200)) {
            assert_the_same_however_it_is_cut(false, &sent, &LIMITS);
        }

        #[test]
        fn a_value_is_what_was_sent(
            key in "[!-~]{1,250}",
            value in prop::collection::vec(any::<u8>(), 0..300),
            flags: u32,
        ) {
            let sent = [format!("set {key} {flags} 0 {}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
            let limits = Limits::default();
            let Ok(Decoded::Complete { message, consumed }) = Decoder::new().decode(&sent, &limits) else {
                panic!("incomplete");
            };
            let Request::Update { update, noreply: false } = message else {
                panic!("{message:?}");
            };
            prop_assert_eq!((update.key.encoded(), update.value, update.client_flags), (key.as_bytes(), &value[..], flags));
            prop_assert_eq!(consumed, sent.len());
        }
    }
}
