//! Decodes one request after the other from the bytes of a connection.

use super::{Command, HEADER_LEN, MAGIC, Request, Status, Tag};
use crate::protocol::memcached::{Direction, Exptime, Key, MAX_KEY_LEN, Mode, Update};
use crate::protocol::{DecodeError, Decoded, Limits};

/// The expiration time with which a count stores no initial value.
const CREATES_NOTHING: u32 = u32::MAX;

/// Decodes the requests of one connection.
#[derive(Debug, Default)]
pub struct Decoder {
    /// This many of the next bytes are discarded.
    discarding: u64,
}

/// The fields of a header.
struct Frame {
    tag: Tag,
    key_len: usize,
    extras_len: usize,
    body_len: u32,
    version: Option<u64>,
}

/// The command of an opcode.
#[derive(Clone, Copy)]
enum Verb {
    Get { with_key: bool, wants_value: bool, touches: bool },
    Update(Mode),
    Delete,
    Count(Direction),
    FlushAll,
    Noop,
    Version,
    Stats,
    Quit,
    SaslMechanisms,
    SaslAuthenticate { is_step: bool },
}

impl Verb {
    /// The command, and whether the opcode is its quiet form.
    fn of(opcode: u8) -> Option<(Verb, bool)> {
        let get = |with_key, touches| Verb::Get { with_key, wants_value: true, touches };
        Some(match opcode {
            0x00 => (get(false, false), false),
            0x01 => (Verb::Update(Mode::Set), false),
            0x02 => (Verb::Update(Mode::Add), false),
            0x03 => (Verb::Update(Mode::Replace), false),
            0x04 => (Verb::Delete, false),
            0x05 => (Verb::Count(Direction::Up), false),
            0x06 => (Verb::Count(Direction::Down), false),
            0x07 => (Verb::Quit, false),
            0x08 => (Verb::FlushAll, false),
            0x09 => (get(false, false), true),
            0x0a => (Verb::Noop, false),
            0x0b => (Verb::Version, false),
            0x0c => (get(true, false), false),
            0x0d => (get(true, false), true),
            0x0e => (Verb::Update(Mode::Append), false),
            0x0f => (Verb::Update(Mode::Prepend), false),
            0x10 => (Verb::Stats, false),
            0x11 => (Verb::Update(Mode::Set), true),
            0x12 => (Verb::Update(Mode::Add), true),
            0x13 => (Verb::Update(Mode::Replace), true),
            0x14 => (Verb::Delete, true),
            0x15 => (Verb::Count(Direction::Up), true),
            0x16 => (Verb::Count(Direction::Down), true),
            0x17 => (Verb::Quit, true),
            0x18 => (Verb::FlushAll, true),
            0x19 => (Verb::Update(Mode::Append), true),
            0x1a => (Verb::Update(Mode::Prepend), true),
            0x1c => (Verb::Get { with_key: false, wants_value: false, touches: true }, false),
            0x1d => (get(false, true), false),
            0x1e => (get(false, true), true),
            0x20 => (Verb::SaslMechanisms, false),
            0x21 => (Verb::SaslAuthenticate { is_step: false }, false),
            0x22 => (Verb::SaslAuthenticate { is_step: true }, false),
            0x23 => (get(true, true), false),
            0x24 => (get(true, true), true),
            _ => return None,
        })
    }

    /// Whether these lengths are valid for the command.
    fn fits(self, frame: &Frame) -> bool {
        let (key_len, extras_len) = (frame.key_len, frame.extras_len);
        let has_value = frame.body_len as usize > key_len + extras_len;
        match self {
            Verb::Get { touches: false, .. } | Verb::Delete => key_len > 0 && extras_len == 0 && !has_value,
            Verb::Get { touches: true, .. } => key_len > 0 && extras_len == 4 && !has_value,
            Verb::Update(Mode::Append | Mode::Prepend) => key_len > 0 && extras_len == 0,
            Verb::Update(_) => key_len > 0 && extras_len == 8,
            Verb::Count(_) => key_len > 0 && extras_len == 20 && !has_value,
            Verb::FlushAll => key_len == 0 && matches!(extras_len, 0 | 4) && !has_value,
            Verb::Noop | Verb::Version | Verb::Quit | Verb::SaslMechanisms => frame.body_len == 0,
            Verb::SaslAuthenticate { .. } => key_len > 0 && extras_len == 0,
            Verb::Stats => extras_len == 0 && !has_value,
        }
    }
}

