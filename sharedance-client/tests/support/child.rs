//! Runs a test again in its own process: with SIGPIPE at its default, or under `strace`.

// Each test that includes this file uses only some of the items.
#![allow(dead_code)]

use std::env;
use std::fs;
use std::process::{Command, Stdio};

const VARIABLE: &str = "SHAREDANCE_TEST_CHILD";

/// The argument from the parent, in the child; `None` in the parent.
pub(crate) fn argument() -> Option<String> {
    env::var(VARIABLE).ok()
}

fn again(mut command: Command, test: &str, argument: &str) {
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(VARIABLE, argument).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Runs `body` in a process in which a write to a closed connection sends SIGPIPE, and SIGPIPE ends the process. This
/// is the default of programs that are not written in Rust, and of those that end with the reader of their output.
pub(crate) fn with_default_sigpipe(test: &str, body: impl FnOnce()) {
    if argument().is_none() {
        return again(Command::new(env::current_exe().unwrap()), test, "sigpipe");
    }
    #[allow(unsafe_code)]
    // SAFETY: restoring the default action installs no handler, so nothing of this process runs in signal context.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    assert_ne!(before, libc::SIG_ERR);
    body();
}

/// Returns how many system calls on sockets and descriptors each call of `body` takes. Runs `body` in separate
/// processes with `address` and the number of calls to make. Returns `None` if `strace` is missing or not permitted.
pub(crate) fn calls_each(test: &str, address: &str, body: impl FnOnce(&str, usize)) -> Option<f64> {
    const COUNT: usize = 200;
    if let Some(argument) = argument() {
        let (address, count) = argument.split_once(' ').unwrap();
        body(address, count.parse().unwrap());
        return None;
    }
    let strace = |log: &str| {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", "trace=%network,%desc", "-o", log]);
        command
    };
    if !strace("/dev/null").arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: strace is not here, or may not trace");
        return None;
    }
    let traced = |count: usize| {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = strace(log.path().to_str().unwrap());
        command.arg(env::current_exe().unwrap());
        again(command, test, &format!("{address} {count}"));
        // A system call that is interrupted by another thread is logged in two lines.
        fs::read_to_string(log.path()).unwrap().lines().filter(|line| !line.contains("resumed>")).count()
    };
    let (few, many) = (traced(1), traced(1 + COUNT));
    Some((many as f64 - few as f64) / COUNT as f64)
}
