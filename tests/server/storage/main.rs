//! The options for storage, tested from outside: space, durability, crashes of the system.

#![allow(clippy::unwrap_used)]

use sharedance_test_support::server;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use server::{Server, answer, eventually, fetch, store};

const LEN: usize = 256 * 1024;
/// More pairs than fit into [`ROOM`].
const PAIRS: u32 = 400;
const ROOM: &str = "--max-bytes=67108864";

fn key(i: u32) -> Vec<u8> {
    format!("key {i}").into_bytes()
}

fn value(i: u32) -> Vec<u8> {
    vec![i as u8; LEN]
}

/// Stores all pairs. Returns how many were acknowledged. The others end in a reset.
fn store_all(server: &Server) -> u32 {
    let is_stored = |i: &u32| {
        let mut stream = server.connect();
        let sent = stream.write_all(&store(&key(*i), &value(*i)));
        sent.and_then(|()| answer(&mut stream)).is_ok_and(|answer| answer == b"OK\n")
    };
    (0..PAIRS).filter(is_stored).count() as u32
}

fn kept(server: &Server) -> Vec<u32> {
    // Each is requested once: space is still being freed meanwhile.
    let is_kept = |i: &u32| {
        let found = server.ask(&fetch(&key(*i)));
        assert!(found.is_empty() || found == value(*i), "another value of pair {i}");
        !found.is_empty()
    };
    (0..PAIRS).filter(is_kept).collect()
}

fn thread_names(server: &Server) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let names = threads.filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).collect()
}

fn file_bytes(directory: &Path) -> u64 {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn a_full_store_refuses_new_pairs_and_keeps_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[ROOM]);
    let stored = store_all(&server);
    assert!((50..PAIRS).contains(&stored), "{stored}");
    assert_eq!(kept(&server).len() as u32, stored, "the acknowledged pairs, and no others");
    assert!(file_bytes(directory.path()) <= (64 << 20) + 4096);
}

#[test]
fn a_full_store_evicts_old_pairs_with_when_full_evict() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[ROOM, "--when-full=evict"]);
    assert_eq!(store_all(&server), PAIRS);
    let kept = kept(&server);
    assert!((50..PAIRS as usize).contains(&kept.len()), "{}", kept.len());
    assert!(kept.contains(&(PAIRS - 1)), "the newest is there");
    assert!(file_bytes(directory.path()) <= (64 << 20) + 4096);
}

#[test]
fn a_kill_loses_no_pair_in_any_durability_mode() {
    for durability in ["os", "interval", "always"] {
        let directory = tempfile::tempdir().unwrap();
        let arguments = [&format!("--durability={durability}"), "--sync-interval=50"];
        let server = Server::start(directory.path(), &arguments);
        if durability == "interval" {
            eventually("a thread that syncs", || thread_names(&server).contains(&"[SYNC]".to_owned()).then_some(()));
        }
        for round in 0..2 {
            for i in 0..20 {
                assert_eq!(server.ask(&store(&key(i), &value(i + round))), b"OK\n");
            }
        }
        server.kill();
        let server = Server::start(directory.path(), &arguments);
        for i in 0..20 {
            assert!(server.ask(&fetch(&key(i))) == value(i + 1), "{durability}");
        }
    }
}

/// Sends a request of a memcached dialect, and reads as many bytes as the expected response has.
fn converse(server: &Server, request: &[u8], expected: &[u8]) {
    let mut stream = server.connect();
    stream.write_all(request).unwrap();
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), String::from_utf8_lossy(expected));
}

/// Returns a binary flush with a delay in seconds, and its response.
fn binary_flush(delay: u32) -> ([u8; 28], [u8; 24]) {
    let (mut request, mut answer) = ([0; 28], [0; 24]);
    request[..2].copy_from_slice(&[0x80, 0x08]);
    (request[4], request[11]) = (4, 4);
    request[24..].copy_from_slice(&delay.to_be_bytes());
    answer[..2].copy_from_slice(&[0x81, 0x08]);
    (request, answer)
}

