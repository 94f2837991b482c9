//! Shared by the tests of the store: scratch directories, and values that contain their key, their version and a check.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

pub use crate::chance::Chance;

/// The shortest possible segments, so that segments change often.
pub const SEGMENT_LEN: usize = 65_536;

/// Creates an empty directory, in memory if the machine has such a file system.
pub fn directory() -> TempDir {
    tempfile::tempdir_in(parent()).unwrap()
}

/// The parent of these directories.
pub fn parent() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if tempfile::tempfile_in(memory).is_ok() { memory.to_owned() } else { std::env::temp_dir() }
}

const STAMP_LEN: usize = 16;

/// Returns a value of at least 16 bytes that identifies its key and version, and in which any changed byte is detected.
pub fn stamped(key: &[u8], version: u64, len: usize) -> Vec<u8> {
    let mut value = vec![0; STAMP_LEN];
    value[..8].copy_from_slice(&version.to_le_bytes());
    let mut filler = Chance(version);
    while value.len() < len {
        value.extend_from_slice(&filler.next_u64().to_le_bytes());
    }
    value.truncate(len.max(STAMP_LEN));
    let crc = checksum(key, &value);
    value[8..12].copy_from_slice(&crc.to_le_bytes());
    value
}

/// Returns the version of a value that [`stamped`] made for `key`, or `None` for any other value.
pub fn version_of(key: &[u8], value: &[u8]) -> Option<u64> {
    let mut unsealed = value.get(..STAMP_LEN)?.to_vec();
    unsealed[8..12].fill(0);
    unsealed.extend_from_slice(&value[STAMP_LEN..]);
    let is_whole = checksum(key, &unsealed).to_le_bytes() == value[8..12];
    is_whole.then(|| u64::from_le_bytes(value[..8].try_into().unwrap()))
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let len = crc32c::crc32c(&(value.len() as u64).to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(len, key), value)
}

/// All files of a store at one moment. If the store is open and idle, they equal the files that a killed process
/// leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Image {
    pub fn take(dir: &Path) -> Image {
        let mut image = Image::default();
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name != "LOCK" {
                image.files.insert(name, fs::read(entry.path()).unwrap());
            }
        }
        image
    }

    /// Makes `dir`, which no store has open, contain exactly these files. `store.meta` remains the same file.
    pub fn restore(&self, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != "store.meta" {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        for (name, bytes) in &self.files {
            fs::write(dir.join(name), bytes).unwrap();
        }
    }

    /// Returns the names of the segment files, both shared and big ones.
    pub fn segments(&self) -> Vec<String> {
        self.files.keys().filter(|name| name.ends_with(".shd")).cloned().collect()
    }

    /// Returns the bytes of all segment files.
    pub fn segment_bytes(&self) -> u64 {
        self.segments().iter().map(|name| self.files[name].len() as u64).sum()
    }
}
