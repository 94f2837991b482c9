//! Telling systemd how the service fares (`Type=notify`): the protocol of sd_notify(3), one datagram a message.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The socket on which the service manager listens, if there is one.
#[derive(Debug, Default)]
pub struct Notify {
    socket: Option<UnixDatagram>,
}

impl Notify {
    /// Connects to the service manager named by the environment. To be called before the root directory changes.
    ///
    /// # Errors
    /// The environment names a socket that cannot be connected to: the manager would wait in vain.
    pub fn connect() -> io::Result<Notify> {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else {
            return Ok(Notify::default());
        };
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(&name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        Ok(Notify { socket: Some(socket) })
    }

    /// The server serves, in this process.
    pub fn ready(&self) {
        self.send(&format!("READY=1\nMAINPID={}\n", std::process::id()));
    }

    /// The server is about to end.
    pub fn stopping(&self) {
        self.send("STOPPING=1\n");
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(message.as_bytes())
        {
            log::warn!("the service manager cannot be told {message:?}: {error}");
        }
    }
}
