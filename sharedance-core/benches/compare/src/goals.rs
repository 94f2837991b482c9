//! The store's goals, and whether it meets them. Those that the benchmark cannot measure are not listed.

use crate::rounds::{Column, Size};
use crate::sample::{self, CPU_MICROS, WALL_MICROS};
use crate::table::{Table, number};
use crate::workload::Phase;

/// Whose goals these are.
pub(crate) const OURS: &str = "store";
const MAP: &str = "map";
const LMDB: &str = "lmdb";
const LMDB_WRITE_MAP: &str = "lmdb-writemap";

const SMALL: usize = 100;
const MEDIUM: usize = 2048;
const LARGE: usize = 65_536;

const SEGMENT_LEN: f64 = 8.0 * 1024.0 * 1024.0;
const MEGABYTE: f64 = 1e6;

/// What a number must be to meet a goal.
#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Bound::AtMost(limit) => value <= limit,
            Bound::AtLeast(limit) => value >= limit,
        }
    }
}

use Bound::{AtLeast, AtMost};

/// The goals, in the order in which they are printed.
pub(crate) fn table(sizes: &[Size]) -> Table {
    let mut verdicts = Verdicts { sizes, rows: Vec::new() };
    verdicts.of_medium_values();
    verdicts.of_other_values();
    verdicts.of_the_whole();
    Table {
        title: "The store's goals: CPU of all threads; ratios within a round, then their median".into(),
        head: ["", "", "goal", "found", ""].map(str::to_owned).to_vec(),
        rows: verdicts.rows,
    }
}

struct Verdicts<'a> {
    sizes: &'a [Size],
    rows: Vec<Vec<String>>,
}

impl Verdicts<'_> {
    fn of_medium_values(&mut self) {
        self.beside("G1", Phase::SetNew, LMDB, 0.40);
        self.beside("G1", Phase::SetNew, MAP, 1.0);
        self.micros("G1", MEDIUM, Phase::SetNew, 2.0);
        self.beside("G2", Phase::Get, MAP, 1.3);
        self.beside("G2", Phase::Get, LMDB, 0.9);
        self.micros("G2", MEDIUM, Phase::Get, 1.7);
        for phase in [Phase::Half, Phase::HalfFlushed] {
            self.beside("G3", phase, LMDB, 0.55);
            self.beside("G3", phase, LMDB_WRITE_MAP, 1.1);
            self.micros("G3", MEDIUM, phase, 2.5);
        }
        self.beside("G4", Phase::Delete, LMDB, 0.10);
        self.micros("G4", MEDIUM, Phase::Delete, 1.5);
    }

    fn of_other_values(&mut self) {
        self.micros("G5", SMALL, Phase::SetNew, 0.7);
        self.micros("G5", SMALL, Phase::Get, 1.0);
        self.micros("G5", SMALL, Phase::Half, 1.2);
        self.micros("G6", LARGE, Phase::SetNew, 35.0);
        self.micros("G6", LARGE, Phase::Get, 9.0);
        self.micros("G6", LARGE, Phase::Half, 26.0);
    }

    fn of_the_whole(&mut self) {
        let get = self.median(MEDIUM, &sample::of(Phase::Get, CPU_MICROS));
        let identical = self.median(MEDIUM, &sample::of(Phase::SetIdentical, CPU_MICROS));
        if let Some(get) = get {
            let text = format!("≤ 1.3 × get + 0.3 µs = {} µs", number(1.3 * get + 0.3));
            self.judge("G7", "set, identical".into(), text, identical, AtMost(1.3 * get + 0.3));
        }
        let growth = self.median(MEDIUM, sample::IDENTICAL_GROWTH);
        let segments = growth.map(|bytes| bytes / SEGMENT_LEN);
        self.judge("G7", "files grow by".into(), "≤ 2 segments that stand ready".into(), segments, AtMost(2.0));
        self.tail(Phase::Get, "p99.9", 5.0);
        self.tail(Phase::SetNew, "p99.9", 30.0);
        self.tail(Phase::Get, "worst", 5_000.0);
        self.tail(Phase::SetNew, "worst", 5_000.0);
        self.threads(Phase::Get, 1.6);
        self.threads(Phase::Half, 1.3);
        self.threads(Phase::SetNew, 1.2);
        let index = self.median(MEDIUM, sample::INDEX_PER_PAIR);
        self.judge("G12", "index".into(), "≤ 40 B a pair".into(), index, AtMost(40.0));
        if let Some(size) = self.size(MEDIUM) {
            let limit = 50.0 * size.keys as f64 + 2.0 * MEGABYTE;
            let text = format!("≤ 50 B a pair + 2 MB = {} MB", number(limit / MEGABYTE));
            let anonymous = self.median(MEDIUM, sample::ANONYMOUS_BYTES).map(|bytes| bytes / MEGABYTE);
            self.judge("G12", "anonymous memory".into(), text, anonymous, AtMost(limit / MEGABYTE));
        }
        let reopening = self.median(MEDIUM, sample::REOPEN_PER_PAIR);
        self.judge("G13", "reopen after kill -9".into(), "≤ 0.15 CPU µs a pair".into(), reopening, AtMost(0.15));
    }

    /// The cost of an operation on medium values as a multiple of another peer's.
    fn beside(&mut self, goal: &str, phase: Phase, other: &str, limit: f64) {
        let ratio = self.size(MEDIUM).and_then(|size| {
            let (ours, theirs) = (size.column(OURS, false)?, size.column(other, false)?);
            size.ratio(&sample::of(phase, CPU_MICROS), ours, theirs)
        });
        let title = crate::peer::kind(other).map_or(other, |kind| kind.title);
        self.judge(goal, phase.title().into(), format!("≤ {limit:.2} × {title}"), ratio, AtMost(limit));
    }

    fn micros(&mut self, goal: &str, value_len: usize, phase: Phase, limit: f64) {
        let cost = self.median(value_len, &sample::of(phase, CPU_MICROS));
        let what = format!("{}, {value_len} B", phase.title());
        self.judge(goal, what, format!("≤ {} µs", number(limit)), cost, AtMost(limit));
    }

    fn tail(&mut self, phase: Phase, quantile: &str, limit: f64) {
        let found = self.median(MEDIUM, &sample::of(phase, quantile));
        self.judge("G8", format!("{}: {quantile}", phase.title()), format!("≤ {limit} µs"), found, AtMost(limit));
    }

    /// How many times as much several threads get done as one.
    fn threads(&mut self, phase: Phase, limit: f64) {
        let ratio = self.size(MEDIUM).and_then(|size| {
            let (one, several) = (size.column(OURS, false)?, size.column(OURS, true)?);
            size.ratio(&sample::of(phase, WALL_MICROS), one, several)
        });
        let what = format!("{}: two threads", phase.title());
        self.judge("G9", what, format!("≥ {limit:.1} × one"), ratio, AtLeast(limit));
    }

    fn judge(&mut self, goal: &str, what: String, text: String, found: Option<f64>, bound: Bound) {
        let (found, verdict) = match found {
            None => ("–".to_owned(), "not measured"),
            Some(value) if bound.is_met_by(value) => (number(value), "met"),
            Some(value) => (number(value), "NOT MET"),
        };
        self.rows.push(vec![goal.to_owned(), what, text, found, verdict.to_owned()]);
    }

    fn size(&self, value_len: usize) -> Option<&Size> {
        self.sizes.iter().find(|size| size.value_len == value_len)
    }

    fn median(&self, value_len: usize, name: &str) -> Option<f64> {
        let column: &Column = self.size(value_len)?.column(OURS, false)?;
        Some(column.spread(name)?.median)
    }
}
