//! Listening on TCP ports.
//!
//! Each worker has its own sockets on the same addresses (`SO_REUSEPORT`). The kernel distributes the connections among
//! them, so that one connection wakes one worker. The first socket on an address is bound without that option: this fails
//! if another server has the port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use log::warn;
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::error::BindError;
use super::listener::Listener;
use super::options::ListenerOptions;

/// How many sockets listen on an address for each worker. Each has its own backlog, and a connection that finds it full
/// tries again after a second at the earliest. A burst of clients fills the usual backlog of 100 within one or two
/// milliseconds, which is about as long as it may take until the worker runs.
pub(super) const SOCKETS_PER_WORKER: usize = 4;

/// Listens for `workers` workers on `host`; `None` is any address, IPv4 and IPv6. Returns for each worker the sockets on
/// each address of `host`. With port 0 the kernel chooses one port for all.
pub(super) fn listen(
    host: Option<&str>,
    port: u16,
    options: ListenerOptions,
    backlog: i32,
    workers: usize,
) -> Result<Vec<Vec<Listener>>, BindError> {
    let candidates = match host {
        Some(host) => resolve(host, port)?,
        None => vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()],
    };
    let mut per_worker: Vec<Vec<Listener>> = (0..workers).map(|_| Vec::new()).collect();
    let mut port = port;
    let mut missing = Vec::new();
    for mut address in candidates {
        address.set_port(port);
        match listen_on(address, options, backlog, workers * SOCKETS_PER_WORKER, Presence::Required) {
            Ok(sockets) => {
                distribute(sockets, &mut per_worker);
                port = local_addr(&per_worker).map_or(port, |bound| bound.port());
                if host.is_none() {
                    // The socket serves both families; the second candidate is for hosts without IPv6.
                    break;
                }
            }
            // A name may have an address of a family or an interface that this host does not have.
            Err(source) if is_missing(&source) => missing.push(address),
            Err(source) => return Err(BindError::Listen { address, source }),
        }
    }
    if per_worker.iter().any(|sockets| !sockets.is_empty()) {
        return Ok(per_worker);
    }
    // An address may appear seconds after boot, or when another host fails.
    let mut refused = None;
    for mut address in missing {
        address.set_port(port);
        match listen_on(address, options, backlog, workers * SOCKETS_PER_WORKER, Presence::Expected) {
            Ok(sockets) => {
                distribute(sockets, &mut per_worker);
                port = local_addr(&per_worker).map_or(port, |bound| bound.port());
                let ip = address.ip();
                warn!("{ip} is not an address of this host; connections are accepted as soon as it is one");
            }
            Err(source) => refused = Some(BindError::Listen { address, source }),
        }
    }
    match refused {
        Some(error) if per_worker.iter().all(Vec::is_empty) => Err(error),
        _ => Ok(per_worker),
    }
}

/// Gives each worker its share of the sockets on an address.
fn distribute(mut sockets: Vec<Listener>, per_worker: &mut [Vec<Listener>]) {
    for worker in per_worker {
        worker.extend(sockets.drain(..SOCKETS_PER_WORKER));
    }
}

/// The address of the first socket.
fn local_addr(per_worker: &[Vec<Listener>]) -> Option<SocketAddr> {
    per_worker.first()?.first()?.local_addr().ok()
}

fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, BindError> {
    // An IPv6 address may have brackets, as in a URL.
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let failed = |source| BindError::Resolve { host: host.to_owned(), source };
    let mut addresses: Vec<_> = (bare, port).to_socket_addrs().map_err(failed)?.collect();
    addresses.sort();
    addresses.dedup();
    match addresses.is_empty() {
        true => Err(failed(io::Error::other("it has no address"))),
        false => Ok(addresses),
    }
}

fn is_missing(error: &io::Error) -> bool {
    let missing = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL];
    missing.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Whether an address must be one of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Required,
    /// The address may become one later (`IP_FREEBIND`).
    Expected,
}

fn listen_on(
    mut address: SocketAddr,
    options: ListenerOptions,
    backlog: i32,
    count: usize,
    presence: Presence,
) -> io::Result<Vec<Listener>> {
    let first = open(address, presence)?;
    first.bind(&SockAddr::from(address))?;
    first.set_reuse_port(true)?;
    let first = Listener::of_worker(first, options);
    address.set_port(first.local_addr()?.port());

    let mut listeners = vec![first];
    while listeners.len() < count {
        let socket = open(address, presence)?;
        socket.set_reuse_port(true)?;
        socket.bind(&SockAddr::from(address))?;
        listeners.push(Listener::of_worker(socket, options));
    }
    // Only now, so that no client connects to a server that then fails to start.
    for listener in &listeners {
        listener.start(backlog)?;
    }
    Ok(listeners)
}

