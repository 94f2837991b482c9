//! A TTL of two seconds: pairs never expire early and at most slightly late, and then memory and disk space are freed.

#![allow(clippy::unwrap_used)]

use std::thread;
use std::time::{Duration, Instant};

use crate::process::{disk_len, wait_until};
use crate::report::{Report, bytes};
use crate::{Subject, peer};

const TTL: Duration = Duration::from_secs(2);

/// Stores pairs one after the other and fetches each repeatedly until it is gone.
pub(crate) fn on_time(report: &mut Report) {
    const PAIRS: usize = 40;
    let subject = Subject::start(&["--expiration=2"]);
    let address = subject.address();
    let mut latest = Duration::ZERO;
    let mut earliest = Duration::MAX;
    let mut pairs: Vec<(Vec<u8>, Instant, Instant)> = Vec::new();
    for number in 0..PAIRS {
        let key = format!("short-lived {number}").into_bytes();
        let before = Instant::now();
        peer::store(address, &key, b"a value");
        pairs.push((key, before, Instant::now()));
        thread::sleep(Duration::from_millis(3));
    }
    while !pairs.is_empty() {
        pairs.retain(|(key, before_stored, stored)| {
            let before = Instant::now();
            if peer::fetch(address, key).is_empty() {
                let lived_at_most = before_stored.elapsed();
                earliest = earliest.min(lived_at_most);
                assert!(lived_at_most >= TTL, "a pair was gone after {lived_at_most:?}");
                return false;
            }
            latest = latest.max((before - *stored).saturating_sub(TTL));
            assert!(latest < Duration::from_secs(10), "a pair was served {latest:?} after its end");
            true
        });
    }
    let millis = |span: Duration| span.as_secs_f64() * 1000.0;
    let measured = format!("gone after {:.1} ms, served {:.1} ms late", millis(earliest), millis(latest));
    report.note("TTL of 2 s", measured, "never early, ≤ 0.1 s late", latest <= Duration::from_millis(100));
    subject.end();
}

pub(crate) fn freed(report: &mut Report) {
    const PAIRS: usize = 20_000;
    const VALUE_LEN: usize = 2048;
    /// Disk space of the segments that the store prepares for new pairs.
    const DISK_AT_REST_LEN: u64 = 3 * 8 * 1024 * 1024 + 1_000_000;
    const MEMORY_AT_REST_LEN: usize = 1_000_000;
    let subject = Subject::start(&["--expiration=2"]);
    let (address, process) = (subject.address(), subject.process());
    peer::store(address, b"first", b"a value");
    process.wait_until_quiet();
    let memory = process.anonymous_len();
    let more_memory = || process.anonymous_len().saturating_sub(memory);
    let disk = || disk_len(subject.directory.path());

    for number in 0..PAIRS {
        peer::store(address, format!("short-lived {number}").as_bytes(), &[7; VALUE_LEN]);
    }
    peer::store(address, b"large", &vec![7; 30_000_000]);
    let (stored, memory_then, disk_then) = (Instant::now(), more_memory(), disk());
    wait_until("the space on disk is free", || disk() <= DISK_AT_REST_LEN);
    wait_until("the memory is free", || more_memory() <= MEMORY_AT_REST_LEN);
    let freed = stored.elapsed().saturating_sub(TTL);

    let measured = format!("{:.1} s after the last TTL", freed.as_secs_f64());
    report.note("70 MB of expired pairs: until they are freed", measured, "seconds", freed <= Duration::from_secs(4));
    let measured = format!("+{} → +{}", bytes(memory_then), bytes(more_memory()));
    report.note("    memory, at first → at the end", measured, "none (≤ 1 MB)", more_memory() <= MEMORY_AT_REST_LEN);
    let measured = format!("{} → {}", bytes(disk_then as usize), bytes(disk() as usize));
    report.note("    disk, at first → at the end", measured, "≤ 3 segments", disk() <= DISK_AT_REST_LEN);
    subject.end();
}
