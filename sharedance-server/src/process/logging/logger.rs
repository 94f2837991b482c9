//! The program's log: syslog (facility *daemon*, with the process id) and standard error, while that is a terminal or the
//! journal.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use log::{Level, LevelFilter, Log, Metadata, Record, error};

use super::syslog::Syslog;

/// The target of the line that reports how the server was started. It is logged, and goes to standard error, at any level.
pub const START: &str = "start";

const SYSLOG_SOCKET: &str = "/dev/log";

/// Facility *daemon*, as syslog encodes it.
const FACILITY: u8 = 3 << 3;

/// The program's handle on its log.
#[derive(Clone)]
pub struct Logging {
    terminal: Arc<AtomicBool>,
    level: Arc<AtomicLevel>,
    syslog: Option<Arc<Syslog>>,
}

impl Logging {
    /// Sets up the log of the program, for lines of `level` and above. They go to syslog; warnings and errors go to standard
    /// error as well, and so does everything at the level of debugging. Lines that syslog does not take go to standard error
    /// at any level. If standard error is systemd's journal, only that gets all lines, since its syslog is the same journal.
    pub fn start(level: LevelFilter) -> Logging {
        let in_journal = stderr_is_journal();
        let terminal = Arc::new(AtomicBool::new(true));
        let syslog = (!in_journal).then(|| Arc::new(Syslog::new(Path::new(SYSLOG_SOCKET))));
        let logging = Logging { terminal, level: Arc::default(), syslog };
        logging.level.set(level);
        let logger = Logger {
            terminal: Arc::clone(&logging.terminal),
            level: Arc::clone(&logging.level),
            in_journal,
            syslog: logging.syslog.clone(),
        };
        // The log of an embedding program is not replaced.
        if log::set_boxed_logger(Box::new(logger)).is_ok() {
            logging.set_level(level);
            // A server in the background has no terminal that a panic could be printed to.
            std::panic::set_hook(Box::new(|panic| error!("this is a bug: {panic}")));
        }
        logging
    }

    /// Logs lines of `level` and above from now on.
    pub fn set_level(&self, level: LevelFilter) {
        self.level.set(level);
        // The line about the start is of the level of information.
        log::set_max_level(level.max(LevelFilter::Info));
    }

    /// Stops writing to the terminal, before the process detaches from it.
    pub fn leave_terminal(&self) {
        self.terminal.store(false, Ordering::Release);
    }

    /// Closes the directory of syslog's socket. Called if only the root directory confines the process: an open directory
    /// outside of it would be a way out.
    pub fn forget_syslog_directory(&self) {
        if let Some(syslog) = &self.syslog {
            syslog.forget_directory();
        }
    }
}

/// systemd names the device and the inode of the stream that it has created, since standard error may be another one.
fn stderr_is_journal() -> bool {
    let Ok(stat) = rustix::fs::fstat(std::io::stderr()) else {
        return false;
    };
    let stream = format!("{}:{}", stat.st_dev, stat.st_ino);
    std::env::var_os("JOURNAL_STREAM").is_some_and(|named| named == *stream)
}

/// The least level that is logged.
#[derive(Default)]
struct AtomicLevel(AtomicUsize);

impl AtomicLevel {
    fn set(&self, level: LevelFilter) {
        self.0.store(level as usize, Ordering::Relaxed);
    }

    fn is_enabled(&self, level: Level) -> bool {
        level as usize <= self.0.load(Ordering::Relaxed)
    }
}

struct Logger {
    terminal: Arc<AtomicBool>,
    level: Arc<AtomicLevel>,
    in_journal: bool,
    syslog: Option<Arc<Syslog>>,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.level.is_enabled(metadata.level()) || metadata.target() == START
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let is_taken = self.syslog.as_ref().is_some_and(|syslog| {
            let lost = |count| syslog_line(Level::Warn, &format_args!("{count} log lines before this one were lost"));
            syslog.send(&syslog_line(record.level(), record.args()), Instant::now(), lost)
        });
        let is_for_terminal = record.level() <= Level::Warn
            || self.level.is_enabled(Level::Debug)
            || record.target() == START
            || !is_taken;
        if is_for_terminal && self.terminal.load(Ordering::Acquire) {
            // One write for each line, so that lines of several threads do not mix. A closed terminal is ignored.
            let line = if self.in_journal { journal_line(record) } else { terminal_line(record) };
            let _ = std::io::stderr().write_all(line.as_bytes());
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

/// The journal reads the severity from the beginning of the line, and knows the process.
fn journal_line(record: &Record<'_>) -> String {
    format!("<{}>{}\n", severity(record.level()), record.args())
}

fn syslog_line(level: Level, line: &impl fmt::Display) -> String {
    // The process id is read each time: it changes with the fork of a daemon.
    let (priority, pid) = (FACILITY | severity(level), std::process::id());
    format!("<{priority}>sharedanced[{pid}]: {line}")
}

/// The severity as syslog encodes it.
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
    fn each_destination_gets_lines_of_its_format() {
        let record = Record::builder().level(Level::Warn).args(format_args!("what happened")).build();
        let syslog = format!("<28>sharedanced[{}]: what happened", std::process::id());
        assert_eq!(syslog_line(record.level(), record.args()), syslog);
        assert_eq!(journal_line(&record), "<4>what happened\n");
        assert_eq!(terminal_line(&record), "sharedanced: warning: what happened\n");
    }
}
