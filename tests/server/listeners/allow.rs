//! `--allow`: which hosts may connect.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use sharedance_test_support::server::{AMPLE, Address, Server, answer, bare_command, eventually};
use sharedance_test_support::talk::ask;
use socket2::{Domain, Socket, Type};

fn connect_from(source: &str, address: SocketAddr) -> TcpStream {
    let source: IpAddr = source.parse().unwrap();
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(AMPLE)).unwrap();
    stream
}

fn is_served(mut stream: TcpStream) -> bool {
    // The connection may be reset before this is sent.
    let sent = stream.write_all(b"mn\r\n");
    let mut response = [0; 4];
    match sent.and_then(|()| stream.read_exact(&mut response)) {
        Ok(()) => response == *b"MN\r\n",
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
            false
        }
    }
}

#[test]
fn others_are_closed_before_a_byte_is_read_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let mut command = bare_command(&directory.path().join("store"));
    command.args(["--listen=tcp:*:0", "--allow=127.0.0.1,127.1.0.0/16"]);
    let server = Server::spawn(command.arg(format!("--listen=unix:{}", socket.display()))).unwrap();
    let Address::Tcp(address) = server.addresses()[0] else { panic!("{:?}", server.addresses()) };
    assert!(is_served(connect_from("127.0.0.1", address)));
    assert!(is_served(connect_from("127.1.2.3", address)));
    for source in ["127.0.0.2", "127.2.0.1", "127.0.1.1"] {
        assert!(!is_served(connect_from(source, address)), "{source}");
    }
    // The server does not wait for bytes before it refuses.
    let mut silent = connect_from("127.0.0.9", address);
    assert_eq!(silent.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    if let Ok(mut stream) = TcpStream::connect(("::1", address.port())) {
        stream.set_read_timeout(Some(AMPLE)).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset, "it is no IPv4 address");
    }

    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"stats\r\nquit\r\n").unwrap();
    let mut stats = String::new();
    stream.read_to_string(&mut stats).unwrap();
    let denied = stats.lines().find_map(|line| line.strip_prefix("STAT denied_connections ")).unwrap();
    assert!(denied.parse::<usize>().unwrap() >= 4, "{denied}");
    // One line for all of them, at least for some seconds.
    let lines = || server.log().into_iter().filter(|line| line.contains("--allow")).collect::<Vec<_>>();
    let logged = eventually("a line is logged", || Some(lines()).filter(|lines| !lines.is_empty()));
    assert!(logged.len() == 1 && logged[0].contains("a connection of 127."), "{logged:?}");
}

#[test]
fn an_ipv4_peer_of_an_ipv6_socket_has_its_ipv4_address() {
    let directory = tempfile::tempdir().unwrap();
    for (allow, is_allowed) in [("127.0.0.0/8", true), ("::ffff:127.0.0.0/104", true), ("::1", false), ("::/0", false)]
    {
        let mut command = bare_command(directory.path());
        let server = Server::spawn(command.args(["--listen=tcp:*:0", "--allow", allow])).unwrap();
        let Address::Tcp(address) = server.addresses()[0] else { panic!("{:?}", server.addresses()) };
        assert_eq!(is_served(connect_from("127.0.0.1", address)), is_allowed, "{allow}");
    }
}

#[test]
fn a_flood_of_denied_connections_does_not_keep_others_from_being_served() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = bare_command(directory.path());
    let server = Server::spawn(command.args(["--listen=tcp:127.0.0.1:0", "--allow=127.0.0.1", "--threads=1"])).unwrap();
    let mut open = server.connect();
    for _ in 0..2000 {
        drop(connect_from("127.0.0.2", server.address()));
    }
    ask(&mut open, b"mn\r\n", b"MN\r\n");
    let mut stream = server.connect();
    stream.write_all(b"mn\r\nquit\r\n").unwrap();
    assert_eq!(answer(&mut stream).unwrap(), b"MN\r\n");
}

#[test]
fn a_malformed_network_is_refused_with_its_text() {
    let directory = tempfile::tempdir().unwrap();
    for network in ["10.0.0.0/33", "localhost", "10.0.0.0/8,,", "10.0.0"] {
        let failure = Server::spawn(bare_command(directory.path()).arg(format!("--allow={network}"))).err().unwrap();
        assert!(failure.log.contains("--allow") && failure.log.contains("10.0.0.0/8"), "{network}: {}", failure.log);
    }
}
