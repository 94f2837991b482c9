//! A client that ends each of its connections with a reset, and measures.

#![allow(clippy::unwrap_used)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::server::{self, AMPLE};

/// A socket that leaves no trace when it is closed (it resets): thousands in TIME_WAIT would use up the ports.
pub(crate) fn socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_linger(Some(Duration::ZERO))?;
    Ok(socket)
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    connected(socket().unwrap(), address)
}

/// A connection from one of several addresses of this host. To find a port for one of many connections between the same
/// two addresses takes the kernel long, and would be taken for the server's slowness.
pub(crate) fn connect_from(source: u8, address: SocketAddr) -> TcpStream {
    let socket = socket().unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 1, source], 0)).into()).unwrap();
    connected(socket, address)
}

/// A connection that takes in next to nothing that is not read. With small packets the server's system, too, takes no
/// more than a distant peer could be sent; for the loopback's own it takes megabytes.
pub(crate) fn connect_with_little_room(address: SocketAddr) -> TcpStream {
    let socket = socket().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_tcp_mss(536).unwrap();
    connected(socket, address)
}

fn connected(socket: Socket, address: SocketAddr) -> TcpStream {
    socket.connect(&SockAddr::from(address)).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(AMPLE)).unwrap();
    stream.set_write_timeout(Some(AMPLE)).unwrap();
    stream
}

/// The answer to `request`, up to the end of the connection.
pub(crate) fn ask(address: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = connect(address);
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

pub(crate) fn store(address: SocketAddr, key: &[u8], value: &[u8]) {
    let answer = ask(address, &server::store(key, value)).unwrap();
    assert!(answer == b"OK\n", "a store of {} bytes was refused", value.len());
}

pub(crate) fn fetch(address: SocketAddr, key: &[u8]) -> Vec<u8> {
    ask(address, &server::fetch(key)).unwrap()
}

/// Whether the pair was there.
pub(crate) fn delete(address: SocketAddr, key: &[u8]) -> bool {
    ask(address, &server::delete(key)).unwrap() == b"OK\n"
}

/// Whether the error says that the server has closed.
pub(crate) fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

/// Whether the server has closed `stream`, which has nothing to read.
pub(crate) fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    match peeked {
        Ok(len) => len == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// How long single requests take, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
}

impl Latency {
    /// Of requests for `key`, which is there.
    pub(crate) fn of_fetches(address: SocketAddr, key: &[u8]) -> Latency {
        const REQUESTS: usize = 400;
        let request = server::fetch(key);
        let mut samples: Vec<Duration> = (0..REQUESTS)
            .map(|_| {
                let started = Instant::now();
                assert!(!ask(address, &request).unwrap().is_empty());
                started.elapsed()
            })
            .collect();
        samples.sort();
        Latency { median: samples[REQUESTS / 2], p99: samples[REQUESTS * 99 / 100] }
    }

    /// Whether requests take about as long as when they took `calm`: what another program does to the machine
    /// meanwhile is forgiven.
    pub(crate) fn is_like(&self, calm: &Latency) -> bool {
        self.median <= 4 * calm.median + Duration::from_millis(2)
    }
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} µs (p99 {})", self.median.as_micros(), self.p99.as_micros())
    }
}
