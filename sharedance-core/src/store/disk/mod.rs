//! The files of a store, and the memory that they are mapped to.
//!
//! | file | what |
//! | --- | --- |
//! | [`format`] | the bytes of a segment file: header, slot, word, checksums |
//! | [`meta`] | `store.meta`: what the store is, and the time that was saved last |
//! | [`directory`], [`file_name`] | the directory: its lock, its files and their names, its sync |
//! | [`allocation`] | a new file: allocated, populated, mapped |
//! | [`mapping`], [`region`] | a file as memory, and why that is sound |
//! | [`mapping_limit`] | how many mappings the store may have |
//! | [`dirty`] | which files changed since the last sync |
//! | [`space`] | the bytes of all files, and their limit |
//! | [`deletions`] | files that could not be deleted yet |

pub(crate) mod allocation;
pub(crate) mod deletions;
pub(crate) mod directory;
pub(crate) mod dirty;
pub(crate) mod file_name;
pub(crate) mod format;
pub(crate) mod mapping;
pub(crate) mod mapping_limit;
pub(crate) mod meta;
#[cfg_attr(loom, path = "../../../../tests/tools/races/src/primitives/region.rs")]
pub(crate) mod region;
pub(crate) mod space;
