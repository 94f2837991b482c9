//! Peers that begin a large transfer and then stall (readers, announcements, uploads), and peers that send a few bytes
//! at a time.

#![allow(clippy::unwrap_used)]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use socket2::SockRef;

use crate::peer::{self, Latency};
use crate::process::{Process, wait_until};
use crate::report::{Report, bytes};
use crate::server::Address;
use crate::{Subject, server};

const STALLED: usize = 20;

/// 30 MB, within the default limit of 32 MiB.
const LARGE_LEN: usize = 30 * 1000 * 1000;

/// About the length of the largest values that share a segment with others.
const COPIED_LEN: usize = 1_500_000;

/// The default limit on the memory of all unfinished requests and unsent responses.
const BUDGET_LEN: usize = 256 * 1024 * 1024;

/// Memory that the allocator may keep in addition.
const ALLOCATOR_LEN: usize = 16 * 1000 * 1000;

fn large_value(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 + n / 251) as u8).collect()
}

pub(crate) fn readers(report: &mut Report) {
    const GOAL_LEN: usize = 100_000;
    let subject = Subject::start(&[]);
    let (address, process) = (subject.address(), subject.process());
    let value = large_value(LARGE_LEN);
    peer::store(address, b"large", &value);
    peer::store(address, b"others", &[7; 2048]);
    let calm = Latency::of_fetches(address, b"others");
    process.wait_until_quiet();
    let memory = process.anonymous_len();

    let mut stalled = stalled_readers(address, process, b"large");
    let each = process.anonymous_len().saturating_sub(memory) / STALLED;
    report.note("20 stalled readers of 30 MB: memory each", bytes(each), "≤ 0.1 MB", each <= GOAL_LEN);
    assert!(each <= GOAL_LEN, "{each} bytes for each stalled reader");
    report.note_others("    latency of others, before → with them", &calm, &Latency::of_fetches(address, b"others"));

    // The value that they read does not change, even if the pair does.
    peer::store(address, b"large", &large_value(LARGE_LEN - 1));
    assert!(peer::delete(address, b"large"));
    peer::store(address, b"other", &vec![0; LARGE_LEN]);
    assert_reads(&mut stalled[0], &value);
    drop(stalled);
    subject.end();
}

pub(crate) fn readers_of_copies(report: &mut Report) {
    let subject = Subject::start(&[]);
    let (address, process) = (subject.address(), subject.process());
    let value = large_value(COPIED_LEN);
    peer::store(address, b"copied", &value);
    process.wait_until_quiet();
    let memory = process.anonymous_len();

    let mut stalled = stalled_readers(address, process, b"copied");
    let each = process.anonymous_len().saturating_sub(memory) / STALLED;
    let bound = COPIED_LEN + ALLOCATOR_LEN / STALLED;
    report.note("20 stalled readers of 1.5 MB: memory each", bytes(each), "their rest", each <= COPIED_LEN);
    assert!(each <= bound, "{each} bytes for each stalled reader");

    assert!(peer::delete(address, b"copied"));
    for reader in &mut stalled {
        assert_reads(reader, &value);
    }
    wait_until("the copies are freed", || process.anonymous_len() <= memory + ALLOCATOR_LEN);
    subject.end();
}

/// Returns readers that have received the first bytes of the pair `key` and then stop reading.
fn stalled_readers(address: Address, process: Process, key: &[u8]) -> Vec<TcpStream> {
    let readers: Vec<TcpStream> = (0..STALLED)
        .map(|_| {
            let mut stream = peer::connect_with_little_room(address);
            stream.write_all(&server::fetch(key)).unwrap();
            stream
        })
        .collect();
    for reader in &readers {
        poll(&mut [PollFd::new(reader, PollFlags::IN)], None).unwrap();
    }
    process.wait_until_quiet();
    readers
}

/// Reads the rest of a stalled reader's value.
fn assert_reads(reader: &mut TcpStream, value: &[u8]) {
    SockRef::from(&*reader).set_recv_buffer_size(4 * 1024 * 1024).unwrap();
    let mut read = Vec::with_capacity(value.len());
    reader.read_to_end(&mut read).unwrap();
    assert!(read == value, "{} bytes were read that are not the value", read.len());
}

pub(crate) fn announcements(report: &mut Report) {
    const CONNECTIONS: usize = 1_000;
    const GOAL_LEN: usize = 4096;
    let subject = Subject::start(&[]);
    let (address, process) = (subject.address(), subject.process());
    peer::store(address, b"others", &[7; 2048]);
    let calm = Latency::of_fetches(address, b"others");
    let memory = process.anonymous_len();

    let header = server::store_header(b"announced", LARGE_LEN);
    let announced: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|n| {
            let mut stream = peer::connect(address);
            stream.write_all(&header).unwrap();
            // A part of the value arrives, too.
            stream.write_all(&[0; 512][..n % 512]).unwrap();
            stream
        })
        .collect();
    process.wait_until_quiet();
    let each = process.anonymous_len().saturating_sub(memory) / CONNECTIONS;
    report.note("1 000 connections that announce 30 MB: memory each", bytes(each), "≤ 4 KB", each <= GOAL_LEN);
    assert!(each <= GOAL_LEN, "{each} bytes for each announcement");
    assert!(announced.iter().all(|stream| !peer::is_closed(stream)), "an announcement was refused");
    report.note_others("    latency of others, before → with them", &calm, &Latency::of_fetches(address, b"others"));
    subject.end();
}

