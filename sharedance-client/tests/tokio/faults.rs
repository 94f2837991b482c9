//! Servers that hang, disconnect early, speak another protocol, or do not exist.

use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::time::Instant;

use crate::ample;
use crate::peer::{AMPLE, SHORT, hold, listen};
use sharedance_client::{Delivery, Error, LockOptions, Phase, Ttl, WhenDown};

/// A peer that reads a request, and sends this response.
fn answering(answer: &'static [u8]) -> String {
    listen(move |mut stream| {
        let len = stream.read(&mut [0; 4096])?;
        assert_ne!(len, 0);
        stream.write_all(answer)
    })
}

#[tokio::test]
async fn a_server_that_never_responds_or_does_not_read() {
    let client = ample(&listen(hold)).operation_timeout(SHORT).build().unwrap();
    let started = Instant::now();
    let error = client.get("key").await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { phase: Phase::Receive, after, .. } if after >= SHORT), "{error}");
    let error = client.set("key", vec![b'v'; 30_000_000], Ttl::Never).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { phase: Phase::Send, .. }), "{error}");
    assert!(started.elapsed() < AMPLE);
}

#[tokio::test]
async fn malformed_responses() {
    for (answer, is_foreign) in [(&b"HTTP/1.1 400\r\n"[..], true), (b"HD O5\r\n", true), (b"VA 10 O0\r\nfir", false)] {
        let error = ample(&answering(answer)).build().unwrap().get("key").await.unwrap_err();
        assert_eq!(matches!(error, Error::UnexpectedReply { .. }), is_foreign, "{error}");
        assert_eq!(matches!(error, Error::ConnectionLost { .. }), !is_foreign, "{error}");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_not_tried_again_for_a_while() {
    let client = ample("127.0.0.1:1").backoff(AMPLE, AMPLE).build().unwrap();
    let error = client.get("key").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(error.is_retryable() && error.delivery() == Delivery::NotSent);
    let error = client.get("key").await.unwrap_err();
    assert!(matches!(error, Error::Down { .. }), "{error}");

    let error = ample("unix:/missing/folder.sock").build().unwrap().get("key").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    let error = ample("no..name").build().unwrap().get("key").await.unwrap_err();
    assert!(matches!(error, Error::Unresolved { .. }), "{error}");
}

#[tokio::test]
async fn the_keys_of_a_server_that_is_down_move_to_the_next() {
    let (server, _client) = crate::client();
    let client = ample("127.0.0.1:1").server(server.address()).when_down(WhenDown::NextServer).build().unwrap();
    let keys: Vec<String> = (0..50).map(|number| format!("key-{number}")).collect();
    for key in &keys {
        client.set(key, key, Ttl::Never).await.unwrap();
    }
    assert!(client.get_many(&keys).await.all().unwrap().iter().all(Option::is_some));
}

#[tokio::test]
async fn waiting_for_a_free_connection_has_a_timeout() {
    let address = listen(|mut stream| {
        stream.write_all(b"LOCKED\r\n")?;
        hold(stream)
    });
    let client = ample(&address).max_connections(NonZeroUsize::MIN).operation_timeout(SHORT).build().unwrap();
    let lock = client.lock("key", LockOptions::new().wait(AMPLE).ttl(AMPLE)).await.unwrap();
    assert!(lock.is_some());
    let error = client.get("key").await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { phase: Phase::Wait, .. }), "{error}");
}

#[tokio::test]
async fn a_kept_connection_that_has_ended_is_replaced() {
    let address = listen(|mut stream| {
        let mut received = [0; 64];
        let len = stream.read(&mut received)?;
        let tag = received[..len].split(|&byte| byte == b' ').next_back().unwrap();
        stream.write_all(&[b"EN ", tag].concat())?;
        stream.read(&mut received).map(drop)
    });
    let client = ample(&address).build().unwrap();
    for _ in 0..5 {
        assert_eq!(client.get("key").await.unwrap(), None);
    }
}
