//! The resources that a process uses, from the kernel's counters. Linux only.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::server::eventually;

/// A process by its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    pub(crate) id: u32,
}

impl Process {
    /// Returns the anonymous memory, in bytes: without mapped files, whose memory the kernel can reclaim at any time.
    pub(crate) fn anonymous_len(&self) -> usize {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.id)).unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
        let kib: usize = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        kib * 1024
    }

    /// Returns the CPU time of all its threads.
    pub(crate) fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id)).unwrap();
        let nanos = tasks.map(|task| {
            // The first field of schedstat is in nanoseconds; stat has hundredths of a second. A thread may have ended
            // meanwhile.
            let schedstat = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
            schedstat.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0)
        });
        Duration::from_nanos(nanos.sum())
    }

    /// Returns its share of one core during `span`.
    pub(crate) fn cpu_share(&self, span: Duration) -> f64 {
        let (started, before) = (Instant::now(), self.cpu());
        thread::sleep(span);
        (self.cpu() - before).as_secs_f64() / started.elapsed().as_secs_f64()
    }

    /// Returns the peak of its anonymous memory during `work`.
    pub(crate) fn peak_during(self, work: impl FnOnce()) -> usize {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let sampler = scope.spawn(|| {
                let mut peak = self.anonymous_len();
                while !over.load(Ordering::Relaxed) {
                    thread::yield_now();
                    peak = peak.max(self.anonymous_len());
                }
                peak
            });
            work();
            over.store(true, Ordering::Relaxed);
            sampler.join().unwrap()
        })
    }

    /// Waits until it is almost idle.
    pub(crate) fn wait_until_quiet(&self) {
        wait_until("the server is quiet", || self.cpu_share(Duration::from_millis(50)) < 0.05);
    }
}

/// Waits until `condition` is true, and fails if it does not become true. Returns the time that it took.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    eventually(what, || condition().then_some(()));
    started.elapsed()
}

/// Returns the disk usage of the files in a directory, in bytes.
pub(crate) fn disk_len(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    // A file may be deleted before its size is read.
    let files = fs::read_dir(directory).unwrap().filter_map(|file| file.unwrap().metadata().ok());
    files.map(|metadata| metadata.blocks() * 512).sum()
}
