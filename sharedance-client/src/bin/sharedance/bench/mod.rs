//! `sharedance bench`: fills a server, warms it up, measures it, and reports.

mod chance;
mod clock;
mod connection;
mod cpu;
mod pacing;
mod report;
mod scanner;
/// The TLS connection of the client library, which does not offer it to other programs.
#[path = "../../../tls/session.rs"]
mod session;
mod stream;
mod tally;
mod target;
mod worker;
mod workload;

use std::io::{self, Write};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::options::Bench;

use clock::Clock;
use report::{Measured, Usage};
use tally::Tally;
use target::Target;
use worker::{FILLING, MEASURED, MEASURING, STOPPING, Shared, WARMING_UP, Worker};

/// Why a run failed. The message is only displayed.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How often the main thread checks whether the run is over.
const TICK: Duration = Duration::from_millis(1);
const PROGRESS_NS: u64 = 1_000_000_000;

/// Measures the server, and returns the report to print.
pub(crate) fn run(options: &Bench) -> Result<String, Failure> {
    options.check()?;
    let target = Target::new(options)?;
    raise_descriptor_limit();
    let pid = options.pid.or_else(|| cpu::listener(&target.address));
    let shared = Shared {
        clock: Clock::start(),
        target,
        pid,
        rss_before: pid.and_then(cpu::resident_len),
        phase: AtomicU8::new(FILLING),
        answered: AtomicU64::new(0),
    };
    let failed = AtomicBool::new(false);
    thread::scope(|scope| {
        let (ready, is_ready) = mpsc::channel();
        let (shared, failed) = (&shared, &failed);
        let workers: Vec<_> = (0..options.threads)
            .map(|thread| {
                let ready = ready.clone();
                scope.spawn(move || {
                    let outcome = work(shared, options, thread, ready);
                    failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
                    outcome
                })
            })
            .collect();
        drop(ready);
        note(options, "filling the server");
        let all_ready = is_ready.iter().all(|is_ready| is_ready);
        let measured = all_ready.then(|| measure(shared, options, failed));
        shared.phase.store(STOPPING, Ordering::Relaxed);

        let mut tally = Tally::new()?;
        for worker in workers {
            let outcome = worker.join().map_err(|_| "a thread of the load generator has panicked")?;
            tally.add(&outcome?)?;
        }
        let usage = measured.ok_or("the load has not begun")?;
        Ok(Measured { tally, usage }.render(options))
    })
}

fn work(shared: &Shared, options: &Bench, thread: u32, ready: Sender<bool>) -> Result<Tally, Failure> {
    let filled = Worker::open(shared, options, thread).and_then(|mut worker| {
        if !options.no_fill {
            worker.fill(thread)?;
        }
        Ok(worker)
    });
    // The receiver may no longer exist.
    let _ = ready.send(filled.is_ok());
    drop(ready);
    while shared.phase.load(Ordering::Relaxed) == FILLING {
        thread::sleep(TICK);
    }
    filled?.run()
}

/// Waits for the end of the measurement.
fn measure(shared: &Shared, options: &Bench, failed: &AtomicBool) -> Usage {
    let clock = shared.clock;
    note(options, "warming up");
    shared.phase.store(WARMING_UP, Ordering::Relaxed);
    let warm_ns = clock.now_ns() + options.warm_up.as_nanos() as u64;
    while clock.now_ns() < warm_ns && !failed.load(Ordering::Relaxed) {
        thread::sleep(TICK);
    }

    let pid = shared.pid;
    let used = || (pid.and_then(cpu::used_ns), cpu::used_ns(process::id()));
    let (server_before, client_before) = used();
    shared.phase.store(MEASURING, Ordering::Relaxed);
    let start_ns = clock.now_ns();
    let end_ns = start_ns + options.duration.as_nanos() as u64;
    let mut progress = (start_ns, 0);
    loop {
        thread::sleep(TICK);
        let (now_ns, answered) = (clock.now_ns(), shared.answered.load(Ordering::Relaxed));
        let is_over = match options.requests {
            Some(requests) => answered >= requests,
            None => now_ns >= end_ns,
        };
        if is_over || failed.load(Ordering::Relaxed) {
            break;
        }
        if now_ns - progress.0 >= PROGRESS_NS {
            let rate = (answered - progress.1) as f64 * 1e9 / (now_ns - progress.0) as f64;
            note(options, &format!("{:.0} s: {rate:.0} requests a second", (now_ns - start_ns) as f64 / 1e9));
            progress = (now_ns, answered);
        }
    }
    let elapsed_ns = clock.now_ns() - start_ns;
    shared.phase.store(MEASURED, Ordering::Relaxed);
    let (server_after, client_after) = used();
    let server =
        pid.zip(server_after.zip(server_before)).map(|(pid, (after, before))| (pid, after.saturating_sub(before)));
    let client_ns = client_after.zip(client_before).map(|(after, before)| after.saturating_sub(before));
    Usage { elapsed_ns, server, client_ns, rss: shared.rss_before.zip(pid.and_then(cpu::resident_len)) }
}

/// Each connection needs a descriptor. If the limit stays too low, opening the connections fails.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Shows the progress of the run.
fn note(options: &Bench, text: &str) {
    if !options.quiet {
        let _ = writeln!(io::stderr(), "{text}");
    }
}