impl Decoder {
    /// A decoder for a new connection.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Decodes the next request. `input` is all that has arrived and is not consumed.
    ///
    /// [`Decoded::Incomplete`] is valid while `input` starts at the same byte.
    ///
    /// # Errors
    /// [`DecodeError::Magic`]: a frame does not begin with [`MAGIC`].
    pub fn decode<'a>(&mut self, input: &'a [u8], limits: &Limits) -> Result<Decoded<Request<'a>>, DecodeError> {
        let Some(&first) = input.first() else {
            return Ok(Decoded::Incomplete { needed: 1 });
        };
        if self.discarding > 0 {
            return Ok(self.discard(input));
        }
        if first != MAGIC {
            return Err(DecodeError::Magic(first));
        }
        let Some(header) = input.first_chunk() else {
            return Ok(Decoded::Incomplete { needed: HEADER_LEN });
        };
        let frame = Frame::new(header);
        let invalid = |status| {
            let message = Request { command: Command::Invalid(status), tag: frame.tag, quiet: false };
            Ok(Decoded::Complete { message, consumed: HEADER_LEN })
        };
        if frame.key_len + frame.extras_len > frame.body_len as usize {
            return invalid(Status::UnknownCommand);
        }
        if frame.key_len > MAX_KEY_LEN {
            return invalid(Status::Invalid);
        }
        match Verb::of(frame.tag.opcode) {
            Some((verb, quiet)) if verb.fits(&frame) => Ok(self.decode_body(input, &frame, verb, quiet, limits)),
            Some(_) => invalid(Status::Invalid),
            None => {
                self.discarding = frame.body_len.into();
                let message = Request { command: Command::Unknown, tag: frame.tag, quiet: false };
                Ok(Decoded::Complete { message, consumed: HEADER_LEN })
            }
        }
    }

    fn decode_body<'a>(
        &mut self,
        input: &'a [u8],
        frame: &Frame,
        verb: Verb,
        quiet: bool,
        limits: &Limits,
    ) -> Decoded<Request<'a>> {
        let whole_len = HEADER_LEN as u64 + u64::from(frame.body_len);
        let key_end = HEADER_LEN + frame.extras_len + frame.key_len;
        // Of a frame above the limit, everything except the value is decoded.
        let is_too_large = whole_len > limits.max_request_len as u64;
        let needed = if is_too_large { key_end } else { whole_len as usize };
        let Some(bytes) = input.get(..needed) else {
            return Decoded::Incomplete { needed };
        };
        let (key_and_extras, value) = bytes.split_at(key_end);
        let (extras, key) = key_and_extras[HEADER_LEN..].split_at(frame.extras_len);
        let mut command = verb.command(frame, extras, key, value);
        if is_too_large {
            // What follows must not be taken for frames, whatever the command.
            self.discarding = whole_len - needed as u64;
            command = match command {
                Command::Update(update) => Command::TooLarge { key: update.key, deletes: update.is_unconditional() },
                Command::SaslAuthenticate { .. } => Command::Invalid(Status::TooLarge),
                command => command,
            };
        }
        Decoded::Complete { message: Request { command, tag: frame.tag, quiet }, consumed: needed }
    }

    fn discard<'a>(&mut self, input: &[u8]) -> Decoded<Request<'a>> {
        let consumed = usize::try_from(self.discarding).unwrap_or(usize::MAX).min(input.len());
        self.discarding -= consumed as u64;
        let tag = Tag { opcode: 0, opaque: [0; 4] };
        Decoded::Complete { message: Request { command: Command::Discarded, tag, quiet: true }, consumed }
    }
}

impl Frame {
    fn new(header: &[u8; HEADER_LEN]) -> Frame {
        let version = number_64_at(header, 16);
        Frame {
            tag: Tag::of(header),
            key_len: u16::from_be_bytes([header[2], header[3]]).into(),
            extras_len: header[4].into(),
            body_len: number_32_at(header, 8),
            version: (version != 0).then_some(version),
        }
    }
}

