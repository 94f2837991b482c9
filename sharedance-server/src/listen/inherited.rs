//! Sockets that the service manager hands over, by the protocol of sd_listen_fds(3): they are the descriptors from 3 on,
//! and the environment has their number, their names, and the process that they are meant for.
//!
//! They stay open when this process ends, so that connections wait for the next one instead of being refused.

use std::env;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::fs::OFlags;
use rustix::io::FdFlags;
use rustix::net::AddressFamily;
use rustix::net::sockopt::{socket_acceptconn, socket_domain};
use socket2::Socket;

use super::error::BindError;
use super::options::ListenerKind;
use super::tcp;

const FIRST_DESCRIPTOR: RawFd = 3;

/// More than any operator names. The number comes from the environment.
const MAX_SOCKETS: usize = 1024;

/// The name of sockets without one.
const UNKNOWN: &str = "unknown";

/// What the environment says about handed-over sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Announcement {
    /// A name for each socket, in the order of their descriptors.
    names: Vec<String>,
    /// Why there are none, if there are none.
    absence: &'static str,
}

/// A listening socket that was handed over.
#[derive(Debug)]
pub(super) struct InheritedSocket {
    pub(super) name: String,
    pub(super) socket: Socket,
    /// [`ListenerKind::Tcp`] or [`ListenerKind::Unix`].
    pub(super) kind: ListenerKind,
}

/// The sockets that were handed over and that no listener has taken yet.
#[derive(Debug)]
pub(super) struct Inherited {
    sockets: Vec<InheritedSocket>,
    absence: &'static str,
}

impl Inherited {
    /// The sockets that were handed over to this process.
    ///
    /// # Errors
    /// One of the descriptors is not a socket that listens for streams.
    pub(super) fn from_environment() -> Result<Inherited, BindError> {
        let variable = |name| env::var(name).ok();
        let Announcement { names, absence } = announcement(
            variable("LISTEN_PID"),
            variable("LISTEN_FDS"),
            variable("LISTEN_FDNAMES"),
            std::process::id(),
        );
        let sockets = names.into_iter().zip(FIRST_DESCRIPTOR..).map(|(name, descriptor)| {
            let socket =
                duplicate(descriptor).and_then(|socket| check(&socket).map(|kind| (Socket::from(socket), kind)));
            let prepared = socket.and_then(|(socket, kind)| match kind {
                ListenerKind::Unix => Ok((socket, kind)),
                _ => tcp::prepare(&socket).map(|()| (socket, kind)),
            });
            match prepared {
                Ok((socket, kind)) => Ok(InheritedSocket { name, socket, kind }),
                Err(source) => Err(BindError::Inherited { name, descriptor, source }),
            }
        });
        Ok(Inherited { sockets: sockets.collect::<Result<_, _>>()?, absence })
    }

    /// The names of the sockets that are left.
    pub(super) fn names(&self) -> Vec<&str> {
        self.sockets.iter().map(|socket| &*socket.name).collect()
    }

    /// Takes the sockets with this name; `None` is all that are left.
    ///
    /// # Errors
    /// There are none.
    pub(super) fn take(&mut self, name: Option<&str>) -> Result<Vec<InheritedSocket>, BindError> {
        let others = self.names().join(", ");
        let taken: Vec<_> = self.sockets.extract_if(.., |socket| name.is_none_or(|name| socket.name == name)).collect();
        match taken.is_empty() {
            false => Ok(taken),
            true if others.is_empty() => {
                Err(BindError::NothingInherited { name: name.map(str::to_owned), why: self.absence })
            }
            true => Err(BindError::NoSuchInherited { name: name.unwrap_or_default().to_owned(), others }),
        }
    }
}

/// Reads the variables of the environment, for the process with this `id`.
fn announcement(pid: Option<String>, count: Option<String>, names: Option<String>, id: u32) -> Announcement {
    let none = |absence| Announcement { names: Vec::new(), absence };
    let (Some(pid), Some(count)) = (pid, count) else {
        return none("the environment has no LISTEN_FDS and LISTEN_PID");
    };
    if pid.parse() != Ok(id) {
        return none("the LISTEN_PID of the environment is another process");
    }
    let Some(count) = count.parse().ok().filter(|&count| count <= MAX_SOCKETS) else {
        return none("the LISTEN_FDS of the environment is not a reasonable number");
    };
    let given = names.unwrap_or_default();
    let given: Vec<&str> = given.split(':').collect();
    let names = match given.len() == count && given.iter().all(|name| !name.is_empty()) {
        true => given.into_iter().map(str::to_owned).collect(),
        false => vec![UNKNOWN.to_owned(); count],
    };
    Announcement { names, absence: "all that were handed over belong to other listeners, or there were none" }
}

