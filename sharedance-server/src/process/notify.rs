//! Notifies systemd of the state of the service (`Type=notify`), by the protocol of sd_notify(3): one datagram for each
//! message.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::time::{ClockId, clock_gettime};

/// The connection to the service manager, if there is one.
#[derive(Debug, Default)]
pub struct Notify {
    socket: Option<UnixDatagram>,
}

impl Notify {
    /// Connects to the service manager that the environment names. Called before the root directory changes. A failure is
    /// logged and otherwise ignored: the server can serve without a service manager.
    pub fn connect() -> Notify {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else {
            return Notify::default();
        };
        match connect(&name) {
            Ok(socket) => Notify { socket: Some(socket) },
            Err(error) => {
                log::warn!(
                    "the environment variable NOTIFY_SOCKET is {name:?}, which cannot be connected to: {error}; no service \
                     manager is notified when the server is ready"
                );
                Notify::default()
            }
        }
    }

    /// Reports that the server serves, in this process.
    pub fn ready(&self) {
        self.send(&format!("READY=1\nMAINPID={}\n", std::process::id()));
    }

    /// Reports that the server reloads. [`ready`](Self::ready) follows.
    pub fn reloading(&self) {
        // systemd compares this with the time at which it sent the signal.
        let now = clock_gettime(ClockId::Monotonic);
        let now_micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now_micros}\n"));
    }

    /// Reports that the server stops.
    pub fn stopping(&self) {
        self.send("STOPPING=1\n");
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(message.as_bytes())
        {
            log::warn!("cannot send {message:?} to the service manager: {error}");
        }
    }
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::Error::other("it is neither an absolute path nor a name that begins with @")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    Ok(socket)
}
