//! Signals that end the server, in good order.
//!
//! The handler only writes a byte to a socket (all that a handler may do); a thread waits for it and does the rest.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

/// Calls `stop` when the process is told to end, by SIGTERM or SIGINT. SIGHUP does nothing: there is nothing to load
/// anew, and a closed terminal does not end the server.
///
/// # Errors
/// The system refuses a handler, or the thread.
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
