//! Requests that no real client sends.

#![allow(clippy::unwrap_used)]

use std::env;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Instant;

use crate::report::{Report, bytes};
use crate::server::Address;
use crate::{Subject, peer, server};

const MIB: usize = 1024 * 1024;

/// The peer's action after it has sent the request.
#[derive(Clone, Copy)]
enum Then {
    Reads,
    ShutsDown,
    Resets,
}

pub(crate) fn single_requests(report: &mut Report) {
    const GOAL_LEN: usize = 4 * MIB;
    let frames = frames();
    let subject = Subject::start(&[]);
    let (address, process) = (subject.address(), subject.process());
    peer::store(address, b"kept", b"a value");
    let memory = process.anonymous_len();
    let mut most = 0;
    for (what, frame) in &frames {
        for then in [Then::Reads, Then::ShutsDown, Then::Resets] {
            let peak = process.peak_during(|| send(address, frame, then));
            assert_eq!(peer::fetch(address, b"kept"), b"a value", "after {what}");
            most = most.max(peak.saturating_sub(memory));
            assert!(most <= GOAL_LEN, "{what}: {most} bytes");
        }
    }
    let measured = format!("0 crashes in {}, {}", frames.len(), bytes(most));
    report.note("single hostile requests", measured, "0, ≤ 4 MB", most <= GOAL_LEN);
    subject.end();
}

/// Sends as much as the server accepts. The response does not matter, only that the connection ends.
fn send(address: Address, frame: &[u8], then: Then) {
    let mut stream = peer::connect(address);
    let sent = stream.write_all(frame);
    assert!(sent.as_ref().err().is_none_or(peer::is_end), "{sent:?}");
    match then {
        Then::Resets => {}
        // The server waits for more bytes after none of these frames, so the connection ends by itself or by this.
        Then::ShutsDown | Then::Reads => {
            let _ = stream.shutdown(Shutdown::Write);
            let wanted = if matches!(then, Then::Reads) { usize::MAX } else { 1 };
            let read = (&mut stream).take(wanted as u64).read_to_end(&mut Vec::new());
            assert!(read.as_ref().err().is_none_or(peer::is_end), "{read:?}");
        }
    }
}

fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let with_header = |header: &[u8], len: usize| [header, &vec![b'k'; len]].concat();
    let lengths = |command: u8, lengths: &[u32]| {
        let lengths = lengths.iter().flat_map(|len| len.to_be_bytes());
        std::iter::once(command).chain(lengths).collect::<Vec<u8>>()
    };
    vec![
        ("nothing", Vec::new()),
        ("a key of 9 MB, fetched", with_header(&lengths(b'F', &[9_000_000]), 9_000_000)),
        ("a key of 9 MB, stored", with_header(&lengths(b'S', &[9_000_000, 1]), 9_000_001)),
        ("a key of 9 MB, deleted", with_header(&lengths(b'D', &[9_000_000]), 9_000_000)),
        ("a key of 4 GiB", with_header(&lengths(b'F', &[u32::MAX]), MIB)),
        ("a key of 2 GiB", with_header(&lengths(b'F', &[1 << 31]), MIB)),
        ("a key of -1 and a value of 2", with_header(&lengths(b'S', &[u32::MAX, 2]), MIB)),
        ("a value of 4 GiB", with_header(&lengths(b'S', &[3, u32::MAX]), MIB)),
        ("a value of 2 GiB", with_header(&lengths(b'S', &[3, 1 << 31]), MIB)),
        ("lengths that wrap to nothing", with_header(&lengths(b'S', &[3, u32::MAX - 11]), MIB)),
        ("a byte above the limit", with_header(&lengths(b'S', &[3, (32 * MIB - 11) as u32]), 32 * MIB)),
        ("a request that announces exactly the limit", with_header(&lengths(b'S', &[3, (32 * MIB - 12) as u32]), 3)),
        ("an empty key", lengths(b'F', &[0])),
        ("a key of zeros", [&lengths(b'F', &[250])[..], &[0; 250]].concat()),
        ("a path", server::fetch(b"../../../../etc/passwd")),
        ("a path, stored", server::store(b"../store.meta", &[0; 4096])),
        ("a line end in the key", server::delete(b"a\nb")),
        ("a thousand requests at once", server::fetch(b"kept").repeat(1000)),
        ("an unknown command", with_header(&lengths(b'X', &[4]), 4)),
        ("a megabyte of commands", vec![b'S'; MIB]),
        ("a megabyte of zeros", vec![0; MIB]),
        ("a megabyte of ones", vec![0xff; MIB]),
        ("HTTP", b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(100)),
        ("Redis", b"*1000000000\r\n$1000000000\r\n".to_vec()),
        ("a long get of memcached", [b"get ", &b"key ".repeat(MIB)[..], b"\r\n"].concat()),
        ("memcached's binary header", [&[0x80, 1, 0xff, 0xff][..], &[0xff; 20]].concat()),
    ]
}

pub(crate) fn malformed_frames(report: &mut Report) {
    const DEFAULT_FRAMES: usize = 30_000;
    let count = env::var("SHAREDANCE_MALFORMED_FRAMES").map_or(DEFAULT_FRAMES, |count| count.parse().unwrap());
    let subject = Subject::start(&[]);
    let (address, process) = (subject.address(), subject.process());
    peer::store(address, b"kept", b"a value");
    let mut random = Random::new(0x5eed);
    let started = Instant::now();
    let (mut descriptors, mut memory) = (0, 0);
    for number in 0..count {
        // The first tenth fills the memory that the allocator keeps and the other frames reuse.
        if number == count / 10 {
            (descriptors, memory) = (subject.server.descriptors(), process.anonymous_len());
        }
        let frame = malformed(&mut random);
        send(address, &frame, [Then::Reads, Then::ShutsDown, Then::Resets][random.below(3)]);
    }
    let grown = process.anonymous_len().saturating_sub(memory);
    let rate = (count as f64 / started.elapsed().as_secs_f64()) as usize;
    assert_eq!(peer::fetch(address, b"kept"), b"a value");

    let measured = format!("0 crashes, {} more, {rate}/s", bytes(grown));
    report.note(&format!("{count} malformed frames"), measured, "0, memory flat", grown <= 500_000);
    assert!(grown <= 4 * MIB, "malformed frames do not free {grown} bytes");
    crate::process::wait_until("all connections are closed", || subject.server.descriptors() <= descriptors + 1);
    subject.end();
}

/// Returns a request with an error in it, or random bytes.
fn malformed(random: &mut Random) -> Vec<u8> {
    let (key_len, value_len) = (random.below(260), random.below(400));
    let mut frame = match random.below(4) {
        0 => server::store(&vec![b'k'; key_len], &vec![b'v'; value_len]),
        1 => server::fetch(&vec![b'k'; key_len]),
        2 => server::delete(&vec![b'k'; key_len]),
        _ => (0..value_len).map(|_| random.below(256) as u8).collect(),
    };
    match random.below(4) {
        0 => frame.truncate(random.below(frame.len() + 1)),
        1 => frame.push(random.below(256) as u8),
        _ => {
            for _ in 0..=random.below(4) {
                // Mostly in the header, which has the largest effect.
                let places = if random.below(2) == 0 { 9 } else { frame.len() };
                let at = random.below(places.max(1));
                if let Some(byte) = frame.get_mut(at) {
                    *byte = random.below(256) as u8;
                }
            }
        }
    }
    frame
}

/// The same numbers in each run.
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}
