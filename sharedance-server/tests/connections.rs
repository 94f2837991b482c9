//! Connections of the classic dialect, beyond what a transcript can express: time, memory and descriptors, for slow and
//! hostile peers.

// A test panics when it cannot continue.
#![allow(clippy::unwrap_used)]

use sharedance_test_support::server;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use server::{Server, answer, command, delete, eventually, fetch, shut_down, store, store_header};

#[test]
fn values_of_every_size_are_returned_complete() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let key = b"of every size";
    let header_len = store(key, b"").len();
    let around_the_read_buffer = 4096 - header_len - 2..4096 - header_len + 3;
    let sizes = [1, 2048, 65_536, 1_000_000, 2_097_152, 2_097_153, 9_000_000, 32 * 1024 * 1024 - header_len];
    for size in around_the_read_buffer.chain(sizes) {
        let value: Vec<u8> = (0..size).map(|n| (n * 31 + n / 251) as u8).collect();
        assert_eq!(server.ask(&store(key, &value)), b"OK\n", "{size} bytes");
        assert!(server.ask(&fetch(key)) == value, "{size} bytes");
    }
    assert_eq!(server.ask(&delete(key)), b"OK\n");
    assert_eq!(server.ask(&fetch(key)), b"");
}

#[test]
fn bytes_after_a_request_do_not_cut_off_its_response() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--threads=1"]);
    let value = vec![b'v'; 20_000_000];
    server.ask(&store(b"k", &value));

    let mut stream = server.connect();
    stream.write_all(&fetch(b"k")).unwrap();
    // The response exceeds the socket buffers, so the server is still sending it when it has processed the request.
    server.settle();
    stream.write_all(b"and more").unwrap();
    let mut received = vec![0; value.len()];
    stream.read_exact(&mut received).unwrap();
    assert!(received == value);
    shut_down(&stream);
    assert_eq!(answer(&mut stream).unwrap(), b"");
}

#[test]
fn an_incomplete_value_ends_with_a_reset() {
    let directory = tempfile::tempdir().unwrap();
    for cut in ["by a crash", "by the end of the server", "by the timeout"] {
        let server = Server::start(directory.path(), &["--threads=1", "--timeout=1"]);
        server.ask(&store(b"k", &vec![b'v'; 20_000_000]));
        let mut stream = server.connect();
        stream.write_all(&fetch(b"k")).unwrap();
        server.settle();
        match cut {
            "by a crash" => server.kill(),
            "by the end of the server" => assert!(server.terminate().0.success()),
            _ => eventually("the timeout", || {
                let waiting = |line: &String| line.contains("too slow");
                server.log().iter().any(waiting).then_some(())
            }),
        }
        let end = answer(&mut stream).map(|answer| answer.len());
        assert!(end.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "{cut}: {end:?}");
    }
}

/// An orderly end would mean that the pair is not there.
#[test]
fn an_undecided_request_ends_with_a_reset() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--threads=1"]);
    let (mut silent, mut half_way) = (server.connect(), server.connect());
    half_way.write_all(&fetch(b"k")[..3]).unwrap();
    server.settle();
    assert!(server.terminate().0.success());
    for peer in [&mut silent, &mut half_way] {
        let end = answer(peer).map(|answer| answer.len());
        assert!(end.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "{end:?}");
    }
}

#[test]
fn ipv4_and_ipv6_are_served_by_default() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(server::program());
    command.args(["--debug", "--port=0", "--directory"]).arg(directory.path());
    let server = Server::spawn(&mut command).unwrap();
    let store = store(b"over IPv4", b"value");
    let mut ipv4 = TcpStream::connect((Ipv4Addr::LOCALHOST, server.address().port())).unwrap();
    ipv4.write_all(&store).unwrap();
    assert_eq!(answer(&mut ipv4).unwrap(), b"OK\n");
    if Path::new("/proc/net/if_inet6").exists() {
        let mut ipv6 = TcpStream::connect((Ipv6Addr::LOCALHOST, server.address().port())).unwrap();
        ipv6.write_all(&fetch(b"over IPv4")).unwrap();
        assert_eq!(answer(&mut ipv6).unwrap(), b"value");
    }
}

/// Returns true if the server has closed or responded within `timeout`.
fn ended_within(stream: &mut TcpStream, timeout: Duration) -> bool {
    stream.set_read_timeout(Some(timeout)).unwrap();
    !matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn an_idle_connection_is_closed_at_its_timeout_and_not_earlier() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--timeout=1"]);
    let began = Instant::now();
    let mut silent = server.connect();
    let mut halfway = server.connect();
    halfway.write_all(&store_header(b"key", 1000)).unwrap();
    for stream in [&mut silent, &mut halfway] {
        assert_eq!(answer(stream).unwrap(), b"");
        assert!(began.elapsed() >= Duration::from_secs(1), "after {:?}", began.elapsed());
    }
}

