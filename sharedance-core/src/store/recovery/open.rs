//! Opening a store: scans and verifies the segments, rebuilds the index, skips torn writes, and reports what was
//! dropped.
//!
//! The contents of files are not trusted. If the store was last used during this boot, the page cache has all writes of
//! the dead process: each slot is empty or complete, and records are verified when they are first read. Otherwise every
//! record is read and verified now. In both cases a record that does not verify is dropped and counted. It is never
//! returned, and never a reason not to open.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::store::api::durability::{Durability, UncleanBoot};
use crate::store::api::options::{Options, WhenFull};
use crate::store::disk::deletions::Deletion;
use crate::store::disk::directory::{Directory, Listing};
use crate::store::disk::file_name::FileName;
use crate::store::disk::format::{
    self, Header, Kind, MAX_SEQUENCE, RECORDS_OFFSET, RESERVATION_OFFSET, Reserved, SLOT_LEN, STATE_OFFSET, State,
};
use crate::store::disk::meta::{Description, Meta};
use crate::store::durability::syncs::Syncs;
use crate::store::engine::{Counters, Engine, Limits};
use crate::store::error::OpenError;
use crate::store::error::StoreError;
use crate::store::index::Index;
use crate::store::log::segment_log::{Log, Tracking};
use crate::store::operations::clear::{Clearing, Schedule};
use crate::store::primitives::{Mutex, MutexGuard, PoisonError};
use crate::store::segment::blank::Blank;
use crate::store::segment::sealed::Segment;
use crate::store::timeline::Timeline;

use crate::store::recovery::entering::{self, Scanned};
use crate::store::recovery::parallel::in_parallel;
use crate::store::recovery::report::RecoveryReport;
use crate::store::recovery::slots::{SlotReader, read_exactly, verify_header};

/// How far sequences advance at each opening, beyond those that the dead process may have used after it last saved one…
const SEQUENCE_JUMP: u64 = 1 << 20;
/// …and if the crash of the system may have lost the writes of a minute, at a million writes per second.
const SEQUENCE_JUMP_AFTER_REBOOT: u64 = 1 << 26;

/// Opens the store in `dir`, whatever state it was left in.
pub(crate) fn open(options: Options, dir: &Path) -> Result<Opened, OpenError> {
    let mut directory = Directory::open(dir)?;
    let failed = |action| move |source: io::Error| OpenError::Io { action, path: dir.to_owned(), source };
    let mut identity = [0; 24];
    rustix::rand::getrandom(&mut identity, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| failed("draw random numbers for")(error.into()))?;
    let meta = Meta::open(dir, options.resolve_boot_id(), || describe(&options, &identity))?;
    options.check_segment_len(meta.description.segment_len, dir)?;
    if let Some(allowed) = options.max_mappings {
        directory.set_max_mappings(allowed);
    }
    let mut listing = directory.list().map_err(failed("list"))?;
    let same_boot = meta.is_same_boot();
    if !same_boot && options.unclean_boot == UncleanBoot::Discard {
        discard(&directory, &mut listing).map_err(failed("discard the segments in"))?;
    }
    let timeline = Timeline::resume(options.clock.clone(), meta.saved, same_boot);
    if options.durability != Durability::Os {
        if same_boot {
            // If a record is in two places, the older one is marked dead next. So the newer one must be on the disk.
            directory.sync().map_err(failed("sync the segments in"))?;
        }
        directory.track_changes();
    }
    let tracking = Tracking { reads: options.when_full == WhenFull::Evict, accesses: options.track_accesses };
    let scan = Scan {
        log: Log::new(directory, meta.description, options.max_bytes, tracking),
        index: Index::new(meta.description.segment_len),
        now_ms: timeline.now_ms(),
        same_boot,
        cleared_below: meta.clears().cleared_below,
        findings: Mutex::default(),
    };
    let (files, mappings) = (listing.segments.len(), &scan.log.files.directory.mappings);
    let (allowed, max_files) = (mappings.allowed(), mappings.max_files());
    scan.read_all(&listing.segments).map_err(|error| match error.kind() {
        io::ErrorKind::OutOfMemory => OpenError::Mappings { path: dir.to_owned(), files, allowed },
        _ => failed("read the segments in")(error),
    })?;
    let (log, index, mut recovery) = scan.finish(&meta);
    let possible_files = (options.max_bytes.unwrap_or(0) / log.description().segment_len as u64).max(files as u64);
    recovery.excess_files = possible_files.saturating_sub(max_files as u64);
    recovery.foreign = listing.foreign;
    let schedule = Schedule::new(meta.clears());
    let syncs = Syncs::new(options.durability, meta, timeline.boot_time());
    let limits = Limits { default_ttl: options.default_ttl, max_value_len: options.max_value_len };
    let engine = Engine { index, log, timeline, counters: Counters::default(), limits };
    let clearing = Clearing { schedule: &schedule, engine: &engine, syncs: &syncs };
    let saved = clearing.clear_if_due().and_then(|()| syncs.save_clock(&engine.log, &engine.timeline));
    saved.map_err(|error| match error {
        StoreError::Io { action, source } => failed(action)(source),
        _ => failed("save the clock in")(io::ErrorKind::Other.into()),
    })?;
    let pairs = engine.index.len() as u64;
    recovery.cleared += std::mem::replace(&mut recovery.pairs, pairs) - pairs;
    Ok(Opened { engine, syncs, schedule, recovery })
}

