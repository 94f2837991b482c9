//! `store.meta`: the description of the store, its saved time, and its clears.
//!
//! ```text
//!    0 description        magic 8, version 4, log2 of segment length 4, store id 8, hash key 16, crc32c 4
//!  512 description again
//! 1024 clock slot 0       sequence 8, store 8, boot 8, wall 8 (ms), next record sequence 8,
//!                         boot id 16, device 8, inode 8, scheduled clear 8 (ms), cleared below 8, crc32c 4
//! 2048 clock slot 1
//! 4096 end
//! ```
//!
//! The description is written once in two copies. The two clock slots are written in turn. So a torn write leaves one
//! of two intact.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use siphasher::sip::SipHasher13;

use crate::store::disk::directory::META_NAME;
use crate::store::disk::format::{FORMAT_VERSION, MAX_SEQUENCE, read_u32, read_u64};
use crate::store::error::OpenError;

const MAGIC: [u8; 8] = *b"SHDSTORE";
const META_LEN: usize = 4096;
const DESCRIPTION_LEN: usize = 44;
const DESCRIPTION_OFFSETS: [usize; 2] = [0, 512];
const CLOCK_LEN: usize = 92;
const CLOCK_OFFSETS: [usize; 2] = [1024, 2048];

const _: () = assert!(DESCRIPTION_OFFSETS[1] + DESCRIPTION_LEN <= CLOCK_OFFSETS[0]);
const _: () = assert!(CLOCK_OFFSETS[1] + CLOCK_LEN <= META_LEN);

/// The difference between store time and the saved time, in milliseconds, is at most this: it is saved once a second.
pub(crate) const SAVE_INTERVAL_MS: u64 = 1_000;

/// The scheduled clears, as `store.meta` contains them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clears {
    /// When all pairs are deleted, in store milliseconds; [`NEVER`] if no clear is scheduled.
    pub(crate) due_at_ms: u64,
    /// Records with a lower sequence were deleted by a scheduled clear.
    pub(crate) cleared_below: u64,
}

pub(crate) const NEVER: u64 = u64::MAX;

impl Clears {
    pub(crate) const NONE: Clears = Clears { due_at_ms: NEVER, cleared_below: 0 };
}

/// Identifies one boot of the kernel. All writes since the boot are in the page cache, even if a process has died.
///
/// ```
/// # use sharedance_core::store::{BootId, Options};
/// # let dir = tempfile::tempdir()?;
/// let (one, next) = (BootId::from_bytes([1; 16]), BootId::from_bytes([2; 16]));
/// let open = |boot_id| Options::new().boot_id(Some(boot_id)).open(dir.path());
/// open(one)?.set("user:17", "Ada")?;
/// assert!(open(one)?.recovery().same_boot);
/// // After a restart every record is verified.
/// let store = open(next)?;
/// assert!(!store.recovery().same_boot && store.contains("user:17"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootId([u8; 16]);

impl BootId {
    /// The id of this boot, if the system reports it (Linux, with `/proc` mounted).
    ///
    /// A program that changes its root directory calls this before, and passes the result to
    /// [`Options::boot_id`](crate::store::Options::boot_id).
    ///
    /// ```
    /// # use sharedance_core::store::BootId;
    /// assert_eq!(BootId::read(), BootId::read());
    /// ```
    pub fn read() -> Option<BootId> {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        u128::from_str_radix(&digits, 16).ok().map(|id| BootId(id.to_be_bytes()))
    }

    /// An id that the caller chooses, for tests of a reboot.
    ///
    /// ```
    /// # use sharedance_core::store::BootId;
    /// assert_ne!(BootId::from_bytes([1; 16]), BootId::from_bytes([2; 16]));
    /// ```
    pub fn from_bytes(bytes: [u8; 16]) -> BootId {
        BootId(bytes)
    }
}

/// The properties of a store that never change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) segment_len: usize,
    pub(crate) store_id: u64,
    /// Key of the hash of keys. It is secret, because keys come from the network.
    pub(crate) hash_key: [u8; 16],
}

impl Description {
    /// The hash of a key in this store. It depends on a secret key, because keys come from the network, and is the same
    /// in every build.
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        SipHasher13::new_with_key(&self.hash_key).hash(key)
    }
}

impl std::fmt::Debug for Description {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Description").field("segment_len", &self.segment_len).finish_non_exhaustive()
    }
}

