//! The client against servers that hang, trickle, disconnect early, refuse requests, or do not exist.

use std::error::Error as _;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use crate::peer::{AMPLE, SHORT, hold, reset};
use crate::server::{ample, read_request, serve};
use sharedance_client::classic::Client;
use sharedance_client::{Delivery, Error, KeyError, Phase};
use socket2::{Domain, Socket, Type};

/// A client of a server that reads each request, sends `answer` and closes.
fn answering(answer: &'static [u8]) -> Client {
    serve(move |mut stream| {
        read_request(&mut stream)?;
        stream.write_all(answer)
    })
    .build()
    .unwrap()
}

#[track_caller]
fn assert_timed_out(result: Result<(), Error>, expected: Phase, started: Instant) {
    match result {
        Err(error @ Error::TimedOut { phase, after, .. }) => {
            assert_eq!(phase, expected);
            assert!(after >= SHORT && after <= started.elapsed(), "{error}");
            assert!(error.is_timeout() && error.is_retryable() && error.delivery() != Delivery::NotSent);
        }
        Err(error) => panic!("{error}"),
        Ok(()) => panic!("no error"),
    }
    assert!(started.elapsed() < AMPLE);
}

#[test]
fn a_server_that_never_responds() {
    let client = serve(|mut stream| {
        read_request(&mut stream)?;
        hold(stream)
    });
    let client = client.io_timeout(SHORT).build().unwrap();
    let started = Instant::now();
    assert_timed_out(client.store(b"key", b"value"), Phase::Receive, started);
    let started = Instant::now();
    assert_timed_out(client.fetch(b"key").map(drop), Phase::Receive, started);
}

#[test]
fn a_server_that_trickles() {
    let client = serve(|mut stream| {
        read_request(&mut stream)?;
        while stream.write_all(b"x").is_ok() {
            thread::sleep(SHORT / 20);
        }
        Ok(())
    });
    let client = client.io_timeout(SHORT).build().unwrap();
    let started = Instant::now();
    assert_timed_out(client.fetch(b"key").map(drop), Phase::Receive, started);
}

#[test]
fn a_server_that_does_not_read() {
    let client = serve(hold).io_timeout(SHORT).build().unwrap();
    let value = vec![b'v'; 32_000_000];
    let started = Instant::now();
    assert_timed_out(client.store(b"key", &value), Phase::Send, started);
}

#[test]
fn a_close_without_response_is_a_refusal_or_a_miss() {
    let client = answering(b"");
    let error = client.store(b"key", b"value").unwrap_err();
    assert!(matches!(error, Error::Refused { source: None, .. }), "{error}");
    assert!(error.is_retryable() && error.delivery() != Delivery::NotSent);
    assert_eq!(client.fetch(b"key").unwrap(), None);
    assert!(!client.delete(b"key").unwrap());
}

#[test]
fn a_refusal_with_bytes_unread_is_a_refusal() {
    // Closing with the request unread resets the connection.
    let client = serve(|stream| {
        stream.peek(&mut [0])?;
        Ok(())
    });
    let client = client.build().unwrap();
    let value = vec![b'v'; 8_000_000];
    for result in [
        client.store(b"key", b"value"),
        client.store(b"key", &value),
        client.fetch(b"key").map(drop),
        client.delete(b"key").map(drop),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Refused { source: Some(_), .. }), "{error}");
        assert!(error.source().is_some());
    }
}

#[test]
fn a_value_that_ends_in_a_reset_is_an_error() {
    let client = serve(|mut stream| {
        read_request(&mut stream)?;
        stream.write_all(b"first part")?;
        reset(stream)
    });
    let error = client.build().unwrap().fetch(b"key").unwrap_err();
    let Error::ConnectionLost { received_len, source, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*received_len, 10);
    assert!(source.is_some() && error.is_retryable());
}

#[test]
fn half_an_acknowledgement_is_an_error() {
    let error = answering(b"OK").store(b"key", b"value").unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { received_len: 2, .. }), "{error}");
}

