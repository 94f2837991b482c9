//! A server with its certificates, and clients of it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use sharedance_test_support::server::{AMPLE, NotStarted, Server, program};
use tempfile::TempDir;

use crate::certificates::{Authority, Identity, write};

pub(crate) const TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;
pub(crate) const TLS12: &SupportedProtocolVersion = &rustls::version::TLS12;

/// A client's stream.
pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A server that listens with TLS, and its authority.
pub(crate) struct Site {
    pub(crate) authority: Authority,
    pub(crate) server: Server,
    directory: TempDir,
}

impl Site {
    pub(crate) fn start(arguments: &[&str]) -> Site {
        Site::start_with(arguments, |_, _| Vec::new())
    }

    /// Starts a server that requires certificates of `clients`.
    pub(crate) fn start_for_clients_of(clients: &Authority, arguments: &[&str]) -> Site {
        Site::start_with(arguments, |directory, _| {
            let path = directory.join("clients.pem");
            write(&path, &clients.pem());
            vec![format!("--tls-client-ca={}", path.display())]
        })
    }

    fn start_with(arguments: &[&str], prepare: impl FnOnce(&Path, &Authority) -> Vec<String>) -> Site {
        let (directory, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        authority.issue(&["localhost", "127.0.0.1"]).write(directory.path());
        let more = prepare(directory.path(), &authority);
        let server = Server::spawn(command(directory.path()).args(arguments).args(more));
        Site { authority, server: server.unwrap_or_else(|failure| panic!("{failure:?}")), directory }
    }

    /// The directory of the certificate, its key, and the store.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// A client's configuration. Its clones share the sessions that can be resumed.
    pub(crate) fn config(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        config(self.authority.roots(), version, None)
    }

    pub(crate) fn connect(&self) -> Stream {
        connect(self.server.connect(), self.config(TLS13)).unwrap()
    }

    pub(crate) fn connect_with(&self, config: &Arc<ClientConfig>) -> Stream {
        connect(self.server.connect(), Arc::clone(config)).unwrap()
    }

    /// Sends `request`, and returns everything until the server declares the end.
    pub(crate) fn ask(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        read_to_end(&mut stream)
    }

    /// A number from `stats`.
    pub(crate) fn stat(&self, name: &str) -> u64 {
        let stats = String::from_utf8(self.ask(b"stats\r\nquit\r\n")).unwrap();
        let line = stats.lines().find_map(|line| line.strip_prefix("STAT ")?.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }
}

/// The command of a server with TLS whose files are in `directory`.
pub(crate) fn command(directory: &Path) -> Command {
    let mut command = Command::new(program());
    command.args(["--debug", "--listen=tls:127.0.0.1:0"]);
    for (option, file) in [("--tls-cert", "cert.pem"), ("--tls-key", "key.pem"), ("--directory", "store")] {
        command.arg(option).arg(directory.join(file));
    }
    command
}

/// Starts a server that must not start, and returns its log.
pub(crate) fn refused(command: &mut Command) -> String {
    match Server::spawn(command) {
        Ok(_) => panic!("the server has started"),
        Err(NotStarted { status, log }) => {
            assert_eq!(status.code(), Some(1), "{log}");
            log
        }
    }
}

/// A client's configuration.
pub(crate) fn config(
    roots: RootCertStore,
    version: &'static SupportedProtocolVersion,
    identity: Option<&Identity>,
) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_auth_cert(identity.chain.clone(), identity.key()).unwrap(),
    })
}

/// Completes the client's part of a handshake.
pub(crate) fn connect(mut socket: TcpStream, config: Arc<ClientConfig>) -> io::Result<Stream> {
    socket.set_read_timeout(Some(AMPLE)).unwrap();
    let mut connection = ClientConnection::new(config, "localhost".try_into().unwrap()).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(connection, socket))
}

/// Reads until the server declares the end; without that declaration, rustls returns an error.
#[track_caller]
pub(crate) fn read_to_end(stream: &mut Stream) -> Vec<u8> {
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    received
}

/// Sends `request` and expects this response.
#[track_caller]
pub(crate) fn ask(stream: &mut Stream, request: &[u8], expected: &[u8]) {
    stream.write_all(request).unwrap();
    expect(stream, expected);
}

/// Expects these bytes next.
#[track_caller]
pub(crate) fn expect(stream: &mut Stream, expected: &[u8]) {
    let mut received = vec![0; expected.len()];
    stream.read_exact(&mut received).unwrap();
    assert!(
        received == expected,
        "{} instead of {}",
        String::from_utf8_lossy(&received[..received.len().min(200)]),
        String::from_utf8_lossy(&expected[..expected.len().min(200)])
    );
}