fn open(address: SocketAddr, presence: Presence) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    match (presence, address) {
        (Presence::Required, _) => {}
        (Presence::Expected, SocketAddr::V4(_)) => socket.set_freebind_v4(true)?,
        (Presence::Expected, SocketAddr::V6(_)) => socket.set_freebind_v6(true)?,
    }
    prepare(&socket)?;
    Ok(socket)
}

/// Sets the options that accepted sockets inherit from `socket`.
pub(super) fn prepare(socket: &Socket) -> io::Result<()> {
    // Urgent data is received in line: otherwise the poller would report it in
    // every turn, and the server would never read it.
    socket.set_out_of_band_inline(true)?;
    // The last part of a large response does not wait for an acknowledgement.
    socket.set_tcp_nodelay(true)
}

#[cfg(test)]
mod tests {
    use super::super::listener::Accepted;
    use super::super::options::ListenerKind;
    use super::*;
    use std::net::TcpStream;

    const BACKLOG: i32 = 16;

    fn listen(host: Option<&str>, port: u16, workers: usize) -> Result<Vec<Vec<Listener>>, BindError> {
        super::listen(host, port, ListenerOptions::new(ListenerKind::Tcp), BACKLOG, workers)
    }

    #[test]
    fn all_workers_share_one_port_of_both_families() {
        let listeners = listen(None, 0, 3).unwrap();
        assert_eq!(listeners.len(), 3);
        let port = local_addr(&listeners).unwrap().port();
        for worker in &listeners {
            assert_eq!(worker[0].local_addr().unwrap().port(), port);
        }
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        if local_addr(&listeners).unwrap().is_ipv6() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
        }
    }

    #[test]
    fn a_port_of_another_server_is_refused_and_not_shared() {
        let first = listen(Some("127.0.0.1"), 0, 2).unwrap();
        let port = local_addr(&first).unwrap().port();
        let refused = listen(Some("127.0.0.1"), port, 2).unwrap_err();
        assert!(refused.to_string().contains("another server has this port"), "{refused}");
    }

    #[test]
    fn the_port_of_a_stopped_server_can_be_bound_at_once() {
        // Between two calls another process may connect from the port, but not each time.
        assert!((0..10).any(|_| can_be_bound_again()));
    }

    fn can_be_bound_again() -> bool {
        let first = listen(Some("127.0.0.1"), 0, 1).unwrap();
        let port = local_addr(&first).unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // The socket that is closed first stays in TIME_WAIT on the port. The connection exists once `connect` returns.
        let accepted = first[0].iter().filter(|listener| matches!(listener.accept(&[]), Accepted::Connection(_)));
        assert_eq!(accepted.count(), 1);
        drop(first);
        drop(client);
        listen(Some("127.0.0.1"), port, 1).is_ok()
    }

    #[test]
    fn names_and_bracketed_addresses_are_understood() {
        for host in ["localhost", "127.0.0.1"] {
            let listeners = listen(Some(host), 0, 1).unwrap();
            let port = local_addr(&listeners).unwrap().port();
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
        assert_eq!(resolve("[::1]", 7).unwrap(), [(Ipv6Addr::LOCALHOST, 7).into()]);
        let unresolved = listen(Some("no such host.invalid"), 0, 1).unwrap_err();
        assert!(unresolved.to_string().contains("cannot be resolved"), "{unresolved}");
    }

    /// The start failed each time, until the service manager gave up.
    #[test]
    fn an_address_that_this_host_does_not_have_yet_is_listened_on() {
        for host in ["192.0.2.1", "2001:db8::1"] {
            let address = resolve(host, 0).unwrap()[0];
            if address.is_ipv6() && !local_addr(&listen(None, 0, 1).unwrap()).unwrap().is_ipv6() {
                continue;
            }
            let listeners = listen(Some(host), 0, 2).unwrap();
            let bound = local_addr(&listeners).unwrap();
            assert_eq!((bound.ip(), listeners.len()), (address.ip(), 2));
            assert_ne!(bound.port(), 0);
            // Only the address may be missing: a port that is taken is refused.
            let taken = listen(Some(host), bound.port(), 2).unwrap_err();
            assert!(taken.to_string().contains("another server has this port"), "{taken}");
        }
    }
}
