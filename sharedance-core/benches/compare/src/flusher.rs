//! The files of a directory, written to the disk again and again, as the kernel does on a server that has run for
//! longer than half a minute: pages become clean and write-protected, and the next store to each faults.
//!
//! A process of its own does it, so that what it costs is nobody's.

use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::Duration;

use crate::part::Part;
use crate::peer::Result;
use crate::usage::flush;

/// Between two rounds over all files: as often as a store has to that may lose a second of writes and no more.
const PAUSE: Duration = Duration::from_secs(1);

/// The running process. It ends when this is dropped.
pub(crate) struct Flusher {
    process: Child,
}

impl Flusher {
    /// Flushes everything once, and goes on.
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
