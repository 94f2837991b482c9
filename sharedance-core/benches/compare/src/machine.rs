//! The machine of the measurements, and its other load during them.

use std::fs;
use std::path::Path;

use crate::peer::Result;
use crate::sample::Spread;
use crate::table::{Table, number};
use crate::usage::{Moment, load_average};

/// Above this load average, other programs influence the figures visibly.
const BUSY: f64 = 0.5;

/// Observations about the machine during a run.
#[derive(Default)]
pub(crate) struct Machine {
    load_averages: Vec<f64>,
    touch_micros: Vec<f64>,
}

impl Machine {
    /// Prints a warning if other programs use the machine.
    pub(crate) fn warn_if_busy() {
        if let Some(load) = load_average().filter(|load| *load > BUSY) {
            eprintln!("The machine is busy (load average {load}): the ratios are more reliable than the figures.");
        }
    }

    /// Called before each turn.
    pub(crate) fn look(&mut self) {
        self.load_averages.extend(load_average());
        self.touch_micros.push(touch_micros());
    }

    pub(crate) fn table(&self, dir: &Path) -> Table {
        let spread = |values: &[f64]| {
            let spread = Spread::of(values.iter().copied());
            let text = |Spread { median, min, max }| format!("{} ({}–{})", number(median), number(min), number(max));
            spread.map_or_else(String::new, text)
        };
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let rows = [
            ("processor", format!("{}, {cores} cores", processor().unwrap_or_default())),
            ("kernel", fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()),
            ("file system", file_system(dir).unwrap_or_default()),
            ("load average before each turn", spread(&self.load_averages)),
            ("first touch of a page of 4 KiB, CPU µs", spread(&self.touch_micros)),
        ];
        Table {
            title: "The machine; median (least–greatest)".to_owned(),
            head: vec![String::new(); 2],
            rows: rows.into_iter().map(|(what, found)| vec![what.to_owned(), found]).collect(),
        }
    }
}

/// Returns the cost of a new page of memory. On virtual machines it can be more than all other costs of a store.
fn touch_micros() -> f64 {
    const LEN: usize = 64 << 20;
    const PAGE_LEN: usize = 4096;
    let mut memory = vec![0_u8; LEN];
    let start = Moment::now();
    memory.iter_mut().step_by(PAGE_LEN).for_each(|byte| *byte = 1);
    let elapsed = start.elapsed().thread;
    std::hint::black_box(memory);
    elapsed.as_secs_f64() * 1e6 / (LEN / PAGE_LEN) as f64
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Returns the file system of the deepest mount point above `dir`.
fn file_system(dir: &Path) -> Result<String> {
    let dir = fs::canonicalize(dir)?;
    let text = fs::read_to_string("/proc/mounts")?;
    let mounts = text.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let above = mounts.filter(|(point, _)| dir.starts_with(point));
    Ok(above.max_by_key(|(point, _)| point.len()).map_or("", |(_, kind)| kind).to_owned())
}
