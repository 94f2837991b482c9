//! Signals that stop the server.
//!
//! The signal handler only writes a byte to a socket, since few functions are safe in a handler. A thread waits for that
//! byte and does the rest.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

/// Calls `stop` at each SIGTERM or SIGINT. SIGHUP has no effect: there is no configuration to reload, and a closed
/// terminal does not stop the server.
///
/// # Errors
/// A handler or the thread could not be created.
pub fn on_stop(stop: impl Fn() + Send + 'static) -> io::Result<()> {
    let (mut waiting, signalled) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        pipe::register(signal, signalled.try_clone()?)?;
    }
    signal_hook::flag::register(SIGHUP, Arc::new(AtomicBool::new(false)))?;
    thread::Builder::new().name("[SIGNALS]".to_owned()).spawn(move || {
        while let Ok(1..) = waiting.read(&mut [0]) {
            stop();
        }
    })?;
    Ok(())
}
