//! One turn of a peer in a round: runs all phases in order in an empty directory, and verifies the peer's pairs after
//! each phase.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::flusher::Flusher;
use crate::ledger::Ledger;
use crate::pass::{Tally, pass};
use crate::peer::{Kind, Peer, Result};
use crate::sample::{self, Sample};
use crate::usage::{anonymous_memory, disk_bytes, warm_memory};
use crate::workload::{Load, Phase, Values};

/// Files are at rest once their size has not changed for `REST`. The wait ends after `LONGEST_WAIT` in any case.
const REST: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(6);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Runs all phases on `kind` in `dir`, which exists and is empty.
pub(crate) fn run(kind: &Kind, load: &Load, dir: &Path) -> Result<Sample> {
    let mut ledger = Ledger::new(load)?;
    let values = Values::new(load);
    let mut tallies: Vec<Tally> = (0..load.threads).map(|_| Tally::with_capacity(load)).collect();
    let mut gauges = Gauges { kind, load, dir, sample: Sample::default(), anonymous: anonymous_memory()?, copied: 0 };
    let peer = (kind.open)(dir, load)?;
    for phase in Phase::ALL {
        if phase.is_shared() && load.threads == 1 {
            continue;
        }
        let tallies = &mut tallies[..if phase.is_shared() { load.threads } else { 1 }];
        let operations = ledger.plan(phase);
        warm_memory((load.data_len() as f64 * phase.growth()) as usize);
        let disk_before = disk_bytes(dir)?;
        let flusher = match phase.is_flushed() && kind.has_files() {
            true => Some(Flusher::start(dir)?),
            false => None,
        };
        let cost = pass(&*peer, operations, &values, tallies)?;
        drop(flusher);
        cost.enter(phase, tallies, &mut gauges.sample);
        gauges.read(&*peer, phase, disk_before)?;
        verify(&*peer, &ledger, &values).map_err(|error| format!("after {:?}: {error}", phase.title()))?;
    }
    Ok(gauges.sample)
}

/// Figures that are taken at certain moments and belong to no operation.
struct Gauges<'a> {
    kind: &'a Kind,
    load: &'a Load,
    dir: &'a Path,
    sample: Sample,
    /// Before the peer was opened.
    anonymous: u64,
    /// Before the pass that overwrites steadily.
    copied: u64,
}

impl Gauges<'_> {
    /// Takes the figures right after `phase`. Before the phase the files took `disk_before` bytes.
    fn read(&mut self, peer: &dyn Peer, phase: Phase, disk_before: u64) -> Result<()> {
        let Gauges { load, dir, .. } = *self;
        let has_files = self.kind.has_files();
        let copied = peer.copied_bytes();
        match phase {
            Phase::SetNew => {
                let anonymous = anonymous_memory()?.saturating_sub(self.anonymous) as f64;
                self.sample.put(sample::ANONYMOUS_BYTES, anonymous);
                self.sample.put(sample::ANONYMOUS_PER_PAIR, anonymous / load.keys as f64);
                if let Some(bytes) = peer.index_bytes() {
                    self.sample.put(sample::INDEX_PER_PAIR, bytes as f64 / load.keys as f64);
                }
            }
            Phase::SetIdentical if has_files => {
                let growth = disk_bytes(dir)?.saturating_sub(disk_before);
                self.sample.put(sample::IDENTICAL_GROWTH, growth as f64);
            }
            Phase::Age => self.copied = copied.unwrap_or_default(),
            Phase::Overwrite => {
                if has_files {
                    self.sample.put(sample::DISK_TO_LIVE, disk_bytes(dir)? as f64 / load.data_len() as f64);
                }
                if let Some(copied) = copied {
                    let part = (copied - self.copied) as f64 / load.data_len() as f64;
                    self.sample.put(sample::COPIED_PART, part);
                }
            }
            // The last phase that writes. A rest between earlier phases would leave the files in another state than
            // a server's.
            Phase::HalfFlushed if has_files => {
                let bytes = disk_bytes_at_rest(dir)?;
                self.sample.put(sample::DISK_TO_LIVE_AT_REST, bytes as f64 / load.data_len() as f64);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Returns the size of the files once it is stable, or after the longest wait.
fn disk_bytes_at_rest(dir: &Path) -> Result<u64> {
    let started = Instant::now();
    let mut bytes = disk_bytes(dir)?;
    let mut since = started;
    while since.elapsed() < REST && started.elapsed() < LONGEST_WAIT {
        thread::sleep(LOOK_INTERVAL);
        let now = disk_bytes(dir)?;
        if now != bytes {
            (bytes, since) = (now, Instant::now());
        }
    }
    Ok(bytes)
}

/// Compares a sample of the keys with the expected values.
fn verify(peer: &dyn Peer, ledger: &Ledger, values: &Values) -> Result<()> {
    let mut copy = Vec::new();
    for (key, version) in ledger.sample() {
        let found = peer.get(&key.bytes, &mut copy)?.then_some(&copy[..]);
        let expected = version.map(|version| values.of(key.index, version));
        if found != expected {
            let len =
                |value: Option<&[u8]>| value.map_or("no value".into(), |value| format!("one of {} bytes", value.len()));
            return Err(format!("key {}: found {}, expected {}", key.index, len(found), len(expected)).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer;

    const LOAD: Load = Load { keys: 2_000, value_len: 300, threads: 2, seed: 3 };

    #[test]
    fn a_wrong_value_and_a_missing_key_are_reported() {
        let mut ledger = Ledger::new(&LOAD).unwrap();
        let values = Values::new(&LOAD);
        let mut tallies = [Tally::with_capacity(&LOAD), Tally::with_capacity(&LOAD)];
        let map = (peer::kind("map").unwrap().open)(Path::new("."), &LOAD).unwrap();
        pass(&*map, ledger.plan(Phase::SetNew), &values, &mut tallies).unwrap();
        verify(&*map, &ledger, &values).unwrap();
        let (key, _) = ledger.sample().next().unwrap();
        map.set(&key.bytes, b"another value").unwrap();
        assert!(verify(&*map, &ledger, &values).is_err());
        map.delete(&key.bytes).unwrap();
        assert!(verify(&*map, &ledger, &values).is_err());
        assert!(pass(&*map, ledger.plan(Phase::Get), &values, &mut tallies).is_err());
    }
}
