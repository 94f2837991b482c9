//! Creates a file of a given length: allocates it on the disk, fills the page cache with it, and maps it.
//!
//! All of this happens before the first store into a page. There it would cost more, and a full disk would raise a
//! signal instead of an error. The size of the units in which the page cache holds the file determines what it costs to
//! create a segment, to write it back, and to find a byte in it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt};
use std::path::Path;

use crate::store::disk::format::RECORDS_OFFSET;
use crate::store::disk::mapping::Mapping;
use crate::store::primitives::thread;

/// The size of the units in which the page cache holds the records of a segment. A change of one byte makes the system
/// write its whole unit. In return the system creates, writes back and tracks one unit instead of many pages. The
/// processor's large pages, which ext4 supports since Linux 6.16, are not used: in a virtual machine that has returned
/// free memory to its host, allocating one stops the processor for 5 to 13 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// Small, for files that are synced often.
    Fine,
    /// Larger, for files that the system writes back when it chooses.
    Coarse,
}

impl Grain {
    /// A new segment is written with zeros in pieces of this length before it is mapped: the page cache then uses units
    /// of that length.
    fn fill_len(self) -> usize {
        match self {
            Grain::Fine => 16 * 1024,
            Grain::Coarse => 64 * 1024,
        }
    }
}

/// The contents of a new file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Contents<'p> {
    /// Zeros, all of them in the page cache, created at this pace.
    Blank(Pace),
    /// These parts, after the first page.
    Payload(&'p [&'p [u8]]),
}

/// How fast a blank file is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Without pauses: a thread waits for it.
    AtOnce,
    /// In pieces, with a yield after each one. Otherwise the scheduler would run this thread for milliseconds, in which
    /// no thread serves requests.
    GivingWay,
}

impl Pace {
    fn give_way(self) {
        if self == Pace::GivingWay {
            thread::yield_now();
        }
    }
}

/// The length of such a piece: half a millisecond of work, or one millisecond if the system must free memory first.
const PIECE_LEN: usize = 1 << 20;

/// The last 1/SLOTS_PART of a segment, where its slots will be, is written page by page with either grain: a later
/// change of a slot then makes the system write one page instead of a unit.
const SLOTS_PART: usize = 16;
const SLOTS_FILL_LEN: usize = 4096;
/// The file system type that `statfs` reports for memory (linux/magic.h). There the work ahead costs more than it
/// saves.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Creates a file of `len` bytes with these contents, and maps it. A blank file is populated, with units of this grain.
pub(crate) fn make_file(path: &Path, len: usize, contents: Contents<'_>, grain: Grain) -> io::Result<Mapping> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
    allocate(&file, len)?;
    match contents {
        Contents::Blank(pace) => {
            if !is_memory(&file) {
                fill(&file, len, grain.fill_len(), pace)?;
            }
            let mapping = Mapping::of_file(&file, len)?;
            for start in (0..len).step_by(PIECE_LEN) {
                mapping.populate(start..len.min(start + PIECE_LEN))?;
                pace.give_way();
            }
            Ok(mapping)
        }
        Contents::Payload(parts) => {
            let mut offset = RECORDS_OFFSET as u64;
            for part in parts {
                file.write_all_at(part, offset)?;
                offset += part.len() as u64;
            }
            Mapping::of_file(&file, len)
        }
    }
}

/// Sets the length of the file, and allocates all of it on the disk.
fn allocate(file: &File, len: usize) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let allocated = allocate_by(len, |offset, len| {
        fallocate(file, FallocateFlags::empty(), offset as u64, len as u64).map_err(io::Error::from)
    });
    match allocated {
        // The C library writes to each block instead.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => fs2::FileExt::allocate(file, len as u64),
        allocated => allocated,
    }
}

/// Allocates `len` bytes at once, or piece by piece if a signal interrupts that. On some file systems an interrupted
/// call has allocated nothing: in a process that receives signals all the time, from a profiler for example, a second
/// attempt at the whole length would not succeed either.
fn allocate_by(len: usize, mut allocate: impl FnMut(usize, usize) -> io::Result<()>) -> io::Result<()> {
    let is_interrupted =
        |result: &io::Result<()>| result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted);
    let at_once = allocate(0, len);
    if !is_interrupted(&at_once) {
        return at_once;
    }
    for offset in (0..len).step_by(PIECE_LEN) {
        loop {
            let piece = allocate(offset, PIECE_LEN.min(len - offset));
            if !is_interrupted(&piece) {
                piece?;
                break;
            }
        }
    }
    Ok(())
}

fn fill(file: &File, len: usize, fill_len: usize, pace: Pace) -> io::Result<()> {
    let zeros = vec![0; fill_len];
    let slots_start = len - len / SLOTS_PART;
    for (from, to, piece_len) in [(0, slots_start, fill_len), (slots_start, len, SLOTS_FILL_LEN)] {
        for offset in (from..to).step_by(piece_len) {
            file.write_all_at(&zeros[..piece_len.min(to - offset)], offset as u64)?;
            if offset % PIECE_LEN == 0 {
                pace.give_way();
            }
        }
    }
    Ok(())
}

fn is_memory(file: &File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|system| system.f_type as u64 == TMPFS_MAGIC)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    const SEGMENT_LEN: usize = 5 * PIECE_LEN / 2;

    #[test]
    fn a_new_segment_is_allocated_and_zero_with_either_grain() {
        let dir = tempfile::tempdir().unwrap();
        for (grain, pace) in [(Grain::Fine, Pace::AtOnce), (Grain::Coarse, Pace::GivingWay)] {
            let path = dir.path().join(format!("{grain:?}"));
            let mut mapping = make_file(&path, SEGMENT_LEN, Contents::Blank(pace), grain).unwrap();
            assert!(std::fs::metadata(&path).unwrap().blocks() * 512 >= SEGMENT_LEN as u64, "allocated, not sparse");
            let places = [0, 64 * 1024 - 4, SEGMENT_LEN - SEGMENT_LEN / SLOTS_PART - 4, SEGMENT_LEN - 8];
            places.into_iter().for_each(|place| mapping.copy_in_exclusively(place, b"abcdefgh"));
            let mut expected = vec![0; SEGMENT_LEN];
            places.into_iter().for_each(|place| expected[place..place + 8].copy_from_slice(b"abcdefgh"));
            assert!(std::fs::read(&path).unwrap() == expected);
        }
    }

    /// Signals arrive faster than a whole segment can be allocated, but not faster than a piece of it.
    #[test]
    fn an_allocation_continues_after_signals_interrupt_it() {
        let interrupted = || io::Error::from(rustix::io::Errno::INTR);
        let (mut calls, mut end) = (0, 0);
        allocate_by(SEGMENT_LEN, |offset, len| {
            calls += 1;
            if len > PIECE_LEN || calls % 3 != 0 {
                return Err(interrupted());
            }
            assert_eq!(offset, end);
            end += len;
            Ok(())
        })
        .unwrap();
        assert_eq!(end, SEGMENT_LEN);
        let refused = allocate_by(SEGMENT_LEN, |offset, len| match offset {
            0 if len > PIECE_LEN => Err(interrupted()),
            0 => Ok(()),
            _ => Err(rustix::io::Errno::NOSPC.into()),
        });
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
