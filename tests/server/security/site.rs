//! Servers in this process, and connections to them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::{fs, thread};

use sharedance_core::store::Store;
use sharedance_server::options::AccessOptions;
use sharedance_server::process::reload::Reloads;
use sharedance_server::{Server, ServerError, ServerOptions};
use sharedance_test_support::server::AMPLE;
use tempfile::TempDir;

use super::operations::{Dialect, LIMIT, frame};
use super::rights::{PASSWORD, USERS, User};

/// How the bytes of a connection travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Unix,
    #[cfg(feature = "tls")]
    Tls,
}

/// A listener of a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListenerKind {
    pub(crate) kind: Kind,
    /// Whether it requires credentials.
    pub(crate) auth: bool,
    /// Whether its connections may administer the server.
    pub(crate) admin: bool,
}

/// Every kind of listener.
pub(crate) const LISTENERS: &[ListenerKind] = &[
    listener(Kind::Tcp, true, false),
    listener(Kind::Tcp, false, false),
    listener(Kind::Tcp, true, true),
    listener(Kind::Tcp, false, true),
    listener(Kind::Unix, true, false),
    listener(Kind::Unix, false, false),
    listener(Kind::Unix, true, true),
    listener(Kind::Unix, false, true),
    #[cfg(feature = "tls")]
    listener(Kind::Tls, true, false),
    #[cfg(feature = "tls")]
    listener(Kind::Tls, false, false),
    #[cfg(feature = "tls")]
    listener(Kind::Tls, true, true),
    #[cfg(feature = "tls")]
    listener(Kind::Tls, false, true),
];

const fn listener(kind: Kind, auth: bool, admin: bool) -> ListenerKind {
    ListenerKind { kind, auth, admin }
}

impl ListenerKind {
    /// The number of the listener among those of a server, which has its files in `directory`.
    fn spec(self, number: usize, directory: &Path) -> String {
        let auth = if self.auth { "" } else { ",auth=off" };
        let admin = if self.admin { ",admin" } else { "" };
        match self.kind {
            Kind::Tcp => format!("tcp:127.0.0.1:0{auth}{admin}"),
            #[cfg(feature = "tls")]
            Kind::Tls => format!("tls:127.0.0.1:0{auth}{admin}"),
            Kind::Unix => format!("unix:{}{auth}{admin}", socket(number, directory).display()),
        }
    }
}

fn socket(number: usize, directory: &Path) -> PathBuf {
    directory.join(format!("socket-{number}"))
}

/// A running server.
pub(crate) struct Site {
    /// `None` for Unix sockets.
    addresses: Vec<Option<SocketAddr>>,
    reloads: Reloads,
    auth_file: PathBuf,
    #[cfg(feature = "tls")]
    encryption: super::encryption::Encryption,
    shutdown: sharedance_server::Shutdown,
    running: Option<JoinHandle<Result<(), ServerError>>>,
    directory: TempDir,
}

impl Site {
    /// A server with all kinds of listeners and all users.
    pub(crate) fn with_credentials() -> Site {
        Site::start(Some(&USERS.iter().map(User::line).collect::<String>()))
    }

    /// A server with these credentials.
    pub(crate) fn start(auth_file: Option<&str>) -> Site {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("auth");
        let mut access = AccessOptions::default();
        if let Some(contents) = auth_file {
            write_secret(&path, contents);
            access.auth_file = Some(path.clone());
        }
        #[cfg(feature = "tls")]
        let encryption = super::encryption::Encryption::new(directory.path());
        let specs = LISTENERS.iter().enumerate().map(|(number, kind)| kind.spec(number, directory.path()));
        let options = ServerOptions {
            listen: specs.map(|spec| spec.parse().unwrap()).collect(),
            threads: NonZeroUsize::MIN,
            maxreadsize: LIMIT,
            access,
            #[cfg(feature = "tls")]
            tls: Some(encryption.options()),
            ..ServerOptions::default()
        };
        let store = Store::open(directory.path().join("store")).unwrap();
        let server = Server::bind(&options).unwrap();
        Site {
            addresses: server.addresses().iter().map(|address| address.as_socket_addr()).collect(),
            reloads: server.reloads(),
            auth_file: path,
            #[cfg(feature = "tls")]
            encryption,
            shutdown: server.shutdown(),
            running: Some(thread::spawn(move || server.run(&store))),
            directory,
        }
    }

