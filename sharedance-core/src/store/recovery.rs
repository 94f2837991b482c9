//! Opening: scan the segments, verify, rebuild the index, skip what is torn, report what was dropped.
//!
//! Nothing that stands in a file is believed because it stands there. Where the store was last in use during this same
//! boot, the page cache is coherent: the slot arrays are what the dead process left, a slot is empty or complete, and
//! records are verified when they are first read. Otherwise every record is read and verified now. In either case what
//! does not verify is dropped and counted, never served and never a reason not to open.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::durability::{Durability, GroupCommit, UncleanBoot};
use super::error::OpenError;
use super::eviction::Eviction;
use super::files::{Directory, FileName, Listing};
use super::format::{
    self, Deadline, HEADER_LEN, Header, Kind, MAX_SEQUENCE, RECORDS_OFFSET, RESERVATION_OFFSET, RawSlot, RecordState,
    Reserved, SLOT_LEN, STATE_OFFSET, Slot, State, Word,
};
use super::index::{Index, Location, Shard};
use super::log::{Log, Tracking};
use super::meta::{Description, Meta};
use super::options::{Options, WhenFull};
use super::overwriting::Overwrites;
use super::segment::{Blank, Segment};
use super::stats::Counters;
use super::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use super::sync::thread;
use super::sync::{Arc, Mutex, MutexGuard, PoisonError};
use super::timeline::Timeline;
use super::upkeep::Upkeep;
use super::{Inner, StoreError};

/// How far sequences jump at each opening, past what the dead process may have used since it last wrote them down…
const SEQUENCE_JUMP: u64 = 1 << 20;
/// …and where the crash of the system may have taken along what was written for a minute: a million writes a second.
const SEQUENCE_JUMP_AFTER_REBOOT: u64 = 1 << 26;
/// Where the slots are not known to be all there, this many in a row that hold nothing are taken for their end: 32
/// pages of them.
const EMPTY_RUN: u32 = 4096;
/// Where slots name the same bytes again and again, as no store writes them, checking ends when this many times the
/// file's bytes were read: what is left does not verify.
const MAX_CHECKED_PART: usize = 4;
/// Recovery waits for the disk more than it computes, so a few threads; more would only compete.
const MAX_THREADS: usize = 4;

/// What was found when a store was opened: see [`Store::recovery`](super::Store::recovery). It prints as a line for the
/// log.
///
/// ```
/// # use sharedance_core::store::Store;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.set("user:17", "Ada")?;
/// # drop(store);
/// # std::fs::write(dir.path().join("notes.txt"), "not the store's")?;
/// let store = Store::open(dir.path())?;
/// let report = store.recovery();
/// assert_eq!((report.pairs, report.dropped), (1, 0));
/// assert_eq!(report.foreign, ["notes.txt"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Pairs that are there again.
    pub pairs: u64,
    /// Pairs that had expired meanwhile.
    pub expired: u64,
    /// Slots and records that did not verify and were dropped.
    pub dropped: u64,
    /// Records of a key that had a later one: the store was killed between two steps.
    pub superseded: u64,
    /// Segment files read.
    pub segments: u64,
    /// Whether the store was last in use during this same boot, so that records need not be read at once.
    pub same_boot: bool,
    /// Files whose header does not verify: renamed to end in `.bad`, and otherwise left alone.
    pub set_aside: Vec<String>,
    /// Files in the directory that are none of the store's: left alone.
    pub foreign: Vec<String>,
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pairs in {} segments", self.pairs, self.segments)?;
        if self.expired > 0 {
            write!(f, ", {} expired meanwhile", self.expired)?;
        }
        if self.dropped > 0 {
            write!(f, ", {} damaged and dropped", self.dropped)?;
        }
        if !self.same_boot && self.segments > 0 {
            write!(f, ", all verified since the machine was restarted or the files were moved")?;
        }
        if !self.set_aside.is_empty() {
            write!(f, "; unreadable and set aside: {}", self.set_aside.join(", "))?;
        }
        if !self.foreign.is_empty() {
            write!(f, "; not the store's and left alone: {}", self.foreign.join(", "))?;
        }
        Ok(())
    }
}

