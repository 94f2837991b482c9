//! What the log has to say, and how often.

use std::io::{Read, Write};

use sharedance_test_support::server::Server;

#[test]
fn important_lines_at_the_start_are_warnings() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("notes.txt"), "not the store's").unwrap();
    let server = Server::start(directory.path(), &["--log-level=warn"]);
    let log = server.log();
    assert!(log.iter().any(|line| line.contains("warning: ") && line.contains("left alone: notes.txt")), "{log:?}");
}

/// Each ten seconds a line was logged while the store was full.
#[test]
fn a_full_store_is_reported_once_and_not_as_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--max-bytes=2m", "--threads=1"]);
    let mut stream = server.connect();
    let mut results = Vec::new();
    for n in 0..600 {
        write!(stream, "ms {n} 10000\r\n{}\r\n", "v".repeat(10_000)).unwrap();
        let mut received = [0; 100];
        let len = stream.read(&mut received).unwrap();
        results.push(received[..len].starts_with(b"HD"));
    }
    assert!(results[0] && results.iter().filter(|is_stored| !**is_stored).count() > 100, "{results:?}");
    let (status, log) = server.terminate();
    assert!(status.success(), "{log}");
    assert_eq!(log.matches("refusing writes: full").count(), 1, "{log}");
    assert!(!log.contains("error:"), "{log}");
}
