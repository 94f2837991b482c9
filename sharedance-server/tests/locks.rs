//! The locks of the text dialect, against the real server: their order, their end, and their effect.

// A test panics when it cannot continue.
#![allow(clippy::unwrap_used)]

use sharedance_test_support::{server, talk};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use server::{answer, eventually};
use talk::{ask, expect, start};

#[test]
fn a_lock_is_granted_in_the_order_of_requests_across_workers() {
    const PEERS: usize = 12;
    let subject = start(&["--threads=4"]);
    let mut peers: Vec<TcpStream> = (0..PEERS).map(|_| subject.server.connect()).collect();
    ask(&mut peers[0], b"lock k 0 60\r\n", b"LOCKED\r\n");
    for (n, peer) in peers.iter_mut().enumerate().skip(1) {
        peer.write_all(format!("lock k 60000 60\r\nincr order 1\r\nset last 0 0 2\r\n{n:02}\r\n").as_bytes()).unwrap();
        eventually("it waits", || (subject.stat("locks_waiting") == n as u64).then_some(()));
    }
    ask(&mut peers[0], b"set order 0 0 1\r\n0\r\nset last 0 0 2\r\n00\r\n", b"STORED\r\nSTORED\r\n");
    for n in 0..PEERS - 1 {
        ask(&mut peers[n], b"get last\r\n", format!("VALUE last 0 2\r\n{n:02}\r\nEND\r\n").as_bytes());
        ask(&mut peers[n], b"unlock k\r\n", b"UNLOCKED\r\n");
        expect(&mut peers[n + 1], format!("LOCKED\r\n{}\r\nSTORED\r\n", n + 1).as_bytes());
    }
    ask(&mut peers[PEERS - 1], b"unlock k\r\nunlock k\r\n", b"UNLOCKED\r\nNOT_FOUND\r\n");
    assert_eq!((subject.stat("locks_held"), subject.stat("lock_waits")), (0, PEERS as u64 - 1));
}

#[test]
fn a_lock_ends_with_its_connection() {
    let subject = start(&["--threads=2"]);
    let last_words: [&[u8]; 4] = [b"quit\r\n", b"", b"set k 0 0 100\r\nhalf", &[b'a'; 3000]];
    for last_word in last_words {
        let mut holder = subject.server.connect();
        ask(&mut holder, b"lock k 60000 60\r\n", b"LOCKED\r\n");
        let mut waiter = subject.server.connect();
        waiter.write_all(b"lock k 60000 60\r\n").unwrap();
        eventually("it waits", || (subject.stat("locks_waiting") == 1).then_some(()));
        holder.write_all(last_word).unwrap();
        drop(holder);
        expect(&mut waiter, b"LOCKED\r\n");
        ask(&mut waiter, b"unlock k\r\n", b"UNLOCKED\r\n");
    }
    // A connection that ends before its turn is skipped, even if its first packet was its last.
    let mut holder = subject.server.connect();
    ask(&mut holder, b"lock k 60000 60\r\n", b"LOCKED\r\n");
    let mut gone = subject.server.connect();
    gone.write_all(b"lock k 60000 60\r\n").unwrap();
    eventually("it waits", || (subject.stat("locks_waiting") == 1).then_some(()));
    drop(gone);
    let mut brief = subject.server.connect();
    brief.write_all(b"lock other 0 60\r\nquit\r\n").unwrap();
    assert_eq!(answer(&mut brief).unwrap(), b"LOCKED\r\n");
    ask(&mut holder, b"unlock k\r\n", b"UNLOCKED\r\n");
    eventually("nothing is locked", || (subject.stat("locks_held") == 0).then_some(()));
}

#[test]
fn a_lock_and_the_wait_for_it_end_at_their_deadlines() {
    let subject = start(&["--threads=2"]);
    let (mut holder, mut first, mut second) =
        (subject.server.connect(), subject.server.connect(), subject.server.connect());
    ask(&mut holder, b"lock k 0 2\r\nset k 0 0 1\r\nv\r\n", b"LOCKED\r\nSTORED\r\n");
    let began = Instant::now();
    // The commands after it wait with it. A worker counts from the beginning of its turn, which may be some time ago.
    ask(&mut first, b"lock k 800 60\r\nget k\r\n", b"TIMEOUT\r\nVALUE k 0 1\r\nv\r\nEND\r\n");
    assert!(began.elapsed() >= Duration::from_millis(300), "after {:?}", began.elapsed());
    ask(&mut first, b"lock k 0 60\r\n", b"TIMEOUT\r\n");
    ask(&mut second, b"lock k 60000 60\r\n", b"LOCKED\r\n");
    assert!(began.elapsed() >= Duration::from_millis(1_500), "after {:?}", began.elapsed());
    ask(&mut holder, b"unlock k\r\n", b"NOT_FOUND\r\n");
    assert_eq!((subject.stat("lock_timeouts"), subject.stat("locks_expired")), (2, 1));
}

