//! Peers that are too slow, on a server with a timeout of a second.

#![allow(clippy::unwrap_used)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::report::Report;
use crate::server::Address;
use crate::{Subject, peer, server};

const TIMEOUT: Duration = Duration::from_secs(1);

/// A whole request may take three times the timeout.
const DEADLINE: Duration = Duration::from_secs(3);

/// The tolerance on a machine with no other load.
const LATE: Duration = Duration::from_millis(400);

/// The pause between two bytes of a slow peer.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) fn all(report: &mut Report) {
    let subject = Subject::start(&["--timeout=1"]);
    let address = subject.address();
    peer::store(address, b"large", &vec![7; 30_000_000]);
    peer::store(address, b"copied", &vec![7; 1_900_000]);
    let (silent, trickled, large, copied, uploaded) = thread::scope(|scope| {
        let silent = scope.spawn(|| silent(address));
        let trickled = scope.spawn(|| trickled_request(address));
        let large = scope.spawn(|| trickling_reader(address, b"large", 30_000_000));
        let copied = scope.spawn(|| trickling_reader(address, b"copied", 1_900_000));
        let uploaded = scope.spawn(|| slow_upload(address));
        let joined = (silent.join(), trickled.join(), large.join(), copied.join(), uploaded.join());
        (joined.0.unwrap(), joined.1.unwrap(), joined.2.unwrap(), joined.3.unwrap(), joined.4.unwrap())
    });

    let seconds = |span: Duration| format!("disconnected after {:.2} s", span.as_secs_f64());
    report.note("silence, time-out 1 s", seconds(silent), "1 s", silent <= TIMEOUT + LATE);
    let in_time = trickled <= DEADLINE + LATE;
    report.note("a byte each 0.2 s, timeout 1 s", seconds(trickled), "a total deadline: 3 s", in_time);
    report.note(
        "an upload of 340 KB/s, timeout 1 s",
        format!("served after {:.2} s", uploaded.as_secs_f64()),
        "",
        true,
    );
    for (what, reader) in [("30 MB", large), ("1.9 MB", copied)] {
        let what = format!("a reader of {what} that takes a byte each 0.2 s");
        report.note(&what, seconds(reader), "a total deadline", reader <= DEADLINE + LATE);
    }
    assert!(silent >= TIMEOUT, "a silent peer was disconnected after {silent:?}");
    assert!(trickled >= DEADLINE, "a slow request was disconnected after {trickled:?}");
    subject.end();
}

/// Returns the time until a silent peer is disconnected.
fn silent(address: Address) -> Duration {
    let started = Instant::now();
    let mut stream = peer::connect(address);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    started.elapsed()
}

/// Returns the time until a peer that sends one byte at a time is disconnected.
fn trickled_request(address: Address) -> Duration {
    let started = Instant::now();
    let stream = peer::connect(address);
    stream.set_read_timeout(Some(PAUSE)).unwrap();
    let request = server::store(&[b'k'; 250], &[b'v'; 250]);
    for byte in request {
        match (&stream).write_all(&[byte]).and_then(|()| (&stream).read(&mut [0])) {
            Ok(0) => return started.elapsed(),
            Err(error) if peer::is_end(&error) => return started.elapsed(),
            Err(error) if is_timeout(&error) => {}
            outcome => panic!("answered: {outcome:?}"),
        }
    }
    panic!("a request that took {:?} was accepted", started.elapsed());
}

/// Returns the time until a peer that reads one byte at a time is disconnected. A part of a value must not look
/// complete: in this dialect only the end of the connection ends a value, so the end must be a reset.
fn trickling_reader(address: Address, key: &[u8], value_len: usize) -> Duration {
    let started = Instant::now();
    let mut stream = peer::connect_with_little_room(address);
    stream.write_all(&server::fetch(key)).unwrap();
    while started.elapsed() < 2 * DEADLINE {
        thread::sleep(PAUSE);
        let mut watched = [PollFd::new(&stream, PollFlags::empty())];
        poll(&mut watched, Some(&Timespec::default())).unwrap();
        if watched[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
            return started.elapsed();
        }
        stream.read_exact(&mut [0]).unwrap();
    }
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    panic!(
        "no reset ended a response of {value_len} bytes within {DEADLINE:?}; {} were to be read, then {end:?}",
        rest.len()
    );
}

/// Uploads a megabyte in pieces, which takes longer than the deadline of a small request. Returns the time that it
/// took.
fn slow_upload(address: Address) -> Duration {
    const PIECE_LEN: usize = 64 * 1024;
    let started = Instant::now();
    let request = server::store(b"slow", &vec![7; 17 * PIECE_LEN]);
    let mut stream = peer::connect(address);
    for piece in request.chunks(PIECE_LEN) {
        stream.write_all(piece).unwrap();
        thread::sleep(PAUSE);
    }
    assert_eq!(end_of(stream).unwrap(), b"OK\n");
    started.elapsed()
}

fn end_of(mut stream: TcpStream) -> io::Result<Vec<u8>> {
    server::answer(&mut stream)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
