//! Connection pooling: which connections are kept, how many, and how closed ones are replaced.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use crate::backends::ample;
use crate::peer::{AMPLE, SHORT, hold, listen};
use sharedance_client::{Delivery, Error, LockOptions, Phase, Ttl};

/// Responds to each request with a miss, until the client closes, or `max` times.
fn miss(stream: &TcpStream, max: usize) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    for line in lines.by_ref().take(max) {
        let line = line?;
        let tag = line.split(' ').find(|token| token.starts_with('O')).unwrap_or_default();
        let code = if line.starts_with("mg") { "EN" } else { "NF" };
        (&*stream).write_all(format!("{code} {tag}\r\n").as_bytes())?;
    }
    Ok(())
}

/// A peer that serves `max` requests on each connection, and the number of its connections.
fn counted(max: usize) -> (String, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let address = listen(move |stream| {
        counter.fetch_add(1, Ordering::SeqCst);
        miss(&stream, max)
    });
    (address, count)
}

#[test]
fn a_connection_is_used_again() {
    let (address, count) = counted(usize::MAX);
    let client = ample(&address).build().unwrap();
    for _ in 0..50 {
        assert_eq!(client.get("key").unwrap(), None);
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn a_connection_that_was_idle_for_too_long_is_not_used_again() {
    let (address, count) = counted(usize::MAX);
    let client = ample(&address).idle_timeout(Duration::from_millis(1)).build().unwrap();
    for _ in 0..3 {
        assert_eq!(client.get("key").unwrap(), None);
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[test]
fn connections_that_the_server_has_closed_are_replaced() {
    let (address, count) = counted(1);
    let client = ample(&address).build().unwrap();
    for _ in 0..20 {
        assert_eq!(client.get("key").unwrap(), None);
    }
    assert_eq!(count.load(Ordering::SeqCst), 20);
}

#[test]
fn when_a_kept_connection_ends_reads_are_repeated_and_writes_are_not() {
    // The server reads a second request on a kept connection, and closes it without a response.
    let address = listen(|stream| {
        miss(&stream, 1)?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).map(drop)
    });
    let client = ample(&address).build().unwrap();
    for _ in 0..3 {
        assert_eq!(client.get("key").unwrap(), None);
        assert_eq!(client.get("key").unwrap(), None);
        let error = client.incr("key", 1).unwrap_err();
        assert!(matches!(error, Error::ConnectionLost { received_len: 0, .. }), "{error}");
        assert_eq!(error.delivery(), Delivery::Unknown);
    }
}

#[test]
fn unrequested_bytes_are_not_returned_as_a_response() {
    let (said, saying) = mpsc::channel();
    let address = listen(move |stream| {
        miss(&stream, 1)?;
        (&stream).write_all(b"VA 6 O1\r\nforged\r\n")?;
        let _ = said.send(());
        hold(stream)
    });
    let client = ample(&address).build().unwrap();
    for _ in 0..3 {
        assert_eq!(client.get("key").unwrap(), None);
        saying.recv().unwrap();
    }
}

#[test]
fn the_number_of_connections_is_limited() {
    const MAX: usize = 3;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (open, peak) = (Arc::clone(&now), Arc::clone(&most));
    let address = listen(move |stream| {
        peak.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let outcome = miss(&stream, usize::MAX);
        open.fetch_sub(1, Ordering::SeqCst);
        outcome
    });
    let client = ample(&address).max_connections(NonZeroUsize::new(MAX).unwrap()).build().unwrap();
    let start = Arc::new(Barrier::new(12));
    let threads: Vec<_> = (0..12)
        .map(|_| {
            let (client, start) = (client.clone(), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                for _ in 0..50 {
                    assert_eq!(client.get("key").unwrap(), None);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!((1..=MAX).contains(&most.load(Ordering::SeqCst)));
}

#[test]
fn waiting_for_a_free_connection_has_a_timeout() {
    let address = listen(move |mut stream| {
        stream.write_all(b"LOCKED\r\n")?;
        hold(stream)
    });
    let client = ample(&address).max_connections(NonZeroUsize::MIN).operation_timeout(SHORT).build().unwrap();
    let lock = client.lock("key", LockOptions::new().wait(AMPLE).ttl(AMPLE)).unwrap();
    assert!(lock.is_some());
    let error = client.set("key", "value", Ttl::Never).unwrap_err();
    assert!(matches!(error, Error::TimedOut { phase: Phase::Wait, .. }), "{error}");
    assert!(error.is_retryable() && error.delivery() == Delivery::NotSent);
}
