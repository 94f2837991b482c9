//! Starts and ends the real `sharedanced` as an operator does: refusals, log lines, privileges, and remaining files.

// A test panics when it cannot continue.
#![allow(clippy::unwrap_used)]

use sharedance_test_support::server;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use server::{AMPLE, Server, answer, command, eventually, fetch, program, store};
use tempfile::TempDir;

/// The number of an ordinary user; it need not have a name.
const ORDINARY: u32 = 61234;

/// Runs `command`, which must be refused at the start. Returns its standard error.
fn refused(command: &mut Command) -> String {
    let Err(failure) = Server::spawn(command) else {
        panic!("{command:?} was not refused");
    };
    assert!(failure.status.code().is_some_and(|code| code > 0), "{failure:?}");
    failure.log
}

/// Returns a directory that every user can reach, with a copy of the program that every user can run.
fn public_place() -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let program = place.path().join("sharedanced");
    fs::copy(server::program(), &program).unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    (place, program)
}

/// Returns the command that runs the program as an ordinary user. The test must run as root or as that user.
fn as_ordinary_user(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--debug", "--ip=127.0.0.1", "--port=0", "--directory"]).arg(directory);
    if geteuid().is_root() {
        command.uid(ORDINARY).gid(ORDINARY);
    }
    command
}

#[test]
fn a_restart_keeps_the_pairs_after_a_crash_and_after_a_shutdown() {
    let directory = tempfile::tempdir().unwrap();
    let first = Server::start(directory.path(), &[]);
    assert_eq!(first.ask(&store(b"session", b"logged in")), b"OK\n");
    first.kill();

    let second = Server::start(directory.path(), &[]);
    assert_eq!(second.ask(&fetch(b"session")), b"logged in");
    assert_eq!(second.ask(&store(b"session", b"still logged in")), b"OK\n");
    let (status, log) = second.terminate();
    assert!(status.success(), "{log}");

    let third = Server::start(directory.path(), &[]);
    assert_eq!(third.ask(&fetch(b"session")), b"still logged in");
}

#[test]
fn a_shutdown_finishes_responses_and_accepts_no_connection() {
    let directory = tempfile::tempdir().unwrap();
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(directory.path(), &["--threads=1"]);
        let value = vec![b'v'; 20_000_000];
        server.ask(&store(b"k", &value));
        let mut stream = server.connect();
        stream.write_all(&fetch(b"k")).unwrap();
        let mut idle = server.connect();
        server.settle();

        server.signal(signal);
        // Not an orderly end, which would tell a client with a pending request that the pair is not there.
        assert_eq!(answer(&mut idle).unwrap_err().kind(), ErrorKind::ConnectionReset);
        eventually("no more connections", || TcpStream::connect(server.address()).err());
        assert!(answer(&mut stream).unwrap() == value);
        assert!(server.wait().success());
    }
}

#[test]
fn a_peer_that_does_not_read_does_not_prevent_a_shutdown() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--threads=1"]);
    server.ask(&store(b"k", &vec![b'v'; 20_000_000]));
    let mut stream = server.connect();
    stream.write_all(&fetch(b"k")).unwrap();
    server.settle();
    assert!(server.terminate().0.success());
}

