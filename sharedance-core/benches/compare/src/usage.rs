//! What something costs: time, processor time, memory, disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::peer::Result;

/// A moment on three clocks: the wall's, and the processor time (user and system) of this thread and of all threads of
/// the process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    wall: Instant,
    thread: Duration,
    process: Duration,
}

/// What passed between two moments.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Elapsed {
    pub(crate) wall: Duration,
    pub(crate) thread: Duration,
    pub(crate) process: Duration,
}

impl Moment {
    pub(crate) fn now() -> Moment {
        Moment { wall: Instant::now(), thread: clock(ClockId::ThreadCPUTime), process: clock(ClockId::ProcessCPUTime) }
    }

    pub(crate) fn elapsed(&self) -> Elapsed {
        Elapsed {
            thread: clock(ClockId::ThreadCPUTime).saturating_sub(self.thread),
            process: clock(ClockId::ProcessCPUTime).saturating_sub(self.process),
            wall: self.wall.elapsed(),
        }
    }
}

fn clock(id: ClockId) -> Duration {
    let now = clock_gettime(id);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Bytes of memory of this process that no file stands behind.
pub(crate) fn anonymous_memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).ok_or("/proc/self/status has no RssAnon")?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}

/// How many threads of the whole machine wanted to run, on average over the last minute.
pub(crate) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Bytes that the files in `dir` take on the disk.
pub(crate) fn disk_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        bytes += entry?.metadata()?.blocks() * 512;
    }
    Ok(bytes)
}

/// Touches `len` bytes of memory and gives them back, so that the kernel has them at hand.
///
/// A virtual machine's first touch of a page can cost more than everything that is measured here, since the host has to
/// find one; whoever comes first would pay for all.
pub(crate) fn warm_memory(len: usize) {
    const PAGE_LEN: usize = 4096;
    let mut memory = vec![0_u8; len];
    memory.iter_mut().step_by(PAGE_LEN).for_each(|byte| *byte = 1);
    std::hint::black_box(memory);
}
