//! A peer whose process is killed while it writes, and then opened again by another.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::part::{Part, Run};
use crate::peer::{Kind, Result};
use crate::sample::{self, Sample};
use crate::usage::{Moment, warm_memory};
use crate::workload::{self, Load, Phase, Step, Values};

/// How long the victim goes on writing after it has said that it is ready.
const MERCY: Duration = Duration::from_millis(20);
const READY: &str = "ready";

/// The versions of the victim's values; further ones take turns.
const VERSIONS: u32 = 2;

/// Fills a peer in a process that is killed while it overwrites, opens it in another, and answers what that measured.
pub(crate) fn kill_and_reopen(run: &Run) -> Result<Sample> {
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
    Part::Reopen(run.clone()).sample()
}

/// Sets everything, overwrites half of it, says so, and goes on overwriting until it is killed.
pub(crate) fn be_killed(kind: &Kind, load: &Load, dir: &Path) -> Result<()> {
    let mut keys = workload::keys(load)?;
    let values = Values::new(load);
    warm_memory(load.data_len() * 2);
    let peer = (kind.open)(dir, load)?;
    workload::shuffle(&mut keys, load.seed);
    for key in &keys {
        peer.set(&key.bytes, values.of(key.index, 0))?;
    }
    workload::shuffle(&mut keys, load.seed + 1);
    for key in keys.iter().filter(|key| Phase::Half.step(key.index) == Step::Set) {
        peer.set(&key.bytes, values.of(key.index, 1))?;
    }
    println!("{READY}");
    for (i, key) in (2..).zip(keys.iter().cycle()) {
        peer.set(&key.bytes, values.of(key.index, i % VERSIONS))?;
    }
    Ok(())
}

/// Opens what a killed process left, and looks at everything once.
pub(crate) fn reopen(kind: &Kind, load: &Load, dir: &Path) -> Result<Sample> {
    let mut keys = workload::keys(load)?;
    let values = Values::new(load);
    workload::shuffle(&mut keys, load.seed + 2);
    let mut copy = vec![0; load.value_len];

    let start = Moment::now();
    let peer = (kind.open)(dir, load)?;
    let opening = start.elapsed();
    let start = Moment::now();
    for key in &keys {
        if !peer.get(&key.bytes, &mut copy)? {
            return Err(format!("key {} was lost when the process was killed", key.index).into());
        }
    }
    let reading = start.elapsed();
    for key in workload::sample(&keys) {
        let found = peer.get(&key.bytes, &mut copy)?;
        if !found || (0..VERSIONS).all(|version| copy != values.of(key.index, version)) {
            return Err(format!("key {} has a value that it was never given", key.index).into());
        }
    }
    let mut sample = Sample::default();
    sample.put(sample::REOPEN_CPU_MILLIS, opening.process.as_secs_f64() * 1e3);
    sample.put(sample::REOPEN_WALL_MILLIS, opening.wall.as_secs_f64() * 1e3);
    sample.put(sample::REOPEN_PER_PAIR, opening.process.as_secs_f64() * 1e6 / load.keys as f64);
    sample.put(sample::FIRST_GET_MICROS, reading.thread.as_secs_f64() * 1e6 / load.keys as f64);
    Ok(sample)
}
