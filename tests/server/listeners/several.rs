//! Several listeners of one server, and their restrictions.

use std::io::Write;
use std::net::TcpListener;

use sharedance_test_support::server::{Address, Server, answer, bare_command, fetch, store};
use sharedance_test_support::talk::{ask, expect_end};

fn start(directory: &std::path::Path, arguments: &[&str]) -> Server {
    Server::spawn(bare_command(directory).args(arguments)).unwrap_or_else(|failure| panic!("{failure:?}"))
}

#[test]
fn each_listener_serves_the_same_pairs() {
    let directory = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", directory.path().join("socket").display());
    let listen = ["--listen=tcp:127.0.0.1:0", "--listen=tcp:localhost:0", "--listen", &socket];
    let server = start(&directory.path().join("store"), &listen);
    assert!(server.addresses().len() >= 3, "{:?}", server.addresses());
    assert!(matches!(server.addresses().last(), Some(Address::Unix(_))));
    for (number, &address) in server.addresses().iter().enumerate() {
        let key = number.to_string();
        let mut stream = server.connect_to(address);
        stream.write_all(&store(key.as_bytes(), b"v")).unwrap();
        assert_eq!(answer(&mut stream).unwrap(), b"OK\n");
        for &other in server.addresses() {
            let mut stream = server.connect_to(other);
            stream.write_all(&fetch(key.as_bytes())).unwrap();
            assert_eq!(answer(&mut stream).unwrap(), b"v");
        }
    }
    let mut stream = server.connect();
    stream.write_all(b"stats settings\r\nquit\r\n").unwrap();
    let settings = String::from_utf8(answer(&mut stream).unwrap()).unwrap();
    for address in server.addresses() {
        let name = match address {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(path) => format!("unix:{}", path.display()),
        };
        assert!(settings.lines().any(|line| line.starts_with("STAT listeners ") && line.contains(&name)), "{settings}");
        let title = std::fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap();
        assert!(String::from_utf8_lossy(&title).contains(&name), "{}", String::from_utf8_lossy(&title));
    }
    assert!(settings.contains(&format!("STAT domain_socket {}\r\n", directory.path().join("socket").display())));
}

#[test]
fn a_listener_refuses_the_dialects_that_it_does_not_allow() {
    let directory = tempfile::tempdir().unwrap();
    let listen = ["--listen=tcp:127.0.0.1:0,dialects=text", "--listen=tcp:127.0.0.1:0,dialects=classic"];
    let server = start(directory.path(), &listen);
    let &[text, classic] = server.addresses() else { panic!("{:?}", server.addresses()) };
    ask(&mut server.connect_to(text), b"mn\r\n", b"MN\r\n");
    let mut refused = server.connect_to(text);
    refused.write_all(&fetch(b"key")).unwrap();
    assert_eq!(answer(&mut refused).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);

    let mut served = server.connect_to(classic);
    served.write_all(&store(b"k", b"v")).unwrap();
    assert_eq!(answer(&mut served).unwrap(), b"OK\n");
    let mut refused = server.connect_to(classic);
    let error = b"CLIENT_ERROR the text dialect is not allowed on this connection\r\n";
    ask(&mut refused, b"get k\r\nget k\r\n", error);
    expect_end(&mut refused);

    let mut counted = server.connect_to(text);
    counted.write_all(b"stats\r\nquit\r\n").unwrap();
    let stats = String::from_utf8(answer(&mut counted).unwrap()).unwrap();
    assert!(stats.contains("STAT refused_dialects 2\r\n"), "{stats}");
}

#[test]
fn a_listener_that_cannot_be_opened_ends_the_start_and_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let socket = directory.path().join("socket");
    for (listen, named) in [
        (format!("tcp:127.0.0.1:{port}"), format!("cannot listen on 127.0.0.1:{port} (another server has this port")),
        (
            "tcp:no such host.invalid:1".to_owned(),
            "\"no such host.invalid\" to listen on cannot be resolved".to_owned(),
        ),
        ("systemd".to_owned(), "no LISTEN_FDS".to_owned()),
        ("systemd:web".to_owned(), "with the name \"web\"".to_owned()),
        (
            "unix:/no/such/directory/socket".to_owned(),
            "/no/such/directory/socket: cannot open the directory".to_owned(),
        ),
        (format!("unix:{},group=no such group", socket.display()), "no group \"no such group\"".to_owned()),
    ] {
        // What was bound before is removed again.
        let first = format!("--listen=unix:{}", directory.path().join("first").display());
        let mut command = bare_command(&directory.path().join("store"));
        let failure = Server::spawn(command.arg(first).arg(format!("--listen={listen}"))).err().unwrap();
        assert!(failure.log.contains(&named), "{listen}: {}", failure.log);
        assert!(!directory.path().join("first").exists());
        assert!(!directory.path().join("store").exists(), "nothing was changed before");
    }
}

#[test]
fn a_server_beyond_loopback_without_protection_warns_once() {
    let warnings = |arguments: &[&str]| {
        let directory = tempfile::tempdir().unwrap();
        let server = start(directory.path(), arguments);
        let lines = server.log();
        lines.iter().filter(|line| line.contains("every host that reaches")).count()
    };
    assert_eq!(warnings(&["--listen=tcp:*:0"]), 1);
    assert_eq!(warnings(&["--port=0", "--ip=0.0.0.0"]), 1);
    assert_eq!(warnings(&["--port=0", "--ip=127.0.0.1"]), 0);
    assert_eq!(warnings(&["--listen=tcp:[::ffff:127.0.0.1]:0"]), 0);
    assert_eq!(warnings(&["--port=0", "--allow=10.0.0.0/8"]), 0);
}
