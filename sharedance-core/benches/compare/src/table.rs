//! Tables of results, as aligned text and as Markdown.

use crate::peer::{AfterKill, Kind};
use crate::rounds::{Column, Size};
use crate::sample::{self, CPU_MICROS, Spread, THREAD_MICROS, WALL_MICROS};
use crate::workload::Phase;

/// Rows of cells below a header.
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// Replaces a missing figure.
const NOTHING: &str = "–";

impl Table {
    pub(crate) fn text(&self) -> String {
        let widths = self.widths();
        let line = |cells: &Vec<String>| {
            let padded: Vec<_> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            format!("{}\n", padded.join("  ").trim_end())
        };
        let rule = "─".repeat(widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1));
        let rows: String = self.rows.iter().map(line).collect();
        format!("{}\n{}{rule}\n{rows}", self.title, line(&self.head))
    }

    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &Vec<String>| format!("| {} |\n", cells.join(" | ").replace('<', "&lt;"));
        let rule = format!("|{}\n", " --- |".repeat(self.head.len()));
        let rows: String = self.rows.iter().map(line).collect();
        format!("**{}**\n\n{}{rule}{rows}", self.title, line(&self.head))
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let lines = std::iter::once(&self.head).chain(&self.rows);
            lines.filter_map(|cells| cells.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        (0..self.head.len()).map(width).collect()
    }
}

/// Formats a number with three digits.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The configuration of the peers.
pub(crate) fn settings(sizes: &[Size]) -> Table {
    let columns = sizes.first().map_or(&[][..], |size| &size.columns);
    Table {
        title: "Peers".to_owned(),
        head: ["", "configuration", "after kill -9"].map(str::to_owned).to_vec(),
        rows: columns.iter().map(|column| setting(column.kind)).collect(),
    }
}

fn setting(kind: &Kind) -> Vec<String> {
    let after_kill = match kind.after_kill {
        AfterKill::Everything => "all kept",
        AfterKill::Something => "last writes lost",
        AfterKill::Nothing => "everything lost",
    };
    [kind.title, kind.setting, after_kill].map(str::to_owned).to_vec()
}

/// All tables for one length of values.
pub(crate) fn of_size(size: &Size) -> Vec<Table> {
    vec![costs(size), tails(size), sharing(size), gauges(size), details(size)]
}

/// The cost of each operation of each peer.
fn costs(size: &Size) -> Table {
    let phases = Phase::ALL.into_iter().filter(|phase| !phase.is_shared() && *phase != Phase::Age);
    let measures = phases.map(|phase| (phase.title().to_owned(), sample::of(phase, CPU_MICROS))).collect();
    by_peer(size, "CPU µs per operation, all threads of the process", measures)
}

/// The latency of single operations.
fn tails(size: &Size) -> Table {
    let phases = [Phase::GetAged, Phase::Overwrite, Phase::OverwriteFlushed];
    let measures = phases.into_iter().flat_map(|phase| {
        let quantiles = sample::QUANTILES.into_iter().skip(1);
        quantiles.map(move |(name, _)| (format!("{}: {name}", phase.title()), sample::of(phase, name)))
    });
    by_peer(size, "latency of single operations, in µs", measures.collect())
}

/// The throughput of several threads.
fn sharing(size: &Size) -> Table {
    let pairs = [
        (Phase::Overwrite, Phase::OverwriteShared),
        (Phase::GetAged, Phase::GetShared),
        (Phase::HalfAged, Phase::HalfShared),
    ];
    let measures = pairs.into_iter().flat_map(|(alone, shared)| {
        [alone, shared].map(|phase| (phase.title().to_owned(), sample::of(phase, WALL_MICROS)))
    });
    by_peer(size, "wall µs until the next operation ends, one thread and several", measures.collect())
}