#[test]
fn pauses_within_a_request_are_allowed_up_to_its_total_deadline() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--timeout=1"]);
    let began = Instant::now();
    let mut slow = server.connect();
    let request = store(b"slow", b"value");
    let mut never_ending = server.connect();
    never_ending.write_all(&store_header(b"never-ending", 30_000_000)).unwrap();
    for piece in request.chunks(request.len() / 3) {
        assert!(!ended_within(&mut never_ending, Duration::from_millis(500)), "after {:?}", began.elapsed());
        slow.write_all(piece).unwrap();
        never_ending.write_all(b"x").unwrap();
    }
    assert_eq!(answer(&mut slow).unwrap(), b"OK\n");

    let ended = eventually("the end of an endless request", || {
        let ended = ended_within(&mut never_ending, Duration::from_millis(300));
        (ended || never_ending.write_all(b"x").is_err()).then(|| began.elapsed())
    });
    assert!(ended >= Duration::from_secs(3), "after {ended:?}");
}

#[test]
fn an_announced_length_takes_no_memory() {
    const PEERS: usize = 200;
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--threads=1"]);
    server.settle();
    let before = server.status_kb("RssAnon");
    let announcing: Vec<TcpStream> = (0..PEERS)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(&store_header(b"announced", 30_000_000)).unwrap();
            stream
        })
        .collect();
    server.settle();
    let taken = server.status_kb("RssAnon").saturating_sub(before);
    assert!(taken <= 4 * PEERS, "{taken} kB for {} peers", announcing.len());
}

#[test]
fn stalled_uploads_stay_within_the_budget_and_small_requests_are_served() {
    const PEERS: usize = 12;
    const UPLOAD_LEN: usize = 4_000_000;
    const BUDGET_LEN: usize = 16_000_000;
    let directory = tempfile::tempdir().unwrap();
    let budget = format!("--inflight={BUDGET_LEN}");
    let server = Server::start(directory.path(), &["--maxreadsize=5000000", &budget]);
    server.settle();
    let before = server.status_kb("RssAnon");
    let most_of_it = [&store_header(b"stalled", UPLOAD_LEN)[..], &vec![b'x'; UPLOAD_LEN - 1]].concat();
    let mut stalled: Vec<TcpStream> = (0..PEERS)
        .map(|_| {
            let mut stream = server.connect();
            // Uploads beyond the budget are closed while they send.
            let _ = stream.write_all(&most_of_it);
            stream
        })
        .collect();
    eventually("a refusal", || server.log().iter().any(|line| line.contains("--inflight")).then_some(()));

    // A request in several pieces needs a buffer too.
    let small = store(b"small", &[b's'; 3000]);
    let mut stream = server.connect();
    for piece in small.chunks(1000) {
        stream.write_all(piece).unwrap();
    }
    assert_eq!(answer(&mut stream).unwrap(), b"OK\n");
    let taken = server.status_kb("RssAnon").saturating_sub(before);
    assert!(taken <= BUDGET_LEN / 1000 + 2000, "{taken} kB");

    let held = stalled.iter_mut().filter_map(|stream| {
        stream.write_all(b"x").ok()?;
        answer(stream).ok().filter(|answer| answer == b"OK\n")
    });
    let held = held.count();
    // As many as fit at once, and any that a slow server started to read only after those had ended.
    assert!((2..PEERS).contains(&held), "{held} uploads were held");
    drop(stalled);
    eventually("the memory is freed", || (server.status_kb("RssAnon") < before + 2000).then_some(()));
}

#[test]
fn stalled_readers_of_big_values_take_no_memory() {
    const PEERS: usize = 10;
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--threads=1"]);
    let value: Vec<u8> = (0..30_000_000_u32).map(|n| (n % 253) as u8).collect();
    server.ask(&store(b"big", &value));
    let before = server.status_kb("RssAnon");
    let mut stalled: Vec<TcpStream> = (0..PEERS)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(&fetch(b"big")).unwrap();
            stream
        })
        .collect();
    server.settle();
    let taken = server.status_kb("RssAnon").saturating_sub(before);
    assert!(taken <= 100 * PEERS, "{taken} kB");

    // The readers get the value that they requested, although it was deleted meanwhile.
    server.ask(&delete(b"big"));
    assert!(answer(&mut stalled[0]).unwrap() == value);
}

