//! Listening on a Unix socket.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::unistd::Group;
use socket2::{Domain, SockAddr, Socket, Type};

use super::error::{BindError, UnixError};
use super::socket_file::{LockedDirectory, SocketFile};

/// The longest path that the address of a Unix socket has room for, in bytes. Clients have the same limit.
const MAX_PATH_LEN: usize = 107;

/// The default permission bits: everybody else has no access without a group that the operator names.
const MODE: u32 = 0o600;
const MODE_WITH_GROUP: u32 = 0o660;

/// Listens on the socket at `path`, with this mode and group. Replaces the socket of a server that has ended.
///
/// # Errors
/// The path is too long, there is another file or a server that listens, the group is unknown, or the system refuses it.
pub(super) fn listen(
    path: &Path,
    mode: Option<u32>,
    group: Option<&str>,
    backlog: i32,
) -> Result<(Socket, SocketFile), BindError> {
    bind(path, mode, group, backlog).map_err(|source| BindError::Unix { path: path.to_owned(), source })
}

fn bind(path: &Path, mode: Option<u32>, group: Option<&str>, backlog: i32) -> Result<(Socket, SocketFile), UnixError> {
    let len = path.as_os_str().as_bytes().len();
    if len > MAX_PATH_LEN {
        return Err(UnixError::PathTooLong { len, max: MAX_PATH_LEN });
    }
    let gid = group.map(find_group).transpose()?;
    let directory = LockedDirectory::lock(path)?;
    directory.make_room()?;

    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).map_err(failed("create a socket"))?;
    let address = SockAddr::unix(path).map_err(failed("use the path"))?;
    socket.bind(&address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => UnixError::InUse,
        _ => failed("create the socket")(error),
    })?;
    let mut file = directory.bound_file()?;
    // No client can connect before `listen`, so the mode of the socket until then gives no access.
    let prepared = prepare(&mut file, mode.unwrap_or(if gid.is_some() { MODE_WITH_GROUP } else { MODE }), gid);
    let started = prepared.and_then(|()| socket.listen(backlog).map_err(failed("listen on the socket")));
    drop(directory);
    match started {
        Ok(()) => Ok((socket, file)),
        Err(error) => {
            file.remove();
            Err(error)
        }
    }
}

fn prepare(file: &mut SocketFile, mode: u32, gid: Option<u32>) -> Result<(), UnixError> {
    if let Some(gid) = gid {
        file.set_group(gid).map_err(|source| UnixError::Group { gid, source })?;
    }
    file.set_mode(mode).map_err(failed("set the mode of the socket"))
}