    /// Replaces the file of credentials, and reloads it. Returns whether it was accepted.
    pub(crate) fn reload(&self, contents: &str) -> bool {
        write_secret(&self.auth_file, contents);
        self.reloads.reload_all() == 0
    }

    /// A connection to the listener of this kind.
    pub(crate) fn connect(&self, listener: usize) -> Peer {
        let stream: Box<dyn Stream> = match LISTENERS[listener].kind {
            Kind::Tcp => {
                let stream = TcpStream::connect(self.addresses[listener].unwrap()).unwrap();
                stream.set_read_timeout(Some(AMPLE)).unwrap();
                stream.set_nodelay(true).unwrap();
                Box::new(stream)
            }
            #[cfg(feature = "tls")]
            Kind::Tls => Box::new(self.encryption.connect(self.addresses[listener].unwrap())),
            Kind::Unix => {
                let stream = UnixStream::connect(socket(listener, self.directory.path())).unwrap();
                stream.set_read_timeout(Some(AMPLE)).unwrap();
                Box::new(stream)
            }
        };
        Peer { stream }
    }

    /// A connection on which a user has logged in.
    pub(crate) fn log_in(&self, listener: usize, dialect: Dialect, name: &str) -> Peer {
        let mut peer = self.connect(listener);
        peer.send(&credentials(dialect, name, PASSWORD));
        match dialect {
            Dialect::Text => peer.expect(b"STORED\r\n"),
            Dialect::Binary => peer.expect(&super::operations::response(0x21, 0, "Authenticated")),
            Dialect::Classic => panic!("this dialect has no credentials"),
        }
        peer
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.shutdown.begin();
        let ended = self.running.take().map(|running| running.join());
        if !thread::panicking() {
            assert!(matches!(ended, Some(Ok(Ok(())))));
        }
    }
}

fn write_secret(path: &PathBuf, contents: &str) {
    fs::write(path, contents).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

/// Credentials, in the form of a dialect.
pub(crate) fn credentials(dialect: Dialect, name: &str, password: &str) -> Vec<u8> {
    match dialect {
        Dialect::Text => {
            let value = format!("{name} {password}");
            format!("set auth 0 0 {}\r\n{value}\r\n", value.len()).into_bytes()
        }
        Dialect::Binary => frame(0x21, b"", b"PLAIN", format!("\0{name}\0{password}").as_bytes()),
        Dialect::Classic => Vec::new(),
    }
}

/// The bytes of a connection.
pub(crate) trait Stream: Read + Write {
    /// Sends nothing more.
    fn end_sending(&mut self);
}

impl Stream for TcpStream {
    fn end_sending(&mut self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Stream for UnixStream {
    fn end_sending(&mut self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

/// A connection.
pub(crate) struct Peer {
    stream: Box<dyn Stream>,
}

impl Peer {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // A server that has closed the connection resets it.
        let _ = self.stream.write_all(bytes);
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &[u8]) {
        let mut received = vec![0; expected.len()];
        let mut len = 0;
        while len < expected.len() && received[..len] == expected[..len] {
            match self.stream.read(&mut received[len..]).unwrap() {
                0 => break,
                more => len += more,
            }
        }
        assert_eq!(received[..len].escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    /// Sends a request of the text dialect, and returns its response.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.ask_in(Dialect::Text, request)
    }

    /// Sends a request, and returns its response.
    pub(crate) fn ask_in(&mut self, dialect: Dialect, request: &[u8]) -> Vec<u8> {
        let (end, last) = match dialect {
            Dialect::Text => (b"mn\r\n".to_vec(), b"MN\r\n".to_vec()),
            _ => (frame(0x0a, b"", b"", b""), super::operations::response(0x0a, 0, "")),
        };
        self.send(&[request, &end].concat());
        let mut received = Vec::new();
        let mut buffer = [0; 65_536];
        loop {
            match self.stream.read(&mut buffer).unwrap() {
                0 => return received,
                len => received.extend_from_slice(&buffer[..len]),
            }
            if let Some(response) = received.strip_suffix(&last[..]) {
                return response.to_vec();
            }
        }
    }

    /// Ends the sending side, and returns all that arrives until the server closes.
    pub(crate) fn rest(mut self) -> io::Result<Vec<u8>> {
        self.stream.end_sending();
        let mut received = Vec::new();
        self.stream.read_to_end(&mut received).map(|_| received)
    }

    /// All that arrives until the server closes.
    pub(crate) fn until_end(&mut self) -> io::Result<Vec<u8>> {
        let mut received = Vec::new();
        self.stream.read_to_end(&mut received).map(|_| received)
    }
}
