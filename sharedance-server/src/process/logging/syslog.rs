//! The connection to syslog. It survives a restart of syslogd, also if that is outside of the server's root directory.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{CWD, Mode, OFlags, openat};

/// How long after a failed attempt to connect the next one is made.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A connection to the socket on which syslogd listens.
pub(super) struct Syslog {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    socket: Option<UnixDatagram>,
    /// The directory of the socket, which may be outside of the root directory of the process.
    directory: Option<OwnedFd>,
    retry_at: Option<Instant>,
    /// The number of lines that were lost since the last one that was sent.
    lost: u64,
}

impl Syslog {
    /// Connects to the socket at `path`, if it exists.
    pub(super) fn new(path: &Path) -> Syslog {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = path.parent().and_then(|parent| openat(CWD, parent, flags, Mode::empty()).ok());
        let state = State { socket: connect(path).ok(), directory, retry_at: None, lost: 0 };
        Syslog { path: path.to_owned(), state: Mutex::new(state) }
    }

    /// Sends a line. Connects again if the connection is lost. Returns whether syslogd is connected; one that does not keep
    /// up loses lines. `lost_line` formats the line that reports a number of lost lines.
    pub(super) fn send(&self, line: &str, now: Instant, lost_line: impl FnOnce(u64) -> String) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.send(line) {
            return true;
        }
        if state.retry_at.is_none_or(|retry_at| retry_at <= now) {
            state.socket = self.connect_again(&state).ok();
            state.retry_at = state.socket.is_none().then_some(now + RETRY_AFTER);
            if state.lost > 0 && state.socket.is_some() {
                let line = lost_line(state.lost);
                state.send(&line);
            }
            if state.send(line) {
                state.lost = 0;
                return true;
            }
        }
        state.lost += 1;
        false
    }

    /// Closes the directory of the socket. A syslogd that is restarted is then found only if its socket is within the root
    /// directory of the process.
    pub(super) fn forget_directory(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).directory = None;
    }

    fn connect_again(&self, state: &State) -> io::Result<UnixDatagram> {
        connect(&self.path).or_else(|error| match (&state.directory, self.path.file_name()) {
            (Some(directory), Some(name)) => connect_within(directory, Path::new(name)),
            _ => Err(error),
        })
    }
}

impl State {
    fn send(&self, line: &str) -> bool {
        let Some(socket) = &self.socket else {
            return false;
        };
        match socket.send(line.as_bytes()) {
            Ok(_) => true,
            // A syslogd that does not keep up loses lines, and does not block the server.
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Connects to a socket by its name in an open directory. There is no system call for that, so a thread with its own
/// working directory does it.
fn connect_within(directory: &OwnedFd, name: &Path) -> io::Result<UnixDatagram> {
    let directory = File::from(directory.try_clone()?);
    let connecting = || {
        unshare(CloneFlags::CLONE_FS)?;
        rustix::process::fchdir(directory)?;
        connect(name)
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, connecting)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost_line(lost: u64) -> String {
        format!("{lost} lost")
    }

    fn received(syslogd: &UnixDatagram) -> String {
        let mut line = [0; 100];
        syslogd.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let len = syslogd.recv(&mut line).unwrap();
        String::from_utf8_lossy(&line[..len]).into_owned()
    }

    /// The connection was made once, so that nothing was logged after a restart of syslogd.
    #[test]
    fn a_syslogd_that_is_restarted_gets_the_lines_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let (syslog, start) = (Syslog::new(&path), Instant::now());
        assert!(!syslog.send("before syslogd", start, lost_line));

        let syslogd = UnixDatagram::bind(&path).unwrap();
        assert!(!syslog.send("too early to try again", start, lost_line));
        assert!(syslog.send("first", start + RETRY_AFTER, lost_line));
        assert_eq!([received(&syslogd), received(&syslogd)], ["2 lost", "first"]);

        drop(syslogd);
        std::fs::remove_file(&path).unwrap();
        let syslogd = UnixDatagram::bind(&path).unwrap();
        assert!(syslog.send("second", start + RETRY_AFTER, lost_line));
        assert_eq!(received(&syslogd), "second");
    }

    #[test]
    fn a_syslogd_outside_the_root_directory_is_found_again_by_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let syslog = Syslog { path: "/no/such/directory/log".into(), ..Syslog::new(&path) };
        syslog.state.lock().unwrap().socket = None;
        let before = std::env::current_dir().unwrap();

        let named = Syslog { path: "/no/such/log".into(), ..syslog };
        let syslogd = UnixDatagram::bind(&path).unwrap();
        assert!(named.send("found", Instant::now(), lost_line));
        assert_eq!(received(&syslogd), "found");
        assert_eq!(std::env::current_dir().unwrap(), before);

        named.state.lock().unwrap().socket = None;
        named.forget_directory();
        assert!(!named.send("not found", Instant::now(), lost_line));
    }
}
