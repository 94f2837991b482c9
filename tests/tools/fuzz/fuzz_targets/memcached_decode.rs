//! Decodes arbitrary bytes in the memcached dialects, cut at arbitrary places.
//!
//! The first four bytes of the input choose the dialect, the limit and two places to cut; the rest is what a peer sent.
//! No decoder may panic or make no progress, an incomplete input must need more bytes than it has, and any way of
//! cutting must give the same requests. The decoders borrow and allocate nothing; `./run` also limits the memory of the
//! process.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use sharedance_core::protocol::memcached::{binary, meta, text};
use sharedance_core::protocol::{DecodeError, Decoded, Limits};

fuzz_target!(|input: &[u8]| {
    let [dialect, limit, first_cut, second_cut, sent @ ..] = input else {
        return;
    };
    let limits = Limits {
        max_request_len: match limit {
            0..=199 => usize::from(*limit),
            200..=249 => Limits::default().max_request_len,
            _ => usize::MAX,
        },
    };
    let mut cuts = [usize::from(*first_cut), usize::from(*second_cut) * 16].map(|cut| cut.min(sent.len()));
    cuts.sort();
    let is_binary = dialect % 2 == 1;
    let whole = decode_pieces(is_binary, sent, [sent.len()], &limits);
    let cut = decode_pieces(is_binary, sent, [cuts[0], cuts[1], sent.len()], &limits);
    assert_eq!(whole, cut);
});

#[derive(Debug, PartialEq)]
struct Received {
    requests: Vec<String>,
    error: Option<DecodeError>,
}

/// Decodes bytes that arrive in pieces which end at `arrivals`.
fn decode_pieces(is_binary: bool, sent: &[u8], arrivals: impl IntoIterator<Item = usize>, limits: &Limits) -> Received {
    let mut received = Received { requests: Vec::new(), error: None };
    let (mut text, mut binary) = (text::Decoder::new(), binary::Decoder::new());
    let (mut at, mut needed) = (0, 1);
    for arrived in arrivals {
        while arrived - at >= needed {
            let input = &sent[at..arrived];
            let decoded = match is_binary {
                true => binary.decode(input, limits).map(|decoded| describe(decoded, describe_binary)),
                false => text.decode(input, limits).map(|decoded| describe(decoded, describe_text)),
            };
            match decoded {
                Ok(Decoded::Complete { message, consumed }) => {
                    assert!(consumed > 0 && consumed <= input.len());
                    (at, needed) = (at + consumed, 1);
                    received.requests.extend(message);
                }
                Ok(Decoded::Incomplete { needed: more }) => {
                    assert!(more > input.len());
                    needed = more;
                }
                Err(error) => {
                    received.error = Some(error);
                    return received;
                }
            }
        }
    }
    received
}

fn describe<T>(decoded: Decoded<T>, describe_message: impl FnOnce(T) -> Vec<String>) -> Decoded<Vec<String>> {
    match decoded {
        Decoded::Complete { message, consumed } => Decoded::Complete { message: describe_message(message), consumed },
        Decoded::Incomplete { needed } => Decoded::Incomplete { needed },
    }
}

fn with(request: &impl Debug, parts: [&[u8]; 2]) -> Vec<String> {
    vec![format!("{request:?} {} {}", parts[0].escape_ascii(), parts[1].escape_ascii())]
}

fn describe_text(request: text::Request<'_>) -> Vec<String> {
    match request {
        text::Request::Discarded => Vec::new(),
        text::Request::EndOfGet => vec!["end".into()],
        text::Request::Get(get) => {
            // Whether a key is known to be the last one depends on the number of bytes.
            let mut words = with(&(get.touch, get.with_version), [get.key, b""]);
            words.extend(get.is_last.then(|| "end".into()));
            words
        }
        text::Request::Update { update, .. } | text::Request::Meta(meta::Request::Set(meta::Set { update, .. })) => {
            with(&request, [update.key.encoded(), update.value])
        }
        request => with(&request, [b"", b""]),
    }
}

fn describe_binary(request: binary::Request<'_>) -> Vec<String> {
    match request.command {
        binary::Command::Discarded => Vec::new(),
        binary::Command::Update(update) => with(&request, [update.key.encoded(), update.value]),
        _ => with(&request, [b"", b""]),
    }
}