/// A number among the general statistics, asked for on a connection that is kept.
fn stat(stream: &mut TcpStream, name: &str) -> u64 {
    stream.write_all(b"stats\r\n").unwrap();
    let mut stats = Vec::new();
    while !stats.ends_with(b"\r\nEND\r\n") {
        let mut buffer = [0; 4096];
        let len = stream.read(&mut buffer).unwrap();
        assert!(len > 0, "the server has closed the connection");
        stats.extend_from_slice(&buffer[..len]);
    }
    let stats = String::from_utf8(stats).unwrap();
    let value = stats.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
    value.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[test]
fn the_statistics_count_when_no_connections_are_accepted_and_for_how_long() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--threads=1", "--max-connections=1"]);
    let mut kept = server.connect();
    assert_eq!((stat(&mut kept, "accepting_conns"), stat(&mut kept, "listen_disabled_num")), (1, 0));
    assert_eq!(stat(&mut kept, "time_in_listen_disabled_us"), 0);
    // Few refusals are free, so that the server continues to accept connections; many refusals in a short time make it pause.
    eventually("the server pauses", || {
        let refused: Vec<_> = (0..300).filter_map(|_| TcpStream::connect(server.address()).ok()).collect();
        drop(refused);
        (stat(&mut kept, "listen_disabled_num") > 0).then_some(())
    });
    assert!(stat(&mut kept, "rejected_connections") >= 128);
    eventually("the server accepts again", || (stat(&mut kept, "accepting_conns") == 1).then_some(()));
    assert!(stat(&mut kept, "time_in_listen_disabled_us") > 0);
    assert_eq!(stat(&mut kept, "curr_connections"), 1);
}

#[test]
fn the_statistics_count_when_a_connection_with_many_requests_lets_others_have_their_turn() {
    const REQUESTS: usize = 1_000;
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--threads=1"]);
    let mut stream = server.connect();
    assert_eq!(stat(&mut stream, "conn_yields"), 0);
    stream.write_all(&b"get k\r\n".repeat(REQUESTS)).unwrap();
    let mut answers = vec![0; b"END\r\n".len() * REQUESTS];
    stream.read_exact(&mut answers).unwrap();
    assert!(stat(&mut stream, "conn_yields") > 0);
}

#[test]
fn a_port_in_use_is_refused() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = Server::start(directories[0].path(), &[]);
    let port = format!("--port={}", first.address().port());
    let log =
        refused(Command::new(program()).args(["--ip=127.0.0.1", &port, "--directory"]).arg(directories[1].path()));
    assert!(log.contains("another server has this port") && log.contains("127.0.0.1"), "{log}");
}

#[test]
fn a_second_server_on_a_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let first = Server::start(directory.path(), &[]);
    let log = refused(&mut command(directory.path()));
    // Also where it is the root directory of the process.
    let named = format!("{} is in use by another store", directory.path().canonicalize().unwrap().display());
    assert!(log.contains(&named), "{log}");
    assert_eq!(first.ask(&store(b"k", b"v")), b"OK\n");
}

#[test]
fn a_directory_that_others_may_write_to_is_refused_and_fixed_by_the_reported_command() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let log = refused(&mut command(directory.path()));
    let (_, mending) = log.rsplit_once("mend it with: ").unwrap_or_else(|| panic!("{log}"));
    assert!(Command::new("sh").args(["-c", mending]).status().unwrap().success());
    Server::start(directory.path(), &[]);
}

#[test]
fn options_out_of_range_are_refused() {
    for (argument, named) in
        [("--backlog=0", "backlog"), ("--maxreadsize=9", "maxreadsize"), ("--timeout=0", "timeout")]
    {
        let log = refused(Command::new(program()).arg(argument));
        assert!(log.contains(named), "{log}");
    }
    let help = Command::new(program()).arg("--help").output().unwrap();
    assert!(help.status.success());
    assert!(String::from_utf8(help.stdout).unwrap().contains("--maxreadsize"));
}

#[test]
fn a_missing_directory_is_created_for_the_owner_only() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("new");
    let _server = Server::start(&directory, &[]);
    assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o7777, 0o700);
    for entry in fs::read_dir(&directory).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o077, 0);
    }
}

#[test]
fn the_process_has_a_title_and_cleans_up_at_low_priority() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let title = fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap();
    let end = title.iter().position(|&byte| byte == 0).unwrap();
    let (path, address) = (directory.path().canonicalize().unwrap(), server.address());
    let expected = format!("sharedanced [SERVER] {} on {address}", path.display());
    assert_eq!(String::from_utf8_lossy(&title[..end]), expected);

    eventually("a thread [CLEANUP] of the lowest priority", || {
        fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().find_map(|task| {
            let stat = fs::read_to_string(task.unwrap().path().join("stat")).ok()?;
            let fields = stat.split_once("([CLEANUP])")?.1;
            let niceness = fields.split_whitespace().nth(16)?;
            (niceness == "19").then_some(())
        })
    });
}

