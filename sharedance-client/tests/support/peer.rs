//! A peer for tests, on a free port, that runs a function of the test on each connection.

// Each test that includes this file uses only some of the items.
#![allow(dead_code)]

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

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
