//! A file as memory: the lower half of the crate's `unsafe` code. The upper half, `segment/`, follows the protocol that
//! makes it sound.
//!
//! # Why this is sound
//!
//! - **Other writers.** The directory is locked for the life of the store *and* of every mapping (each segment keeps
//!   the lock alive), and its mode is 0700. Rust can promise nothing if a process of the same user ignores the lock and
//!   writes to the files. That applies to every program that maps files.
//! - **Never truncated while mapped.** A file gets its whole length, allocated, before it is mapped. Afterwards it is
//!   only ever unlinked, and an unlinked inode keeps its contents while it is mapped. Nothing punches holes.
//! - **No `&mut`, and no `&[u8]` over bytes that change.** Words that several threads or successive processes share
//!   (headers, slots) are accessed only through `&MappedWord`. Other bytes are written through raw pointers while no
//!   slice covers them: between the reservation of their range and the commit of its slot. A slice covers only
//!   committed bytes. Those do not change until the region is exclusively owned again.
//! - **A failing disk.** The pages are allocated and, if the kernel supports it, populated in advance, so that a full
//!   disk is an error and not a signal. A page that the disk cannot read raises SIGBUS when memory is accessed;
//!   therefore recovery reads with `pread` and a server sends with `write`, which return errors.
//! - **Not promised:** anything on a network file system, and protection from other programs that write to the files.

use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};

use crate::store::disk::dirty::Mark;
use crate::store::disk::mapping_limit::CountedMapping;
use crate::store::primitives::Arc;

use crate::store::disk::region::Region;

/// A mapped file region, readable and writable, shared with the file.
///
/// All offsets are in bytes from the start of the file.
#[derive(Debug)]
pub(crate) struct Mapping {
    region: Region,
    /// Records changes in a store that promises syncs.
    mark: Option<Arc<Mark>>,
    /// Counts this mapping among those that a store may have.
    _counted: Option<CountedMapping>,
}

impl Mapping {
    /// Maps the first `len` bytes of `file`, which must be open for reading and writing and must not be shorter.
    pub(crate) fn of_file(file: &File, len: usize) -> io::Result<Mapping> {
        if file.metadata()?.len() < len as u64 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than its mapping"));
        }
        Ok(Mapping { region: Region::of_file(file, len)?, mark: None, _counted: None })
    }

    /// The same, with the mark that records its changes.
    pub(crate) fn watched(self, mark: Arc<Mark>) -> Mapping {
        Mapping { mark: Some(mark), ..self }
    }

    /// Counts the mapping among those of its store.
    pub(crate) fn counted(self, counted: CountedMapping) -> Mapping {
        Mapping { _counted: Some(counted), ..self }
    }

    /// Records a change of bytes. Called after each change and before the change is acknowledged.
    pub(crate) fn note_change(&self) {
        if let Some(mark) = &self.mark {
            mark.note();
        }
    }

    /// `len` zeroed bytes of heap memory instead of a file.
    #[cfg(any(test, loom))]
    pub(crate) fn of_heap(len: usize) -> Mapping {
        Mapping { region: Region::of_heap(len), mark: None, _counted: None }
    }
}

impl Deref for Mapping {
    type Target = Region;

    fn deref(&self) -> &Region {
        &self.region
    }
}

impl DerefMut for Mapping {
    fn deref_mut(&mut self) -> &mut Region {
        &mut self.region
    }
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use super::*;
    use crate::store::primitives::atomic::Ordering;
    use std::io::Write;

    #[test]
    fn a_file_that_is_too_short_is_not_mapped() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0; 4096]).unwrap();
        assert!(Mapping::of_file(&file, 8192).is_err());
        assert_eq!(Mapping::of_file(&file, 4096).unwrap().len(), 4096);
    }

    #[test]
    fn a_file_and_the_heap_behave_alike() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        for mut mapping in [Mapping::of_file(&file, 4096).unwrap(), Mapping::of_heap(4096)] {
            mapping.populate(0..mapping.len()).unwrap();
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
