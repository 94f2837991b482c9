//! Unix sockets of a server that gives up its rights.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::process::geteuid;
use sharedance_test_support::server::{Server, Transport, bare_command, fetch, store};

/// An id that no user of the system has.
const ORDINARY: u32 = 61234;

fn start(directory: &Path, listen: &str, arguments: &[&str]) -> Server {
    let mut command = bare_command(&directory.join("store"));
    command.arg(format!("--listen=unix:{}{listen}", directory.join("socket").display()));
    Server::spawn(command.args(arguments)).unwrap_or_else(|failure| panic!("{failure:?}"))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_server_removes_its_socket_when_it_stops_and_replaces_that_of_a_killed_one() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let server = start(directory.path(), "", &[]);
    assert_eq!(mode(&socket), 0o600, "for its own user");
    assert_eq!(server.ask(&store(b"k", b"v")), b"OK\n");
    server.kill();
    assert!(socket.exists());

    let server = start(directory.path(), ",mode=0666", &[]);
    assert_eq!(mode(&socket), 0o666, "whatever the mask of the process");
    assert_eq!(server.ask(&fetch(b"k")), b"v");
    let log =
        Server::spawn(bare_command(&directory.path().join("other")).arg(format!("--listen=unix:{}", socket.display())));
    let log = log.err().unwrap().log;
    assert!(log.contains("another server listens there"), "{log}");
    let (status, log) = server.terminate();
    assert!(status.success(), "{log}");
    assert!(!socket.exists(), "{log}");
}

/// The socket is outside of the root directory by then, and belongs to a directory of root.
#[test]
fn a_server_that_becomes_another_user_gives_it_the_socket_and_removes_it() {
    if !geteuid().is_root() {
        return;
    }
    let id = ORDINARY.to_string();
    for (directory_mode, is_removed) in [(0o1777, true), (0o755, false)] {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(directory_mode)).unwrap();
        let server = start(directory.path(), ",group=12,mode=0660", &["--uid", &id, "--gid", &id]);
        let metadata = fs::metadata(&socket).unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), mode(&socket)), (ORDINARY, 12, 0o660));
        assert_eq!(server.ask(&store(b"k", b"v")), b"OK\n");
        assert!(server.log().iter().any(|line| line.contains("now user 61234")));
        let (status, log) = server.terminate();
        assert!(status.success(), "{log}");
        assert_eq!(!socket.exists(), is_removed, "{log}");
        assert_eq!(log.contains("the next server that listens there replaces it"), !is_removed, "{log}");
        // Either way it starts again.
        start(directory.path(), "", &["--uid", &id, "--gid", &id]);
    }
}

#[test]
fn the_background_process_keeps_the_socket_that_its_parent_has_bound() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let mut command = bare_command(&directory.path().join("store"));
    command.arg(format!("--listen=unix:{}", socket.display())).arg("--daemonize");
    let parent = command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).output().unwrap();
    assert!(parent.status.success(), "{}", String::from_utf8_lossy(&parent.stderr));
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"stats\r\nquit\r\n").unwrap();
    let mut stats = String::new();
    stream.read_to_string(&mut stats).unwrap();
    let pid = stats.lines().find_map(|line| line.strip_prefix("STAT pid ")).unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    sharedance_test_support::server::eventually("it removes the socket", || (!socket.exists()).then_some(()));
}

#[test]
fn a_socket_that_was_replaced_meanwhile_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let server = start(directory.path(), "", &[]);
    fs::remove_file(&socket).unwrap();
    let _other = UnixListener::bind(&socket).unwrap();
    let (status, log) = server.terminate();
    assert!(status.success(), "{log}");
    UnixStream::connect(&socket).unwrap();
}

/// An ordinary user has no other root directory; Landlock confines it.
#[test]
fn a_server_of_an_ordinary_user_removes_its_socket() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("sharedanced");
    fs::copy(sharedance_test_support::server::program(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let home = directory.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = std::process::Command::new(&program);
    if geteuid().is_root() {
        use std::os::unix::process::CommandExt;
        chown(&home, Some(ORDINARY), Some(ORDINARY)).unwrap();
        command.uid(ORDINARY).gid(ORDINARY);
    }
    command.arg("--debug").arg("--directory").arg(home.join("store"));
    command.arg(format!("--listen=unix:{}", home.join("socket").display()));
    let server = Server::spawn(&mut command).unwrap_or_else(|failure| panic!("{failure:?}"));
    assert_eq!(server.ask(&store(b"k", b"v")), b"OK\n");
    let (status, log) = server.terminate();
    assert!(status.success(), "{log}");
    assert!(!home.join("socket").exists(), "{log}");
}

#[test]
fn many_workers_share_a_socket_evenly() {
    const CONNECTIONS: usize = 64;
    const WORKERS: usize = 4;
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_on(Transport::Unix, directory.path(), &["--threads=4"]);
    // One after the other, so that an idle worker is always there.
    let streams: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut stream = server.connect();
            sharedance_test_support::talk::ask(&mut stream, b"mn\r\n", b"MN\r\n");
            stream
        })
        .collect();
    // A worker holds its connections by descriptors of its own poller.
    let watched = sharedance_test_support::server::eventually("all connections are watched", || {
        let watched = watched_per_poller(server.pid());
        (watched.iter().sum::<usize>() >= CONNECTIONS + WORKERS).then_some(watched)
    });
    assert_eq!(watched.len(), WORKERS, "{watched:?}");
    assert!(watched.iter().all(|&count| count >= CONNECTIONS / WORKERS / 2), "{watched:?}");
    drop(streams);
}

/// How many sockets each epoll descriptor of a process watches.
fn watched_per_poller(pid: u32) -> Vec<usize> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    let infos = descriptors.filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok());
    let counts = infos.map(|info| info.lines().filter(|line| line.starts_with("tfd:")).count());
    // A poller has a timer and a notifier too.
    counts.filter(|&count| count > 0).map(|count| count.saturating_sub(2)).collect()
}
