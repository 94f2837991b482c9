//! Where log lines go: syslog (facility *daemon*, with the process id), and the terminal while there is one.
//!
//! The socket to syslog is opened before the process leaves for its own root directory. No log line bears a key or a
//! value. What peers can provoke is said through a throttle.

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record, error};

const SYSLOG_SOCKET: &str = "/dev/log";

/// Facility *daemon*, in the place where syslog has it.
const FACILITY: u8 = 3 << 3;

/// What peers can provoke is said at most this often.
const THROTTLED_TO: Duration = Duration::from_secs(10);

/// An error with all that caused it, as one line.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let causes = std::iter::successors(self.0.source(), |&error| error.source());
        causes.into_iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

/// Lets one log line through in a while, and counts those that it holds back.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    next: Option<Instant>,
    unsaid: u64,
}

/// How many lines were held back before this one; displays as the end of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsaid(u64);

impl fmt::Display for Unsaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " (and {count} times before)"),
        }
    }
}

impl Throttle {
    /// Whether a line may be said at `now`.
    pub(crate) fn permit(&mut self, now: Instant) -> Option<Unsaid> {
        if self.next.is_some_and(|next| now < next) {
            self.unsaid += 1;
            return None;
        }
        self.next = Some(now + THROTTLED_TO);
        Some(Unsaid(std::mem::take(&mut self.unsaid)))
    }
}

/// The handle on the log that the program keeps.
#[derive(Debug, Clone)]
pub struct Logging {
    terminal: Arc<AtomicBool>,
}

impl Logging {
    /// Sets the program's log up: warnings and errors to the terminal, what is worth a note as well to syslog, and
    /// with `debug` all to both. Without a syslog there is the terminal alone; where the terminal is systemd's journal
    /// that alone gets it all, since its syslog would be the same journal.
    pub fn start(debug: bool) -> Logging {
        let in_journal = stderr_is_journal();
        let terminal = Arc::new(AtomicBool::new(true));
        let logger = Logger {
            terminal: Arc::clone(&terminal),
            terminal_level: match (debug, in_journal) {
                (true, _) => LevelFilter::Debug,
                (false, true) => LevelFilter::Info,
                (false, false) => LevelFilter::Warn,
            },
            in_journal,
            syslog: if in_journal { None } else { connect_to_syslog() },
        };
        // An embedding program may have set up its own; that one stays.
        if log::set_boxed_logger(Box::new(logger)).is_ok() {
            log::set_max_level(if debug { LevelFilter::Debug } else { LevelFilter::Info });
            // In the background, nobody sees what goes to the terminal.
            std::panic::set_hook(Box::new(|panic| error!("this is a bug: {panic}")));
        }
        Logging { terminal }
    }

    /// Writes no more to the terminal, which is about to be left.
    pub fn leave_terminal(&self) {
        self.terminal.store(false, Ordering::Release);
    }
}

/// systemd names the device and the inode of the stream that it made, in case a program has been given another.
fn stderr_is_journal() -> bool {
    let Ok(stat) = rustix::fs::fstat(std::io::stderr()) else {
        return false;
    };
    let stream = format!("{}:{}", stat.st_dev, stat.st_ino);
    std::env::var_os("JOURNAL_STREAM").is_some_and(|named| named == *stream)
}

fn connect_to_syslog() -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect(SYSLOG_SOCKET).ok()?;
    // A syslog that does not keep up loses lines; it does not stop the server.
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

struct Logger {
    terminal: Arc<AtomicBool>,
    terminal_level: LevelFilter,
    in_journal: bool,
    syslog: Option<UnixDatagram>,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if record.level() <= self.terminal_level && self.terminal.load(Ordering::Acquire) {
            // One write a line, so that lines of several threads do not mix. A terminal that is gone is no reason
            // to end.
            let line = if self.in_journal { journal_line(record) } else { terminal_line(record) };
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        if let Some(syslog) = &self.syslog {
            let _ = syslog.send(syslog_line(record).as_bytes());
        }
    }

    fn flush(&self) {}
}

fn terminal_line(record: &Record<'_>) -> String {
    let word = match record.level() {
        Level::Error => "error: ",
        Level::Warn => "warning: ",
        Level::Info => "",
        Level::Debug | Level::Trace => "debug: ",
    };
    format!("sharedanced: {word}{}\n", record.args())
}

/// The journal takes the severity from the front of the line, and knows whose line it is.
fn journal_line(record: &Record<'_>) -> String {
    format!("<{}>{}\n", severity(record.level()), record.args())
}

fn syslog_line(record: &Record<'_>) -> String {
    // The process id is asked for each time: it changes when the process goes into the background.
    let (priority, pid) = (FACILITY | severity(record.level()), std::process::id());
    format!("<{priority}>sharedanced[{pid}]: {}", record.args())
}

/// As syslog numbers them.
fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttle_lets_one_line_through_and_counts_the_others() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        assert_eq!(throttle.permit(start), Some(Unsaid(0)));
        for n in 1..=7 {
            assert_eq!(throttle.permit(start + Duration::from_secs(n)), None);
        }
        let later = start + THROTTLED_TO;
        let unsaid = throttle.permit(later).unwrap();
        assert_eq!(unsaid.to_string(), " (and 7 times before)");
        assert_eq!(throttle.permit(later + THROTTLED_TO).unwrap().to_string(), "");
    }

    #[test]
    fn each_place_gets_lines_of_its_form() {
        let record = Record::builder().level(Level::Warn).args(format_args!("what happened")).build();
        let syslog = format!("<28>sharedanced[{}]: what happened", std::process::id());
        assert_eq!(syslog_line(&record), syslog);
        assert_eq!(journal_line(&record), "<4>what happened\n");
        assert_eq!(terminal_line(&record), "sharedanced: warning: what happened\n");
    }
}
