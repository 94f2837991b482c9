//! Responses that exceed the socket buffers arrive complete: in every dialect, with every durability, with and without
//! other writers. The cells of the matrix are generated.

// A test panics when it cannot continue.
#![allow(clippy::unwrap_used)]

use sharedance_test_support::server;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use server::{AMPLE, Server, fetch, store};
use socket2::{Domain, Socket, Type};

/// More than one turn sends of a response (2 MiB), and more than the socket buffers hold.
const VALUE_LEN: usize = 8 * 1024 * 1024;

/// Small, so that the server finds the socket full repeatedly.
const RECEIVE_BUFFER_LEN: usize = 16 * 1024;

const DURABILITIES: [&[&str]; 3] =
    [&["--durability=os"], &["--durability=interval", "--sync-interval=20"], &["--durability=always"]];

const WRITERS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Classic,
    Text,
    Meta,
    Binary,
}

/// The request before the one for the large value, on the same connection, without waiting for its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Set,
    /// The large value itself.
    Get,
}

const DIALECTS: [Dialect; 4] = [Dialect::Classic, Dialect::Text, Dialect::Meta, Dialect::Binary];
const BEFORE: [Before; 3] = [Before::Nothing, Before::Set, Before::Get];

fn value() -> Vec<u8> {
    (0..VALUE_LEN).map(|at| (at * 31 + at / 251) as u8).collect()
}

/// Returns a request to get `big`, and the response.
fn get(dialect: Dialect, value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let head = |text: String| [text.as_bytes(), value].concat();
    match dialect {
        Dialect::Classic => (fetch(b"big"), value.to_vec()),
        Dialect::Text => {
            (b"get big\r\n".to_vec(), [&head(format!("VALUE big 0 {}\r\n", value.len()))[..], b"\r\nEND\r\n"].concat())
        }
        Dialect::Meta => (b"mg big v\r\n".to_vec(), [&head(format!("VA {}\r\n", value.len()))[..], b"\r\n"].concat()),
        Dialect::Binary => {
            let mut answer = binary(0x81, 0x00, b"", &[0; 4], value.len());
            answer.extend_from_slice(value);
            (binary(0x80, 0x00, b"big", b"", 0), answer)
        }
    }
}

/// Returns a request to set `small`, and the response.
fn set(dialect: Dialect) -> (Vec<u8>, Vec<u8>) {
    match dialect {
        Dialect::Classic => (store(b"small", b"v"), b"OK\n".to_vec()),
        Dialect::Text => (b"set small 0 0 1\r\nv\r\n".to_vec(), b"STORED\r\n".to_vec()),
        Dialect::Meta => (b"ms small 1\r\nv\r\n".to_vec(), b"HD\r\n".to_vec()),
        Dialect::Binary => {
            let request = [&binary(0x80, 0x01, b"small", &[0; 8], 1)[..], b"v"].concat();
            (request, binary(0x81, 0x01, b"", b"", 0))
        }
    }
}

/// Returns a header, the extras and the key. The value, which is not included, has `value_len` bytes.
fn binary(magic: u8, opcode: u8, key: &[u8], extras: &[u8], value_len: usize) -> Vec<u8> {
    let mut bytes = vec![magic, opcode, 0, key.len() as u8, extras.len() as u8, 0, 0, 0];
    bytes.extend_from_slice(&u32::try_from(extras.len() + key.len() + value_len).unwrap().to_be_bytes());
    bytes.extend_from_slice(&[0; 12]);
    bytes.extend_from_slice(extras);
    bytes.extend_from_slice(key);
    bytes
}

fn connect_with_little_room(server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(RECEIVE_BUFFER_LEN).unwrap();
    socket.connect(&server.address().into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(AMPLE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Removes versions, which differ between responses.
fn without_version(dialect: Dialect, received: &mut [u8], answer_starts: &[usize]) {
    if dialect == Dialect::Binary {
        answer_starts.iter().for_each(|&start| received[start + 16..start + 24].fill(0));
    }
}

fn check(server: &Server, dialect: Dialect, before: Before, value: &[u8], cell: &str) {
    let first = match before {
        Before::Nothing => (Vec::new(), Vec::new()),
        Before::Set => set(dialect),
        Before::Get => get(dialect, value),
    };
    let second = get(dialect, value);
    let mut stream = connect_with_little_room(server);
    stream.write_all(&[first.0, second.0].concat()).unwrap();
    let answer_starts = [0, first.1.len()];
    let expected = [first.1, second.1].concat();
    let mut received = vec![0; expected.len()];
    let mut len = 0;
    while len < expected.len() {
        match stream.read(&mut received[len..]) {
            Ok(0) => panic!("{cell}: closed after {len} of {} bytes", expected.len()),
            Ok(more) => len += more,
            Err(error) => panic!("{cell}: {error} after {len} of {} bytes", expected.len()),
        }
    }
    without_version(dialect, &mut received, &answer_starts);
    assert!(received == expected, "{cell}: other bytes");
}

/// Stores small pairs, each on a connection of its own, until it is stopped.
fn write(server: &Server, writer: usize, stop: &AtomicBool) {
    let key = format!("of writer {writer}");
    while !stop.load(Ordering::Relaxed) {
        assert_eq!(server.ask(&store(key.as_bytes(), &[b'w'; 500])), b"OK\n");
    }
}

fn check_all(server: &Server, durability: &str, others: &str) {
    let value = value();
    for dialect in DIALECTS {
        for before in BEFORE {
            // A classic connection carries one request.
            if dialect != Dialect::Classic || before == Before::Nothing {
                let cell = format!("{dialect:?}, {before:?} before, {durability}, {others}");
                check(server, dialect, before, &value, &cell);
            }
        }
    }
}

/// A connection that had waited for a sync never registered write interest.
#[test]
fn a_large_response_does_not_stall_after_a_sync() {
    for durability in DURABILITIES {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(directory.path(), &[&["--threads=1"], durability].concat());
        assert_eq!(server.ask(&store(b"big", &value())), b"OK\n");
        check_all(&server, durability[0], "alone");
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (server, stop) = (&server, &stop);
                scope.spawn(move || write(server, writer, stop));
            }
            let checked = std::panic::catch_unwind(|| check_all(&server, durability[0], "others write"));
            stop.store(true, Ordering::Relaxed);
            checked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    }
}
