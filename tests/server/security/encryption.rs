//! Connections that use TLS.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use sharedance_server::options::TlsOptions;
use sharedance_test_support::server::AMPLE;

use super::certificates::Authority;
use super::site::Stream;

/// The certificate of a server, and what a client needs to verify it.
pub(crate) struct Encryption {
    directory: PathBuf,
    client: Arc<ClientConfig>,
}

impl Encryption {
    /// Writes a certificate and its key into `directory`.
    pub(crate) fn new(directory: &Path) -> Encryption {
        let authority = Authority::new();
        authority.issue(&["127.0.0.1"]).write(directory);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = Arc::new(client.with_root_certificates(authority.roots()).with_no_client_auth());
        Encryption { directory: directory.to_owned(), client }
    }

    pub(crate) fn options(&self) -> TlsOptions {
        TlsOptions { cert: self.directory.join("cert.pem"), key: self.directory.join("key.pem"), client_ca: None }
    }

    pub(crate) fn connect(&self, address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
        let name = IpAddr::V4(Ipv4Addr::LOCALHOST).into();
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(AMPLE)).unwrap();
        socket.set_nodelay(true).unwrap();
        StreamOwned::new(ClientConnection::new(Arc::clone(&self.client), name).unwrap(), socket)
    }
}

impl Stream for StreamOwned<ClientConnection, TcpStream> {
    fn end_sending(&mut self) {
        self.conn.send_close_notify();
        let _ = self.flush();
        let _ = self.sock.shutdown(Shutdown::Write);
    }
}