impl Verb {
    /// The command of a frame with valid lengths.
    fn command<'a>(self, frame: &Frame, extras: &[u8], key: &'a [u8], value: &'a [u8]) -> Command<'a> {
        let version = frame.version;
        let exptime_at = |offset| Exptime::new(number_32_at(extras, offset).into());
        match self {
            Verb::Get { with_key, wants_value, touches } => {
                Command::Get { key, with_key, wants_value, touch: touches.then(|| exptime_at(0)) }
            }
            Verb::Update(mode) => {
                let has_extras = !extras.is_empty();
                Command::Update(Update {
                    key: Key::plain(key),
                    value,
                    mode,
                    client_flags: if has_extras { number_32_at(extras, 0) } else { 0 },
                    exptime: if has_extras { exptime_at(4) } else { Exptime::Never },
                    version,
                })
            }
            Verb::Delete => Command::Delete { key, version },
            Verb::Count(direction) => Command::Count {
                key,
                direction,
                delta: number_64_at(extras, 0),
                initial: number_64_at(extras, 8),
                create: (number_32_at(extras, 16) != CREATES_NOTHING).then(|| exptime_at(16)),
                version,
            },
            Verb::FlushAll => Command::FlushAll { at: if extras.is_empty() { Exptime::Never } else { exptime_at(0) } },
            Verb::Noop => Command::Noop,
            Verb::Version => Command::Version,
            Verb::Stats => Command::Stats { about: key },
            Verb::Quit => Command::Quit,
            Verb::SaslMechanisms => Command::SaslMechanisms,
            Verb::SaslAuthenticate { is_step } => {
                Command::SaslAuthenticate { mechanism: key, credentials: value, is_step }
            }
        }
    }
}

/// The number at `offset`. Missing bytes count as zero; frames with valid lengths have none.
fn number_32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |&number| u32::from_be_bytes(number))
}

fn number_64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |&number| u64::from_be_bytes(number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::memcached::cutting::assert_the_same_however_it_is_cut;

    const LIMITS: Limits = Limits { max_request_len: 200 };

    fn frame(opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
        let body_len = (extras.len() + key.len() + value.len()) as u32;
        let mut frame = vec![MAGIC, opcode];
        frame.extend_from_slice(&(key.len() as u16).to_be_bytes());
        frame.extend_from_slice(&[extras.len() as u8, 0, 0, 0]);
        frame.extend_from_slice(&body_len.to_be_bytes());
        frame.extend_from_slice(&[0; 12]);
        [&frame[..], extras, key, value].concat()
    }

    #[test]
    fn the_known_opcodes_are_exactly_these() {
        let known: Vec<u8> = (0..=u8::MAX).filter(|&opcode| Verb::of(opcode).is_some()).collect();
        let expected: Vec<u8> = (0..=0x1a).chain(0x1c..=0x1e).chain(0x20..=0x24).collect();
        assert_eq!(known, expected);
    }

    #[test]
    fn the_largest_lengths_do_not_overflow() {
        let mut header = frame(1, &[0; 8], b"k", b"");
        header[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
        let limits = Limits { max_request_len: usize::MAX };
        let needed = HEADER_LEN + u32::MAX as usize;
        assert_eq!(Decoder::new().decode(&header, &limits), Ok(Decoded::Incomplete { needed }));
        let Ok(Decoded::Complete { message, consumed }) = Decoder::new().decode(&header, &LIMITS) else {
            panic!("not refused as too large, with its key");
        };
        assert!(matches!(message.command, Command::TooLarge { deletes: true, .. }) && consumed == header.len());
    }

    #[test]
    fn credentials_beyond_the_limit_are_not_taken_for_frames() {
        let inner = frame(8, &[], b"", b"");
        let sent = frame(0x21, &[], b"PLAIN", &inner.repeat(20));
        let heard = assert_the_same_however_it_is_cut(true, &sent, &LIMITS);
        assert_eq!(heard.requests.len(), 1, "{:?}", heard.requests);
        assert!(heard.requests[0].contains("Invalid(TooLarge)"), "{:?}", heard.requests);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn frames_are_the_same_however_they_are_cut(
            frames in prop::collection::vec(
                (0_u8..0x28, prop::sample::select(vec![0_usize, 4, 8, 20]), 0_usize..6, 0_usize..250),
                1..5,
            ),
        ) {
            let frame = |&(opcode, extras, key, value): &_| {
                frame(opcode, &vec![0; extras], &vec![b'k'; key], &vec![b'v'; if value < 200 { value % 9 } else { value }])
            };
            let sent: Vec<u8> = frames.iter().flat_map(frame).collect();
            assert_the_same_however_it_is_cut(true, &sent, &LIMITS);
        }

        #[test]
        fn bytes_are_the_same_however_they_are_cut(rest in prop::collection::vec(any::<u8>(), 0..100)) {
            let sent = [&[MAGIC][..], &rest].concat();
            assert_the_same_however_it_is_cut(true, &sent, &LIMITS);
        }
    }
}
