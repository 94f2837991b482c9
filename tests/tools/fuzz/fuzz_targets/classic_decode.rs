//! Decodes arbitrary bytes in the classic dialect, cut at arbitrary places.
//!
//! The first four bytes of the input choose the limit and two places to cut; the rest is what a peer sent. Neither
//! decoder may panic. An incomplete input must stay incomplete until it has the requested number of bytes. Every way of
//! cutting must give the same result, and a decoded message must encode to its original bytes. The decoders borrow and
//! allocate nothing; `./run` also limits the memory of the process.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sharedance_core::protocol::{DecodeError, Decoded, Dialect, Limits, Request, Response, classic};

type DecodeResult<'a> = Result<Decoded<Request<'a>>, DecodeError>;

fuzz_target!(|input: &[u8]| {
    let [limit, first_cut, second_cut_high, second_cut_low, sent @ ..] = input else {
        return;
    };
    let limits = Limits {
        max_request_len: match limit {
            0..=99 => usize::from(*limit),
            100..=199 => 300,
            200..=249 => Limits::default().max_request_len,
            _ => usize::MAX,
        },
    };
    let second_cut = usize::from(u16::from_be_bytes([*second_cut_high, *second_cut_low]));
    for cut in [usize::from(*first_cut), second_cut] {
        check_request(sent, cut.min(sent.len()), &limits);
    }
    check_responses(sent);
});

/// Follows the decoder's requests for more bytes from none to all, and compares the result at `cut` with it.
fn check_request(sent: &[u8], cut: usize, limits: &Limits) {
    let decode = |len: usize| -> DecodeResult<'_> { classic::decode_request(&sent[..len], limits) };
    let at_cut = decode(cut);
    let whole = decode(sent.len());

    let mut len = 0;
    let result = loop {
        let result = decode(len);
        let Ok(Decoded::Incomplete { needed }) = result else {
            break result;
        };
        assert!(needed > len);
        let last_incomplete = (needed - 1).min(sent.len());
        assert_eq!(decode(last_incomplete), result);
        if (len..=last_incomplete).contains(&cut) {
            assert_eq!(at_cut, result);
        }
        if needed > sent.len() {
            break result;
        }
        len = needed;
    };

    match result {
        Ok(Decoded::Complete { message, consumed }) => {
            assert_eq!(consumed, len);
            for (at, result) in [(cut, &at_cut), (sent.len(), &whole)] {
                if at > len {
                    assert_eq!(*result, Err(DecodeError::TrailingBytes(at - len)));
                }
            }
            check_encoded(&message, &sent[..len]);
        }
        result => {
            assert_eq!(result, whole);
            if cut >= len {
                assert_eq!(result, at_cut);
            }
        }
    }

    if let Some(&first) = sent.first() {
        let unknown = matches!(result, Err(DecodeError::UnknownCommand(_)));
        assert_eq!(Dialect::detect(first) != Some(Dialect::Classic), unknown);
    }
}

fn check_encoded(request: &Request<'_>, sent: &[u8]) {
    let mut wire = Vec::new();
    classic::encode_request(request, &mut wire).expect("a decoded message can be encoded");
    assert_eq!(wire, sent);
    let header = classic::encode_header(request).expect("a decoded message can be encoded");
    assert!(sent.starts_with(header.as_bytes()));
    assert_eq!(classic::check_key(request.key()), Ok(()));
}

fn check_responses(sent: &[u8]) {
    let key = &b"key"[..];
    for request in [Request::Store { key, value: b"" }, Request::Fetch { key }, Request::Delete { key }] {
        for ended in [false, true] {
            match classic::decode_response(&request, sent, ended) {
                Ok(Decoded::Complete { message, consumed }) => {
                    assert_eq!(consumed, sent.len());
                    assert_eq!(classic::encode_response(&message), sent);
                    let is_value = matches!(message, Response::Value(_));
                    assert!(!is_value || (ended && !sent.is_empty()));
                }
                Ok(Decoded::Incomplete { needed }) => assert!(needed > sent.len() && !ended),
                Err(_) => assert!(!matches!(request, Request::Fetch { .. })),
            }
        }
    }
}
