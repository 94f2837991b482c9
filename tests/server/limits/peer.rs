//! A client that ends each of its connections with a reset, and measures.

#![allow(clippy::unwrap_used)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::server::{self, AMPLE, Address};

/// Opens a socket that resets when it is closed, so that it does not enter TIME_WAIT: thousands would use up the ports. A
/// Unix socket has no such state.
pub(crate) fn socket(address: Address) -> io::Result<Socket> {
    let domain = match address {
        Address::Tcp(_) => Domain::IPV4,
        Address::Unix(_) => Domain::UNIX,
    };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.set_linger(Some(Duration::ZERO))?;
    Ok(socket)
}

/// The address in the form that a socket takes.
pub(crate) fn socket_address(address: Address) -> SockAddr {
    match address {
        Address::Tcp(address) => SockAddr::from(address),
        Address::Unix(path) => SockAddr::unix(path).unwrap(),
    }
}

pub(crate) fn connect(address: Address) -> TcpStream {
    connected(socket(address).unwrap(), address)
}

/// Connects from one of several addresses of this host. The kernel takes long to find a port for one of many
/// connections between the same two addresses, which would be counted as the server's time.
pub(crate) fn connect_from(source: u8, address: Address) -> TcpStream {
    let socket = socket(address).unwrap();
    if let Address::Tcp(_) = address {
        socket.bind(&SocketAddr::from(([127, 0, 1, source], 0)).into()).unwrap();
    }
    connected(socket, address)
}

/// Opens a connection that buffers almost nothing that is not read. With small packets the server's kernel also buffers
/// no more than for a remote peer; for the loopback interface it would buffer megabytes. What a Unix socket buffers is
/// limited by the server's end only, to a few hundred kilobytes.
pub(crate) fn connect_with_little_room(address: Address) -> TcpStream {
    let socket = socket(address).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    if let Address::Tcp(_) = address {
        socket.set_tcp_mss(536).unwrap();
    }
    connected(socket, address)
}

fn connected(socket: Socket, address: Address) -> TcpStream {
    socket.connect(&socket_address(address)).unwrap();
    stream_of(socket, address)
}

/// A stream of the standard library, which may be a Unix socket too.
pub(crate) fn stream_of(socket: Socket, address: Address) -> TcpStream {
    let stream = TcpStream::from(socket);
    if let Address::Tcp(_) = address {
        stream.set_nodelay(true).unwrap();
    }
    stream.set_read_timeout(Some(AMPLE)).unwrap();
    stream.set_write_timeout(Some(AMPLE)).unwrap();
    stream
}

/// Sends `request` and returns the response up to the end of the connection.
pub(crate) fn ask(address: Address, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = connect(address);
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

pub(crate) fn store(address: Address, key: &[u8], value: &[u8]) {
    let answer = ask(address, &server::store(key, value)).unwrap();
    assert!(answer == b"OK\n", "a store of {} bytes was refused", value.len());
}

pub(crate) fn fetch(address: Address, key: &[u8]) -> Vec<u8> {
    ask(address, &server::fetch(key)).unwrap()
}

/// Returns true if the pair was there.
pub(crate) fn delete(address: Address, key: &[u8]) -> bool {
    ask(address, &server::delete(key)).unwrap() == b"OK\n"
}

/// Returns true if the error means that the server has closed the connection.
pub(crate) fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

/// Returns true if the server has closed `stream`, which has no unread bytes.
pub(crate) fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    match peeked {
        Ok(len) => len == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// The latency of single requests, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
}

impl Latency {
    /// Measures requests for `key`, whose pair exists.
    pub(crate) fn of_fetches(address: Address, key: &[u8]) -> Latency {
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

    /// Returns true if requests take about as long as in `calm`. Tolerates other programs that use the machine
    /// meanwhile.
    pub(crate) fn is_like(&self, calm: &Latency) -> bool {
        self.median <= 4 * calm.median + Duration::from_millis(2)
    }
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} µs (p99 {})", self.median.as_micros(), self.p99.as_micros())
    }
}
