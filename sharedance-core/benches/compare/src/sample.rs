//! The measurements of one process, by name. The process prints them, and its parent process reads them.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use crate::peer::Result;
use crate::workload::Phase;

/// Figures by name.
#[derive(Debug, Default, Clone)]
pub(crate) struct Sample(BTreeMap<String, f64>);

/// The measures of each phase, per operation.
pub(crate) const CPU_MICROS: &str = "cpu";
pub(crate) const THREAD_MICROS: &str = "thread";
pub(crate) const WALL_MICROS: &str = "wall";
pub(crate) const DIRTIED_BYTES: &str = "dirtied-bytes";
pub(crate) const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("worst", 1.0)];

/// The measures of the whole.
pub(crate) const ANONYMOUS_PER_PAIR: &str = "anonymous-bytes-per-pair";
pub(crate) const ANONYMOUS_BYTES: &str = "anonymous-bytes";
pub(crate) const INDEX_PER_PAIR: &str = "index-bytes-per-pair";
pub(crate) const DISK_TO_LIVE: &str = "disk-to-live";
pub(crate) const DISK_TO_LIVE_AT_REST: &str = "disk-to-live-at-rest";
pub(crate) const COPIED_PART: &str = "copied-part";
pub(crate) const IDENTICAL_GROWTH: &str = "identical-growth-bytes";
pub(crate) const REOPEN_CPU_MILLIS: &str = "reopen-cpu-ms";
pub(crate) const REOPEN_WALL_MILLIS: &str = "reopen-wall-ms";
pub(crate) const REOPEN_PER_PAIR: &str = "reopen-us-per-pair";
pub(crate) const FIRST_GET_MICROS: &str = "first-get-cpu";
pub(crate) const LOST_PART: &str = "lost-part";
pub(crate) const COLD_WALL_MILLIS: &str = "reopen-cold-wall-ms";
pub(crate) const COLD_READ_BYTES: &str = "reopen-cold-read-bytes";
pub(crate) const COLD_READ_PART: &str = "reopen-cold-read-part";
pub(crate) const COLD_GET_MICROS: &str = "first-get-cold-wall";
pub(crate) const REBOOT_WARM_GBPS: &str = "reboot-warm-gbps";
pub(crate) const REBOOT_COLD_GBPS: &str = "reboot-cold-gbps";
pub(crate) const DEVICE_GBPS: &str = "device-gbps";
pub(crate) const EXPIRY_MICROS: &str = "expiry-us-per-record";
pub(crate) const EXPIRY_GET_TAIL_MICROS: &str = "get-while-expiring-p99.9";

/// Returns the name of a phase's measure.
pub(crate) fn of(phase: Phase, measure: &str) -> String {
    format!("{}.{measure}", phase.name())
}

impl Sample {
    pub(crate) fn put(&mut self, name: impl Into<String>, value: f64) {
        self.0.insert(name.into(), value);
    }

    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    pub(crate) fn merge(&mut self, other: Sample) {
        self.0.extend(other.0);
    }

    pub(crate) fn write(&self, mut out: impl Write) -> Result<()> {
        for (name, value) in &self.0 {
            writeln!(out, "{name} {value}")?;
        }
        Ok(())
    }

    pub(crate) fn read(input: impl BufRead) -> Result<Sample> {
        let mut sample = Sample::default();
        for line in input.lines() {
            let line = line?;
            let (name, value) = line.split_once(' ').ok_or_else(|| format!("not a measurement: {line:?}"))?;
            sample.put(name, value.parse()?);
        }
        Ok(sample)
    }
}

/// Median, minimum and maximum of several values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Returns `None` if there are no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        Some(Spread { median, min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_sample_is_read_back() {
        let mut sample = Sample::default();
        sample.put(of(Phase::Get, CPU_MICROS), 1.25);
        sample.put(DISK_TO_LIVE, 2.0);
        let mut bytes = Vec::new();
        sample.write(&mut bytes).unwrap();
        let read = Sample::read(&bytes[..]).unwrap();
        assert_eq!(read.value("get.cpu"), Some(1.25));
        assert_eq!(read.value(DISK_TO_LIVE), Some(2.0));
        assert_eq!(read.value("no such"), None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(Spread::of([4.0, 1.0, 3.0, 2.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of([7.0]), Some(Spread { median: 7.0, min: 7.0, max: 7.0 }));
        assert_eq!(Spread::of([]), None);
    }
}
