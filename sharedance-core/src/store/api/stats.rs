//! Plain numbers about a store.

use std::fmt;

/// What a store holds and has done since it was opened. Gauges go both ways, counters only grow. It prints as a line
/// for the log.
///
/// ```
/// # use sharedance_core::store::{Background, Options};
/// # let dir = tempfile::tempdir()?;
/// # let store = Options::new().background(Background::Manual).open(dir.path())?;
/// store.set("user:17", "Ada")?;
/// store.set("user:17", "Grace")?;
/// let stats = store.stats();
/// assert_eq!((stats.pairs, stats.segments), (1, 1));
/// assert_eq!(stats.to_string(), "1 pairs of 48 bytes in 1 segments, 8388608 bytes of files");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Gauge: pairs in the index, among them those that have expired and were not swept yet.
    pub pairs: u64,
    /// Gauge: bytes of their records, slots included.
    pub live_bytes: u64,
    /// Gauge: bytes of all segment files, ready and free ones included.
    pub file_bytes: u64,
    /// Gauge: segments in use.
    pub segments: u64,
    /// Gauge: memory of the index, in bytes.
    pub index_bytes: u64,
    /// Counter: pairs removed because they had expired.
    pub expired: u64,
    /// Counter: of those, pairs that were never read; counted with
    /// [`Options::track_accesses`](crate::store::Options::track_accesses) alone.
    pub expired_unread: u64,
    /// Counter: reads that found a pair, but one that had expired.
    pub expired_reads: u64,
    /// Counter: sets of the value that was there, which moved the deadline alone.
    pub identical_sets: u64,
    /// Counter: records that were found to be damaged, by reads or by maintenance, and were dropped.
    pub damaged: u64,
    /// Counter: bytes of live records copied forward by compaction.
    pub compacted_bytes: u64,
    /// Counter: live pairs removed because there was no room.
    pub evicted: u64,
    /// Counter: writes refused because there was no room.
    pub refused_full: u64,
    /// Counter: segment files that were not made because the process may have no further memory mapping: see
    /// [`Options::max_mappings`](crate::store::Options::max_mappings).
    pub refused_mappings: u64,
    /// Counter: attempts to delete a file out of use that failed. Each file is tried again until it is gone.
    pub failed_deletions: u64,
    /// Gauge: files out of use that could not be deleted so far. They are among [`Stats::file_bytes`].
    pub pending_deletions: u64,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats { pairs, live_bytes, segments, file_bytes, .. } = self;
        write!(f, "{pairs} pairs of {live_bytes} bytes in {segments} segments, {file_bytes} bytes of files")?;
        for (count, what) in [
            (self.expired, "expired"),
            (self.evicted, "evicted"),
            (self.refused_full, "refused for want of room"),
            (self.refused_mappings, "segments not made for want of memory mappings (see vm.max_map_count)"),
            (self.damaged, "damaged and dropped"),
            (self.pending_deletions, "files that could not be deleted yet"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}
