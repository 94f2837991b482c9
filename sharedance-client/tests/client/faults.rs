//! Servers that hang, trickle, disconnect early, or speak another protocol.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use crate::backends::ample;
use crate::peer::{AMPLE, SHORT, hold, listen, reset};
use sharedance_client::{Client, Delivery, Error, Phase, Rejection, Ttl};

/// Receives a request's line, and the bytes received together with it.
fn read_line(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let mut piece = [0; 4096];
        match stream.read(&mut piece)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            len => line.extend_from_slice(&piece[..len]),
        }
    }
    Ok(line)
}

/// A client of a peer that responds to each line with `answer` and keeps the connection open.
fn answering(answer: &'static [u8]) -> Client {
    let address = listen(move |mut stream| {
        loop {
            read_line(&mut stream)?;
            stream.write_all(answer)?;
        }
    });
    ample(&address).build().unwrap()
}

#[track_caller]
fn assert_timed_out<T>(result: Result<T, Error>, expected: Phase, started: Instant) {
    match result {
        Err(error @ Error::TimedOut { phase, after, .. }) => {
            assert_eq!(phase, expected);
            assert!(after >= SHORT && after <= started.elapsed(), "{error}");
            assert!(error.is_timeout() && error.is_retryable() && error.delivery() == Delivery::Unknown);
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("no error"),
    }
    assert!(started.elapsed() < AMPLE);
}

#[test]
fn a_server_that_never_responds() {
    let client = ample(&listen(hold)).operation_timeout(SHORT).build().unwrap();
    let started = Instant::now();
    assert_timed_out(client.get("key"), Phase::Receive, started);
    let started = Instant::now();
    assert_timed_out(client.set("key", "value", Ttl::Never), Phase::Receive, started);
}

#[test]
fn a_server_that_trickles_does_not_extend_the_timeout() {
    let address = listen(|mut stream| {
        read_line(&mut stream)?;
        stream.write_all(b"VA 1000 O0\r\n")?;
        while stream.write_all(b"x").is_ok() {
            thread::sleep(SHORT / 20);
        }
        Ok(())
    });
    let client = ample(&address).operation_timeout(SHORT).build().unwrap();
    let started = Instant::now();
    assert_timed_out(client.get("key"), Phase::Receive, started);
}

#[test]
fn a_server_that_does_not_read() {
    let client = ample(&listen(hold)).operation_timeout(SHORT).build().unwrap();
    let value = vec![b'v'; 30_000_000];
    let started = Instant::now();
    assert_timed_out(client.set("key", &value, Ttl::Never), Phase::Send, started);
}

#[test]
fn an_incomplete_value_is_an_error() {
    let address = listen(|mut stream| {
        read_line(&mut stream)?;
        stream.write_all(b"VA 10 O0\r\nfirst")?;
        stream.flush()
    });
    let error = ample(&address).build().unwrap().get("key").unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { received_len: 15, source: None, .. }), "{error}");
    assert!(error.is_retryable() && error.delivery() == Delivery::Unknown);

    let address = listen(|mut stream| {
        read_line(&mut stream)?;
        stream.write_all(b"VA 10 O0\r\nfirst")?;
        reset(stream)
    });
    let error = ample(&address).build().unwrap().get("key").unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { .. }), "{error}");
}

#[test]
fn other_services_are_detected() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"-ERR unknown command `ms`\r\n", b"HD O17\r\n", b"HD\r\n"]
    {
        let error = answering(answer).set("key", "value", Ttl::Never).unwrap_err();
        assert!(matches!(error, Error::UnexpectedReply { .. }), "{error}");
        assert!(!error.is_retryable());
    }
}

#[test]
fn a_server_without_the_command_does_not_execute_the_value_as_a_command() {
    let client = answering(b"ERROR\r\n");
    for _ in 0..2 {
        let error = client.set("key", "flush_all", Ttl::Never).unwrap_err();
        assert!(matches!(error, Error::Rejected { rejection: Rejection::Unsupported, .. }), "{error}");
        assert!(!error.is_retryable() && error.delivery() == Delivery::Refused);
    }
}

#[test]
fn a_value_larger_than_the_limit_is_not_received() {
    let address = listen(|mut stream| {
        read_line(&mut stream)?;
        stream.write_all(b"VA 100001 O0\r\n")?;
        hold(stream)
    });
    let error = ample(&address).max_request_len(100_000).build().unwrap().get("key").unwrap_err();
    assert!(matches!(error, Error::AnswerTooLarge { max: 100_000, .. }), "{error}");
}

#[test]
fn no_message_contains_a_key_or_a_value() {
    let client = answering(b"CLIENT_ERROR secret-key is a bad key\r\n");
    let rejected = client.set("secret-key", "secret-value", Ttl::Never).unwrap_err();
    let foreign = answering(b"-ERR secret-key\r\n").get("secret-key").unwrap_err();
    let bad_key = client.get("secret key").unwrap_err();
    for text in [
        format!("{rejected} {rejected:?} {client:?}"),
        format!("{foreign} {foreign:?}"),
        format!("{bad_key} {bad_key:?}"),
    ] {
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn timeouts_of_zero_and_of_infinite_length_are_limited_to_the_range() {
    use std::time::Duration;
    for timeout in [Duration::ZERO, Duration::MAX] {
        let client = Client::builder("127.0.0.1:1").connect_timeout(timeout).operation_timeout(timeout);
        let client = client.idle_timeout(timeout).backoff(timeout, timeout).build().unwrap();
        let error = client.get("key").unwrap_err();
        assert_eq!(error.delivery(), Delivery::NotSent, "{error}");
    }
}