/// With a syslog, the terminal showed nothing; without one, all notices were lost.
#[test]
fn a_start_in_a_terminal_logs_version_addresses_and_limits() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(program());
    command.args(["--ip=127.0.0.1", "--port=0", "--threads=3", "--max-bytes=100000000", "--max-connections=77"]);
    let server = Server::spawn(command.arg("--directory").arg(directory.path())).unwrap();
    let log = server.log();
    let line = log.iter().find(|line| line.contains(": listening on 127.0.0.1:")).unwrap();
    let path = directory.path().canonicalize().unwrap().display().to_string();
    let version = env!("CARGO_PKG_VERSION");
    let pairs = " 0 pairs in 0 segments of ";
    for part in [version, pairs, &path, "(opened in ", "100000000", "77 connections", "3 threads"] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    let is_about_the_start = |line: &&String| line.contains(" pairs ");
    assert_eq!(log.iter().filter(is_about_the_start).count(), 1, "{log:?}");
}

/// In a full store preparing segments fails all the time, which was logged as an error.
#[test]
fn an_evicting_server_that_is_full_logs_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--max-bytes=67108864", "--when-full=evict"]);
    let value = vec![b'v'; 1_000_000];
    for n in 0..150 {
        assert_eq!(server.ask(&store(format!("{n}").as_bytes(), &value)), b"OK\n");
    }
    let (status, log) = server.terminate();
    assert!(status.success() && !log.contains("error:"), "{log}");
}

/// Each refused request was a line in the log.
#[test]
fn a_store_that_refuses_every_request_does_not_flood_the_log() {
    const REQUESTS: usize = 300;
    let traced = Command::new("strace").arg("-V").output();
    if !traced.is_ok_and(|output| output.status.success()) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync,msync,sync_file_range"]);
    command.args(["-e", "inject=fsync,fdatasync,msync,sync_file_range:error=EIO:when=3+"]).arg(program());
    command.args(["--durability=always", "--threads=1", "--ip=127.0.0.1", "--port=0", "--directory"]);
    let server = Server::spawn(command.arg(directory.path())).unwrap();
    let mut refused = 0;
    let mut stream = server.connect();
    for _ in 0..REQUESTS {
        let mut received = [0; 256];
        match stream.write_all(b"set k 0 0 1\r\nv\r\n").and_then(|()| stream.read(&mut received)) {
            Ok(len @ 1..) => refused += usize::from(received[..len].starts_with(b"SERVER_ERROR")),
            // A connection whose response waited for the failed sync is closed.
            _ => stream = server.connect(),
        }
    }
    assert!(refused > REQUESTS / 2, "{refused} refused");
    let log = server.log();
    assert!(log.iter().any(|line| line.contains("nothing is stored or deleted since a sync failed")), "{log:?}");
    assert!(log.len() < 30, "{} lines: {log:?}", log.len());
}

#[test]
fn the_service_manager_is_notified() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(AMPLE)).unwrap();
    let mut received = [0; 256];
    let mut message = || {
        let len = manager.recv(&mut received).unwrap();
        String::from_utf8(received[..len].to_vec()).unwrap()
    };
    let server = Server::spawn(command(&directory.path().join("store")).env("NOTIFY_SOCKET", &path)).unwrap();
    assert_eq!(message(), format!("READY=1\nMAINPID={}\n", server.pid()));
    assert!(server.terminate().0.success());
    assert_eq!(message(), "STOPPING=1\n");
}

