//! Drives the codec in a server with plain threads, a map, and the classic dialect. The codec does no I/O, so any loop
//! can drive it.
//!
//! ```text
//! cargo run -p sharedance-core --example own_loop                     serves 127.0.0.1:1042
//! cargo run -p sharedance-core --example own_loop -- 127.0.0.1:0      any free port
//! cargo run -p sharedance-core --example own_loop -- --self-test      stores, fetches, deletes, and exits
//! ```
//!
//! This example shows the codec and is not a usable server: nothing expires, and nothing limits the peers.

use std::collections::HashMap;
use std::env;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use sharedance_core::protocol::{Decoded, Limits, Request, Response, classic};

type Pairs = Mutex<HashMap<Vec<u8>, Vec<u8>>>;

fn main() -> io::Result<()> {
    let argument = env::args().nth(1);
    match argument.as_deref() {
        Some("--self-test") => self_test(),
        Some(flag) if flag.starts_with('-') => {
            eprintln!("usage: own_loop [--self-test | ADDRESS:PORT]");
            Err(io::ErrorKind::InvalidInput.into())
        }
        address => {
            let listener = TcpListener::bind(address.unwrap_or("127.0.0.1:1042"))?;
            eprintln!("listening on {}", listener.local_addr()?);
            serve(&listener)
        }
    }
}

/// Starts a thread for each connection.
fn serve(listener: &TcpListener) -> io::Result<()> {
    let pairs = Arc::new(Pairs::default());
    loop {
        let (stream, _) = listener.accept()?;
        let pairs = Arc::clone(&pairs);
        thread::spawn(move || {
            if let Err(error) = answer(stream, &pairs) {
                eprintln!("a connection ended: {error}");
            }
        });
    }
}

/// Serves one connection, which carries one request in this dialect. Dropping the stream closes the connection.
fn answer(mut stream: TcpStream, pairs: &Pairs) -> io::Result<()> {
    let limits = Limits::default();
    let mut received = Vec::new();
    let mut needed = 0;
    loop {
        // The codec returns how many bytes it needs next. Until they have arrived it is not called.
        if received.len() >= needed {
            match classic::decode_request(&received, &limits) {
                Ok(Decoded::Complete { message, .. }) => {
                    let response = execute(message, pairs);
                    return stream.write_all(classic::encode_response(&response));
                }
                Ok(Decoded::Incomplete { needed: more }) => needed = more,
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
        // Reads a piece at a time, and never reserves what the header announces.
        let mut piece = [0; 4096];
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            len => received.extend_from_slice(&piece[..len]),
        }
    }
}

fn execute(request: Request<'_>, pairs: &Pairs) -> Response<Vec<u8>> {
    let mut pairs = pairs.lock().unwrap_or_else(PoisonError::into_inner);
    match request {
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
        // Requests of dialects that this server does not speak.
        _ => Response::Failed,
    }
}

/// Tests the client side of the codec against the server above.
fn self_test() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let server = listener.local_addr()?;
    thread::spawn(move || serve(&listener));

    let (key, value) = (&b"greeting"[..], &b"hello"[..]);
    let found = Response::Value(value.to_vec());
    for (request, expected) in [
        (Request::Fetch { key }, Response::NotFound),
        (Request::Store { key, value }, Response::Stored),
        (Request::Fetch { key }, found),
        (Request::Delete { key }, Response::Deleted),
        (Request::Delete { key }, Response::NotFound),
    ] {
        let response = ask(server, &request)?;
        eprintln!("{request:?}: {response:?}");
        assert!(response == expected, "expected {expected:?}");
    }
    Ok(())
}

fn ask(server: SocketAddr, request: &Request<'_>) -> io::Result<Response<Vec<u8>>> {
    let mut wire = Vec::new();
    classic::encode_request(request, &mut wire).map_err(io::Error::other)?;
    let mut stream = TcpStream::connect(server)?;
    stream.write_all(&wire)?;

    let mut received = Vec::new();
    stream.read_to_end(&mut received)?;
    match classic::decode_response(request, &received, true).map_err(io::Error::other)? {
        Decoded::Complete { message, .. } => Ok(message.map(<[u8]>::to_vec)),
        Decoded::Incomplete { .. } => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
