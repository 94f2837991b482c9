//! Measures reopening: a process is killed while it writes to a peer, and another process opens the files, with and
//! without cached pages. The store is also opened as after a reboot.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};

use crate::part::{Part, Run};
use crate::peer::{AfterKill, Kind, Peer, Result};
use crate::peers::store;
use crate::sample::{self, Sample};
use crate::usage::{Moment, disk_bytes, forget, transferred, warm_memory};
use crate::workload::{Key, Load, Values, shuffled};

/// How long the victim continues to write after it has reported that it is ready.
const WRITE_TIME_AFTER_READY: Duration = Duration::from_millis(20);
const READY: &str = "ready";

/// The number of keys that are read from the device.
const COLD_GETS: usize = 5_000;

/// The versions that are written after the victim is ready.
const LATE_VERSIONS: [u32; 2] = [2, 3];

/// Fills a peer in a process that is killed while it overwrites, opens the files in other processes, and returns their
/// measurements.
pub(crate) fn kill_and_reopen(run: &Run, ours: bool) -> Result<Sample> {
    let mut victim = Part::Victim(run.clone()).command()?.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    if let Some(output) = victim.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    if line.trim() != READY {
        return Err(format!("the victim process ended before it was killed: {}", victim.wait()?).into());
    }
    thread::sleep(WRITE_TIME_AFTER_READY);
    victim.kill()?;
    victim.wait()?;
    let mut sample = Part::Reopen(run.clone()).sample()?;
    forget(&run.dir)?;
    sample.merge(Part::ReopenCold(run.clone()).sample()?);
    if ours {
        sample.merge(Part::Reboot(run.clone()).sample()?);
    }
    Ok(sample)
}

/// Sets all keys, overwrites half of them, reports that it is ready, and overwrites until it is killed.
pub(crate) fn be_killed(kind: &Kind, load: &Load, dir: &Path) -> Result<()> {
    let values = Values::new(load);
    warm_memory(load.data_len() * 2);
    let peer = (kind.open)(dir, load)?;
    for key in shuffled(load, load.seed)? {
        peer.set(&key.bytes, values.of(key.index, 0))?;
    }
    let keys = shuffled(load, load.seed + 1)?;
    for key in keys.iter().filter(|key| early_version(key) == 1) {
        peer.set(&key.bytes, values.of(key.index, 1))?;
    }
    println!("{READY}");
    for (version, key) in LATE_VERSIONS.into_iter().cycle().zip(keys.iter().cycle()) {
        peer.set(&key.bytes, values.of(key.index, version))?;
    }
    Ok(())
}

/// Returns the version that a key had when the victim was ready.
fn early_version(key: &Key) -> u32 {
    key.index % 2
}

/// Opens the files of a killed process, reads all keys, and is killed too.
pub(crate) fn reopen(kind: &Kind, load: &Load, dir: &Path) -> Result<()> {
    let (peer, opening) = timed_opening(|| (kind.open)(dir, load))?;
    let keys = shuffled(load, load.seed + 2)?;
    let values = Values::new(load);
    let mut copy = vec![0; load.value_len];
    let start = Moment::now();
    let mut found = 0;
    for key in &keys {
        found += usize::from(peer.get(&key.bytes, &mut copy)?);
    }
    let reading = start.elapsed();
    let lost = lost(&*peer, &keys, &values)?;
    if lost > 0 && kind.after_kill == AfterKill::Everything {
        return Err(format!("{lost} of {} keys lost their value when the process was killed", load.keys).into());
    }
    let mut sample = Sample::default();
    sample.put(sample::REOPEN_CPU_MILLIS, opening.cpu_millis);
    sample.put(sample::REOPEN_WALL_MILLIS, opening.wall_millis);
    sample.put(sample::REOPEN_PER_PAIR, opening.cpu_millis * 1e3 / load.keys as f64);
    if found > 0 {
        sample.put(sample::FIRST_GET_MICROS, reading.thread.as_secs_f64() * 1e6 / found as f64);
    }
    sample.put(sample::LOST_PART, lost as f64 / load.keys as f64);
    print_and_kill(&sample)
}

