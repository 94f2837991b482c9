//! The cost of hostile, slow and numerous peers, and of damaged files, for the real server.
//!
//! `cargo test --release -p sharedance-server --test limits [-- NAME…]` runs all trials, or the named ones, one after
//! the other, and prints a table of measured figures and goals. Figures that depend on the speed of the machine are
//! reported, and fail only if they differ by an order of magnitude. All others are asserted. Without `--release` only
//! named trials run, because figures of an unoptimized build are not meaningful. All traffic stays on the loopback
//! interface.

mod connections;
mod damage;
mod descriptors;
mod expiry;
mod hostile;
mod peer;
mod process;
mod report;
mod stalls;
mod timeouts;

use sharedance_test_support::server;
use std::env;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use process::Process;
use report::Report;
use rustix::process::{Resource, getrlimit, setrlimit};
use server::{Address, Server, Transport};
use tempfile::TempDir;

type Trial = fn(&mut Report);

/// Whether the servers of the current trial listen on a Unix socket.
static IS_ON_UNIX_SOCKET: AtomicBool = AtomicBool::new(false);

/// The end of the name of a trial on a Unix socket.
const UNIX: &str = "_unix";

/// The trials whose peers matter run on a Unix socket too.
const ON_BOTH_TRANSPORTS: [&str; 10] = [
    "idle_connections",
    "resting_connections",
    "churn",
    "stalled_readers",
    "stalled_readers_of_copies",
    "announcements",
    "stalled_uploads",
    "trickle",
    "timeouts",
    "single_requests",
];

/// In the order of the table.
const TRIALS: [(&str, Trial); 18] = [
    ("idle_connections", connections::idle),
    ("resting_connections", connections::resting),
    ("opening_at_once", connections::opening_at_once),
    ("churn", connections::churn),
    ("stalled_readers", stalls::readers),
    ("stalled_readers_of_copies", stalls::readers_of_copies),
    ("announcements", stalls::announcements),
    ("stalled_uploads", stalls::uploads),
    ("trickle", stalls::trickle),
    ("timeouts", timeouts::all),
    ("single_requests", hostile::single_requests),
    ("malformed_frames", hostile::malformed_frames),
    ("descriptors_limited", descriptors::limited_from_the_start),
    ("descriptors_taken_away", descriptors::taken_away),
    ("flipped_bits", damage::anywhere),
    ("flipped_bits_in_slots", damage::in_slots),
    ("expired_on_time", expiry::on_time),
    ("expired_is_freed", expiry::freed),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let mut out = io::stdout().lock();
    if arguments.iter().any(|argument| argument == "--list") {
        for (name, _) in trials() {
            let _ = writeln!(out, "{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    if cfg!(debug_assertions) && wanted.is_empty() {
        let _ = writeln!(out, "limits: skipped; run with --release, or name the trials");
        return ExitCode::SUCCESS;
    }
    raise_descriptor_limit();

    let mut report = Report::default();
    let mut failed = Vec::new();
    for (name, trial) in trials() {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        IS_ON_UNIX_SOCKET.store(name.ends_with(UNIX), Ordering::Relaxed);
        report.set_suffix(if name.ends_with(UNIX) { " (unix)" } else { "" });
        let _ = write!(out, "{name} … ");
        let _ = out.flush();
        let started = Instant::now();
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| trial(&mut report)));
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        let _ = writeln!(out, "{word} ({:.1} s)", started.elapsed().as_secs_f64());
        if outcome.is_err() {
            failed.push(name);
        }
    }
    let _ = write!(out, "\n{report}");
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    let _ = writeln!(out, "\nfailed: {}", failed.join(", "));
    ExitCode::FAILURE
}

/// All trials, those on a Unix socket last.
fn trials() -> Vec<(String, Trial)> {
    let on_unix = TRIALS.iter().filter(|(name, _)| ON_BOTH_TRANSPORTS.contains(name));
    let on_unix = on_unix.map(|(name, trial)| (format!("{name}{UNIX}"), *trial));
    TRIALS.iter().map(|(name, trial)| ((*name).to_owned(), *trial)).chain(on_unix).collect()
}

/// Raises the limit: the clients need as many descriptors as the server.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If that is refused, the trials that need many descriptors are skipped.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Returns the number of descriptors that this process, and a server that it starts, may open.
fn descriptor_limit() -> usize {
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| limit as usize)
}

/// A server with its directory.
struct Subject {
    server: Server,
    directory: TempDir,
}

impl Subject {
    /// Starts a server with the default options and `arguments`.
    #[allow(clippy::unwrap_used)]
    fn start(arguments: &[&str]) -> Subject {
        let directory = tempfile::tempdir().unwrap();
        let transport = if IS_ON_UNIX_SOCKET.load(Ordering::Relaxed) { Transport::Unix } else { Transport::Tcp };
        Subject { server: Server::start_on(transport, directory.path(), arguments), directory }
    }

    fn address(&self) -> Address {
        self.server.addresses()[0]
    }

    fn process(&self) -> Process {
        Process { id: self.server.pid() }
    }

    /// Ends the server with SIGTERM, and fails if that fails.
    fn end(self) -> TempDir {
        let (status, log) = self.server.terminate();
        assert!(status.success(), "{status}\n{log}");
        self.directory
    }
}