/// The saved time, and the boot in which it was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SavedClock {
    /// Increases with each save: the slot with the greater number is the newer one.
    sequence: u64,
    pub(crate) store_ms: u64,
    pub(crate) boot_ms: u64,
    pub(crate) wall_ms: u64,
    pub(crate) next_record_sequence: u64,
    boot_id: BootId,
    device: u64,
    inode: u64,
    clears: Clears,
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Meta {
    file: File,
    pub(crate) description: Description,
    pub(crate) saved: Option<SavedClock>,
    boot_id: Option<BootId>,
    device: u64,
    inode: u64,
    next_sequence: u64,
    /// When the file was last synced, in store milliseconds.
    synced_at_ms: Option<u64>,
    clears: Clears,
    /// Whether `clears` changed since the file was last synced.
    has_unsynced_clears: bool,
}

/// The times that are saved together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) store_ms: u64,
    pub(crate) boot_ms: u64,
    pub(crate) wall_ms: u64,
}

impl Meta {
    /// Opens the file in `directory`, or creates it for a store with the description `new`.
    pub(crate) fn open(
        directory: &Path,
        boot_id: Option<BootId>,
        new: impl FnOnce() -> Description,
    ) -> Result<Meta, OpenError> {
        let path = directory.join(META_NAME);
        let failed = |action| {
            let path = path.clone();
            move |source| OpenError::Io { action, path, source }
        };
        let (file, page) = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => {
                let page = read_page(&file).map_err(failed("read"))?;
                (file, page)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(directory, &path, &new()).map_err(failed("create"))?
            }
            Err(error) => return Err(failed("open")(error)),
        };
        let description = read_description(directory, &path, &page)?;
        let metadata = file.metadata().map_err(failed("examine"))?;
        let saved = CLOCK_OFFSETS.iter().filter_map(|at| decode_clock(&page[*at..])).max_by_key(|clock| clock.sequence);
        Ok(Meta {
            file,
            description,
            saved,
            boot_id,
            device: metadata.dev(),
            inode: metadata.ino(),
            next_sequence: saved.map_or(1, |clock| clock.sequence + 1),
            synced_at_ms: None,
            clears: saved.map_or(Clears::NONE, |clock| clock.clears),
            has_unsynced_clears: false,
        })
    }

    /// Whether the store was last used during this boot, and is not a copy of that store.
    pub(crate) fn is_same_boot(&self) -> bool {
        self.saved.is_some_and(|saved| {
            Some(saved.boot_id) == self.boot_id && saved.device == self.device && saved.inode == self.inode
        })
    }

    /// Writes the time over the older of the two slots.
    pub(crate) fn save(&mut self, times: Times, next_record_sequence: u64) -> io::Result<()> {
        let clock = SavedClock {
            sequence: self.next_sequence,
            store_ms: times.store_ms,
            boot_ms: times.boot_ms,
            wall_ms: times.wall_ms,
            next_record_sequence,
            // Zeros, which are not the id of any boot.
            boot_id: self.boot_id.unwrap_or(BootId([0; 16])),
            device: self.device,
            inode: self.inode,
            clears: self.clears,
        };
        self.file.write_all_at(&encode_clock(&clock), CLOCK_OFFSETS[self.next_sequence as usize % 2] as u64)?;
        self.next_sequence += 1;
        self.saved = Some(clock);
        Ok(())
    }

    pub(crate) fn clears(&self) -> Clears {
        self.clears
    }

    /// Whether a clear was scheduled, replaced or executed since the file was last synced.
    pub(crate) fn has_unsynced_clears(&self) -> bool {
        self.has_unsynced_clears
    }

    /// Writes when the store will be cleared, and what was cleared. The next [`Meta::save_synced`] syncs it. After an
    /// error the values that were saved before stay valid.
    pub(crate) fn save_clears(&mut self, clears: Clears, times: Times, next_record_sequence: u64) -> io::Result<()> {
        let before = std::mem::replace(&mut self.clears, clears);
        let saved = self.save(times, next_record_sequence);
        match saved {
            Ok(()) => self.has_unsynced_clears = true,
            Err(_) => self.clears = before,
        }
        saved
    }

    /// Saves and syncs, unless that was done within the last [`SAVE_INTERVAL_MS`] and the clears have not changed
    /// since. The times and sequences since then need not be saved: recovery continues with sequences far above those
    /// that it finds.
    pub(crate) fn save_synced(&mut self, times: Times, next_record_sequence: u64) -> io::Result<()> {
        let is_recent = self.synced_at_ms.is_some_and(|at_ms| times.store_ms < at_ms + SAVE_INTERVAL_MS);
        if is_recent && !self.has_unsynced_clears {
            return Ok(());
        }
        self.save(times, next_record_sequence)?;
        self.file.sync_all()?;
        self.synced_at_ms = Some(times.store_ms);
        self.has_unsynced_clears = false;
        Ok(())
    }

    /// Makes every write fail until [`Meta::reopen`].
    #[cfg(test)]
    pub(crate) fn make_unwritable(&mut self) {
        self.file = File::open("/dev/null").unwrap();
    }

    #[cfg(test)]
    pub(crate) fn reopen(&mut self, directory: &Path) {
        self.file = OpenOptions::new().read(true).write(true).open(directory.join(META_NAME)).unwrap();
    }
}

