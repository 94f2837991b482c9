//! The raw memory of a [`Mapping`](crate::store::disk::mapping::Mapping): of a file, or of the heap instead.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;
#[cfg(heap_segments)]
use std::os::unix::fs::FileExt;

use memmap2::{MmapOptions, MmapRaw};

use crate::store::primitives::{MappedWord, before_access};

/// The bytes that the processor fetches from memory at once.
#[cfg(target_arch = "x86_64")]
const CACHE_LINE_LEN: usize = 64;

/// A readable and writable region of memory. It is shared with a file if it is mapped from one.
///
/// All offsets are in bytes from its start.
#[derive(Debug)]
pub(crate) enum Region {
    File(MmapRaw),
    /// For tools that cannot follow a mapping, or that find more in the heap.
    #[cfg(any(test, heap_segments))]
    Heap(Heap),
}

/// Memory of the heap, and the file to which its bytes are written when it is dropped.
#[cfg(any(test, heap_segments))]
#[derive(Debug)]
pub(crate) struct Heap {
    words: Box<[MappedWord]>,
    #[cfg(heap_segments)]
    file: Option<File>,
}

impl Region {
    /// Maps the first `len` bytes of `file`, which is not shorter.
    pub(crate) fn of_file(file: &File, len: usize) -> io::Result<Region> {
        #[cfg(heap_segments)]
        return Heap::of_file(file, len).map(Region::Heap);
        #[cfg(not(heap_segments))]
        Ok(Region::File(MmapOptions::new().len(len).map_raw(file)?))
    }

    /// `len` zeroed bytes of the heap.
    #[cfg(test)]
    pub(crate) fn of_heap(len: usize) -> Region {
        assert_eq!(len % 8, 0);
        Region::Heap(Heap {
            words: (0..len / 8).map(|_| MappedWord::new(0)).collect(),
            #[cfg(heap_segments)]
            file: None,
        })
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Region::File(map) => map.len(),
            #[cfg(any(test, heap_segments))]
            Region::Heap(heap) => heap.words.len() * 8,
        }
    }

    fn start(&self) -> *mut u8 {
        match self {
            Region::File(map) => map.as_mut_ptr(),
            #[cfg(any(test, heap_segments))]
            Region::Heap(heap) => heap.words.as_ptr() as *mut u8,
        }
    }

    /// Requests that the kernel allocates every page of `range` now instead of at its first store, and returns its
    /// error. Kernels without this request (before Linux 5.14) allocate at the first store.
    pub(crate) fn populate(&self, range: Range<usize>) -> io::Result<()> {
        match self {
            Region::File(map) => loop {
                match map.advise_range(memmap2::Advice::PopulateWrite, range.start, range.len()) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() != io::ErrorKind::InvalidInput => return Err(error),
                    _ => return Ok(()),
                }
            },
            #[cfg(any(test, heap_segments))]
            Region::Heap(_) => Ok(()),
        }
    }

    /// Hints to the processor that the bytes at `offset` are about to be read.
    pub(crate) fn prefetch(&self, offset: usize) {
        #[cfg(target_arch = "x86_64")]
        if offset < self.len() {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: the address is within the mapping, and a prefetch changes nothing that the program can observe.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.start().add(offset).cast()) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = offset;
    }

    /// Hints to the processor that the part of `range` that is in the mapping is about to be written.
    pub(crate) fn prefetch_for_writing(&self, range: Range<usize>) {
        #[cfg(target_arch = "x86_64")]
        for offset in (range.start..range.end.min(self.len())).step_by(CACHE_LINE_LEN) {
            use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
            // SAFETY: as in `prefetch`.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(self.start().add(offset).cast()) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = range;
    }

    /// The eight bytes at `offset`, a multiple of eight, as an atomic word in the byte order of the machine. That is
    /// little-endian: the crate does not build for other machines.
    ///
    /// # Panics
    /// If the offset is out of bounds or not aligned. That is a bug of this crate; the contents of a file do not cause
    /// it.
    pub(crate) fn word(&self, offset: usize) -> &MappedWord {
        assert!(offset.is_multiple_of(8) && offset <= self.len() - 8);
        // SAFETY: in bounds and aligned (checked above; a mapping starts on a page, the heap's words on a word). The
        // memory lives as long as `self`. Words in the header and in the slot array are accessed only through this
        // function, or exclusively (`&mut self`), so no non-atomic access races with them.
        unsafe { MappedWord::from_ptr(self.start().add(offset).cast()) }
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Safety
    /// No other thread may read or write the range during the call, and no slice from [`Region::bytes`] may cover it.
    pub(crate) unsafe fn copy_in(&self, offset: usize, bytes: &[u8]) {
        assert!(offset <= self.len() && bytes.len() <= self.len() - offset);
        before_access();
        // SAFETY: in bounds (checked above); exclusive, as the caller guarantees; `bytes` cannot overlap a range that
        // no slice covers.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start().add(offset), bytes.len()) }
    }

    /// The bytes of `range`.
    ///
    /// # Safety
    /// The range must not be written while the slice exists.
    pub(crate) unsafe fn bytes(&self, range: Range<usize>) -> &[u8] {
        assert!(range.start <= range.end && range.end <= self.len());
        // SAFETY: in bounds (checked above); initialised, because it is memory of a file or zeroed; unchanged while the
        // slice exists, as the caller guarantees; it lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start().add(range.start), range.len()) }
    }

    /// Overwrites `range` with zeros. Exclusive access shows that no slice covers it.
    pub(crate) fn zero(&mut self, range: Range<usize>) {
        assert!(range.start <= range.end && range.end <= self.len());
        before_access();
        // SAFETY: in bounds (checked above), exclusive by `&mut self`.
        unsafe { std::ptr::write_bytes(self.start().add(range.start), 0, range.len()) }
    }

    /// Copies `bytes` to `offset`, with exclusive access.
    pub(crate) fn copy_in_exclusively(&mut self, offset: usize, bytes: &[u8]) {
        // SAFETY: `&mut self`: nothing else reads or writes, and no slice is alive.
        unsafe { self.copy_in(offset, bytes) }
    }
}

#[cfg(heap_segments)]
impl Heap {
    fn of_file(file: &File, len: usize) -> io::Result<Heap> {
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0)?;
        let word = |bytes: &[u8]| MappedWord::new(bytes.iter().rfold(0, |word, byte| word << 8 | u64::from(*byte)));
        Ok(Heap { words: bytes.chunks(8).map(word).collect(), file: Some(file.try_clone()?) })
    }
}

/// The file is next read when the store is opened again.
#[cfg(heap_segments)]
impl Drop for Heap {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            let bytes: Vec<u8> = self.words.iter_mut().flat_map(|word| word.get_mut().to_le_bytes()).collect();
            let _ = file.write_all_at(&bytes, 0);
        }
    }
}
