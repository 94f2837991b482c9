//! Many connections: idle, opened at once, opened and reset.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use socket2::Socket;

use crate::peer::{self, Latency};
use crate::process::wait_until;
use crate::report::{Report, bytes};
use crate::server::Address;
use crate::{Subject, descriptor_limit, server};

/// Descriptors that the server reserves, and those that this process and the server have open otherwise.
const OTHER_DESCRIPTORS: usize = 1024 + 200;

/// Memory that may remain after a connection storm, because the allocator keeps it for the next one.
const REMAINDER_LEN: usize = 4 * 1000 * 1000;

/// If the backlog overflows, the kernel may send SYN cookies and forget the connection, while the client assumes that
/// it is connected until it sends something. Clients that send nothing therefore need a server whose backlog does not
/// overflow.
pub(crate) const LARGE_BACKLOG: &str = "--backlog=4096";

/// Connections that send nothing.
pub(crate) fn idle(report: &mut Report) {
    keep_idle(report, "15 000 idle connections", |_| {});
}

/// Connections of the memcached dialect that are idle between requests.
pub(crate) fn resting(report: &mut Report) {
    keep_idle(report, "15 000 connections between requests", |stream| {
        stream.write_all(b"set idle 0 0 2\r\nno\r\nget idle\r\n").unwrap();
        let mut answer = [0; b"STORED\r\nVALUE idle 0 2\r\nno\r\nEND\r\n".len()];
        stream.read_exact(&mut answer).unwrap();
    });
}

fn keep_idle(report: &mut Report, what: &str, greet: impl Fn(&mut TcpStream)) {
    const CONNECTIONS: usize = 15_000;
    const GOAL_LEN: usize = 512;
    if descriptor_limit() < CONNECTIONS + OTHER_DESCRIPTORS {
        return report.skip(what, "the limit on open files is too low");
    }
    let subject = Subject::start(&[LARGE_BACKLOG]);
    let (address, process) = (subject.address(), subject.process());
    peer::store(address, b"others", &[7; 2048]);
    let calm = Latency::of_fetches(address, b"others");
    let (descriptors, memory) = (subject.server.descriptors(), process.anonymous_len());

    let mut idle: Vec<TcpStream> = (0..CONNECTIONS).map(|n| peer::connect_from((n % 200) as u8 + 1, address)).collect();
    idle.iter_mut().for_each(greet);
    // The server may have closed the connection of the last fetch only after its descriptors were counted.
    wait_until("all connections are accepted", || subject.server.descriptors() + 1 >= descriptors + CONNECTIONS);
    let each = process.anonymous_len().saturating_sub(memory) / CONNECTIONS;
    report.note(&format!("{what}: memory each"), bytes(each), "≤ 512 B", each <= GOAL_LEN);
    assert!(each <= GOAL_LEN, "{each} bytes for each idle connection");

    let share = process.cpu_share(Duration::from_secs(1));
    let percent = format!("{:.2} % of a core", share * 100.0);
    report.note("    their CPU while idle", percent, "none (≤ 0.5 %)", share <= 0.005);
    assert!(share <= 0.1, "idle connections cost {share} of a core");
    report.note_others("    latency of others, before → with them", &calm, &Latency::of_fetches(address, b"others"));

    drop(idle);
    wait_until("all connections are closed", || subject.server.descriptors() <= descriptors);
    let left = process.anonymous_len().saturating_sub(memory);
    report.note("    memory not freed", bytes(left), "≤ 4 MB", left <= REMAINDER_LEN);
    assert!(left <= CONNECTIONS * GOAL_LEN);
    subject.end();
}