fn read_page(file: &File) -> io::Result<[u8; META_LEN]> {
    let mut page = [0; META_LEN];
    let mut at = 0;
    while at < META_LEN {
        match file.read_at(&mut page[at..], at as u64) {
            Ok(0) => break,
            Ok(read) => at += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(page)
}

/// Writes the file under a temporary name first, so that a file with the final name is always complete.
fn create(directory: &Path, path: &Path, description: &Description) -> io::Result<(File, [u8; META_LEN])> {
    let temporary = directory.join(format!("{META_NAME}.tmp"));
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let mut page = [0; META_LEN];
    let encoded = encode_description(description);
    for at in DESCRIPTION_OFFSETS {
        page[at..at + DESCRIPTION_LEN].copy_from_slice(&encoded);
    }
    file.write_all_at(&page, 0)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    Ok((file, page))
}

fn encode_description(description: &Description) -> [u8; DESCRIPTION_LEN] {
    let mut bytes = [0; DESCRIPTION_LEN];
    bytes[0..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&description.segment_len.ilog2().to_le_bytes());
    bytes[16..24].copy_from_slice(&description.store_id.to_le_bytes());
    bytes[24..40].copy_from_slice(&description.hash_key);
    let crc = crc32c::crc32c(&bytes[..40]);
    bytes[40..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn read_description(directory: &Path, path: &Path, page: &[u8; META_LEN]) -> Result<Description, OpenError> {
    let copies = DESCRIPTION_OFFSETS.map(|at| &page[at..at + DESCRIPTION_LEN]);
    let is_whole = |bytes: &&[u8]| bytes[0..8] == MAGIC && crc32c::crc32c(&bytes[..40]) == read_u32(bytes, 40);
    // Another version may have its checksum elsewhere: only magic and version identify it.
    let other_version = |bytes: &&[u8]| bytes[0..8] == MAGIC && read_u32(bytes, 8) != FORMAT_VERSION;
    let bytes = match copies.into_iter().find(is_whole) {
        Some(bytes) => bytes,
        None => copies.into_iter().find(other_version).ok_or(OpenError::Damaged { path: path.to_owned() })?,
    };
    let version = read_u32(bytes, 8);
    if version != FORMAT_VERSION {
        return Err(OpenError::FormatVersion { path: directory.to_owned(), found: version, known: FORMAT_VERSION });
    }
    let mut hash_key = [0; 16];
    hash_key.copy_from_slice(&bytes[24..40]);
    let log2 = read_u32(bytes, 12);
    if !(12..=31).contains(&log2) {
        return Err(OpenError::Damaged { path: path.to_owned() });
    }
    Ok(Description { segment_len: 1 << log2, store_id: read_u64(bytes, 16), hash_key })
}

fn encode_clock(clock: &SavedClock) -> [u8; CLOCK_LEN] {
    let mut bytes = [0; CLOCK_LEN];
    let numbers = [clock.sequence, clock.store_ms, clock.boot_ms, clock.wall_ms, clock.next_record_sequence];
    for (i, number) in numbers.into_iter().enumerate() {
        bytes[i * 8..i * 8 + 8].copy_from_slice(&number.to_le_bytes());
    }
    bytes[40..56].copy_from_slice(&clock.boot_id.0);
    bytes[56..64].copy_from_slice(&clock.device.to_le_bytes());
    bytes[64..72].copy_from_slice(&clock.inode.to_le_bytes());
    bytes[72..80].copy_from_slice(&clock.clears.due_at_ms.to_le_bytes());
    bytes[80..88].copy_from_slice(&clock.clears.cleared_below.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..88]);
    bytes[88..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode_clock(bytes: &[u8]) -> Option<SavedClock> {
    let mut boot_id = [0; 16];
    boot_id.copy_from_slice(&bytes[40..56]);
    let is_plausible = |at| read_u64(bytes, at) < MAX_SEQUENCE;
    let is_whole = crc32c::crc32c(&bytes[..88]) == read_u32(bytes, 88);
    (is_whole && [0, 8, 32, 80].into_iter().all(is_plausible)).then(|| SavedClock {
        sequence: read_u64(bytes, 0),
        store_ms: read_u64(bytes, 8),
        boot_ms: read_u64(bytes, 16),
        wall_ms: read_u64(bytes, 24),
        next_record_sequence: read_u64(bytes, 32),
        boot_id: BootId(boot_id),
        device: read_u64(bytes, 56),
        inode: read_u64(bytes, 64),
        clears: Clears { due_at_ms: read_u64(bytes, 72), cleared_below: read_u64(bytes, 80) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: BootId = BootId([1; 16]);
    const TIMES: Times = Times { store_ms: 5_000, boot_ms: 600, wall_ms: 7_000 };

    fn open(directory: &Path, boot: Option<BootId>) -> Result<Meta, OpenError> {
        Meta::open(directory, boot, || Description { segment_len: 1 << 16, store_id: 9, hash_key: [3; 16] })
    }

    fn change(directory: &Path, at: usize, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(directory.join(META_NAME)).unwrap();
        file.write_all_at(bytes, at as u64).unwrap();
    }

    #[test]
    fn the_values_that_were_saved_last_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut meta = open(dir.path(), Some(BOOT)).unwrap();
        assert!(meta.saved.is_none() && !meta.is_same_boot());
        for i in 1..6 {
            meta.save(Times { store_ms: i, ..TIMES }, 40 + i).unwrap();
            let again = open(dir.path(), Some(BOOT)).unwrap();
            assert!(again.description == meta.description && again.is_same_boot());
            let saved = again.saved.unwrap();
            assert_eq!((saved.store_ms, saved.boot_ms, saved.wall_ms), (i, 600, 7_000));
            assert_eq!(saved.next_record_sequence, 40 + i);
        }
    }

    #[test]
    fn a_torn_clock_slot_leaves_the_older_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut meta = open(dir.path(), Some(BOOT)).unwrap();
        for store_ms in [100, 200] {
            meta.save(Times { store_ms, ..TIMES }, 1).unwrap();
        }
        change(dir.path(), CLOCK_OFFSETS[meta.saved.unwrap().sequence as usize % 2] + 9, &[0xff]);
        let mut torn = open(dir.path(), Some(BOOT)).unwrap();
        assert_eq!(torn.saved.unwrap().store_ms, 100);
        // The next save overwrites the torn one.
        torn.save(Times { store_ms: 300, ..TIMES }, 1).unwrap();
        change(dir.path(), CLOCK_OFFSETS[torn.saved.unwrap().sequence as usize % 2] + 9, &[0xff]);
        assert_eq!(open(dir.path(), Some(BOOT)).unwrap().saved.unwrap().store_ms, 100);
    }

    #[test]
    fn another_boot_no_boot_and_another_file_are_not_the_same_boot() {
        let dir = tempfile::tempdir().unwrap();
        for (wrote, reads, same) in [
            (Some(BOOT), Some(BOOT), true),
            (Some(BOOT), Some(BootId([2; 16])), false),
            (Some(BOOT), None, false),
            (None, None, false),
            (None, Some(BOOT), false),
        ] {
            open(dir.path(), wrote).unwrap().save(TIMES, 1).unwrap();
            assert_eq!(open(dir.path(), reads).unwrap().is_same_boot(), same, "{wrote:?} {reads:?}");
        }
        open(dir.path(), Some(BOOT)).unwrap().save(TIMES, 1).unwrap();
        let copy = dir.path().join("copy");
        fs::copy(dir.path().join(META_NAME), &copy).unwrap();
        fs::rename(copy, dir.path().join(META_NAME)).unwrap();
        assert!(!open(dir.path(), Some(BOOT)).unwrap().is_same_boot());
    }

    #[test]
    fn numbers_that_no_store_reaches_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), Some(BOOT)).unwrap().save(TIMES, u64::MAX).unwrap();
        assert!(open(dir.path(), Some(BOOT)).unwrap().saved.is_none());
    }

    #[test]
    fn the_hash_key_is_not_printed() {
        let dir = tempfile::tempdir().unwrap();
        let printed = format!("{:?}", open(dir.path(), None).unwrap());
        assert!(!printed.contains("3, 3") && !printed.contains("hash_key"), "{printed}");
    }
}
