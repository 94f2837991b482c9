//! A server for tests, on a port that the system chooses, that does to each connection what the test says.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use sharedance_client::{Builder, Client};
use sharedance_core::protocol::{Decoded, Limits, Request, Response, classic};

/// Longer than any test takes: what must not time out has this much.
pub(crate) const AMPLE: Duration = Duration::from_secs(60);

/// Short: what must time out has this much.
pub(crate) const SHORT: Duration = Duration::from_millis(200);

/// Serves each connection by `handle`, on a thread of its own, for as long as the test process lives. A failure in it
/// only ends that connection; the client sees it.
pub(crate) fn serve<H>(handle: H) -> Builder
where
    H: Fn(TcpStream) -> std::io::Result<()> + Clone + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handle = handle.clone();
            thread::spawn(move || handle(stream));
        }
    });
    ample(Client::builder(address))
}

/// With time-outs that are never reached.
pub(crate) fn ample(builder: Builder) -> Builder {
    builder.connect_timeout(AMPLE).io_timeout(AMPLE)
}

/// Reads a whole request and leaves it at that.
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

/// A right server: pairs in a map.
#[derive(Default)]
pub(crate) struct Pairs(Mutex<HashMap<Vec<u8>, Vec<u8>>>);

impl Pairs {
    pub(crate) fn serve(&self, stream: &mut (impl Read + Write)) -> std::io::Result<()> {
        let received = read_request(stream)?;
        let Ok(Decoded::Complete { message, .. }) = classic::decode_request(&received, &Limits::default()) else {
            return Ok(());
        };
        let mut pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let response = match message {
            Request::Store { key, value } => {
                pairs.insert(key.to_vec(), value.to_vec());
                Response::Stored
            }
            Request::Fetch { key } => match pairs.get(key) {
                Some(value) => Response::Value(value.clone()),
                None => Response::NotFound,
            },
            Request::Delete { key } => match pairs.remove(key) {
                Some(_) => Response::Deleted,
                None => Response::NotFound,
            },
            _ => Response::Failed,
        };
        stream.write_all(classic::encode_response(&response))
    }
}