#[test]
fn an_acknowledgement_is_valid_whatever_follows() {
    let client = serve(|mut stream| {
        read_request(&mut stream)?;
        stream.write_all(b"OK\n")?;
        reset(stream)
    });
    client.build().unwrap().store(b"key", b"value").unwrap();

    let client = serve(|mut stream| {
        read_request(&mut stream)?;
        stream.write_all(b"OK\n")?;
        hold(stream)
    });
    let started = Instant::now();
    assert!(client.build().unwrap().delete(b"key").unwrap());
    assert!(started.elapsed() < AMPLE);
}

#[test]
fn another_service_is_detected_where_possible() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"OK\nand more", b"+OK\r\n"] {
        let error = answering(answer).store(b"key", b"value").unwrap_err();
        assert!(matches!(error, Error::UnexpectedReply { .. }), "{error}");
        assert!(!error.is_retryable());
    }
}

#[test]
fn a_value_larger_than_the_limit_is_not_received() {
    let client = serve(|mut stream| {
        read_request(&mut stream)?;
        while stream.write_all(&[b'v'; 4096]).is_ok() {}
        Ok(())
    });
    let error = client.max_request_len(100_000).build().unwrap().fetch(b"key").unwrap_err();
    assert!(matches!(error, Error::AnswerTooLarge { max: 100_000, .. }), "{error}");
}

/// A client that would hang if it connected: its server never responds.
fn unwanted() -> Client {
    serve(hold).max_request_len(100).build().unwrap()
}

#[test]
fn bad_keys_are_refused_before_anything_is_sent() {
    let client = unwanted();
    for (key, expected) in [
        (&b""[..], KeyError::Empty),
        (&[b'k'; 251], KeyError::TooLong { len: 251 }),
        (b"a/b", KeyError::ForbiddenByte { byte: b'/', offset: 1 }),
    ] {
        for result in [client.store(key, b"value"), client.fetch(key).map(drop), client.delete(key).map(drop)] {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Key(found) if found == expected), "{error}");
            assert!(error.delivery() == Delivery::NotSent && !error.is_retryable());
        }
    }
}

#[test]
fn a_request_that_is_too_large_is_refused_before_anything_is_sent() {
    let error = unwanted().store(b"key", &[0; 89]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { len: 101, max: 100 }), "{error}");
    assert!(error.delivery() == Delivery::NotSent && !error.is_retryable());
}

#[test]
fn an_address_without_a_server() {
    // The port is bound to a socket that does not listen.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap().to_string();

    let client = ample(Client::builder(&address)).build().unwrap();
    let error = client.fetch(b"key").unwrap_err();
    assert!(error.is_retryable() && error.delivery() == Delivery::NotSent && !error.is_timeout());
    assert!(error.source().is_some_and(|source| source.source().is_some()));
    let Error::Unreachable { source: attempts, .. } = error else {
        panic!("{error}");
    };
    let tried: Vec<_> = attempts.iter().map(|attempt| &attempt.address).collect();
    assert_eq!(tried, [&address]);
}

#[test]
#[cfg(unix)]
fn a_missing_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix:{}/missing.sock", folder.path().display());
    let client = Client::builder(&address).build().unwrap();
    let error = client.fetch(b"key").unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
}

#[test]
fn a_name_that_has_no_address() {
    // A name must not have an empty part, so no name server is queried.
    let client = Client::builder("no..name").build().unwrap();
    let error = client.fetch(b"key").unwrap_err();
    assert!(matches!(error, Error::Unresolved { .. }), "{error}");
    assert!(error.is_retryable() && error.delivery() == Delivery::NotSent && error.source().is_some());
}

#[test]
fn timeouts_of_zero_and_of_infinite_length_are_limited_to_the_range() {
    for timeout in [Duration::ZERO, Duration::MAX] {
        let client = Client::builder("127.0.0.1:1").connect_timeout(timeout).io_timeout(timeout);
        let error = client.build().unwrap().fetch(b"key").unwrap_err();
        assert!(error.delivery() == Delivery::NotSent, "{error}");
    }
}

#[test]
fn no_message_contains_a_key_or_a_value() {
    let client = answering(b"OK");
    let error = client.store(b"secret-key", b"secret-value").unwrap_err();
    let bad_key = client.store(b"secret.key", b"secret-value").unwrap_err();
    for text in [format!("{error} {error:?} {client:?}"), format!("{bad_key} {bad_key:?}")] {
        assert!(!text.contains("secret"), "{text}");
    }
}