/// The start ended with "Invalid argument".
#[test]
fn a_missing_service_manager_does_not_prevent_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let dead = directory.path().join("dead");
    drop(UnixDatagram::bind(&dead).unwrap());
    for name in ["", "relative", "/no/such/socket", "@no such name", dead.to_str().unwrap()] {
        let mut command = command(&directory.path().join("store"));
        let server = Server::spawn(command.env("NOTIFY_SOCKET", name)).unwrap_or_else(|failure| panic!("{failure:?}"));
        let warned = server.log().iter().any(|line| line.contains("warning: the environment variable NOTIFY_SOCKET"));
        assert!(warned, "{name:?}: {:?}", server.log());
        assert!(server.terminate().0.success());
    }
}

/// The start failed, and the error asked for capabilities that root had.
#[test]
fn root_of_a_user_namespace_that_denies_setgroups_is_served() {
    let namespace = ["--user", "--map-root-user"];
    let has_namespaces = Command::new("unshare").args(namespace).arg("true").status();
    if !has_namespaces.is_ok_and(|status| status.success()) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let within = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(namespace).arg(program()).args(["--debug", "--ip=127.0.0.1", "--port=0"]).args(arguments);
        command.arg("--directory").arg(directory.path());
        command
    };
    let server = Server::spawn(&mut within(&[])).unwrap_or_else(|failure| panic!("{failure:?}"));
    assert_eq!(server.ask(&store(b"k", b"v")), b"OK\n");
    let groups = server.status("Groups");
    let keeps_groups = groups.split_whitespace().any(|group| group != "0");
    let is_warned = server.log().iter().any(|line| line.contains("this user namespace denies setgroups"));
    assert_eq!(is_warned, keeps_groups, "groups {groups}: {:?}", server.log());
    assert!(server.terminate().0.success());

    let log = refused(&mut within(&["--gid=61234"]));
    assert!(log.contains("cannot become group 61234 (this user namespace does not know that id"), "{log}");
}

#[test]
fn root_becomes_another_user_permanently_within_its_directory() {
    if !geteuid().is_root() {
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("store");
    let id = ORDINARY.to_string();
    let server = Server::start(&directory, &["--uid", &id, "--gid", &id]);
    assert_eq!(server.ask(&store(b"k", b"v")), b"OK\n");

    let four_times = format!("{id}\t{id}\t{id}\t{id}");
    assert_eq!((server.status("Uid"), server.status("Gid")), (four_times.clone(), four_times));
    assert_eq!(server.status("Groups"), id);
    assert_eq!(server.status("NoNewPrivs"), "1");
    for capabilities in ["CapPrm", "CapEff", "CapInh"] {
        assert_eq!(server.status(capabilities), "0000000000000000", "{capabilities}");
    }
    assert_eq!(fs::read_link(format!("/proc/{}/root", server.pid())).unwrap(), directory.canonicalize().unwrap());
    assert_eq!(fs::metadata(&directory).unwrap().uid(), ORDINARY);
    server.kill();

    // The same directory now belongs to another user.
    let log = refused(&mut command(&directory));
    assert!(log.contains("mend it with: chown -R 0:"), "{log}");
}

#[test]
fn a_server_that_stays_root_logs_a_warning() {
    if !geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    assert_eq!(server.log().iter().filter(|line| line.contains("warning: the server stays root")).count(), 1);
    assert_eq!(server.status("NoNewPrivs"), "1");
}

#[test]
fn unknown_users_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let log = refused(command(directory.path()).args(["--uid", "no such user"]));
    let expected = if geteuid().is_root() { "no user \"no such user\"" } else { "needs root's rights" };
    assert!(log.contains(expected), "{log}");
}

