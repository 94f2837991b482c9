//! A peer with TLS, which runs a function of the test on each connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

use crate::peer::listen;

/// The server's side of one connection.
pub(crate) struct Peer {
    pub(crate) connection: ServerConnection,
    pub(crate) socket: TcpStream,
}

/// Serves each connection after its handshake by `handle`. Returns the address.
pub(crate) fn listen_with_tls<H>(config: ServerConfig, handle: H) -> String
where
    H: Fn(Peer) -> io::Result<()> + Clone + Send + 'static,
{
    let config = Arc::new(config);
    listen(move |socket| {
        let mut peer = Peer { connection: ServerConnection::new(Arc::clone(&config)).unwrap(), socket };
        while peer.connection.is_handshaking() {
            peer.connection.complete_io(&mut peer.socket)?;
        }
        handle(peer)
    })
}

impl Peer {
    /// Receives a line, without its end. An error at the end of the connection.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            self.stream().read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned())
    }

    /// Sends the bytes in one record, if they fit.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream().write_all(bytes)?;
        self.stream().flush()
    }

    pub(crate) fn stream(&mut self) -> rustls::Stream<'_, ServerConnection, TcpStream> {
        rustls::Stream::new(&mut self.connection, &mut self.socket)
    }

    /// Responds to each request, until the client closes, or `max` times. Every key has the value.
    pub(crate) fn serve(&mut self, value: &str, max: usize) -> io::Result<()> {
        for _ in 0..max {
            let line = self.line()?;
            match line.starts_with("ms") {
                true => drop(self.store(&line)?),
                false => self.send(hit(&line, value).as_bytes())?,
            }
        }
        Ok(())
    }

    /// Receives the value of a request to store it, and confirms.
    pub(crate) fn store(&mut self, line: &str) -> io::Result<Vec<u8>> {
        let mut value = vec![0; line.split(' ').nth(2).unwrap().parse().unwrap()];
        self.stream().read_exact(&mut value)?;
        assert_eq!(self.line()?, "");
        self.send(format!("HD {}\r\n", tag(line)).as_bytes())?;
        Ok(value)
    }
}

/// The response with a value, with the tag of the request.
pub(crate) fn hit(line: &str, value: &str) -> String {
    format!("VA {} {}\r\n{value}\r\n", value.len(), tag(line))
}

fn tag(line: &str) -> &str {
    line.split(' ').find(|token| token.starts_with('O')).unwrap_or_default()
}
