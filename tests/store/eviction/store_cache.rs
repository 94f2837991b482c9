//! The real store as a cache: in a directory, with `max_bytes` and eviction. The trace runs its maintenance and
//! advances its clock, so that the same trace gives the same hits.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::store::{Background, OpenError, Options, Store, Ttl, WhenFull};

use crate::traces::{KEY_LEN, Request};

/// The minimum of the store, so that small simulations have many segments, as real stores do.
pub(crate) const SEGMENT_LEN: usize = 65_536;
const MAX_VALUE_LEN: usize = 16_384;
/// The interval of maintenance, and the bytes after which it runs in between: a real store writes less than a segment
/// in that time.
const MAINTAIN_EVERY: Duration = Duration::from_millis(100);
const MAINTAIN_AFTER_BYTES: u64 = SEGMENT_LEN as u64 / 2;
const BUDGET: usize = 4_096;

pub(crate) struct StoreCache {
    store: Store,
    clock: ManualClock,
    now_ms: u32,
    ttl: Ttl,
    value: Vec<u8>,
    writes: u64,
    written_bytes: u64,
    unmaintained_bytes: u64,
    next_maintenance_ms: u32,
}

impl StoreCache {
    /// Creates an empty store in `dir`, whose values live for `ttl_ms`, or never expire.
    pub(crate) fn create(dir: &Path, max_bytes: u64, ttl_ms: Option<u32>) -> Result<StoreCache, OpenError> {
        let (clock, hand) = Clock::manual();
        let options = Options::new()
            .background(Background::Manual)
            .segment_len(SEGMENT_LEN)
            .max_bytes(max_bytes)
            .when_full(WhenFull::Evict);
        drop(options.clone().open(dir)?);
        fix_identity(&dir.join("store.meta")).map_err(|source| OpenError::Io {
            action: "rewrite",
            path: dir.to_owned(),
            source,
        })?;
        Ok(StoreCache {
            store: options.clock(clock).open(dir)?,
            clock: hand,
            now_ms: 0,
            ttl: ttl_ms.map_or(Ttl::Never, |ttl_ms| Ttl::After(Duration::from_millis(ttl_ms.into()))),
            value: vec![b'v'; MAX_VALUE_LEN],
            writes: 0,
            written_bytes: 0,
            unmaintained_bytes: 0,
            next_maintenance_ms: 0,
        })
    }

    /// Reads an object, and stores it if it was missing or the request writes. Returns true if it was there.
    pub(crate) fn request(&mut self, request: &Request, value_len: u32) -> bool {
        self.turn_clock(request.at_ms);
        let key: [u8; KEY_LEN] = u64::from(request.id).to_be_bytes();
        let hit = self.store.get(key).is_some();
        if request.writes || !hit {
            // No value is set twice: that would only touch it.
            self.writes += 1;
            self.value[..8].copy_from_slice(&self.writes.to_be_bytes());
            self.store.set_with_ttl(key, &self.value[..value_len as usize], self.ttl).expect("eviction makes room");
            self.written_bytes += u64::from(value_len);
            self.unmaintained_bytes += u64::from(value_len);
            if self.unmaintained_bytes >= MAINTAIN_AFTER_BYTES {
                self.maintain();
            }
        }
        hit
    }

    pub(crate) fn live_bytes(&self) -> u64 {
        self.store.stats().live_bytes
    }

    pub(crate) fn carried_ratio(&self) -> f64 {
        self.store.stats().compacted_bytes as f64 / self.written_bytes.max(1) as f64
    }

    fn turn_clock(&mut self, now_ms: u32) {
        self.clock.advance(Duration::from_millis(u64::from(now_ms - self.now_ms)));
        self.now_ms = now_ms;
        if now_ms >= self.next_maintenance_ms {
            self.next_maintenance_ms = now_ms + MAINTAIN_EVERY.as_millis() as u32;
            self.maintain();
        }
    }

    fn maintain(&mut self) {
        self.unmaintained_bytes = 0;
        while self.store.maintain(BUDGET).expect("files can be made").pending {}
        // If there is no space for a spare segment, the next writer frees some.
        let _ = self.store.prepare(Duration::ZERO);
    }
}

/// Gives a store a fixed id and a fixed hash key, which it draws at random otherwise; FORMAT.md specifies their place.
/// The hashes decide which evicted keys a store forgets first.
fn fix_identity(path: &Path) -> io::Result<()> {
    const DESCRIPTIONS: [usize; 2] = [0, 512];
    const IDENTITY: std::ops::Range<usize> = 16..40;
    let mut meta = fs::read(path)?;
    for at in DESCRIPTIONS {
        let description = &mut meta[at..at + IDENTITY.end + 4];
        description[IDENTITY].fill(0x5a);
        let checksum = crc32c::crc32c(&description[..IDENTITY.end]);
        description[IDENTITY.end..].copy_from_slice(&checksum.to_le_bytes());
    }
    fs::write(path, meta)
}