/// Opens the store in `dir`, whatever state it was left in.
pub(crate) fn open(options: Options, dir: &Path) -> Result<Inner, OpenError> {
    let mut directory = Directory::open(dir)?;
    let failed = |action| move |source: io::Error| OpenError::Io { action, path: dir.to_owned(), source };
    let mut identity = [0; 24];
    rustix::rand::getrandom(&mut identity, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| failed("draw random numbers for")(error.into()))?;
    let meta = Meta::open(dir, options.resolve_boot_id(), || describe(&options, &identity))?;
    if meta.description.segment_len != options.segment_len {
        let found = meta.description.segment_len;
        return Err(OpenError::SegmentLen { path: dir.to_owned(), found, asked: options.segment_len });
    }
    let mut listing = directory.list().map_err(failed("list"))?;
    let same_boot = meta.is_same_boot();
    if !same_boot && options.unclean_boot == UncleanBoot::Discard {
        discard(&directory, &mut listing).map_err(failed("discard the segments in"))?;
    }
    let timeline = Timeline::resume(options.clock.clone(), meta.saved, same_boot);
    if options.durability != Durability::Os {
        if same_boot {
            // Of what is in two places the older is about to be marked dead: the newer has to be on the disk.
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
        findings: Mutex::default(),
    };
    scan.read_all(&listing.segments).map_err(failed("read the segments in"))?;
    let (log, index, mut recovery) = scan.finish(&meta);
    recovery.foreign = listing.foreign;
    let synced_at_ms = AtomicU64::new(timeline.now_ms());
    let inner = Inner {
        default_ttl: options.default_ttl,
        durability: options.durability,
        eviction: (options.when_full == WhenFull::Evict).then(Eviction::new),
        group_commit: GroupCommit::default(),
        overwrites: Overwrites::default(),
        synced_at_ms,
        max_value_len: options.max_value_len,
        timeline,
        index,
        log,
        counters: Counters::default(),
        recovery,
        meta: Mutex::new(meta),
        upkeep: Mutex::new(Upkeep::default()),
    };
    inner.save_clock().map_err(|error| match error {
        StoreError::Io { action, source } => failed(action)(source),
        _ => failed("save the clock in")(io::ErrorKind::Other.into()),
    })?;
    Ok(inner)
}

fn discard(directory: &Directory, listing: &mut Listing) -> io::Result<()> {
    listing.segments.drain(..).try_for_each(|name| directory.remove(name))?;
    directory.sync()
}

fn describe(options: &Options, random: &[u8; 24]) -> Description {
    let mut hash_key = [0; 16];
    hash_key.copy_from_slice(&random[..16]);
    Description { segment_len: options.segment_len, store_id: format::read_u64(random, 16), hash_key }
}

/// The work of reading all segments, which several threads share.
struct Scan {
    log: Log,
    index: Index,
    now_ms: u64,
    same_boot: bool,
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

/// A segment, and its live records by the shard that each belongs to.
struct Scanned {
    segment: Arc<Segment>,
    was_active: bool,
    live_by_shard: Vec<Vec<LiveRecord>>,
    /// Hash and slot.
    gone_by_shard: Vec<Vec<(u64, u32)>>,
}

/// What the index needs to know of a record: all of it from the slot, which is not looked at again.
#[derive(Clone, Copy)]
struct LiveRecord {
    hash: u64,
    slot: u32,
    offset: u32,
    is_expired: bool,
}

/// What the slots of one file say.
struct Slots {
    base: u64,
    count: u32,
    records_end: usize,
    live: Vec<LiveSlot>,
    /// Slots of verified records that are gone, and their hashes: only where the disk may have brought back older ones.
    gone: Vec<(u64, u32)>,
    /// Slots to mark dead on disk.
    disowned: Vec<u32>,
    /// The highest sequence seen.
    last_sequence: u64,
    dropped: u64,
}

impl Slots {
    fn new(base: u64, count: u32, records_end: usize) -> Slots {
        Slots {
            base,
            count,
            records_end,
            live: Vec::new(),
            gone: Vec::new(),
            disowned: Vec::new(),
            last_sequence: base,
            dropped: 0,
        }
    }
}

struct LiveSlot {
    record: LiveRecord,
    deadline: Deadline,
    footprint: usize,
}

impl Scan {
    fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads every segment, then enters what is live into the index, shard by shard.
    fn read_all(&self, names: &[FileName]) -> io::Result<()> {
        in_parallel(names.len(), |i| self.read_file(names[i]))?;
        let segments = std::mem::take(&mut self.findings().segments);
        in_parallel(self.index.shards(), |shard| {
            self.fill_shard(shard, &segments);
            Ok(())
        })?;
        self.findings().segments = segments;
        Ok(())
    }

    fn read_file(&self, name: FileName) -> io::Result<()> {
        let file = self.log.directory.open_file(name)?;
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
        self.log.directory.set_aside(name)?;
        self.findings().report.set_aside.push(name.to_string());
        Ok(())
    }

    /// A file with nothing in it is kept for use, or deleted where its pages may be older than its header.
    fn take_free(&self, name: FileName, file: &File, len: usize) -> io::Result<()> {
        if !self.same_boot || matches!(name, FileName::Big(_)) {
            return self.log.directory.remove(name);
        }
        let blank = Blank::recovered(name.id(), self.log.directory.map(name, file, len)?);
        self.log.adopt_blank(blank);
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
        let slots = match reserved {
            Some(reserved) if self.same_boot => self.read_slots(file, &header, reserved)?,
            _ => self.verify_slots(file, &header, reserved.map_or(0, |reserved| reserved.slots))?,
        };
        let unverified = if self.same_boot { slots.count } else { 0 };
        let mapping = self.log.directory.map(name, file, len)?;
        let segment = self.log.enter(self.now_ms, |number| {
            Segment::recovered(number, header, mapping, self.log.directory.lock.clone(), unverified, self.now_ms)
        });
        slots.disowned.iter().for_each(|slot| segment.disown(*slot));
        let is_shared = header.kind != Kind::Big;
        let can_go_on = is_shared && self.same_boot && reserved.is_some() && state == Some(State::Active);
        if !can_go_on {
            segment.set_reserved(Reserved { write_offset: slots.records_end as u32, slots: slots.count });
            segment.seal(self.now_ms);
        }
        let mut live_by_shard = vec![Vec::new(); self.index.shards()];
        for live in &slots.live {
            segment.adopt(live.footprint, live.deadline);
            live_by_shard[Index::shard_of(live.record.hash)].push(live.record);
        }
        let mut gone_by_shard = vec![Vec::new(); self.index.shards()];
        for (hash, slot) in slots.gone {
            gone_by_shard[Index::shard_of(hash)].push((hash, slot));
        }
        let mut findings = self.findings();
        findings.report.segments += 1;
        findings.report.dropped += slots.dropped;
        findings.file_bytes += len as u64;
        findings.next_sequence = findings.next_sequence.max(slots.last_sequence.saturating_add(1));
        findings.next_segment_id = findings.next_segment_id.max(header.segment_id.saturating_add(1));
        findings.segments.push(Scanned { segment, was_active: can_go_on, live_by_shard, gone_by_shard });
        Ok(())
    }

    /// Believes the slots, which the same boot wrote; reads no record.
    fn read_slots(&self, file: &File, header: &Header, reserved: Reserved) -> io::Result<Slots> {
        let len = header.file_len as usize;
        let start = len - reserved.slots as usize * SLOT_LEN;
        let mut array = vec![0; len - start];
        read_exactly(file, &mut array, start)?;
        let mut slots = Slots::new(header.base, reserved.slots, reserved.write_offset as usize);
        for slot in 0..reserved.slots {
            let at = format::slot_offset(len, slot) - start;
            let raw = RawSlot::from_bytes(&array[at..at + SLOT_LEN]);
            self.sort_out(&mut slots, slot, raw, |raw, word| {
                let layout = raw.slot().layout(word, reserved.write_offset as usize)?;
                // The only record of a big file is its first.
                (header.kind != Kind::Big || layout.offset == RECORDS_OFFSET).then(|| layout.footprint())
            });
        }
        Ok(slots)
    }

    /// Believes only what verifies: each record's checksum, and that its hash is its key's. The latter cannot be had
    /// without the store's secret, so that no value that merely looks like slots is taken for them.
    fn verify_slots(&self, file: &File, header: &Header, claimed: u32) -> io::Result<Slots> {
        let len = header.file_len as usize;
        let mut bytes = vec![0; len];
        read_exactly(file, &mut bytes, 0)?;
        let description = self.log.description();
        let mut slots = Slots::new(header.base, claimed, RECORDS_OFFSET);
        let mut uncertain = Vec::new();
        let mut empty_run = 0;
        let mut left_to_check = len.saturating_mul(MAX_CHECKED_PART);
        let end = if header.kind == Kind::Big { 1 } else { format::max_slots(len) };
        for slot in 0..end {
            let raw = RawSlot::from_bytes(&bytes[format::slot_offset(len, slot)..][..SLOT_LEN]);
            let verified = verify_slot(&bytes, header, slot, raw, description, &mut left_to_check);
            empty_run = if verified.is_some() { 0 } else { empty_run + 1 };
            if slot >= claimed && verified.is_none() {
                if raw.word() != Word::EMPTY {
                    uncertain.push(slot);
                }
                if empty_run > EMPTY_RUN {
                    break;
                }
                continue;
            }
            if let Some(record_end) = verified {
                slots.count = slots.count.max(slot + 1);
                slots.records_end = slots.records_end.max(record_end);
            }
            self.sort_out(&mut slots, slot, raw, |raw, word| {
                verified?;
                raw.slot().layout(word, len).map(|layout| layout.footprint())
            });
        }
        // Between two slots that verify there are slots; beyond the last one it may be a record's bytes.
        uncertain.retain(|slot| *slot < slots.count);
        slots.dropped += uncertain.len() as u64;
        slots.disowned.extend(uncertain);
        let slots_start = len - slots.count as usize * SLOT_LEN;
        slots.records_end = slots.records_end.next_multiple_of(format::RECORD_ALIGN).min(slots_start);
        Ok(slots)
    }

    /// Puts one slot where it belongs: live (expired or not), dead, never committed, or not to be believed.
    fn sort_out(&self, slots: &mut Slots, slot: u32, raw: RawSlot, footprint: impl Fn(RawSlot, Word) -> Option<usize>) {
        if raw.word() == Word::EMPTY {
            return;
        }
        let word = Word::decode(raw.word());
        // A sequence below zero was never drawn: wrapped around, it would be above all that are to come.
        let sequence = raw.slot().checked_sequence(slots.base);
        if let Some(word) = word {
            slots.last_sequence = slots.last_sequence.max(sequence.unwrap_or(0));
            if !word.is_live() {
                let is_gone = !self.same_boot && word.state == RecordState::Gone && sequence.is_some();
                if is_gone && footprint(raw, word).is_some() {
                    slots.gone.push((raw.slot().hash, slot));
                }
                return;
            }
        }
        match word
            .filter(|_| sequence.is_some())
            .and_then(|word| footprint(raw, word).map(|footprint| (word, footprint)))
        {
            Some((word, footprint)) => {
                let Slot { hash, record_offset: offset, .. } = raw.slot();
                let is_expired = word.deadline.has_passed(self.now_ms);
                let record = LiveRecord { hash, slot, offset, is_expired };
                slots.live.push(LiveSlot { record, deadline: word.deadline, footprint });
            }
            None => {
                slots.dropped += 1;
                slots.disowned.push(slot);
            }
        }
    }

    /// Enters one shard's records into the index. Of two for the same key the later one stays; only then those go that
    /// have expired, or an earlier one would be back in the place of one that lived for less.
    fn fill_shard(&self, shard_number: usize, segments: &[Scanned]) {
        let mut shard = self.index.write_shard(shard_number);
        shard.reserve(segments.iter().map(|scanned| scanned.live_by_shard[shard_number].len()).sum());
        let (mut superseded, mut expired) = (0, 0);
        for scanned in segments {
            for record in &scanned.live_by_shard[shard_number] {
                superseded += u64::from(enter_later(&mut shard, &scanned.segment, *record));
            }
        }
        for scanned in segments {
            for (hash, slot) in &scanned.gone_by_shard[shard_number] {
                superseded += u64::from(remove_older(&mut shard, &scanned.segment, *hash, *slot));
            }
        }
        for scanned in segments {
            for record in scanned.live_by_shard[shard_number].iter().filter(|record| record.is_expired) {
                let location = Location { segment: scanned.segment.number, slot: record.slot };
                if shard.remove(record.hash, location)
                    && let Some(found) = scanned.segment.record(record.slot)
                {
                    scanned.segment.mark_gone(record.slot, &found);
                    expired += 1;
                }
            }
        }
        let mut findings = self.findings();
        findings.report.superseded += superseded;
        findings.report.expired += expired;
    }

    fn finish(self, meta: &Meta) -> (Log, Index, RecoveryReport) {
        let findings = self.findings.into_inner().unwrap_or_else(PoisonError::into_inner);
        let saved_sequence = meta.saved.map_or(0, |saved| saved.next_record_sequence);
        let jump = if self.same_boot { SEQUENCE_JUMP } else { SEQUENCE_JUMP_AFTER_REBOOT };
        let next_sequence = findings.next_sequence.max(saved_sequence).saturating_add(jump);
        self.log.resume(next_sequence, findings.next_segment_id, findings.file_bytes);
        for scanned in findings.segments.iter().filter(|scanned| scanned.was_active) {
            self.log.reopen(&scanned.segment, self.now_ms);
        }
        let mut report = findings.report;
        report.pairs = self.index.len() as u64;
        report.same_boot = self.same_boot;
        report.set_aside.sort();
        (self.log, self.index, report)
    }
}

fn verify_header(head: &[u8; RECORDS_OFFSET]) -> Option<Header> {
    let mut bytes = [0; HEADER_LEN];
    bytes.copy_from_slice(&head[..HEADER_LEN]);
    Header::verify(&bytes)
}

/// Where the record of `raw` ends, if it is one that was written to this segment in this incarnation, dead or live.
/// Takes the bytes that had to be read from `left_to_check`.
fn verify_slot(
    bytes: &[u8],
    header: &Header,
    slot: u32,
    raw: RawSlot,
    description: &Description,
    left_to_check: &mut usize,
) -> Option<usize> {
    let word = Word::decode(raw.word())?;
    let fields = raw.slot();
    let layout = fields.layout(word, format::slot_offset(bytes.len(), slot))?;
    // The hash first: it is short work, and values that look like slots do not get past it. A checksum over all that
    // each of them names would take time out of all proportion to the file.
    let hash = description.hash(&bytes[layout.key()]);
    if hash != fields.hash {
        return None;
    }
    let payload = layout.payload();
    *left_to_check = left_to_check.checked_sub(payload.len())?;
    let payload_crc = crc32c::crc32c(&bytes[payload]);
    (fields.seal(payload_crc, header.base, word) == fields.crc).then_some(layout.value_end)
}

/// Enters a record unless the index has a later one for its key, or its copy; whichever loses is marked dead. Answers
/// whether there were two writes of the key: a record that was carried forward, and its copy, are one.
fn enter_later(shard: &mut Shard, segment: &Arc<Segment>, entering: LiveRecord) -> bool {
    let LiveRecord { hash, slot, offset, .. } = entering;
    let Some((other, other_slot)) = shard.find_same_key(hash, segment, slot) else {
        shard.insert(hash, segment, slot, offset, None);
        return false;
    };
    let (Some(record), Some(other_record)) = (segment.record(slot), other.record(other_slot)) else {
        return false;
    };
    let (sequence, other_sequence) = (segment.sequence(&record), other.sequence(&other_record));
    if (sequence, carried_order(segment)) > (other_sequence, carried_order(&other)) {
        let replaced = Location { segment: other.number, slot: other_slot };
        shard.insert(hash, segment, slot, offset, Some(replaced));
        other.mark_dead(other_slot, &other_record);
    } else {
        segment.mark_dead(slot, &record);
    }
    sequence != other_sequence
}

/// Removes the record of a key whose later one, in `slot` of `segment`, is gone: when that was marked, an older one was
/// dead, though the disk may not have known yet. Answers whether there was one.
fn remove_older(shard: &mut Shard, segment: &Arc<Segment>, hash: u64, slot: u32) -> bool {
    let Some((other, other_slot)) = shard.find_same_key(hash, segment, slot) else {
        return false;
    };
    let (Some(gone), Some(record)) = (segment.committed(slot), other.record(other_slot)) else {
        return false;
    };
    let is_older = other.sequence(&record) <= segment.sequence(&gone);
    if is_older && shard.remove(hash, Location { segment: other.number, slot: other_slot }) {
        other.mark_gone(other_slot, &record);
    }
    is_older
}

/// Grows from a record's first place to that of its last copy. Copies stand in cold segments, of which one is open at a
/// time; that one may have been put to use before the segment that the record was first written to.
fn carried_order(segment: &Segment) -> (bool, u64) {
    (segment.header.kind == Kind::Cold, segment.header.base)
}

/// Fills `buffer` from `offset`; false where the file ends before.
fn read_exactly(file: &File, buffer: &mut [u8], offset: usize) -> io::Result<bool> {
    match file.read_exact_at(buffer, offset as u64) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Runs `work` for each of `0..count`, on a few threads where that is worth it; stops at the first error.
fn in_parallel(count: usize, work: impl Fn(usize) -> io::Result<()> + Sync) -> io::Result<()> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS).min(count);
    let next = AtomicUsize::new(0);
    let run = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= count {
                return Ok(());
            }
            work(i)?;
        }
    };
    if threads <= 1 {
        return run();
    }
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let own = run();
        others.into_iter().fold(own, |result, other| {
            let other = other.join().unwrap_or_else(|_| Err(io::Error::other("a recovery thread panicked")));
            result.and(other)
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::clock::Clock;
    use crate::store::Store;

    #[test]
    fn work_in_parallel_is_all_done_or_its_error_told() {
        let done = Mutex::new(BTreeSet::new());
        in_parallel(100, |i| {
            assert!(done.lock().unwrap().insert(i), "{i} is done twice");
            Ok(())
        })
        .unwrap();
        assert_eq!(done.lock().unwrap().len(), 100);
        for failing in [0, 50, 99] {
            let failure = in_parallel(100, |i| if i == failing { Err(io::Error::other("ill")) } else { Ok(()) });
            assert_eq!(failure.unwrap_err().to_string(), "ill");
        }
        in_parallel(0, |_| Err(io::Error::other("there is nothing to do"))).unwrap();
    }

    /// A store of one pair, closed, and its segment file.
    fn one_pair() -> (tempfile::TempDir, Options, File, usize) {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::new().segment_len(65_536).clock(Clock::manual().0);
        let store = options.clone().open(dir.path()).unwrap();
        store.set(b"key", b"value").unwrap();
        let name = store.inner.log.segments()[0].header.segment_id;
        drop(store);
        let path = dir.path().join(FileName::Segment(name).to_string());
        let file = File::options().read(true).write(true).open(path).unwrap();
        (dir, options, file, 65_536)
    }

    fn works(store: &Store) {
        store.set(b"another", b"value").unwrap();
        assert_eq!(store.get(b"another").unwrap(), b"value");
    }

    /// Puts another base into the header of `file`, and seals it.
    fn set_base(file: &File, base: u64) {
        let mut bytes = [0; HEADER_LEN];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let header = Header { base, ..Header::verify(&bytes).unwrap() };
        file.write_all_at(&header.encode(), 0).unwrap();
    }

    #[test]
    fn a_sequence_below_zero_does_not_use_all_sequences_up() {
        let (dir, options, file, len) = one_pair();
        set_base(&file, 4);
        file.write_all_at(&(-5i32).to_le_bytes(), format::slot_offset(len, 0) as u64 + 8).unwrap();
        let store = options.open(dir.path()).unwrap();
        assert_eq!((store.recovery().pairs, store.recovery().dropped), (0, 1));
        assert!(store.inner.log.peek_sequence() < 1 << 42);
        works(&store);
    }

    #[test]
    fn a_header_of_a_base_that_nobody_counts_to_is_set_aside() {
        let (dir, options, file, _) = one_pair();
        set_base(&file, u64::MAX - 1);
        let store = options.open(dir.path()).unwrap();
        assert_eq!((store.recovery().pairs, store.recovery().set_aside.len()), (0, 1));
        works(&store);
    }

    #[test]
    fn a_slot_is_one_only_with_the_hash_that_the_secret_gives_its_key() {
        let (_dir, _, file, len) = one_pair();
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let mut head = [0; RECORDS_OFFSET];
        head.copy_from_slice(&bytes[..RECORDS_OFFSET]);
        let header = verify_header(&head).unwrap();
        let raw = RawSlot::from_bytes(&bytes[format::slot_offset(len, 0)..]);
        let other = Description { segment_len: len, store_id: header.store_id, hash_key: [0; 16] };
        let verify = |header: &Header, raw| verify_slot(&bytes, header, 0, raw, &other, &mut { usize::MAX });
        assert_eq!(verify(&header, raw), None, "its own checksum is right");
        let (word, mut slot) = (Word::decode(raw.word()).unwrap(), raw.slot());
        slot.hash = siphasher::sip::SipHasher13::new_with_key(&[0; 16]).hash(b"key");
        slot.crc = slot.seal(crc32c::crc32c(b"keyvalue"), header.base, word);
        let [a, b, c] = slot.words();
        let forged = RawSlot([a, b, c, raw.word()]);
        assert_eq!(verify(&header, forged), Some(RECORDS_OFFSET + 8));
        let later = Header { base: header.base + 1, ..header };
        assert_eq!(verify(&later, forged), None, "of another incarnation");
    }

    #[test]
    fn the_report_reads_as_a_sentence() {
        let report = RecoveryReport { pairs: 7, segments: 2, dropped: 1, same_boot: true, ..RecoveryReport::default() };
        assert_eq!(report.to_string(), "7 pairs in 2 segments, 1 damaged and dropped");
    }
}