#[test]
fn a_late_holder_changes_nothing_with_the_flag_h() {
    let subject = start(&["--threads=2"]);
    let (mut late, mut successor) = (subject.server.connect(), subject.server.connect());
    ask(&mut late, b"lock k 0 1\r\nms k 3 H\r\nold\r\n", b"LOCKED\r\nHD\r\n");
    ask(&mut successor, b"lock k 60000 60\r\n", b"LOCKED\r\n");
    // Before the successor has written, and afterwards.
    let attempts = b"ms k 4 H\r\nlate\r\nmg k T-1 H\r\nmd k H\r\nunlock k\r\n";
    let refused = b"EX\r\nEX\r\nEX\r\nNOT_FOUND\r\n";
    ask(&mut late, attempts, refused);
    ask(&mut successor, b"mg k v\r\nms k 3 H\r\nnew\r\n", b"VA 3\r\nold\r\nHD\r\n");
    ask(&mut late, attempts, refused);
    ask(&mut successor, b"unlock k\r\n", b"UNLOCKED\r\n");
    ask(&mut late, attempts, refused);
    ask(&mut late, b"mg k v\r\n", b"VA 3\r\nnew\r\n");
}

#[test]
fn unlock_all_grants_the_locks_to_the_waiting_connections() {
    let subject = start(&["--threads=2"]);
    let mut holder = subject.server.connect();
    ask(&mut holder, b"lock a 0 60\r\nlock b 0 60\r\nlock c 0 60\r\nlock d 0 0\r\n", &b"LOCKED\r\n".repeat(4));
    let mut waiters: Vec<TcpStream> = (0..3).map(|_| subject.server.connect()).collect();
    for ((waiter, key), waiting) in waiters.iter_mut().zip(["a", "a", "b"]).zip(1..) {
        waiter.write_all(format!("lock {key} 60000 60\r\n").as_bytes()).unwrap();
        eventually("it waits", || (subject.stat("locks_waiting") == waiting).then_some(()));
    }
    ask(&mut holder, b"unlock_all x\r\nunlock_all y\r\nlock c 0 60\r\n", b"UNLOCKED 3 x\r\nUNLOCKED 0 y\r\nLOCKED\r\n");
    expect(&mut waiters[0], b"LOCKED\r\n");
    expect(&mut waiters[2], b"LOCKED\r\n");
    // A connection that waits for a lock releases nothing before it is granted.
    waiters[1].write_all(b"unlock_all z\r\n").unwrap();
    ask(&mut waiters[0], b"unlock_all\r\n", b"UNLOCKED 1\r\n");
    expect(&mut waiters[1], b"LOCKED\r\nUNLOCKED 1 z\r\n");
}

/// What PHP does with a session: lock, read, write, unlock; from many processes at once.
#[test]
fn no_update_is_lost_under_a_lock() {
    const PEERS: usize = 8;
    const ROUNDS: usize = 100;
    let subject = start(&["--threads=4"]);
    ask(&mut subject.server.connect(), b"set n 0 0 1\r\n0\r\n", b"STORED\r\n");
    thread::scope(|scope| {
        for _ in 0..PEERS {
            scope.spawn(|| {
                let mut stream = subject.server.connect();
                for _ in 0..ROUNDS {
                    stream.write_all(b"lock n 60000 60\r\nmg n v\r\n").unwrap();
                    expect(&mut stream, b"LOCKED\r\nVA ");
                    let mut rest = Vec::new();
                    while rest.iter().filter(|&&byte| byte == b'\n').count() < 2 {
                        let mut byte = [0];
                        stream.read_exact(&mut byte).unwrap();
                        rest.push(byte[0]);
                    }
                    let value = String::from_utf8(rest).unwrap();
                    let number: usize = value.lines().nth(1).unwrap().parse().unwrap();
                    let next = (number + 1).to_string();
                    let request = format!("ms n {}\r\n{next}\r\nunlock n\r\n", next.len());
                    ask(&mut stream, request.as_bytes(), b"HD\r\nUNLOCKED\r\n");
                }
            });
        }
    });
    let total = PEERS * ROUNDS;
    let expected = format!("VALUE n 0 {}\r\n{total}\r\nEND\r\n", total.to_string().len());
    ask(&mut subject.server.connect(), b"get n\r\n", expected.as_bytes());
}