/// The parts of an open store.
pub(crate) struct Opened {
    pub(crate) engine: Engine,
    pub(crate) syncs: Syncs,
    pub(crate) schedule: Schedule,
    pub(crate) recovery: RecoveryReport,
}

fn discard(directory: &Directory, listing: &mut Listing) -> io::Result<()> {
    listing.segments.drain(..).try_for_each(|name| directory.remove(name, false))?;
    directory.sync()
}

fn describe(options: &Options, random: &[u8; 24]) -> Description {
    let mut hash_key = [0; 16];
    hash_key.copy_from_slice(&random[..16]);
    Description { segment_len: options.new_segment_len(), store_id: format::read_u64(random, 16), hash_key }
}

/// The work of reading all segments, which several threads share.
struct Scan {
    log: Log,
    index: Index,
    now_ms: u64,
    same_boot: bool,
    /// Records with a lower sequence were deleted by a clear, even if the files do not show it.
    cleared_below: u64,
    findings: Mutex<Findings>,
}

#[derive(Default)]
struct Findings {
    report: RecoveryReport,
    segments: Vec<Scanned>,
    next_sequence: u64,
    next_segment_id: u32,
    file_bytes: u64,
}

impl Scan {
    fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads every segment, then inserts the live records into the index, shard by shard.
    fn read_all(&self, names: &[FileName]) -> io::Result<()> {
        in_parallel(names.len(), |i| self.read_file(names[i]))?;
        let segments = std::mem::take(&mut self.findings().segments);
        in_parallel(self.index.shards(), |shard| {
            let entered = entering::fill_shard(&self.index, shard, &segments);
            let report = &mut self.findings().report;
            report.superseded += entered.superseded;
            report.expired += entered.expired;
            Ok(())
        })?;
        self.findings().segments = segments;
        Ok(())
    }

    fn read_file(&self, name: FileName) -> io::Result<()> {
        let file = self.log.files.directory.open_file(name)?;
        let len = file.metadata()?.len() as usize;
        let mut head = [0; RECORDS_OFFSET];
        let is_whole = len >= RECORDS_OFFSET + SLOT_LEN && read_exactly(&file, &mut head, 0)?;
        let state = State::from_word(format::read_u64(&head, STATE_OFFSET));
        let is_segment = matches!(name, FileName::Segment(_));
        let has_expected_len = !is_segment || len == self.log.description().segment_len;
        if is_whole && has_expected_len && state == Some(State::Free) {
            return self.take_free(name, &file, len);
        }
        let header = is_whole.then(|| verify_header(&head)).flatten().filter(|header| {
            has_expected_len
                && header.store_id == self.log.description().store_id
                && header.segment_id == name.id()
                && header.file_len == len as u64
                && header.base < MAX_SEQUENCE
                && (header.kind == Kind::Big) != is_segment
        });
        match header {
            Some(header) => self.take_segment(name, &file, header, &head, state),
            None => self.set_aside(name),
        }
    }

    fn set_aside(&self, name: FileName) -> io::Result<()> {
        self.log.files.directory.set_aside(name)?;
        self.findings().report.set_aside.push(name.to_string());
        Ok(())
    }

    /// Keeps a free file as a blank, or deletes it if its pages may be older than its header. Maintenance retries a
    /// failed deletion.
    fn take_free(&self, name: FileName, file: &File, len: usize) -> io::Result<()> {
        let is_kept =
            self.same_boot && matches!(name, FileName::Segment(_)) && self.log.files.directory.mappings.has_room(false);
        if !is_kept {
            let Err(error) = self.log.files.directory.remove(name, false) else {
                return Ok(());
            };
            self.log.files.deletions.add_failed(Deletion { name, is_temporary: false, len: len as u64 }, error);
        } else {
            let blank = Blank::recovered(name.id(), self.log.files.directory.map(name, file, len)?);
            self.log.files.adopt_blank(blank);
        }
        let mut findings = self.findings();
        findings.file_bytes += len as u64;
        findings.next_segment_id = findings.next_segment_id.max(name.id().saturating_add(1));
        Ok(())
    }

