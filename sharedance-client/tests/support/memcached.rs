//! A real memcached for a test, on a free port, terminated when the value is dropped. It is the reference for its
//! protocol.

// Each test that includes this file uses only some of the items.
#![allow(dead_code)]

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) struct Memcached {
    process: Child,
    address: String,
    _directory: TempDir,
}

impl Memcached {
    /// Starts memcached with further `arguments`.
    pub(crate) fn start(arguments: &[&str]) -> Memcached {
        let directory = tempfile::tempdir().unwrap();
        let ports = directory.path().join("ports");
        let process = Command::new("memcached")
            .args(["-u", "root", "-l", "127.0.0.1", "-p", "-1", "-U", "0"])
            .args(arguments)
            .env("MEMCACHED_PORT_FILENAME", &ports)
            .stdin(Stdio::null())
            .spawn()
            .expect("memcached is needed for the tests: apt-get install memcached");
        let mut memcached = Memcached { process, address: String::new(), _directory: directory };
        let port = eventually("memcached listens", || {
            let ports = fs::read_to_string(&ports).ok()?;
            Some(ports.lines().find_map(|line| line.strip_prefix("TCP INET: "))?.trim().to_owned())
        });
        memcached.address = format!("127.0.0.1:{port}");
        memcached
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Polls until `condition` returns a value.
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
