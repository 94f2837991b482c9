//! The result of opening a store.

use std::fmt;

/// The result of opening a store: see [`Store::recovery`](crate::store::Store::recovery). `Display` prints it as one
/// line for a log.
///
/// ```
/// # use sharedance_core::store::Store;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.set("user:17", "Ada")?;
/// # drop(store);
/// # std::fs::write(dir.path().join("notes.txt"), "not the store's")?;
/// let store = Store::open(dir.path())?;
/// let report = store.recovery();
/// assert_eq!((report.pairs, report.dropped), (1, 0));
/// assert_eq!(report.foreign, ["notes.txt"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Pairs in the store.
    pub pairs: u64,
    /// Pairs that expired while the store was closed.
    pub expired: u64,
    /// Pairs that were deleted by a [scheduled clear](crate::store::Store::clear_after), which was due or which the
    /// last process had not finished.
    pub cleared: u64,
    /// Slots and records that did not verify, and were dropped.
    pub dropped: u64,
    /// Records with a later record of the same key: the store was killed between two steps.
    pub superseded: u64,
    /// Segment files that were read.
    pub segments: u64,
    /// Whether the store was last used during this boot, so that records need not be read at once.
    pub same_boot: bool,
    /// The number of segments, of the store or within [`max_bytes`](crate::store::Options::max_bytes), beyond the
    /// memory mappings that the process may have: see [`Options::max_mappings`](crate::store::Options::max_mappings).
    /// The store is full before it has that many.
    pub excess_files: u64,
    /// Files with a header that does not verify. They are renamed to end in `.bad`, and not changed.
    pub set_aside: Vec<String>,
    /// Files in the directory that are not the store's. They are not changed.
    pub foreign: Vec<String>,
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pairs in {} segments", self.pairs, self.segments)?;
        if self.expired > 0 {
            write!(f, ", {} expired meanwhile", self.expired)?;
        }
        if self.cleared > 0 {
            write!(f, ", {} deleted as scheduled", self.cleared)?;
        }
        if self.dropped > 0 {
            write!(f, ", {} damaged and dropped", self.dropped)?;
        }
        if !self.same_boot && self.segments > 0 {
            write!(f, ", all verified since the machine was restarted or the files were moved")?;
        }
        if self.excess_files > 0 {
            write!(
                f,
                "; {} segments more than the process may have memory mappings for: raise vm.max_map_count with sysctl by \
                 as many, or the store is full before its limit",
                self.excess_files
            )?;
        }
        if !self.set_aside.is_empty() {
            write!(f, "; unreadable and set aside: {}", self.set_aside.join(", "))?;
        }
        if !self.foreign.is_empty() {
            write!(f, "; not the store's and left alone: {}", self.foreign.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_printed_as_one_line() {
        let report = RecoveryReport { pairs: 7, segments: 2, dropped: 1, same_boot: true, ..RecoveryReport::default() };
        assert_eq!(report.to_string(), "7 pairs in 2 segments, 1 damaged and dropped");
    }
}
