//! A server for tests that stores pairs in a map, and clients with timeouts that are never reached.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};

use crate::map::{Map, execute};
use crate::peer::{AMPLE, listen};
use sharedance_client::classic::{Builder, Client};
use sharedance_core::protocol::{Decoded, Limits, classic};

/// A client of a peer that serves each connection by `handle`.
pub(crate) fn serve<H>(handle: H) -> Builder
where
    H: Fn(TcpStream) -> std::io::Result<()> + Clone + Send + 'static,
{
    ample(Client::builder(listen(handle)))
}

/// A builder with timeouts that are never reached.
pub(crate) fn ample(builder: Builder) -> Builder {
    builder.connect_timeout(AMPLE).io_timeout(AMPLE)
}

/// Reads a whole request.
pub(crate) fn read_request(stream: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut received = Vec::new();
    let mut needed = 0;
    loop {
        if received.len() >= needed {
            match classic::decode_request(&received, &Limits::default()) {
                Ok(Decoded::Incomplete { needed: more }) => needed = more,
                _ => return Ok(received),
            }
        }
        let mut piece = vec![0; (needed - received.len()).max(1)];
        match stream.read(&mut piece)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            len => received.extend_from_slice(&piece[..len]),
        }
    }
}

/// A correct server: pairs in a map.
#[derive(Default)]
pub(crate) struct Pairs(Mutex<Map>);

impl Pairs {
    pub(crate) fn serve(&self, stream: &mut (impl Read + Write)) -> std::io::Result<()> {
        let received = read_request(stream)?;
        let Ok(Decoded::Complete { message, .. }) = classic::decode_request(&received, &Limits::default()) else {
            return Ok(());
        };
        let mut pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let response = execute(&message, &mut pairs);
        stream.write_all(classic::encode_response(&response))
    }
}