/// A descriptor of our own for what `descriptor` refers to.
#[allow(unsafe_code)]
fn duplicate(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is only used for this call, during which no other thread closes it: it was open when the
    // process started, and nothing in this process owns it. If the environment is wrong and it is not open, or is
    // something else, the call fails or duplicates that.
    let inherited = unsafe { BorrowedFd::borrow_raw(descriptor) };
    // Programs that this process might start must not inherit it; the service manager keeps one of its own.
    rustix::io::fcntl_setfd(inherited, FdFlags::CLOEXEC)?;
    Ok(rustix::io::fcntl_dupfd_cloexec(inherited, FIRST_DESCRIPTOR)?)
}

/// Whether it is a socket that listens for streams, of which kind, and makes it non-blocking.
fn check(socket: &OwnedFd) -> io::Result<ListenerKind> {
    let is_listening = socket_acceptconn(socket)?;
    let kind = match socket_domain(socket)? {
        AddressFamily::INET | AddressFamily::INET6 => ListenerKind::Tcp,
        AddressFamily::UNIX => ListenerKind::Unix,
        family => return Err(io::Error::other(format!("its address family is {}", family.as_raw()))),
    };
    if !is_listening || rustix::net::sockopt::socket_type(socket)? != rustix::net::SocketType::STREAM {
        return Err(io::Error::other("it does not listen for streams"));
    }
    let flags = rustix::fs::fcntl_getfl(socket)?;
    rustix::fs::fcntl_setfl(socket, flags | OFlags::NONBLOCK)?;
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    fn read(pid: &str, count: &str, names: Option<&str>) -> Announcement {
        announcement(Some(pid.to_owned()), Some(count.to_owned()), names.map(str::to_owned), 42)
    }

    #[test]
    fn the_environment_names_each_socket() {
        assert_eq!(read("42", "2", Some("web:admin")).names, ["web", "admin"]);
        assert_eq!(read("42", "2", None).names, ["unknown", "unknown"]);
        assert_eq!(read("42", "2", Some("web")).names, ["unknown", "unknown"]);
        assert_eq!(read("42", "1", None).names, ["unknown"]);
        assert_eq!(read("42", "0", None).names, [""; 0]);
    }

    #[test]
    fn an_environment_that_is_meant_for_another_process_or_is_nonsense_has_no_sockets() {
        for (pid, count) in [("41", "1"), ("", "1"), ("42", ""), ("42", "-1"), ("42", "1000000"), ("42 ", "1")] {
            assert_eq!(read(pid, count, None).names, [""; 0], "{pid:?}, {count:?}");
        }
        assert!(read("41", "1", None).absence.contains("another process"));
        assert!(announcement(None, Some("1".into()), None, 42).absence.contains("LISTEN_PID"));
    }

    #[test]
    fn only_sockets_that_listen_for_streams_are_accepted() {
        let directory = tempfile::tempdir().unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let unix = UnixListener::bind(directory.path().join("socket")).unwrap();
        assert_eq!(check(&tcp.into()).unwrap(), ListenerKind::Tcp);
        assert_eq!(check(&unix.into()).unwrap(), ListenerKind::Unix);
        assert!(check(&UdpSocket::bind("127.0.0.1:0").unwrap().into()).is_err());
        assert!(check(&UnixStream::pair().unwrap().0.into()).is_err());
        assert!(check(&std::fs::File::open(directory.path()).unwrap().into()).is_err());
    }

    #[test]
    fn sockets_are_taken_by_name_and_the_rest_together() {
        let directory = tempfile::tempdir().unwrap();
        let sockets = ["web", "admin", "web", "other"].into_iter().enumerate().map(|(n, name)| {
            let socket = UnixListener::bind(directory.path().join(n.to_string())).unwrap();
            let socket = Socket::from(OwnedFd::from(socket));
            InheritedSocket { name: name.to_owned(), socket, kind: ListenerKind::Unix }
        });
        let mut inherited = Inherited { sockets: sockets.collect(), absence: "none are left" };
        let missing = inherited.take(Some("db")).unwrap_err().to_string();
        assert!(missing.contains("db") && missing.contains("web, admin, web, other"), "{missing}");
        assert_eq!(inherited.take(Some("web")).unwrap().len(), 2);
        assert_eq!(inherited.names(), ["admin", "other"]);
        assert_eq!(inherited.take(None).unwrap().len(), 2);
        assert!(inherited.take(None).unwrap_err().to_string().contains("none are left"));
    }
}
