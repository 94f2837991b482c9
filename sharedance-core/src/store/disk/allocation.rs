//! A new file of a given length: allocated on the disk, taken into the page cache, mapped.
//!
//! Nothing of that is left to the first store into a page, where it would cost more, and where a full disk would show as a
//! signal. In what units the page cache takes the file decides what a segment costs to make, to write back, and to find a
//! byte in.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt};
use std::path::Path;

use crate::store::disk::format::RECORDS_OFFSET;
use crate::store::disk::mapping::Mapping;
use crate::store::primitives::thread;

/// How large the units should be in which the page cache takes the records of a segment. What changes a byte of one
/// makes the system write all of it; but a unit is made, written back and watched for changes at once, and not page by
/// page. The processor's large pages, which ext4 knows since Linux 6.16, are not among them: where a virtual machine has
/// given free memory back to its host, making one of them stops the processor for 5 to 13 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// Small, for files that are synced often.
    Fine,
    /// Larger, for files that are written back when the system sees fit.
    Coarse,
}

impl Grain {
    /// A new segment is written with zeros in pieces of this length, before it is mapped: the page cache then takes it in
    /// units of as many bytes.
    fn fill_len(self) -> usize {
        match self {
            Grain::Fine => 16 * 1024,
            Grain::Coarse => 64 * 1024,
        }
    }
}

/// What a new file begins with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Contents<'p> {
    /// Zeros, all of them in the page cache; made at this pace.
    Blank(Pace),
    /// Behind the first page, these parts.
    Payload(&'p [&'p [u8]]),
}

/// How a blank file is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// At once: a thread waits for it.
    AtOnce,
    /// In pieces, between which other threads may have the processor: once a thread has its turn, the system else leaves
    /// it there for milliseconds, in which no thread can serve requests.
    GivingWay,
}

impl Pace {
    fn give_way(self) {
        if self == Pace::GivingWay {
            thread::yield_now();
        }
    }
}

/// The length of such a piece: half a millisecond of work, or one where the memory has to be found first.
const PIECE_LEN: usize = 1 << 20;

/// The last part of a segment, one in so many, where its slots will stand, is written page by page whatever the grain: a
/// mark in a slot, long after, then makes the system write one page and not a unit.
const SLOTS_PART: usize = 16;
const SLOTS_FILL_LEN: usize = 4096;
/// What `statfs` says of a file system that is memory (linux/magic.h). What is done ahead on others would cost more
/// there.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Makes a file of `len` bytes with these contents, and maps it. A blank one is populated, with units of this grain.
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

/// Makes the file `len` bytes long, and takes all of them on the disk.
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

/// Allocates `len` bytes at once; piece by piece where a signal interrupts that. An interrupted call has allocated
/// nothing on some file systems: a process that gets signals all the time, from a profiler for example, would not get
/// beyond the first one.
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
    fn a_segment_of_any_grain_is_allocated_and_zero_and_keeps_what_is_written() {
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

    /// Signals come faster than a whole segment can be allocated, and not faster than a piece of it.
    #[test]
    fn an_allocation_that_signals_interrupt_goes_on() {
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
