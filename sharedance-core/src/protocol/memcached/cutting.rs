//! For tests of the decoders: the requests are the same whatever pieces the bytes arrive in.

use super::{binary, meta, text};
use crate::protocol::{DecodeError, Decoded, Limits};

/// The decoded requests as text, and the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) requests: Vec<String>,
    pub(super) error: Option<DecodeError>,
}

/// Decodes `sent`, which arrives in pieces that end at `arrivals`.
pub(super) fn hear(is_binary: bool, sent: &[u8], arrivals: impl IntoIterator<Item = usize>, limits: &Limits) -> Heard {
    let mut heard = Heard { requests: Vec::new(), error: None };
    let (mut text, mut binary) = (text::Decoder::new(), binary::Decoder::new());
    let (mut at, mut needed) = (0, 1);
    for arrived in arrivals {
        while arrived - at >= needed {
            let input = &sent[at..arrived];
            let step = match is_binary {
                true => binary.decode(input, limits).map(|decoded| note_binary(decoded, &mut heard)),
                false => text.decode(input, limits).map(|decoded| note_text(decoded, &mut heard)),
            };
            match step {
                Ok(Ok(consumed)) => {
                    assert!(consumed > 0 && consumed <= input.len());
                    (at, needed) = (at + consumed, 1);
                }
                Ok(Err(more)) => {
                    assert!(more > input.len());
                    needed = more;
                }
                Err(error) => {
                    heard.error = Some(error);
                    return heard;
                }
            }
        }
    }
    heard
}

/// Asserts that neither one cut nor many change the result, and returns it.
pub(super) fn assert_the_same_however_it_is_cut(is_binary: bool, sent: &[u8], limits: &Limits) -> Heard {
    let whole = hear(is_binary, sent, [sent.len()], limits);
    for cut in 1..sent.len() {
        assert_eq!(hear(is_binary, sent, [cut, sent.len()], limits), whole, "cut at {cut}");
    }
    assert_eq!(hear(is_binary, sent, 1..=sent.len(), limits), whole, "a byte at a time");
    whole
}

/// The number of consumed bytes, or of needed bytes.
fn note_text(decoded: Decoded<text::Request<'_>>, heard: &mut Heard) -> Result<usize, usize> {
    let (message, consumed) = match decoded {
        Decoded::Complete { message, consumed } => (message, consumed),
        Decoded::Incomplete { needed } => return Err(needed),
    };
    let mut end = None;
    let said = match message {
        text::Request::Discarded => return Ok(consumed),
        text::Request::EndOfGet => "end".to_owned(),
        text::Request::Get(get) => {
            end = get.is_last.then(|| "end".to_owned());
            let key = get.key.escape_ascii();
            format!("get {key} {:?} {}", get.touch, get.with_version)
        }
        text::Request::Update { update, .. } | text::Request::Meta(meta::Request::Set(meta::Set { update, .. })) => {
            format!("{message:?} {} {}", update.key.encoded().escape_ascii(), update.value.escape_ascii())
        }
        message => format!("{message:?}"),
    };
    heard.requests.push(said);
    heard.requests.extend(end);
    Ok(consumed)
}

fn note_binary(decoded: Decoded<binary::Request<'_>>, heard: &mut Heard) -> Result<usize, usize> {
    match decoded {
        Decoded::Complete { message, consumed } => {
            let value = match message.command {
                binary::Command::Discarded => return Ok(consumed),
                binary::Command::Update(update) => update.value,
                _ => &[],
            };
            heard.requests.push(format!("{message:?} {}", value.escape_ascii()));
            Ok(consumed)
        }
        Decoded::Incomplete { needed } => Err(needed),
    }
}
