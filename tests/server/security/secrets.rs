//! Nothing that the server writes contains a name, a password, a key or a value.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sharedance_test_support::server::{Server, answer, command, eventually, fetch};

use super::operations::{Dialect, frame};
use super::site::credentials;

/// Everything that is secret contains this.
const SECRET: &str = "Xq7Secret";

fn write_secret(path: &Path, contents: &str) {
    fs::write(path, contents).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

fn assert_no_secret(log: &str) {
    assert!(!log.contains(SECRET), "{log}");
}

#[test]
fn the_log_contains_no_name_password_key_or_value() {
    let directory = tempfile::tempdir().unwrap();
    let auth_file = directory.path().join("auth");
    let right = format!("name{SECRET}:password{SECRET}:prefix={SECRET}\n");
    write_secret(&auth_file, &right);
    let option = format!("--auth-file={}", auth_file.display());
    let store = directory.path().join("store");
    let server = Server::start(&store, &[&option, "--maxreadsize=20000", "--threads=1"]);
    let ask = |request: &[u8]| {
        let mut stream = server.connect();
        stream.write_all(request).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = answer(&mut stream);
    };
    let (name, password) = (format!("name{SECRET}"), format!("password{SECRET}"));
    let log_in = credentials(Dialect::Text, &name, &password);
    let requests = format!(
        "set {SECRET}-k 0 0 9\r\n{SECRET}\r\nget {SECRET}-k other{SECRET}\r\nset other{SECRET} 0 0 9\r\n{SECRET}\r\n\
         mg other{SECRET} v\r\nset {SECRET} 0 0 30000\r\n"
    );
    ask(&[&log_in, requests.as_bytes()].concat());
    ask(&[&log_in[..], format!("{SECRET} {}", SECRET.repeat(1_000)).as_bytes()].concat());
    ask(&credentials(Dialect::Text, &name, &format!("wrong{SECRET}")));
    ask(&credentials(Dialect::Binary, &format!("wrong{SECRET}"), &password));
    ask(&frame(0x21, b"", SECRET.as_bytes(), SECRET.as_bytes()));
    ask(&frame(0x01, &[0; 8], SECRET.as_bytes(), SECRET.as_bytes()));
    ask(format!("set {SECRET} 0 0 3\r\n{SECRET}\r\n").as_bytes());
    ask(format!("{SECRET}\r\n").as_bytes());
    ask(&fetch(SECRET.as_bytes()));

    for broken in
        [SECRET.to_owned(), format!("a:{SECRET}:{SECRET}"), format!("#{SECRET}:{SECRET}"), format!(":{SECRET}")]
    {
        write_secret(&auth_file, &broken);
        let before = server.log().len();
        server.signal(rustix::process::Signal::HUP);
        let is_refused = |line: &String| line.contains("line 1") && line.contains("credentials");
        eventually("the reload is refused", || server.log()[before..].iter().any(is_refused).then_some(()));
        // As a start with it would be.
        let refused = Server::spawn(command(&directory.path().join("other")).arg(&option)).map(drop).unwrap_err();
        assert!(refused.log.contains("line 1"), "{}", refused.log);
        assert_no_secret(&refused.log);
    }
    write_secret(&auth_file, &right);
    server.signal(rustix::process::Signal::HUP);
    eventually("the reload is reported", || server.log().iter().any(|line| line.contains("1 users")).then_some(()));
    let (status, log) = server.terminate();
    assert!(status.success() && log.contains("wrong credentials from 127.0.0.1:"), "{log}");
    assert!(log.contains("classic"), "{log}");
    assert_no_secret(&log);
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let auth_file = directory.path().join("auth");
    let option = format!("--auth-file={}", auth_file.display());
    let start = || Server::spawn(command(&directory.path().join("store")).arg(&option));
    assert!(start().map(drop).unwrap_err().log.contains("auth"), "it is missing");
    write_secret(&auth_file, &format!("name:{SECRET}\n"));
    for mode in [0o640, 0o604, 0o644] {
        fs::set_permissions(&auth_file, PermissionsExt::from_mode(mode)).unwrap();
        let refused = start().map(drop).unwrap_err();
        assert!(refused.log.contains("chmod 600") && refused.log.contains(&format!("{mode:04o}")), "{}", refused.log);
        assert_no_secret(&refused.log);
    }
    fs::set_permissions(&auth_file, PermissionsExt::from_mode(0o600)).unwrap();
    start().unwrap();
}

/// The process has another root directory and another user by then.
#[test]
fn credentials_are_read_again_after_the_rights_of_root_were_given_up() {
    const ORDINARY: u32 = 61_234;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: it needs root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let auth_file = directory.path().join("auth");
    write_secret(&auth_file, "first:password\n");
    std::os::unix::fs::chown(&auth_file, Some(ORDINARY), None).unwrap();
    let store = directory.path().join("store");
    let option = format!("--auth-file={}", auth_file.display());
    let server = Server::spawn(command(&store).args([&option, "--uid=61234", "--gid=61234"])).unwrap();
    let log_in = |name| {
        let mut stream = server.connect();
        stream.write_all(&[&credentials(Dialect::Text, name, "password")[..], b"quit\r\n"].concat()).unwrap();
        answer(&mut stream).unwrap() == b"STORED\r\n"
    };
    assert!(log_in("first"));
    write_secret(&auth_file, "second:password\n");
    server.signal(rustix::process::Signal::HUP);
    let is_reloaded = |line: &String| {
        line.contains("1 users") || line.contains("cannot be read again") || line.contains("no Landlock")
    };
    eventually("a reload", || server.log().iter().any(is_reloaded).then_some(()));
    // Without Landlock the process keeps no way out of its directory, and says so.
    let is_confined = !server.log().iter().any(|line| line.contains("outside of the server's root directory"));
    assert_eq!((log_in("first"), log_in("second")), (!is_confined, is_confined), "{:?}", server.log());
}