#[test]
fn without_descriptors_peers_are_refused_and_served_once_some_are_free() {
    const LIMIT: usize = 64;
    let directory = tempfile::tempdir().unwrap();
    let mut limited = Command::new("sh");
    let program = command(directory.path());
    limited.args(["-c", &format!("ulimit -n {LIMIT}; exec \"$0\" \"$@\"")]);
    limited.arg0("sh").arg(program.get_program()).args(program.get_args());
    let server = Server::spawn(&mut limited).unwrap();

    let peers: Vec<TcpStream> = (0..2 * LIMIT).map(|_| server.connect()).collect();
    eventually("a refusal", || {
        let refusals = server.log().iter().filter(|line| line.contains("refusing connections")).count();
        assert!(refusals <= 1, "said {refusals} times");
        (refusals == 1).then_some(())
    });
    // Every peer is either served or refused; none is left waiting.
    eventually("the refusals", || (peers.iter().filter(|peer| is_closed(peer)).count() > LIMIT).then_some(()));
    // A request that has already arrived needs no place in the queue.
    let stored_at_once = || {
        let mut stream = server.connect();
        stream.write_all(&store(b"k", b"v")).ok()?;
        answer(&mut stream).ok().filter(|answer| answer == b"OK\n")
    };
    eventually("service of a request that has already arrived", stored_at_once);
    drop(peers);
    eventually("service of a request that arrives late", || {
        let mut stream = server.connect();
        stored_at_once()?;
        stream.write_all(&fetch(b"k")).ok()?;
        answer(&mut stream).ok().filter(|answer| answer == b"v")
    });
}

#[test]
fn a_descriptor_limit_lowered_at_run_time_is_survived() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--threads=1"]);
    server.settle();
    let open = server.descriptors();
    let limit_to = |current: usize| {
        let limit = Rlimit { current: Some(current as u64), ..getrlimit(Resource::Nofile) };
        prlimit(Some(Pid::from_raw(server.pid() as i32).unwrap()), Resource::Nofile, limit).unwrap();
    };
    limit_to(open + 4);
    let peers: Vec<TcpStream> = (0..40).map(|_| server.connect()).collect();
    // The store may have had a file open when the descriptors were counted.
    eventually("the refusals", || (peers.iter().filter(|peer| is_closed(peer)).count() >= 30).then_some(()));
    eventually("the log line", || {
        let said = server.log().iter().filter(|line| line.contains("refusing connections")).count();
        assert!(said <= 1, "said {said} times");
        (said == 1).then_some(())
    });

    // A connection that ends makes room for a new one.
    let held: Vec<TcpStream> = peers.into_iter().filter(|peer| !is_closed(peer)).collect();
    drop(held);
    server.settle();
    limit_to(open + 100);
    assert_eq!(server.ask(&store(b"k", b"v")), b"OK\n");
}

/// Returns true if the server has closed the peer's connection.
fn is_closed(peer: &TcpStream) -> bool {
    peer.set_nonblocking(true).unwrap();
    !matches!(peer.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn urgent_data_is_ordinary_data_and_causes_no_busy_loop() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--threads=1"]);
    let mut stream = server.connect();
    let request = store(b"urgent", b"value");
    for &byte in &request[..request.len() - 1] {
        socket2::SockRef::from(&stream).send_out_of_band(&[byte]).unwrap();
        server.settle();
    }
    let before = cpu_time(&server);
    let silent = Instant::now();
    assert!(!ended_within(&mut stream, Duration::from_millis(300)));
    let share = (cpu_time(&server) - before).as_secs_f64() / silent.elapsed().as_secs_f64();
    assert!(share < 0.5, "{share:.2} of a core while nothing happens");

    stream.write_all(&request[request.len() - 1..]).unwrap();
    stream.set_read_timeout(Some(server::AMPLE)).unwrap();
    assert_eq!(answer(&mut stream).unwrap(), b"OK\n");
}

/// Returns the CPU time of all threads of the server.
fn cpu_time(server: &Server) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let nanos = tasks.map(|task| {
        let schedstat = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        schedstat.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(nanos.sum())
}

#[test]
fn reset_connections_leak_no_descriptors() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--threads=1"]);
    server.settle();
    let before = server.descriptors();
    for n in 0..500 {
        let stream = server.connect();
        if n % 2 == 0 {
            (&stream).write_all(b"F").unwrap();
        }
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    server.settle();
    eventually("all descriptors closed", || (server.descriptors() <= before).then_some(()));
}
