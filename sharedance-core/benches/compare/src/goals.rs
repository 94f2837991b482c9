//! The store's goals, and whether it meets them. Goals that the benchmark cannot measure are not listed.

use crate::rounds::Size;
use crate::sample::{self, CPU_MICROS, WALL_MICROS};
use crate::table::{Table, number};
use crate::workload::Phase;

/// The peer that has these goals.
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
    let mut judgements = Judgements { sizes, rows: Vec::new() };
    judgements.of_medium_values();
    judgements.of_other_values();
    judgements.of_the_whole();
    Table {
        title: "The store's goals: CPU of all threads; ratios within a round, then their median".into(),
        head: ["", "", "goal", "found", ""].map(str::to_owned).to_vec(),
        rows: judgements.rows,
    }
}

struct Judgements<'a> {
    sizes: &'a [Size],
    rows: Vec<Vec<String>>,
}

impl<'a> Judgements<'a> {
    fn of_medium_values(&mut self) {
        self.beside("G1", Phase::SetNew, LMDB, 0.40);
        self.beside("G1", Phase::SetNew, MAP, 1.0);
        self.micros("G1", MEDIUM, Phase::SetNew, 2.0);
        self.beside("G2", Phase::Get, MAP, 1.3);
        self.beside("G2", Phase::Get, LMDB, 0.9);
        self.micros("G2", MEDIUM, Phase::Get, 1.7);
        for phase in [Phase::Half, Phase::HalfAged, Phase::HalfFlushed] {
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
        self.identical_sets();
        for phase in [Phase::Get, Phase::GetAged] {
            self.tail(phase, "p99.9", 5.0);
            self.tail(phase, "worst", 5_000.0);
        }
        for phase in [Phase::SetNew, Phase::Overwrite] {
            self.tail(phase, "p99.9", 30.0);
            self.tail(phase, "worst", 5_000.0);
        }
        self.threads(Phase::GetAged, Phase::GetShared, 1.6);
        self.threads(Phase::HalfAged, Phase::HalfShared, 1.3);
        self.threads(Phase::Overwrite, Phase::OverwriteShared, 1.2);
        self.room();
        self.gauge("G12", "index", "≤ 40 B per pair", sample::INDEX_PER_PAIR, 1.0, AtMost(40.0));
        if let Some(size) = self.size(MEDIUM) {
            let limit = 50.0 * size.keys as f64 / MEGABYTE + 2.0;
            let text = format!("≤ 50 B per pair + 2 MB = {} MB", number(limit));
            self.gauge("G12", "anonymous memory", &text, sample::ANONYMOUS_BYTES, 1.0 / MEGABYTE, AtMost(limit));
        }
        self.reopening();
        let expiry = "≤ 0.25 CPU µs per record";
        self.gauge("G15", "expiry", expiry, sample::EXPIRY_MICROS, 1.0, AtMost(0.25));
        let tail = "≤ 20 µs for p99.9";
        self.gauge(
            "G15",
            "get by another thread during expiry",
            tail,
            sample::EXPIRY_GET_TAIL_MICROS,
            1.0,
            AtMost(20.0),
        );
    }

    fn identical_sets(&mut self) {
        let get = self.median(MEDIUM, &sample::of(Phase::Get, CPU_MICROS));
        let identical = self.median(MEDIUM, &sample::of(Phase::SetIdentical, CPU_MICROS));
        if let Some(get) = get {
            let text = format!("≤ 1.3 × get + 0.3 µs = {} µs", number(1.3 * get + 0.3));
            self.judge("G7", "set, identical".into(), text, identical, AtMost(1.3 * get + 0.3));
        }
        let text = "≤ 2 spare segments";
        self.gauge("G7", "files grow by", text, sample::IDENTICAL_GROWTH, 1.0 / SEGMENT_LEN, AtMost(2.0));
    }

    fn room(&mut self) {
        let Some(size) = self.size(MEDIUM) else { return };
        let record = size.data_len() as f64 / size.keys as f64;
        let room = 2.0 + 3.0 * SEGMENT_LEN / size.data_len() as f64;
        let text = format!("≤ 2 × live + 3 segments = {} × live", number(room));
        self.gauge("G10", "files, after steady overwriting", &text, sample::DISK_TO_LIVE_AT_REST, 1.0, AtMost(room));
        let text = "≤ 0.35 of the bytes written";
        self.gauge("G10", "copied during that", text, sample::COPIED_PART, 1.0, AtMost(0.35));
        for (phase, limit) in [(Phase::SetNew, 1.05), (Phase::OverwriteFlushed, 1.35)] {
            let name = sample::of(phase, sample::DIRTIED_BYTES);
            let what = format!("{}: dirtied", phase.title());
            self.gauge("G11", &what, &format!("≤ {limit} × the record"), &name, 1.0 / record, AtMost(limit));
        }
    }

    fn reopening(&mut self) {
        let Some(size) = self.size(MEDIUM) else { return };
        let limit_millis = 400.0 * size.keys as f64 / 500_000.0;
        let warm = "reopen after kill -9";
        self.gauge("G13", warm, "≤ 0.15 CPU µs a pair", sample::REOPEN_PER_PAIR, 1.0, AtMost(0.15));
        let cold = "reopen cold";
        let text = format!("≤ {limit_millis:.0} ms");
        self.gauge("G13", cold, &text, sample::COLD_WALL_MILLIS, 1.0, AtMost(limit_millis));
        self.gauge("G13", cold, "reads ≤ 3 % of the data", sample::COLD_READ_PART, 100.0, AtMost(3.0));
        let warm = self.median(MEDIUM, sample::REBOOT_WARM_GBPS);
        self.judge("G14", "reopen after a reboot, from memory".into(), "≥ 1 GB/s".into(), warm, AtLeast(1.0));
        let cold = self.median(MEDIUM, sample::REBOOT_COLD_GBPS);
        let device = self.median(MEDIUM, sample::DEVICE_GBPS).unwrap_or(1.0);
        let limit = device.min(1.0);
        let text = format!("≥ 1 GB/s, or as fast as the disk reads = {} GB/s", number(limit));
        self.judge("G14", "reopen after a reboot, from the disk".into(), text, cold, AtLeast(limit));
    }

    /// Judges the cost of an operation on medium values as a multiple of another peer's cost.
    fn beside(&mut self, goal: &str, phase: Phase, other: &str, limit: f64) {
        let ratio = self.size(MEDIUM).and_then(|size| {
            let (ours, theirs) = (size.column(OURS)?, size.column(other)?);
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

    /// Judges the throughput of several threads as a multiple of one thread's.
    fn threads(&mut self, alone: Phase, shared: Phase, limit: f64) {
        let ours = self.size(MEDIUM).and_then(|size| size.column(OURS));
        let of = |phase| sample::of(phase, WALL_MICROS);
        let ratio = ours.and_then(|ours| ours.quotient(&of(alone), &of(shared)));
        self.judge("G9", shared.title().into(), format!("≥ {limit:.1} × one thread"), ratio, AtLeast(limit));
    }

    /// Judges a figure for medium values, times `scale`.
    fn gauge(&mut self, goal: &str, what: &str, text: &str, name: &str, scale: f64, bound: Bound) {
        let found = self.median(MEDIUM, name).map(|value| value * scale);
        self.judge(goal, what.to_owned(), text.to_owned(), found, bound);
    }

    fn judge(&mut self, goal: &str, what: String, text: String, found: Option<f64>, bound: Bound) {
        let (found, judgement) = match found {
            None => ("–".to_owned(), "not measured"),
            Some(value) if bound.is_met_by(value) => (number(value), "met"),
            Some(value) => (number(value), "NOT MET"),
        };
        self.rows.push(vec![goal.to_owned(), what, text, found, judgement.to_owned()]);
    }

    fn size(&self, value_len: usize) -> Option<&'a Size> {
        self.sizes.iter().find(|size| size.value_len == value_len)
    }

    fn median(&self, value_len: usize, name: &str) -> Option<f64> {
        self.size(value_len)?.column(OURS)?.median(name)
    }
}