pub(crate) fn opening_at_once(report: &mut Report) {
    const CONNECTIONS: usize = 4_000;
    if descriptor_limit() < CONNECTIONS + OTHER_DESCRIPTORS {
        return report.skip("opening 4 000 connections at once", "the limit on open files is too low");
    }
    let subject = Subject::start(&[]);
    let address = subject.address();
    peer::store(address, b"wanted", b"a value");
    let request = server::fetch(b"wanted");

    let started = Instant::now();
    let sockets: Vec<Socket> = (0..CONNECTIONS).map(|_| begin_connecting(address)).collect();
    let mut streams: Vec<TcpStream> = sockets.into_iter().map(finish_connecting).collect();
    let opened = started.elapsed();
    for stream in &mut streams {
        stream.write_all(&request).unwrap();
    }
    for stream in &mut streams {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"a value");
    }
    let served = started.elapsed();

    let seconds = |span: Duration| format!("{:.2} s", span.as_secs_f64());
    let goal = Duration::from_millis(1200);
    report.note("opening 4 000 connections at once", seconds(opened), "≤ 1.2 s", opened <= goal);
    report.note("    until all are served", seconds(served), "", true);
    assert!(served < Duration::from_secs(30), "{served:?}");
    subject.end();
}

fn begin_connecting(address: Address) -> Socket {
    let socket = peer::socket(address).unwrap();
    socket.set_nonblocking(true).unwrap();
    match socket.connect(&peer::socket_address(address)) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
        Err(error) => panic!("cannot connect: {error}"),
    }
    socket
}

fn finish_connecting(socket: Socket) -> TcpStream {
    poll(&mut [PollFd::new(&socket, PollFlags::OUT)], None).unwrap();
    assert!(socket.take_error().unwrap().is_none());
    socket.set_nonblocking(false).unwrap();
    socket.into()
}

pub(crate) fn churn(report: &mut Report) {
    const CONNECTIONS: usize = 20_000;
    // If the backlog is full, a client waits for a second.
    let subject = Subject::start(&[LARGE_BACKLOG]);
    let (address, process) = (subject.address(), subject.process());
    peer::store(address, b"wanted", b"a value");
    // The first storm fills the memory that the allocator keeps for the next one.
    connect_and_reset(CONNECTIONS, address);
    peer::fetch(address, b"wanted");
    let (descriptors, memory) = (subject.server.descriptors(), process.anonymous_len());
    let (started, cpu) = (Instant::now(), process.cpu());
    connect_and_reset(CONNECTIONS, address);
    assert_eq!(peer::fetch(address, b"wanted"), b"a value");
    let rate = CONNECTIONS as f64 / started.elapsed().as_secs_f64();
    wait_until("all connections are closed", || subject.server.descriptors() <= descriptors);

    report.note("20 000 connects and resets", format!("{rate:.0}/s"), "≥ 20 000/s", rate >= 20_000.0);
    let cpu = (process.cpu() - cpu).as_secs_f64() * 1e6 / CONNECTIONS as f64;
    report.note("    CPU of the server for each", format!("{cpu:.1} µs"), "≤ 50 µs", cpu <= 50.0);
    let grown = process.anonymous_len().saturating_sub(memory);
    report.note("    memory not freed", bytes(grown), "none (≤ 1 MB)", grown <= 1_000_000);
    assert!(grown <= REMAINDER_LEN, "20 000 connects and resets do not free {grown} bytes");
    subject.end();
}

fn connect_and_reset(count: usize, address: Address) {
    // A connection that finds the backlog full waits for a second before its next try; the others continue meanwhile.
    const CLIENTS: usize = 4;
    let connect = move |number: usize| {
        let socket = peer::socket(address).unwrap();
        socket.connect(&peer::socket_address(address)).unwrap();
        // Some connections have sent something before they end.
        if number.is_multiple_of(4) {
            let sent = (&socket).write(&b"S\0\0\0\x05\0\0\0\x05begun"[..number % 15]);
            assert!(sent.as_ref().err().is_none_or(peer::is_end), "{sent:?}");
        }
    };
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || (client..count).step_by(CLIENTS).for_each(connect));
        }
    });
}
