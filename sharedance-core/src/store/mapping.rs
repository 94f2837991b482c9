//! A file region as memory: the raw half of the crate's `unsafe`; the other half, `segment.rs`, keeps the protocol
//! that makes it sound.
//!
//! # Why this is sound
//!
//! - **Who may touch the files.** The directory is locked for the life of the store *and* of every mapping (each
//!   segment keeps the lock alive), and its mode is 0700. A process of the same user that ignores the lock and writes
//!   into the files is outside of what Rust can promise, as for every program that maps files.
//! - **Never truncated while mapped.** A file gets its whole length, allocated, before it is mapped, and is only ever
//!   unlinked afterwards: an unlinked inode stays whole for as long as it is mapped. Nothing punches holes.
//! - **No `&mut`, and no `&[u8]` over bytes that change.** Words that several threads or two processes' lives share
//!   (headers, slots) are reached through `&MappedWord` alone. Other bytes are written through raw pointers, at a time
//!   when no slice covers them: between the reservation of their range and the commit of its slot. A slice is made
//!   only of committed bytes, which do not change until the region is exclusively owned again.
//! - **A failing disk.** The pages are allocated and, where the kernel can, populated ahead, so that a full disk shows
//!   as an error and not as a signal. A page that the disk cannot read back raises SIGBUS when it is touched through
//!   memory; recovery therefore reads with `pread`, and a server sends with `write`, both of which answer an error.
//! - **Not promised:** anything on a network file system, and protection from others who write to the files.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;

use memmap2::{MmapOptions, MmapRaw};

use super::sync::{Arc, MappedWord};
use super::unsynced::Mark;

/// A mapped file region, readable and writable, shared with the file.
///
/// All offsets are in bytes from the start of the file.
#[derive(Debug)]
pub(crate) struct Mapping {
    region: Region,
    /// For taking note of changes, where somebody wants to know.
    mark: Option<Arc<Mark>>,
}

#[derive(Debug)]
enum Region {
    File(MmapRaw),
    /// Heap memory that stands in for a file, for tools that cannot follow a shared mapping.
    #[cfg(test)]
    Heap(Box<[MappedWord]>),
}