#[test]
fn an_ordinary_user_can_start_it_and_one_line_lists_what_is_missing() {
    let (place, program) = public_place();
    let directory = place.path().join("store");
    fs::create_dir(&directory).unwrap();
    if geteuid().is_root() {
        chown(&directory, Some(ORDINARY), Some(ORDINARY)).unwrap();
    }
    let server = Server::spawn(&mut as_ordinary_user(&program, &directory)).unwrap();
    assert_eq!(server.ask(&store(b"k", b"v")), b"OK\n");
    let told = server.log().into_iter().filter(|line| line.contains("not started as root"));
    assert_eq!(told.count(), 1);
    server.kill();

    for option in ["--uid", "--gid"] {
        let log = refused(as_ordinary_user(&program, &directory).args([option, "0"]));
        assert!(log.contains(&format!("{option} needs root's rights")), "{log}");
    }
}

/// A server in the background. It is found by its directory lock and ended when dropped.
struct Background {
    pid: Pid,
}

impl Background {
    fn find(directory: &Path) -> Option<Background> {
        let lock = directory.join("LOCK").canonicalize().ok()?;
        fs::read_dir("/proc").unwrap().find_map(|entry| {
            let process = entry.unwrap();
            let mut descriptors = fs::read_dir(process.path().join("fd")).ok()?;
            let holds = |fd: fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|file| file == lock);
            descriptors.any(|fd| fd.is_ok_and(holds)).then_some(())?;
            let pid = Pid::from_raw(process.file_name().to_str()?.parse().ok()?)?;
            Some(Background { pid })
        })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = kill_process(self.pid, Signal::KILL);
    }
}

#[test]
fn a_daemon_serves_once_the_command_has_ended() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("store");
    let mut command = command(&directory);
    command.arg("--daemonize");
    if geteuid().is_root() {
        let id = ORDINARY.to_string();
        command.args(["--uid", &id, "--gid", &id]);
    }
    // The end of its standard error is read as well: the test would wait for a daemon that keeps the terminal.
    let output = command.stdin(Stdio::null()).output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    let background = Background::find(&directory).unwrap();

    let port = log.lines().find_map(|line| line.split_once(": listening on ")?.1.rsplit(':').next()?.parse().ok());
    let address = ("127.0.0.1", port.unwrap_or_else(|| panic!("{log}")));
    let mut stream = TcpStream::connect::<(&str, u16)>(address).unwrap();
    stream.set_read_timeout(Some(AMPLE)).unwrap();
    stream.write_all(&store(b"k", b"v")).unwrap();
    assert_eq!(answer(&mut stream).unwrap(), b"OK\n");

    let session = fs::read_to_string(format!("/proc/{}/stat", background.pid.as_raw_nonzero())).unwrap();
    let after_name = session.rsplit_once(')').unwrap().1;
    let session = after_name.split_whitespace().nth(3).unwrap();
    assert_eq!(session, background.pid.as_raw_nonzero().to_string(), "not a session of its own");

    kill_process(background.pid, Signal::TERM).unwrap();
    eventually("the daemon ends", || {
        // Its new parent may not have waited for it yet.
        let stat = fs::read_to_string(format!("/proc/{}/stat", background.pid.as_raw_nonzero()));
        stat.map_or(true, |stat| stat.contains(") Z ")).then_some(())
    });
}

#[test]
fn errors_of_a_daemon_s_start_appear_in_the_foreground() {
    let directory = tempfile::tempdir().unwrap();
    let first = Server::start(directory.path(), &[]);

    let log = refused(command(directory.path()).arg("--daemonize"));
    assert!(log.contains("cannot open the store"), "{log}");

    let port = format!("--port={}", first.address().port());
    let other = tempfile::tempdir().unwrap();
    let mut command = Command::new(program());
    command.args(["--daemonize", "--ip=127.0.0.1", &port, "--directory"]).arg(other.path());
    let log = refused(&mut command);
    assert!(log.contains("another server has this port"), "{log}");
}

#[test]
fn a_crash_of_the_server_ends_its_connections() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--threads=1"]);
    let mut stream = server.connect();
    server.settle();
    server.kill();
    let end = stream.read(&mut [0]);
    assert!(matches!(end, Ok(0)) || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
}
