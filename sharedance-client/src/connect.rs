//! Opens connections: tries the addresses of a server in turn, up to a deadline. Blocks the calling thread.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::address::Address;
use crate::error::{Attempt, Attempts, Error, Phase};

/// Returns a blocking socket that is connected to the server.
pub(crate) fn connect(address: &Address, timeout: Duration) -> Result<Socket, Error> {
    let started = Instant::now();
    let server = || address.to_string();
    let connected = match address {
        Address::Tcp { host, port } | Address::Tls { host, port } => {
            let resolved = (host.as_str(), *port).to_socket_addrs();
            let addresses: Vec<SocketAddr> =
                resolved.map_err(|source| Error::Unresolved { server: server(), source: source.into() })?.collect();
            connect_in_turn(&addresses, timeout)
        }
        Address::Unix { path } => connect_unix(path, timeout),
    };
    connected.map_err(|attempts| failed(address, attempts, started.elapsed()))
}

/// The error for a server if no connection to any of its addresses succeeded.
pub(crate) fn failed(address: &Address, attempts: Attempts, after: Duration) -> Error {
    let server = address.to_string();
    match attempts.all_timed_out() {
        true => Error::TimedOut { server, phase: Phase::Connect, after },
        false => Error::Unreachable { server, source: attempts },
    }
}

/// Connects to the first address that accepts. Each attempt has an equal part of the time that is left.
fn connect_in_turn(addresses: &[SocketAddr], timeout: Duration) -> Result<Socket, Attempts> {
    let deadline = Instant::now() + timeout;
    let mut attempts = Vec::with_capacity(addresses.len());
    for (index, &address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - index) as u32;
        match connect_tcp(address, share) {
            Ok(socket) => return Ok(socket),
            Err(error) => attempts.push(Attempt { address: address.to_string(), error: error.into() }),
        }
    }
    Err(Attempts(attempts))
}

fn connect_tcp(address: SocketAddr, timeout: Duration) -> io::Result<Socket> {
    if timeout.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.connect_timeout(&address.into(), timeout)?;
    prepare(&socket, address)?;
    Ok(socket)
}

/// Configures a socket that has just been connected.
pub(crate) fn prepare(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if is_its_own_peer(socket, address)? {
        return Err(ErrorKind::ConnectionRefused.into());
    }
    // The last segment of a large request must not wait for the acknowledgement of the one before it.
    socket.set_tcp_nodelay(true)
}

/// Whether the socket is connected to itself. This happens on the server's own host when no server is listening and the
/// system chooses the server's port as the client's port: every request would be its own response.
fn is_its_own_peer(socket: &Socket, address: SocketAddr) -> io::Result<bool> {
    Ok(socket.local_addr()?.as_socket() == Some(address))
}

fn connect_unix(path: &Path, timeout: Duration) -> Result<Socket, Attempts> {
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // While the server's backlog is full, connecting waits up to the send timeout.
        socket.set_write_timeout(Some(timeout))?;
        socket.connect(&SockAddr::unix(path)?)?;
        Ok(socket)
    };
    connect().map_err(|error: io::Error| {
        let error = match error.kind() {
            ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
            _ => error,
        };
        Attempts(vec![Attempt { address: format!("unix:{}", path.display()), error: error.into() }])
    })
}

/// Whether the error of a system call means that the peer has closed the connection.
pub(crate) fn is_closed_by_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe | ErrorKind::NotConnected
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    const AMPLE: Duration = Duration::from_secs(60);

    /// An address without a listener: the port is bound to a socket that does not accept.
    fn refusing() -> (Socket, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        (socket, address)
    }

    fn listening() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// An address that does not respond to connection attempts: its backlog is full.
    #[cfg(target_os = "linux")]
    fn swallowing() -> (Socket, Vec<TcpStream>, SocketAddr) {
        let (socket, address) = refusing();
        socket.listen(0).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            waiting.push(stream);
        }
        (socket, waiting, address)
    }

    #[test]
    fn the_next_address_is_tried_when_one_refuses() {
        let ((_closed, closed), (_listener, open)) = (refusing(), listening());
        let socket = connect_in_turn(&[closed, closed, open], AMPLE).unwrap();
        assert_eq!(socket.peer_addr().unwrap().as_socket(), Some(open));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_socket_that_is_connected_to_itself_is_recognised() {
        let (socket, address) = refusing();
        socket.connect(&address.into()).unwrap();
        assert!(is_its_own_peer(&socket, address).unwrap());

        let (_listener, open) = listening();
        let socket = connect_tcp(open, AMPLE).unwrap();
        assert!(!is_its_own_peer(&socket, open).unwrap());
    }

    #[test]
    fn every_address_that_was_tried_is_reported() {
        let ((_a, first), (_b, second)) = (refusing(), refusing());
        let attempts = connect_in_turn(&[first, second], AMPLE).unwrap_err();
        let addresses: Vec<_> = attempts.iter().map(|attempt| attempt.address.clone()).collect();
        assert_eq!(addresses, [first.to_string(), second.to_string()]);
        assert!(!attempts.all_timed_out());
        for address in [first, second] {
            assert!(attempts.to_string().contains(&address.to_string()));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_unresponsive_address_leaves_time_for_the_next() {
        let ((_full, _waiting, full), (_listener, open)) = (swallowing(), listening());
        let started = Instant::now();
        let socket = connect_in_turn(&[full, open], Duration::from_secs(2)).unwrap();
        assert_eq!(socket.peer_addr().unwrap().as_socket(), Some(open));
        assert!(started.elapsed() >= Duration::from_millis(900));

        let attempts = connect_in_turn(&[full, full], Duration::from_millis(20)).unwrap_err();
        assert!(attempts.all_timed_out());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_unanswered_connection_attempt_times_out() {
        let (_full, _waiting, full) = swallowing();
        let address = Address::Tcp { host: full.ip().to_string(), port: full.port() };
        let timeout = Duration::from_millis(30);
        match connect(&address, timeout) {
            Err(Error::TimedOut { phase: Phase::Connect, after, .. }) => assert!(after >= timeout / 2),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("connected"),
        }
    }
}