/// Figures that belong to no single operation.
fn gauges(size: &Size) -> Table {
    let dirtied = |phase| sample::of(phase, sample::DIRTIED_BYTES);
    let measures = [
        ("anonymous memory, B per pair", sample::ANONYMOUS_PER_PAIR.to_owned()),
        ("index, B per pair", sample::INDEX_PER_PAIR.to_owned()),
        ("disk ÷ live, while overwriting", sample::DISK_TO_LIVE.to_owned()),
        ("disk ÷ live, at rest afterwards", sample::DISK_TO_LIVE_AT_REST.to_owned()),
        ("dirtied B per set", dirtied(Phase::SetNew)),
        ("dirtied B per overwrite, flushing", dirtied(Phase::OverwriteFlushed)),
        ("reopen, CPU ms", sample::REOPEN_CPU_MILLIS.to_owned()),
        ("reopen, wall ms", sample::REOPEN_WALL_MILLIS.to_owned()),
        ("then a get, CPU µs", sample::FIRST_GET_MICROS.to_owned()),
        ("reopen cold, wall ms", sample::COLD_WALL_MILLIS.to_owned()),
        ("then a get, wall µs", sample::COLD_GET_MICROS.to_owned()),
        ("share of keys lost by kill -9", sample::LOST_PART.to_owned()),
    ];
    let measures = measures.into_iter().map(|(title, name)| (title.to_owned(), name));
    by_peer(size, "memory, disk, and reopening after kill -9", measures.collect())
}

/// All measures of all phases.
fn details(size: &Size) -> Table {
    let measures = [THREAD_MICROS, WALL_MICROS].into_iter().chain(sample::QUANTILES.map(|(name, _)| name));
    let row = |phase: Phase, column: &Column| {
        let cpu = column.spread(&sample::of(phase, CPU_MICROS)).map_or(NOTHING.to_owned(), spread);
        let cells = measures.clone().map(|measure| cell(column, &sample::of(phase, measure)));
        [phase.title().to_owned(), column.kind.title.to_owned(), cpu].into_iter().chain(cells).collect::<Vec<_>>()
    };
    let phases = Phase::ALL.into_iter();
    Table {
        title: title(size, "all phases, µs per operation; CPU as median (least–greatest of the rounds)"),
        head: ["", "", "CPU", "calling thread", "wall", "p50", "p99", "p99.9", "worst"].map(str::to_owned).to_vec(),
        rows: phases
            .flat_map(|phase| size.columns.iter().map(move |column| (phase, column)))
            .map(|(phase, column)| row(phase, column))
            .collect(),
    }
}

/// Formats a row per peer and a column per measure.
fn by_peer(size: &Size, what: &str, measures: Vec<(String, String)>) -> Table {
    let row = |column: &Column| {
        let cells = measures.iter().map(|(_, name)| cell(column, name));
        std::iter::once(column.kind.title.to_owned()).chain(cells).collect()
    };
    Table {
        title: title(size, what),
        rows: size.columns.iter().map(row).collect(),
        head: std::iter::once(String::new()).chain(measures.iter().map(|(title, _)| title.clone())).collect(),
    }
}

fn title(size: &Size, what: &str) -> String {
    format!("{} keys, values of {} bytes: {what}", size.keys, size.value_len)
}

fn cell(column: &Column, name: &str) -> String {
    column.median(name).map_or(NOTHING.to_owned(), number)
}

fn spread(Spread { median, min, max }: Spread) -> String {
    match min == max {
        true => number(median),
        false => format!("{} ({}–{})", number(median), number(min), number(max)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let cells = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let table =
            Table { title: "t".into(), head: cells(["", "µs"]), rows: vec![cells(["äö", "1"]), cells(["<", "22"])] };
        assert_eq!(table.text(), "t\n    µs\n──────\näö  1\n<   22\n");
        assert_eq!(table.markdown(), "**t**\n\n|  | µs |\n| --- | --- |\n| äö | 1 |\n| &lt; | 22 |\n");
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(["0.12", "12.3", "1234"], [0.1234, 12.34, 1234.4].map(number).each_ref().map(String::as_str));
    }
}