pub(crate) fn uploads(report: &mut Report) {
    const SENT_LEN: usize = 29 * 1000 * 1000;
    /// Each upload may reserve memory for its whole request.
    const LEAST_HELD: usize = BUDGET_LEN / 8 * 7 / (LARGE_LEN + 100);
    let subject = Subject::start(&[]);
    let (address, process) = (subject.address(), subject.process());
    peer::store(address, b"others", &[7; 2048]);
    let calm = Latency::of_fetches(address, b"others");
    process.wait_until_quiet();
    let memory = process.anonymous_len();
    let value = large_value(SENT_LEN);

    // Memory that one round does not free would add up in the next rounds.
    for round in 0..3 {
        let held = stalled_uploads(address, &value);
        process.wait_until_quiet();
        let used = process.anonymous_len().saturating_sub(memory);
        assert!(used <= BUDGET_LEN + ALLOCATOR_LEN, "round {round}: stalled uploads hold {}", bytes(used));
        assert!(held.len() >= LEAST_HELD, "round {round}: only {} of {STALLED} uploads were accepted", held.len());
        assert!(held.len() < STALLED, "round {round}: nothing was refused");
        let others = Latency::of_fetches(address, b"others");
        peer::store(address, b"small", &[round; 2048]);
        assert_eq!(peer::fetch(address, b"small"), [round; 2048]);
        if round == 0 {
            let measured = format!("{}, {} refused", bytes(used), STALLED - held.len());
            report.note("20 that send 29 of 30 MB and stall: memory of all", measured, "≤ 256 MiB", used <= BUDGET_LEN);
            report.note_others("    latency of others, before → with them", &calm, &others);
        }
        drop(held);
        wait_until("the uploads' memory is freed", || process.anonymous_len() <= memory + ALLOCATOR_LEN);
    }
    let left = process.anonymous_len().saturating_sub(memory);
    report.note("    memory not freed", bytes(left), "≤ 4 MB", left <= 4_000_000);
    peer::store(address, b"large", &large_value(LARGE_LEN));
    subject.end();
}

/// Tries to send the larger part of many large requests at the same time. Returns the accepted connections.
fn stalled_uploads(address: Address, value: &[u8]) -> Vec<TcpStream> {
    let upload = |number: usize| -> io::Result<TcpStream> {
        let mut stream = peer::connect(address);
        stream.write_all(&server::store_header(format!("upload {number}").as_bytes(), LARGE_LEN))?;
        stream.write_all(value)?;
        Ok(stream)
    };
    let sent: Vec<io::Result<TcpStream>> = thread::scope(|scope| {
        let senders: Vec<_> = (0..STALLED).map(|number| scope.spawn(move || upload(number))).collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });
    let refused = |error: &io::Error| assert!(peer::is_end(error), "{error}");
    let sent = sent.into_iter().filter_map(|result| result.inspect_err(refused).ok());
    // A refused connection may still have been able to send.
    sent.filter(|stream| !peer::is_closed(stream)).collect()
}

pub(crate) fn trickle(report: &mut Report) {
    const PEERS: usize = 40;
    let subject = Subject::start(&[]);
    let address = subject.address();
    peer::store(address, b"large", &large_value(LARGE_LEN));
    peer::store(address, b"others", &[7; 2048]);
    let calm = Latency::of_fetches(address, b"others");

    let header = server::store_header(b"trickled", LARGE_LEN);
    let peers: Vec<(TcpStream, TcpStream)> = (0..PEERS)
        .map(|_| {
            let (mut writer, mut reader) = (peer::connect(address), peer::connect_with_little_room(address));
            writer.write_all(&header).unwrap();
            reader.write_all(&server::fetch(b"large")).unwrap();
            (writer, reader)
        })
        .collect();
    let over = AtomicBool::new(false);
    let meanwhile = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for (writer, reader) in &peers {
                    let (mut writer, mut reader) = (writer, reader);
                    writer.write_all(b"x").unwrap();
                    reader.read_exact(&mut [0; 16]).unwrap();
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        let meanwhile = Latency::of_fetches(address, b"others");
        over.store(true, Ordering::Relaxed);
        meanwhile
    });
    report.note_others("80 peers that read or write a few bytes each ms: latency", &calm, &meanwhile);
    drop(peers);
    subject.end();
}