impl Mapping {
    /// Maps the first `len` bytes of `file`, which must be open for reading and writing and at least that long.
    pub(crate) fn of_file(file: &File, len: usize) -> io::Result<Mapping> {
        if file.metadata()?.len() < len as u64 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than its mapping"));
        }
        Ok(Mapping { region: Region::File(MmapOptions::new().len(len).map_raw(file)?), mark: None })
    }

    /// The same, with the mark on which its changes are to be noted.
    pub(crate) fn watched(self, mark: Arc<Mark>) -> Mapping {
        Mapping { mark: Some(mark), ..self }
    }

    /// Takes note that bytes were changed just now. To be called after each change that will be acknowledged, and before
    /// that is done.
    pub(crate) fn note_change(&self) {
        if let Some(mark) = &self.mark {
            mark.note();
        }
    }

    /// `len` zeroed bytes of heap memory in place of a file.
    #[cfg(test)]
    pub(crate) fn of_heap(len: usize) -> Mapping {
        assert_eq!(len % 8, 0);
        Mapping { region: Region::Heap((0..len / 8).map(|_| MappedWord::new(0)).collect()), mark: None }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.region {
            Region::File(map) => map.len(),
            #[cfg(test)]
            Region::Heap(words) => words.len() * 8,
        }
    }

    fn start(&self) -> *mut u8 {
        match &self.region {
            Region::File(map) => map.as_mut_ptr(),
            #[cfg(test)]
            Region::Heap(words) => words.as_ptr() as *mut u8,
        }
    }

    /// Asks the kernel to make every page present and writable now rather than at its first store, and to say so
    /// where it cannot. Kernels that do not know the request (before Linux 5.14) leave it to the first store.
    pub(crate) fn populate(&self) -> io::Result<()> {
        match &self.region {
            #[cfg(target_os = "linux")]
            Region::File(map) => match map.advise(memmap2::Advice::PopulateWrite) {
                Err(error) if error.kind() != io::ErrorKind::InvalidInput => Err(error),
                _ => Ok(()),
            },
            #[cfg(not(target_os = "linux"))]
            Region::File(_) => Ok(()),
            #[cfg(test)]
            Region::Heap(_) => Ok(()),
        }
    }

    /// Hints to the processor that the bytes at `offset` are about to be read.
    pub(crate) fn prefetch(&self, offset: usize) {
        #[cfg(target_arch = "x86_64")]
        if offset < self.len() {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: the address is within the mapping; a prefetch reads nothing that the program could see.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.start().add(offset).cast()) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = offset;
    }

    /// The eight bytes at `offset`, a multiple of eight, as an atomic word in the machine's order (little-endian: a
    /// big-endian host is refused at open).
    ///
    /// # Panics
    /// Where the offset is out of bounds or not aligned: a mistake of this crate, never of a file's content.
    pub(crate) fn word(&self, offset: usize) -> &MappedWord {
        assert!(offset.is_multiple_of(8) && offset <= self.len() - 8);
        // SAFETY: in bounds and aligned (checked above; a mapping starts on a page, the heap's words on a word). The
        // memory lives as long as `self`. Words in the header and in the slot array are never accessed but through
        // this function, or exclusively (`&mut self`), so no non-atomic access races with them.
        unsafe { MappedWord::from_ptr(self.start().add(offset).cast()) }
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Safety
    /// Nothing else may read or write the range during the call, and no slice made by [`Mapping::bytes`] may cover it.
    pub(crate) unsafe fn copy_in(&self, offset: usize, bytes: &[u8]) {
        assert!(offset <= self.len() && bytes.len() <= self.len() - offset);
        // SAFETY: in bounds by the check above; exclusive by the caller's promise; `bytes` cannot overlap a range that
        // no slice covers.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start().add(offset), bytes.len()) }
    }

    /// The bytes of `range`.
    ///
    /// # Safety
    /// Nothing may write to the range for as long as the slice lives.
    pub(crate) unsafe fn bytes(&self, range: Range<usize>) -> &[u8] {
        assert!(range.start <= range.end && range.end <= self.len());
        // SAFETY: in bounds by the check above; initialised, being a file's (or zeroed) memory; unchanging by the
        // caller's promise; alive as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start().add(range.start), range.len()) }
    }

    /// Overwrites `range` with zeros. Exclusive access shows that no slice covers it.
    pub(crate) fn zero(&mut self, range: Range<usize>) {
        assert!(range.start <= range.end && range.end <= self.len());
        // SAFETY: in bounds by the check above, exclusive by `&mut self`.
        unsafe { std::ptr::write_bytes(self.start().add(range.start), 0, range.len()) }
    }

    /// Copies `bytes` to `offset` where access is exclusive.
    pub(crate) fn copy_in_exclusively(&mut self, offset: usize, bytes: &[u8]) {
        // SAFETY: `&mut self`: nothing else reads or writes, and no slice is alive.
        unsafe { self.copy_in(offset, bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sync::atomic::Ordering;
    use std::io::Write;

    #[test]
    fn a_file_shorter_than_asked_for_is_not_mapped() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0; 4096]).unwrap();
        assert!(Mapping::of_file(&file, 8192).is_err());
        assert_eq!(Mapping::of_file(&file, 4096).unwrap().len(), 4096);
    }

    #[test]
    fn file_and_heap_behave_alike() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        for mut mapping in [Mapping::of_file(&file, 4096).unwrap(), Mapping::of_heap(4096)] {
            mapping.populate().unwrap();
            mapping.copy_in_exclusively(16, b"abcdefgh");
            assert_eq!(mapping.word(16).load(Ordering::Relaxed), u64::from_le_bytes(*b"abcdefgh"));
            // SAFETY: nothing else uses the mapping.
            assert_eq!(unsafe { mapping.bytes(18..20) }, b"cd");
            mapping.zero(16..24);
            assert_eq!(mapping.word(16).load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    fn a_word_out_of_bounds_is_refused() {
        Mapping::of_heap(64).word(64);
    }
}
