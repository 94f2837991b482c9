//! Measures time, CPU time, memory and disk usage.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
use rustix::time::{ClockId, clock_gettime};

use crate::peer::Result;

/// A point in time on three clocks: wall clock, CPU time (user and system) of this thread, and CPU time of all threads
/// of the process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    wall: Instant,
    thread: Duration,
    process: Duration,
}

/// The time between two moments.
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

/// Returns the anonymous memory of this process, in bytes.
pub(crate) fn anonymous_memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).ok_or("/proc/self/status has no RssAnon")?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}

/// Returns the average number of runnable threads of the whole machine during the last minute.
pub(crate) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Bytes that this process has transferred from and to storage so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transferred {
    /// Read from the device.
    pub(crate) read: u64,
    /// Dirtied pages of files, each counted as a whole, and again after it was written to the device. File systems in
    /// memory count nothing.
    pub(crate) dirtied: u64,
}

/// Returns the bytes of all threads, including ended ones.
pub(crate) fn transferred() -> Result<Transferred> {
    let text = fs::read_to_string("/proc/self/io")?;
    let number = |name: &str| -> Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        Ok(line.ok_or_else(|| format!("/proc/self/io has no {name}"))?.trim().parse()?)
    };
    Ok(Transferred { read: number("read_bytes:")?, dirtied: number("write_bytes:")? })
}

/// Returns the files in `dir` and its subdirectories. Files that are deleted meanwhile may be among them.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in unless_gone(fs::read_dir(dir))?.into_iter().flatten() {
            let entry = entry?;
            match unless_gone(entry.file_type())? {
                Some(kind) if kind.is_dir() => dirs.push(entry.path()),
                Some(_) => found.push(entry.path()),
                None => {}
            }
        }
    }
    Ok(found)
}

/// Maps a missing file to `None`: files are created and deleted at any time in a directory that is in use.
pub(crate) fn unless_gone<T>(result: io::Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns the disk usage of the files in `dir`, in bytes.
pub(crate) fn disk_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for path in files(dir)? {
        bytes += unless_gone(fs::metadata(path))?.map_or(0, |metadata| metadata.blocks() * 512);
    }
    Ok(bytes)
}

/// Writes the files in `dir` to the device.
pub(crate) fn flush(dir: &Path) -> Result<()> {
    for path in files(dir)? {
        if let Some(file) = unless_gone(File::open(path))? {
            file.sync_data()?;
        }
    }
    Ok(())
}

/// Drops the page cache of the files in `dir`, which no process has open, so that they are read from the device.
pub(crate) fn forget(dir: &Path) -> Result<()> {
    flush(dir)?;
    for path in files(dir)? {
        fadvise(File::open(path)?, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}

/// Touches `len` bytes of memory and frees them, so that the kernel has them available.
///
/// On a virtual machine the first touch of a page can cost more than everything that is measured here, because the host
/// has to find a page. The first peer would pay for all.
pub(crate) fn warm_memory(len: usize) {
    const PAGE_LEN: usize = 4096;
    let mut memory = vec![0_u8; len];
    memory.iter_mut().step_by(PAGE_LEN).for_each(|byte| *byte = 1);
    std::hint::black_box(memory);
}
