//! What each signal does.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use rustix::process::{Signal, geteuid};
use sharedance_test_support::server::{AMPLE, Server, command, eventually, program, store};

#[test]
fn signals_of_scripts_that_rotate_logs_do_not_end_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    for signal in [Signal::HUP, Signal::USR1, Signal::USR2] {
        server.signal(signal);
        assert_eq!(server.ask(&store(b"k", b"v")), b"OK\n");
    }
    eventually("the signal was handled", || server.log().iter().find(|line| line.contains("no effect")).cloned());
    let (status, log) = server.terminate();
    assert!(status.success(), "{log}");
    assert!(log.contains("nothing to reload"), "{log}");
}

#[test]
fn the_service_manager_learns_when_a_reload_begins_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(AMPLE)).unwrap();
    let mut received = [0; 256];
    let mut message = || {
        let len = manager.recv(&mut received).unwrap();
        String::from_utf8(received[..len].to_vec()).unwrap()
    };
    let now = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec * 1_000_000 + now.tv_nsec / 1000
    };
    let server = Server::spawn(command(&directory.path().join("store")).env("NOTIFY_SOCKET", &path)).unwrap();
    let ready = format!("READY=1\nMAINPID={}\n", server.pid());
    assert_eq!(message(), ready);

    let before = now();
    server.signal(Signal::HUP);
    let reloading = message();
    let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end().parse().unwrap();
    assert!((before..=now()).contains(&micros), "{before} {micros}");
    assert_eq!(message(), ready);
    assert!(server.terminate().0.success());
    assert_eq!(message(), "STOPPING=1\n");
}

/// Writes the file, sends SIGHUP, and returns the line about the configuration file.
fn reloaded(server: &Server, path: &Path, content: &str) -> String {
    let lines = |server: &Server| -> Vec<String> {
        server.log().into_iter().filter(|line| line.contains("the configuration file")).collect()
    };
    let before = lines(server).len();
    // As editors do it: the file is another one afterwards.
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(&new, path).unwrap();
    server.signal(Signal::HUP);
    eventually("the configuration was reloaded", || lines(server).get(before).cloned())
}

#[test]
fn sighup_applies_the_log_level_and_names_the_options_that_need_a_restart() {
    if Path::new("/dev/log").exists() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("sharedanced.toml");
    fs::write(&path, "log-level = 'info'\nmax-bytes = '64m'").unwrap();
    let mut command = Command::new(program());
    command.args(["--ip=127.0.0.1", "--port=0", "--config"]).arg(&path);
    let server = Server::spawn(command.arg("--directory").arg(place.path().join("store"))).unwrap();
    let is_debug = |line: &String| line.contains("debug: ");

    let line = reloaded(&server, &path, "log-level = 'info'\nmax-bytes = '64m'");
    assert!(line.ends_with("the log level is info, and nothing needs a restart"), "{line}");
    assert!(!server.log().iter().any(is_debug));

    let line = reloaded(&server, &path, "debug = true\nmax-bytes = '65m'\nexpiration = '1h'");
    assert!(
        line.ends_with("the log level is debug; after a restart, changes of --expiration, --max-bytes take effect"),
        "{line}"
    );
    server.signal(Signal::USR1);
    eventually("a line of the level of debugging", || server.log().iter().find(|line| is_debug(line)).cloned());

    let line = reloaded(&server, &path, "log-level = 'loud'\nport = 99999");
    assert!(line.contains("error: not reloaded, and unchanged"), "{line}");
    assert!(line.contains(":1: invalid value 'loud'") && line.contains(":2: invalid value '99999'"), "{line}");

    // Errors only: not even the line about the reload.
    fs::write(&path, "log-level = 'error'").unwrap();
    server.signal(Signal::HUP);
    let (status, log) = server.terminate();
    assert!(status.success() && !log.contains("log level is error"), "{log}");
}

/// A server that was started as root sees another root directory, as another user.
#[test]
fn the_configuration_is_read_again_by_another_user_in_another_root_directory() {
    if !geteuid().is_root() || Path::new("/dev/log").exists() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let path = place.path().join("sharedanced.toml");
    fs::write(&path, "log-level = 'info'").unwrap();
    let start = || {
        let mut command = command(&place.path().join("store"));
        Server::spawn(command.args(["--uid=61234", "--gid=61234", "--config"]).arg(&path)).unwrap()
    };
    let server = start();
    let is_confined = server.log().iter().any(|line| line.contains("Landlock: FullyEnforced"));
    let line = reloaded(&server, &path, "expiration = '1h'");
    match is_confined {
        true => assert!(line.ends_with("changes of --expiration take effect"), "{line}"),
        false => assert!(line.contains("this kernel has no Landlock"), "{line}"),
    }
    drop(server);

    // The warning contains the command that helps.
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let server = start();
    if is_confined {
        let log = server.log();
        let command = format!("chgrp 61234 {0} && chmod g+r {0}", path.display());
        assert!(log.iter().any(|line| line.contains("warning: ") && line.ends_with(&command)), "{log:?}");
    }
}

/// The line about the start is printed at any level.
#[test]
fn a_server_that_logs_errors_only_logs_its_start() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--log-level=error"]);
    assert_eq!(server.log().len(), 1, "{:?}", server.log());
}
