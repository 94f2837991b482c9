//! Runs the wire transcripts of `tests/vectors` through the codec: in one piece, and cut in two at every place.
//!
//! No socket is opened here. The server's tests run the same files through real sockets.

use sharedance_test_support::{map, vectors};
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use map::{Map, execute};
use sharedance_core::protocol::{DecodeError, Decoded, KeyError, Limits, classic};
use vectors::{End, Exchange, Vector};

const EVERY_REASON: [&str; 6] = ["empty-key", "key-byte", "long-key", "too-large", "trailing-bytes", "unknown-command"];

fn classic_vectors() -> Vec<Vector> {
    vectors::load(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/classic"))
}

fn limits(vector: &Vector) -> Limits {
    let max_request_len = vector.limit.unwrap_or(Limits::default().max_request_len);
    Limits { max_request_len }
}

#[test]
fn vectors_pass_in_one_piece_and_cut_at_every_place() {
    for vector in classic_vectors() {
        let limits = limits(&vector);
        let mut pairs = Map::new();
        for exchange in &vector.exchanges {
            let before = pairs.clone();
            check(exchange, &[exchange.sent.len()], &limits, &mut pairs);
            if exchange.end != End::Closed {
                assert!(pairs == before, "{}: changed something", exchange.place);
            }
            for cut in exchange.cuts() {
                let mut pairs = before.clone();
                check(exchange, &[cut, exchange.sent.len()], &limits, &mut pairs);
            }
        }
        assert!(pairs.is_empty(), "{} leaves pairs behind", vector.name);
    }
}

#[test]
fn vectors_pass_a_byte_at_a_time() {
    for vector in classic_vectors() {
        let mut pairs = Map::new();
        for exchange in &vector.exchanges {
            let mut arrivals = exchange.cuts();
            arrivals.push(exchange.sent.len());
            check(exchange, &arrivals, &limits(&vector), &mut pairs);
        }
    }
}

#[test]
fn the_client_side_of_the_codec_matches_the_vectors() {
    let mut understood = 0;
    for vector in classic_vectors() {
        for exchange in &vector.exchanges {
            let Ok(Decoded::Complete { message, .. }) = classic::decode_request(&exchange.sent, &limits(&vector))
            else {
                continue;
            };
            let place = &exchange.place;
            let mut wire = Vec::new();
            classic::encode_request(&message, &mut wire).unwrap();
            assert!(wire == exchange.sent, "{place}: sent otherwise");
            let header = classic::encode_header(&message).unwrap();
            assert!(wire.starts_with(header.as_bytes()), "{place}");

            let answer = classic::decode_response(&message, &exchange.expected, true);
            let Ok(Decoded::Complete { message: response, consumed }) = answer else {
                panic!("{place}: {answer:?}");
            };
            assert_eq!(consumed, exchange.expected.len(), "{place}");
            assert!(classic::encode_response(&response) == exchange.expected, "{place}");
            understood += 1;
        }
    }
    assert!(understood > 50, "only {understood} were understood");
}

#[test]
fn every_reason_for_a_refusal_has_a_vector() {
    let vectors = classic_vectors();
    let exchanges = vectors.iter().flat_map(|vector| &vector.exchanges);
    let reasons: BTreeSet<&str> = exchanges
        .filter_map(|exchange| match &exchange.end {
            End::Refused { reason } => Some(reason.as_str()),
            _ => None,
        })
        .collect();
    assert!(reasons.iter().eq(&EVERY_REASON), "{reasons:?}");
}

#[test]
fn no_two_files_use_the_same_key() {
    let mut user_of_key: HashMap<Vec<u8>, String> = HashMap::new();
    for vector in classic_vectors() {
        for exchange in &vector.exchanges {
            let request = &exchange.sent[..exchange.behind_at];
            if let Ok(Decoded::Complete { message, .. }) = classic::decode_request(request, &limits(&vector)) {
                let key = message.key().to_vec();
                let first = user_of_key.entry(key).or_insert(vector.name.clone());
                assert_eq!(*first, vector.name, "the same key");
            }
        }
    }
}

#[test]
fn vectors_are_parsed_according_to_their_format() {
    let vector = vectors::parse(
        "sample",
        r#"# Why.
! limit 64

> "a\x00\n\\\"" * 2
> "b"
+ "c"
> shutdown
= refused trailing-bytes
< "x" * 3
= closed
= waiting
"#,
    );
    let [first, second, third] = &vector.exchanges[..] else {
        panic!("{} exchanges", vector.exchanges.len());
    };
    assert_eq!(vector.limit, Some(64));
    assert_eq!(first.sent, b"a\0\n\\\"a\0\n\\\"bc");
    assert_eq!(first.behind_at, 11);
    assert!(first.shuts_down && !second.shuts_down);
    assert!(!first.cuts().contains(&11) && first.cuts().contains(&10));
    assert_eq!(first.end, End::Refused { reason: "trailing-bytes".into() });
    assert_eq!((&second.expected[..], &second.end), (&b"xxx"[..], &End::Closed));
    assert_eq!(third.end, End::Waiting);
}

/// Delivers the exchange's bytes up to each of the lengths `arrivals` in turn, and checks the outcome.
fn check(exchange: &Exchange, arrivals: &[usize], limits: &Limits, pairs: &mut Map) {
    let (answer, end) = converse(exchange, arrivals, limits, pairs);
    let place = &exchange.place;
    assert_eq!(end, exchange.end, "{place}, arriving at {arrivals:?}");
    // Not assert_eq: its message would contain megabytes.
    assert!(answer == exchange.expected, "{place}: another response, arriving at {arrivals:?}");
}

fn converse(exchange: &Exchange, arrivals: &[usize], limits: &Limits, pairs: &mut Map) -> (Vec<u8>, End) {
    let mut last_needed = 0;
    for &arrived in arrivals {
        match classic::decode_request(&exchange.sent[..arrived], limits) {
            Ok(Decoded::Incomplete { needed }) => {
                assert!(needed > arrived, "{}", exchange.place);
                assert!(arrived >= last_needed || needed == last_needed, "{}", exchange.place);
                last_needed = needed;
            }
            Ok(Decoded::Complete { message, consumed }) => {
                assert_eq!(consumed, arrived, "{}", exchange.place);
                assert!(arrived >= last_needed, "{}: needed less", exchange.place);
                let response = execute(&message, pairs);
                return (classic::encode_response(&response).to_vec(), End::Closed);
            }
            Err(error) => {
                assert!(arrived >= last_needed, "{}: needed less", exchange.place);
                let reason = reason(&error).to_owned();
                return (Vec::new(), End::Refused { reason });
            }
        }
    }
    let end = if exchange.shuts_down { End::Closed } else { End::Waiting };
    (Vec::new(), end)
}

fn reason(error: &DecodeError) -> &'static str {
    match error {
        DecodeError::UnknownCommand(_) => "unknown-command",
        DecodeError::Key(KeyError::Empty) => "empty-key",
        DecodeError::Key(KeyError::TooLong { .. }) => "long-key",
        DecodeError::Key(KeyError::ForbiddenByte { .. }) => "key-byte",
        DecodeError::TooLarge { .. } => "too-large",
        DecodeError::TrailingBytes(_) => "trailing-bytes",
        _ => panic!("a reason without a name: {error}"),
    }
}