/// Returns how many keys have an older value than when the victim was ready. A value that was never set for its key is
/// an error.
fn lost(peer: &dyn Peer, keys: &[Key], values: &Values) -> Result<usize> {
    let mut copy = Vec::new();
    let mut lost = 0;
    for key in keys {
        let found = peer.get(&key.bytes, &mut copy)?;
        let is_one_of =
            |versions: &[u32], copy: &[u8]| versions.iter().any(|version| copy == values.of(key.index, *version));
        if found && (is_one_of(&[early_version(key)], &copy) || is_one_of(&LATE_VERSIONS, &copy)) {
            continue;
        }
        if found && !is_one_of(&[0], &copy) {
            return Err(format!("key {} has a value that was never set", key.index).into());
        }
        lost += 1;
    }
    Ok(lost)
}

/// Opens the files of a killed process without cached pages, and reads some of the keys.
pub(crate) fn reopen_cold(kind: &Kind, load: &Load, dir: &Path) -> Result<()> {
    let (peer, opening) = timed_opening(|| (kind.open)(dir, load))?;
    let keys = shuffled(load, load.seed + 3)?;
    let mut copy = vec![0; load.value_len];
    let start = Instant::now();
    let gets = keys.len().min(COLD_GETS);
    let mut found = 0;
    for key in &keys[..gets] {
        found += usize::from(peer.get(&key.bytes, &mut copy)?);
    }
    let reading = start.elapsed();
    if found < gets && kind.after_kill == AfterKill::Everything {
        return Err("keys were lost when the process was killed".into());
    }
    let mut sample = Sample::default();
    sample.put(sample::COLD_WALL_MILLIS, opening.wall_millis);
    sample.put(sample::COLD_READ_BYTES, opening.read_bytes as f64);
    sample.put(sample::COLD_READ_PART, opening.read_bytes as f64 / load.data_len() as f64);
    sample.put(sample::COLD_GET_MICROS, reading.as_secs_f64() * 1e6 / gets as f64);
    print_and_kill(&sample)
}

/// Opens the store as after a reboot, so that it verifies every record: once from memory, which measures the
/// verification, and once from the device.
pub(crate) fn reboot(load: &Load, dir: &Path) -> Result<Sample> {
    let mut sample = Sample::default();
    let bytes = disk_bytes(dir)? as f64;
    // From memory: the first opening reads everything into the page cache.
    for (boot, name) in [(1, None), (2, Some(sample::REBOOT_WARM_GBPS)), (3, Some(sample::REBOOT_COLD_GBPS))] {
        if name == Some(sample::REBOOT_COLD_GBPS) {
            forget(dir)?;
        }
        let (pairs, opening) = timed_opening(|| store::open_in_another_boot(dir, boot))?;
        if pairs != load.keys {
            return Err(format!("{pairs} of {} pairs are there after a reboot", load.keys).into());
        }
        if let Some(name) = name {
            sample.put(name, bytes / opening.wall_millis / 1e6);
        }
    }
    forget(dir)?;
    sample.put(sample::DEVICE_GBPS, read_everything(dir)?);
    Ok(sample)
}

/// Reads all files sequentially, and returns the speed in GB/s.
fn read_everything(dir: &Path) -> Result<f64> {
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    let start = Instant::now();
    for path in crate::usage::files(dir)? {
        let mut file = std::fs::File::open(path)?;
        while let len @ 1.. = io::Read::read(&mut file, &mut buffer)? {
            bytes += len;
        }
    }
    Ok(bytes as f64 / start.elapsed().as_secs_f64() / 1e9)
}

/// The cost of opening.
struct Opening {
    cpu_millis: f64,
    wall_millis: f64,
    read_bytes: u64,
}

fn timed_opening<T>(open: impl FnOnce() -> Result<T>) -> Result<(T, Opening)> {
    let read_before = transferred()?.read;
    let start = Moment::now();
    let opened = open()?;
    let elapsed = start.elapsed();
    let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
    let opening = Opening {
        cpu_millis: millis(elapsed.process),
        wall_millis: millis(elapsed.wall),
        read_bytes: transferred()?.read - read_before,
    };
    Ok((opened, opening))
}

/// Prints the sample and kills this process, so that the peer cannot close its files.
fn print_and_kill(sample: &Sample) -> Result<()> {
    let mut output = io::stdout().lock();
    sample.write(&mut output)?;
    output.flush()?;
    Ok(kill_process(getpid(), Signal::KILL)?)
}