fn find_group(name: &str) -> Result<u32, UnixError> {
    let found = match name.parse() {
        Ok(number) => Some(number).filter(|&number| number != u32::MAX),
        Err(_) => Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw()),
    };
    found.ok_or_else(|| UnixError::UnknownGroup { name: name.to_owned() })
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> UnixError {
    move |source| UnixError::Io { what, source }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
    use std::path::PathBuf;
    use std::sync::Barrier;
    use std::thread;

    use rustix::fs::{FlockOperation, flock};
    use tempfile::TempDir;

    use super::*;

    const BACKLOG: i32 = 16;

    fn at(directory: &TempDir) -> PathBuf {
        directory.path().join("socket")
    }

    fn refused(path: &Path) -> String {
        let error = listen(path, None, None, BACKLOG).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    }

    #[test]
    fn a_socket_has_its_mode_and_group_and_is_removed_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let own_gid = rustix::process::getegid().as_raw().to_string();
        for (mode, group, expected) in
            [(None, None, 0o600), (None, Some(&*own_gid), 0o660), (Some(0o642), None, 0o642), (Some(0), None, 0)]
        {
            let (_socket, file) = listen(&at(&directory), mode, group, BACKLOG).unwrap();
            let metadata = fs::metadata(at(&directory)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o7777, expected);
            assert_eq!(metadata.gid().to_string(), own_gid);
            if expected & 0o200 != 0 {
                UnixStream::connect(at(&directory)).unwrap();
            }
            file.remove();
            assert!(!at(&directory).exists());
        }
    }

    #[test]
    fn the_socket_of_an_ended_server_is_replaced_and_that_of_a_running_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        drop(UnixListener::bind(at(&directory)).unwrap());
        let (socket, _file) = listen(&at(&directory), None, None, 1).unwrap();
        let before = fs::metadata(at(&directory)).unwrap().ino();
        // Each attempt fills a place of the backlog, until it is full.
        for _ in 0..4 {
            let error = refused(&at(&directory));
            assert!(error.contains("another server listens"), "{error}");
        }
        assert_eq!(fs::metadata(at(&directory)).unwrap().ino(), before);
        drop(socket);
        let (_socket, _file) = listen(&at(&directory), None, None, BACKLOG).unwrap();
        UnixStream::connect(at(&directory)).unwrap();
    }

    #[test]
    fn a_file_that_is_not_the_socket_of_a_server_of_this_kind_is_never_removed() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(at(&directory), "precious").unwrap();
        assert!(refused(&at(&directory)).contains("not a socket"));
        assert_eq!(fs::read(at(&directory)).unwrap(), b"precious");

        let link = directory.path().join("link");
        drop(UnixListener::bind(directory.path().join("stale")).unwrap());
        symlink(directory.path().join("stale"), &link).unwrap();
        assert!(refused(&link).contains("not a socket"));
        assert!(link.is_symlink());

        let datagrams = directory.path().join("datagrams");
        let _reader = UnixDatagram::bind(&datagrams).unwrap();
        assert!(refused(&datagrams).contains("another server listens"));
        assert!(datagrams.exists());
    }

    #[test]
    fn a_socket_that_another_server_has_created_meanwhile_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let (socket, file) = listen(&at(&directory), None, None, BACKLOG).unwrap();
        drop(socket);
        let (_other, _other_file) = listen(&at(&directory), None, None, BACKLOG).unwrap();
        file.remove();
        UnixStream::connect(at(&directory)).unwrap();

        let (_socket, file) = listen(&directory.path().join("second"), None, None, BACKLOG).unwrap();
        file.leave();
        file.remove();
        assert!(directory.path().join("second").exists());
    }

    /// Each found the stale socket; the second removed the new socket of the first.
    #[test]
    fn of_servers_that_start_at_once_one_listens_and_the_others_are_refused() {
        const SERVERS: usize = 8;
        for _ in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            drop(UnixListener::bind(at(&directory)).unwrap());
            let start = Barrier::new(SERVERS);
            let results: Vec<_> = thread::scope(|scope| {
                let servers: Vec<_> = (0..SERVERS)
                    .map(|_| {
                        scope.spawn(|| {
                            start.wait();
                            listen(&at(&directory), None, None, BACKLOG)
                        })
                    })
                    .collect();
                servers.into_iter().map(|server| server.join().unwrap()).collect()
            });
            let listening: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
            assert_eq!(listening.len(), 1);
            UnixStream::connect(at(&directory)).unwrap();
        }
    }

    #[test]
    fn the_reason_that_prevents_listening_is_reported() {
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("x".repeat(100));
        assert!(refused(&long).contains("at most 107 bytes"), "{}", refused(&long));
        assert!(refused(&directory.path().join("no/socket")).contains("cannot open the directory"));
        let unknown = listen(&at(&directory), None, Some("no such group"), BACKLOG).unwrap_err();
        let source = std::error::Error::source(&unknown).unwrap().to_string();
        assert!(source.contains("no group \"no such group\""), "{source}");
        assert!(!at(&directory).exists());
    }

    #[test]
    fn a_directory_that_another_process_keeps_locked_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let other = fs::File::open(directory.path()).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        assert!(refused(&at(&directory)).contains("locked"));
        flock(&other, FlockOperation::Unlock).unwrap();
        listen(&at(&directory), None, None, BACKLOG).unwrap();
    }
}
