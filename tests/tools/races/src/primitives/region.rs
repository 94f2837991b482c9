//! A model of mapped memory that Loom can follow. Words of the header and of the slot array are Loom's atomics. For all
//! other bytes, Loom checks which threads access them concurrently.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::AtomicU64;

use loom::cell::UnsafeCell;

use crate::store::disk::format::{HEADER_LEN, RECORD_ALIGN, RECORDS_OFFSET};
use crate::store::primitives::MappedWord;

const HEADER_WORDS: usize = 2;

/// Replaces the memory behind a mapping; see `region.rs`.
#[derive(Debug)]
pub(crate) struct Region {
    /// The bytes, except those of words.
    memory: Box<[AtomicU64]>,
    /// The words after the header, and all words from the first record on.
    words: Box<[MappedWord]>,
    /// One for each offset at which a record may start. It is read or written together with the bytes of the record
    /// there.
    touched: Box<[UnsafeCell<()>]>,
}

// SAFETY: `touched` contains no values. It only lets Loom check that accesses do not race.
unsafe impl Sync for Region {}

impl Region {
    pub(crate) fn of_file(_file: &File, _len: usize) -> io::Result<Region> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// For short lengths only: everything is created again for each order that is tried.
    pub(crate) fn of_heap(len: usize) -> Region {
        let record_words = (len - RECORDS_OFFSET) / 8;
        Region {
            memory: (0..len / 8).map(|_| AtomicU64::new(0)).collect(),
            words: (0..HEADER_WORDS + record_words).map(|_| MappedWord::new(0)).collect(),
            touched: (0..record_words * 8 / RECORD_ALIGN).map(|_| UnsafeCell::new(())).collect(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.memory.len() * 8
    }

    pub(crate) fn populate(&self, _range: Range<usize>) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn prefetch(&self, _offset: usize) {}

    pub(crate) fn prefetch_for_writing(&self, _range: Range<usize>) {}

    pub(crate) fn word(&self, offset: usize) -> &MappedWord {
        &self.words[word_at(offset)]
    }

    fn start(&self) -> *mut u8 {
        self.memory.as_ptr() as *mut u8
    }

    /// The offsets of records that `range` covers, which is not in the header.
    fn places(&self, range: Range<usize>) -> &[UnsafeCell<()>] {
        let end = range.end.next_multiple_of(RECORD_ALIGN);
        &self.touched[(range.start - RECORDS_OFFSET) / RECORD_ALIGN..(end - RECORDS_OFFSET) / RECORD_ALIGN]
    }

    /// # Safety
    /// The same as for a file.
    pub(crate) unsafe fn copy_in(&self, offset: usize, bytes: &[u8]) {
        assert!(offset <= self.len() && bytes.len() <= self.len() - offset);
        self.places(offset..offset + bytes.len()).iter().for_each(|place| place.with_mut(|_| ()));
        // SAFETY: in bounds; Loom has checked in the line above that access is exclusive.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start().add(offset), bytes.len()) }
    }

    /// # Safety
    /// The same as for a file.
    pub(crate) unsafe fn bytes(&self, range: Range<usize>) -> &[u8] {
        assert!(range.start <= range.end && range.end <= self.len());
        self.places(range.clone()).iter().for_each(|place| place.with(|_| ()));
        // SAFETY: in bounds; Loom has checked in the line above that no thread writes the bytes.
        unsafe { std::slice::from_raw_parts(self.start().add(range.start), range.len()) }
    }

    /// For words only: records are not zeroed.
    pub(crate) fn zero(&mut self, range: Range<usize>) {
        for offset in range.step_by(8) {
            self.words[word_at(offset)].with_mut(|word| *word = 0);
        }
    }

    /// For the header only, which is not read through a mapping.
    pub(crate) fn copy_in_exclusively(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= HEADER_LEN);
    }
}

fn word_at(offset: usize) -> usize {
    assert!(offset.is_multiple_of(8) && offset >= HEADER_LEN);
    if offset < RECORDS_OFFSET { (offset - HEADER_LEN) / 8 } else { HEADER_WORDS + (offset - RECORDS_OFFSET) / 8 }
}
