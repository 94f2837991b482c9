//! The file with the process id.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, geteuid, kill_process, test_kill_process};
use sharedance_test_support::server::{Server, command, eventually};

/// The number of an ordinary user; it need not have a name.
const ORDINARY: u32 = 61234;

#[test]
fn the_file_has_the_process_id_while_the_server_runs_and_a_killed_one_leaves_a_stale_file() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("pid");
    let start = |directory: &str| {
        let mut command = command(&place.path().join(directory));
        Server::spawn(command.arg("--pidfile").arg(&path))
    };
    let first = start("a").unwrap();
    let content = format!("{}\n", first.pid());
    assert_eq!(fs::read_to_string(&path).unwrap(), content);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);

    let refused = start("b").err().unwrap().log;
    assert!(refused.contains(&format!("as process {}", first.pid())), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), content);

    first.kill();
    assert_eq!(fs::read_to_string(&path).unwrap(), content);
    let second = start("a").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", second.pid()));
    assert!(second.terminate().0.success());
    assert!(!path.exists());
}

#[test]
fn a_start_that_fails_leaves_no_file() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("pid");
    let directory = place.path().join("store");
    let _first = Server::start(&directory, &[]);
    let failure = Server::spawn(command(&directory).arg("--pidfile").arg(&path)).err().unwrap();
    assert!(failure.log.contains("in use"), "{failure:?}");
    assert!(!path.exists());
}

/// Starts a daemon as another user, if possible, and ends it. Returns whether the file exists afterwards.
fn file_remains_after_a_daemon(place: &Path, path: &Path) -> bool {
    let mut command = command(&place.join("store"));
    command.arg("--daemonize").arg("--pidfile").arg(path);
    if geteuid().is_root() {
        let id = ORDINARY.to_string();
        command.args(["--uid", &id, "--gid", &id]);
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pid = Pid::from_raw(fs::read_to_string(path).unwrap().trim().parse().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    eventually("the daemon ends", || {
        let is_zombie = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        (test_kill_process(pid).is_err() || is_zombie.is_ok_and(|stat| stat.contains(") Z "))).then_some(())
    });
    path.exists()
}

#[test]
fn a_daemon_with_another_user_removes_its_file_where_that_user_may() {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let run = place.path().join("run");
    fs::create_dir(&run).unwrap();
    if geteuid().is_root() {
        chown(&run, Some(ORDINARY), Some(ORDINARY)).unwrap();
    }
    let is_removed = !file_remains_after_a_daemon(place.path(), &run.join("pid"));
    // Without Landlock, a process in another root directory keeps no way out of it.
    assert!(is_removed || geteuid().is_root() && !landlock_is_enforced());
}

/// As in /run.
#[test]
fn a_file_in_a_directory_of_root_is_emptied() {
    if !geteuid().is_root() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let path = place.path().join("pid");
    assert!(file_remains_after_a_daemon(place.path(), &path));
    assert_eq!(fs::read(&path).unwrap(), b"");
}

fn landlock_is_enforced() -> bool {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    !server.log().iter().any(|line| line.contains("Landlock: NotEnforced"))
}
