//! A peer whose process is killed while it writes, and then opened again by another: with its files in memory, and
//! without; and the store, as it is opened after a reboot.

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

/// How long the victim goes on writing after it has said that it is ready.
const MERCY: Duration = Duration::from_millis(20);
const READY: &str = "ready";

/// How many keys are read from the device.
const COLD_LOOKS: usize = 5_000;

/// What is written after it is ready.
const LATE_VERSIONS: [u32; 2] = [2, 3];

/// Fills a peer in a process that is killed while it overwrites, opens it in others, and answers what that measured.
pub(crate) fn kill_and_reopen(run: &Run, ours: bool) -> Result<Sample> {
    let mut victim = Part::Victim(run.clone()).command()?.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    if let Some(output) = victim.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    if line.trim() != READY {
        return Err(format!("the process to be killed ended before: {}", victim.wait()?).into());
    }
    thread::sleep(MERCY);
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

/// Sets everything, overwrites half of it, says so, and goes on overwriting until it is killed.
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

/// The version that a key had when the victim said that it was ready.
fn early_version(key: &Key) -> u32 {
    key.index % 2
}

/// Opens what a killed process left, looks at everything, and is killed too.
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
    print_and_die(&sample)
}

/// How many keys have less than they had when the victim was ready. One that has a value which it was never given is an
/// error.
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
            return Err(format!("key {} has a value that it was never given", key.index).into());
        }
        lost += 1;
    }
    Ok(lost)
}

/// Opens what a killed process left, of which nothing is in memory any more, and looks at a part of it.
pub(crate) fn reopen_cold(kind: &Kind, load: &Load, dir: &Path) -> Result<()> {
    let (peer, opening) = timed_opening(|| (kind.open)(dir, load))?;
    let keys = shuffled(load, load.seed + 3)?;
    let mut copy = vec![0; load.value_len];
    let start = Instant::now();
    let looked_at = keys.len().min(COLD_LOOKS);
    let mut found = 0;
    for key in &keys[..looked_at] {
        found += usize::from(peer.get(&key.bytes, &mut copy)?);
    }
    let reading = start.elapsed();
    if found < looked_at && kind.after_kill == AfterKill::Everything {
        return Err("keys were lost when the process was killed".into());
    }
    let mut sample = Sample::default();
    sample.put(sample::COLD_WALL_MILLIS, opening.wall_millis);
    sample.put(sample::COLD_READ_BYTES, opening.read_bytes as f64);
    sample.put(sample::COLD_READ_PART, opening.read_bytes as f64 / load.data_len() as f64);
    sample.put(sample::COLD_GET_MICROS, reading.as_secs_f64() * 1e6 / looked_at as f64);
    print_and_die(&sample)
}

/// Opens the store as if the machine had been booted since, so that every record is verified: once from memory, for the
/// speed of verifying, and once from the device.
pub(crate) fn reboot(load: &Load, dir: &Path) -> Result<Sample> {
    let mut sample = Sample::default();
    let bytes = disk_bytes(dir)? as f64;
    // From memory: the first opening brings everything there.
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

/// Reads all files from front to back, and answers how fast that was, in GB/s.
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

/// What it cost to open something.
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

/// Ends this process without giving a peer the time to close its files in good order.
fn print_and_die(sample: &Sample) -> Result<()> {
    let mut output = io::stdout().lock();
    sample.write(&mut output)?;
    output.flush()?;
    Ok(kill_process(getpid(), Signal::KILL)?)
}