#[test]
fn a_flush_with_a_delay_survives_a_kill_and_an_orderly_restart() {
    let end: [fn(Server); 2] = [Server::kill, |server| assert!(server.terminate().0.success())];
    for (i, durability) in ["os", "interval", "always"].into_iter().enumerate() {
        for end in end {
            let directory = tempfile::tempdir().unwrap();
            let arguments = [&*format!("--durability={durability}"), "--sync-interval=50"];
            let server = Server::start(directory.path(), &arguments);
            // A flush in the distant future is stored and has no effect yet.
            converse(&server, b"set k 0 0 1\r\na\r\nflush_all 100000\r\n", b"STORED\r\nOK\r\n");
            end(server);
            let server = Server::start(directory.path(), &arguments);
            converse(&server, b"get k\r\n", b"VALUE k 0 1\r\na\r\nEND\r\n");
            match i % 2 {
                0 => converse(&server, b"flush_all 1\r\n", b"OK\r\n"),
                _ => {
                    let (request, answer) = binary_flush(1);
                    converse(&server, &request, &answer);
                }
            }
            end(server);
            let server = Server::start(directory.path(), &arguments);
            eventually("the pair is flushed", || server.ask(&fetch(b"k")).is_empty().then_some(()));
            assert_eq!(server.ask(&store(b"k", b"later")), b"OK\n");
            end(server);
            let server = Server::start(directory.path(), &arguments);
            assert_eq!(server.ask(&fetch(b"k")), b"later", "{durability}: a value stored after the flush stays");
        }
    }
}

#[test]
fn after_crash_keeps_or_discards_the_pairs_after_a_system_crash() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    assert_eq!(server.ask(&store(b"key", b"value")), b"OK\n");
    server.kill();
    // For a store, a copy of its directory is one of another boot.
    for (after_crash, expected) in [("salvage", &b"value"[..]), ("discard", b"")] {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(directory.path()).unwrap().map(Result::unwrap) {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        let server = Server::start(copy.path(), &[&format!("--after-crash={after_crash}")]);
        assert_eq!(server.ask(&fetch(b"key")), expected, "{after_crash}");
    }
}

/// Returns a number from the general statistics.
fn stat(server: &Server, name: &str) -> u64 {
    let stats = String::from_utf8(server.ask(b"stats\r\nquit\r\n")).unwrap();
    let value = stats.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
    value.unwrap_or_else(|| panic!("no {name}")).trim().parse().unwrap()
}

/// Root may write to any directory, so the test replaces the files by directories of the same names for a while: no
/// user can unlink these.
#[test]
fn files_that_cannot_be_deleted_for_a_while_free_their_space_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let aside = tempfile::tempdir_in(directory.path().parent().unwrap()).unwrap();
    let server = Server::start(directory.path(), &[ROOM]);
    let stored = store_all(&server);
    let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let segments: Vec<_> = names.filter(|name| name.to_string_lossy().ends_with(".shd")).collect();
    for name in &segments {
        fs::rename(directory.path().join(name), aside.path().join(name)).unwrap();
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    assert_eq!(server.ask(b"flush_all\r\nquit\r\n"), b"OK\r\n");
    eventually("deletions fail", || (stat(&server, "pending_deletions") > 3).then_some(()));
    assert!(stat(&server, "failed_deletions") > 3);
    for name in &segments {
        fs::remove_dir(directory.path().join(name)).unwrap();
        fs::rename(aside.path().join(name), directory.path().join(name)).unwrap();
    }
    eventually("the files are deleted", || (stat(&server, "pending_deletions") == 0).then_some(()));
    assert_eq!(stat(&server, "curr_items"), 0);
    eventually("the space is freed", || (stat(&server, "file_bytes") < 48 << 20).then_some(()));
    assert!(store_all(&server) + 1 >= stored);
}

#[test]
fn a_server_with_max_bytes_of_two_mebibytes_works() {
    for (arguments, evicts) in
        [(&["--max-bytes=2097152"][..], false), (&["--max-bytes=2097152", "--when-full=evict"], true)]
    {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(directory.path(), arguments);
        let sent = (0..600).filter(|i| {
            let stored = server.ask(format!("set k{i} 0 0 5000\r\n{}\r\nquit\r\n", "x".repeat(5_000)).as_bytes());
            stored == b"STORED\r\n"
        });
        let stored = sent.count();
        assert!(if evicts { stored == 600 } else { (300..420).contains(&stored) }, "{stored}");
        assert_eq!(stat(&server, "limit_maxbytes"), 2 << 20);
        assert!(stat(&server, "file_bytes") <= 2 << 20 && stat(&server, "bytes") > 3 << 19);
    }
}
