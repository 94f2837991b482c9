//! A peer for tests, on a free port, that runs a function of the test on each connection.

// Each test that includes this file uses only some of the items.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;
use tempfile::TempDir;

/// Longer than any test takes: the timeout of operations that must not time out.
pub(crate) const AMPLE: Duration = Duration::from_secs(60);

/// Short: the timeout of operations that must time out.
pub(crate) const SHORT: Duration = Duration::from_millis(200);

/// Serves each connection by `handle`, on a thread of its own, for as long as the test process lives. A panic in it
/// only ends that connection, which the client detects. Returns the address.
pub(crate) fn listen<H>(handle: H) -> String
where
    H: Fn(TcpStream) -> std::io::Result<()> + Clone + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    serve(listener, handle);
    address
}

pub(crate) fn serve<H>(listener: TcpListener, handle: H)
where
    H: Fn(TcpStream) -> std::io::Result<()> + Clone + Send + 'static,
{
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handle = handle.clone();
            thread::spawn(move || handle(stream));
        }
    });
}

/// Keeps the connection open.
pub(crate) fn hold(stream: TcpStream) -> std::io::Result<()> {
    let _open = stream;
    loop {
        thread::park();
    }
}

/// Closes the connection by a reset.
pub(crate) fn reset(stream: TcpStream) -> std::io::Result<()> {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}

/// Listens on a unix socket: accepts one connection, passes it to `handle`, and closes it.
pub(crate) fn once(handle: impl FnOnce(&mut UnixStream) + Send + 'static) -> (TempDir, String, JoinHandle<()>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let peer = thread::spawn(move || handle(&mut listener.accept().unwrap().0));
    (folder, format!("unix:{}", path.display()), peer)
}

/// Reads a request for a lock, and grants it.
pub(crate) fn grant_a_lock(stream: &mut UnixStream) {
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut String::new()).unwrap();
    stream.write_all(b"LOCKED\r\n").unwrap();
}
