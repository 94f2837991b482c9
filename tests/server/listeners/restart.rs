//! Restarts of a server whose sockets the service manager keeps.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use sharedance_test_support::server::{AMPLE, NotStarted, Server, fetch, program, store};

/// The service manager: it keeps two sockets, and hands them over to each server that it starts.
struct Manager {
    tcp: TcpListener,
    unix: UnixListener,
}

impl Manager {
    fn start(&self, names: &str, directory: &Path, arguments: &[&str]) -> Result<Server, NotStarted> {
        // The shell moves the sockets to the descriptors 3 and 4, and becomes the server.
        let script = "LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" \"$@\" 3<&0 4<&1 </dev/null >/dev/null";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(program()).args(["--debug", "--directory"]).arg(directory).args(arguments);
        command.env("LISTEN_FDNAMES", names);
        command.stdout(Stdio::from(OwnedFd::from(self.unix.try_clone().unwrap())));
        Server::spawn_with_stdin(&mut command, Stdio::from(OwnedFd::from(self.tcp.try_clone().unwrap())))
    }
}

fn manager(directory: &Path) -> Manager {
    Manager {
        tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
        unix: UnixListener::bind(directory.join("socket")).unwrap(),
    }
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What clients have seen.
#[derive(Default)]
struct Seen {
    connected: AtomicUsize,
    served: AtomicUsize,
    /// The server has ended before it served them, which a reset tells.
    reset: AtomicUsize,
    refused: AtomicUsize,
}

impl Seen {
    /// Sends a request on a new connection, again and again.
    fn connect_until<S: Read + Write>(&self, is_over: &AtomicBool, connect: impl Fn() -> io::Result<S>) {
        while !is_over.load(Ordering::Relaxed) {
            let Ok(mut stream) = connect() else {
                self.refused.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            self.connected.fetch_add(1, Ordering::Relaxed);
            let mut response = Vec::new();
            let result = stream.write_all(&fetch(b"key")).and_then(|()| stream.read_to_end(&mut response));
            match result.map(|_| response) {
                Ok(response) => {
                    assert_eq!(response, b"value", "an answer is a whole one");
                    self.served.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
                    self.reset.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

#[test]
fn a_restart_refuses_no_connection() {
    const RESTARTS: usize = 20;
    let directory = tempfile::tempdir().unwrap();
    let (path, socket) = (directory.path().join("store"), directory.path().join("socket"));
    let manager = manager(directory.path());
    let address = manager.tcp.local_addr().unwrap();
    let start = || manager.start("tcp:unix", &path, &["--listen=systemd", "--threads=2"]).unwrap();
    // The last one serves until the clients have ended.
    let mut server = Some(start());
    assert_eq!(server.as_ref().unwrap().ask(&store(b"key", b"value")), b"OK\n");

    let (seen, is_over) = (Seen::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        // Also if a server does not start: otherwise its clients would wait for it.
        let _end = SetOnDrop(&is_over);
        for _ in 0..2 {
            scope.spawn(|| seen.connect_until(&is_over, || connect(address)));
            scope.spawn(|| seen.connect_until(&is_over, || connect_unix(&socket)));
        }
        for _ in 0..RESTARTS {
            let served = seen.served.load(Ordering::Relaxed);
            sharedance_test_support::server::eventually("the server serves", || {
                (seen.served.load(Ordering::Relaxed) > served + 10).then_some(())
            });
            let (status, log) = server.take().unwrap().terminate();
            assert!(status.success(), "{log}");
            server = Some(start());
        }
    });
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    assert_eq!(count(&seen.refused), 0, "of {} connections", count(&seen.connected));
    assert!(count(&seen.served) > RESTARTS * 10);
    assert!(count(&seen.reset) <= RESTARTS * 4, "{} of {}", count(&seen.reset), count(&seen.connected));
    assert!(socket.exists(), "the file belongs to the service manager");
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(AMPLE))?;
    Ok(stream)
}

fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(AMPLE))?;
    Ok(stream)
}

/// Connections that were not accepted before a server has stopped are those of the next one.
#[test]
fn a_connection_without_a_server_waits_for_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let manager = manager(directory.path());
    let mut early = connect(manager.tcp.local_addr().unwrap()).unwrap();
    early.write_all(b"mn\r\n").unwrap();
    let server = manager.start("tcp:unix", &path, &["--listen=systemd"]).unwrap();
    let mut response = [0; 4];
    early.read_exact(&mut response).unwrap();
    assert_eq!(&response, b"MN\r\n");
    server.terminate();
}

#[test]
fn sockets_have_the_restrictions_of_the_listener_that_names_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let manager = manager(directory.path());
    let listen = ["--listen=systemd:web,dialects=text", "--listen=systemd"];
    let server = manager.start("web:other", &path, &listen).unwrap();
    assert_eq!(server.addresses().len(), 2, "{:?}", server.addresses());
    let mut restricted = server.connect_to(server.addresses()[0]);
    restricted.write_all(&fetch(b"key")).unwrap();
    assert_eq!(restricted.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut free = server.connect_to(server.addresses()[1]);
    free.write_all(&store(b"key", b"value")).unwrap();
    let mut response = Vec::new();
    free.read_to_end(&mut response).unwrap();
    assert_eq!(response, b"OK\n");
    server.terminate();

    let failure = manager.start("web:other", &path, &["--listen=systemd:db"]).err().unwrap();
    assert!(failure.log.contains("no socket with the name \"db\", only web, other"), "{}", failure.log);
    let server = manager.start("web:other", &path, &["--listen=systemd:web"]).unwrap();
    assert!(server.log().iter().any(|line| line.contains("that no --listen names: other")), "{:?}", server.log());
}