    fn take_segment(
        &self,
        name: FileName,
        file: &File,
        header: Header,
        head: &[u8],
        state: Option<State>,
    ) -> io::Result<()> {
        let len = header.file_len as usize;
        let claimed = match header.kind {
            Kind::Big => Reserved { write_offset: (len - SLOT_LEN) as u32, slots: 1 },
            _ => Reserved::from_word(format::read_u64(head, RESERVATION_OFFSET)),
        };
        let reserved = Some(claimed).filter(|reserved| reserved.is_plausible(len));
        let reader = SlotReader {
            description: self.log.description(),
            now_ms: self.now_ms,
            same_boot: self.same_boot,
            cleared_below: self.cleared_below,
        };
        let slots = match reserved {
            Some(reserved) if self.same_boot => reader.read(file, &header, reserved)?,
            _ => reader.verify(file, &header, reserved.map_or(0, |reserved| reserved.slots))?,
        };
        let unverified = if self.same_boot { slots.count } else { 0 };
        let mapping = self.log.files.directory.map(name, file, len)?;
        let segment = self.log.enter(self.now_ms, |number| {
            Segment::recovered(number, header, mapping, self.log.files.directory.lock.clone(), unverified, self.now_ms)
        });
        slots.disowned.iter().chain(&slots.cleared).for_each(|slot| segment.disown(*slot));
        let is_shared = header.kind != Kind::Big;
        let can_go_on = is_shared && self.same_boot && reserved.is_some() && state == Some(State::Active);
        let (segment, open) = if can_go_on {
            (segment.clone(), Some(segment))
        } else {
            let reserved = Reserved { write_offset: slots.records_end as u32, slots: slots.count };
            (segment.seal_at(reserved, self.now_ms), None)
        };
        let (dropped, last_sequence, cleared) = (slots.dropped, slots.last_sequence, slots.cleared.len() as u64);
        let scanned = Scanned::new(segment, open, slots, &self.index);
        let mut findings = self.findings();
        findings.report.segments += 1;
        findings.report.dropped += dropped;
        findings.report.cleared += cleared;
        findings.file_bytes += len as u64;
        findings.next_sequence = findings.next_sequence.max(last_sequence.saturating_add(1));
        findings.next_segment_id = findings.next_segment_id.max(header.segment_id.saturating_add(1));
        findings.segments.push(scanned);
        Ok(())
    }

    fn finish(self, meta: &Meta) -> (Log, Index, RecoveryReport) {
        let mut findings = self.findings.into_inner().unwrap_or_else(PoisonError::into_inner);
        let saved_sequence = meta.saved.map_or(0, |saved| saved.next_record_sequence);
        let jump = if self.same_boot { SEQUENCE_JUMP } else { SEQUENCE_JUMP_AFTER_REBOOT };
        let next_sequence = findings.next_sequence.max(saved_sequence).saturating_add(jump);
        self.log.resume(next_sequence, findings.next_segment_id, findings.file_bytes);
        for open in findings.segments.iter_mut().filter_map(|scanned| scanned.open.take()) {
            self.log.reopen(open, self.now_ms);
        }
        let mut report = findings.report;
        report.pairs = self.index.len() as u64;
        report.same_boot = self.same_boot;
        report.set_aside.sort();
        (self.log, self.index, report)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use crate::clock::Clock;
    use crate::store::Store;
    use crate::store::disk::format::HEADER_LEN;

    /// A closed store of one pair, and its segment file.
    pub(crate) fn one_pair() -> (tempfile::TempDir, Options, File, usize) {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::manual().segment_len(65_536).clock(Clock::manual().0);
        let store = options.clone().open(dir.path()).unwrap();
        store.set(b"key", b"value").unwrap();
        let name = store.shared.engine.log.segments()[0].header.segment_id;
        drop(store);
        let path = dir.path().join(FileName::Segment(name).to_string());
        let file = File::options().read(true).write(true).open(path).unwrap();
        (dir, options, file, 65_536)
    }

    fn works(store: &Store) {
        store.set(b"another", b"value").unwrap();
        assert_eq!(store.get(b"another").unwrap(), b"value");
    }

    /// Writes another base into the header of `file`, with a correct checksum.
    fn set_base(file: &File, base: u64) {
        let mut bytes = [0; HEADER_LEN];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let header = Header { base, ..Header::verify(&bytes).unwrap() };
        file.write_all_at(&header.encode(), 0).unwrap();
    }

    #[test]
    fn a_negative_sequence_does_not_exhaust_the_sequences() {
        let (dir, options, file, len) = one_pair();
        set_base(&file, 4);
        file.write_all_at(&(-5i32).to_le_bytes(), format::slot_offset(len, 0) as u64 + 8).unwrap();
        let store = options.open(dir.path()).unwrap();
        assert_eq!((store.recovery().pairs, store.recovery().dropped), (0, 1));
        assert!(store.shared.engine.log.peek_sequence() < 1 << 42);
        works(&store);
    }

    #[test]
    fn a_file_with_a_base_that_no_store_reaches_is_set_aside() {
        let (dir, options, file, _) = one_pair();
        set_base(&file, u64::MAX - 1);
        let store = options.open(dir.path()).unwrap();
        assert_eq!((store.recovery().pairs, store.recovery().set_aside.len()), (0, 1));
        works(&store);
    }
}
