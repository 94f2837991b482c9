//! Writes the files of a directory to the disk again and again, as the kernel does on a server that has run for more
//! than half a minute. Flushed pages are clean and write-protected, and the next write to each one faults.
//!
//! This runs in a process of its own, so that no peer pays for it.

use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::Duration;

use crate::part::Part;
use crate::peer::Result;
use crate::usage::flush;

/// The pause between two flushes: as long as the interval of a store that may lose one second of writes.
const PAUSE: Duration = Duration::from_secs(1);

/// The running process. Dropping it ends the process.
pub(crate) struct Flusher {
    process: Child,
}

impl Flusher {
    /// Flushes everything once, then starts the process.
    pub(crate) fn start(dir: &Path) -> Result<Flusher> {
        flush(dir)?;
        let process = Part::Flush { dir: dir.to_owned() }.command()?.spawn()?;
        Ok(Flusher { process })
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        if let Err(error) = ended {
            eprintln!("sharedance-compare: the flusher cannot be ended: {error}");
        }
    }
}

/// Flushes until it is killed.
pub(crate) fn run(dir: &Path) -> Result<()> {
    loop {
        flush(dir)?;
        thread::sleep(PAUSE);
    }
}
