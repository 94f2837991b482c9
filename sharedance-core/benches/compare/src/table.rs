//! Tables of results, as aligned text and as Markdown.

use crate::rounds::{Column, Size};
use crate::sample::{self, CPU_MICROS, Spread, THREAD_MICROS, WALL_MICROS};
use crate::workload::Phase;

/// Rows of cells under a head.
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// In place of what was not measured.
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

/// A number, with as many digits as it deserves.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn spread(spread: Option<Spread>) -> String {
    match spread {
        None => NOTHING.to_owned(),
        Some(Spread { median, min, max }) if min == max => number(median),
        Some(Spread { median, min, max }) => format!("{} ({}–{})", number(median), number(min), number(max)),
    }
}

/// What each operation costs each peer.
pub(crate) fn costs(size: &Size) -> Table {
    let row = |title: String, name: &str| {
        let cells = size.columns.iter().map(|column| spread(column.spread(name)));
        std::iter::once(title).chain(cells).collect::<Vec<_>>()
    };
    let micros = |phase: Phase| row(phase.title().to_owned(), &sample::of(phase, CPU_MICROS));
    let gauges = [
        ("reopen after kill -9, CPU ms", sample::REOPEN_CPU_MILLIS),
        ("reopen after kill -9, wall ms", sample::REOPEN_WALL_MILLIS),
        ("reopen, CPU µs a pair", sample::REOPEN_PER_PAIR),
        ("first get after it, CPU µs", sample::FIRST_GET_MICROS),
        ("disk ÷ live, half overwritten", sample::DISK_TO_LIVE),
        ("anonymous memory, B a pair", sample::ANONYMOUS_PER_PAIR),
        ("index, B a pair", sample::INDEX_PER_PAIR),
    ];
    Table {
        title: format!(
            "{} keys, values of {} bytes: CPU µs an operation, all threads of the process; median (least–greatest)",
            size.keys, size.value_len
        ),
        head: head("", size),
        rows: Phase::ALL.into_iter().map(micros).chain(gauges.map(|(title, name)| row(title.into(), name))).collect(),
    }
}

/// Where the time of each operation goes, and how evenly.
pub(crate) fn details(size: &Size) -> Table {
    let measures = [THREAD_MICROS, WALL_MICROS].into_iter().chain(sample::QUANTILES.map(|(name, _)| name));
    let row = |phase: Phase, column: &Column| {
        let cells = measures.clone().map(|measure| column.spread(&sample::of(phase, measure)));
        let cells = cells.map(|spread| spread.map_or(NOTHING.to_owned(), |spread| number(spread.median)));
        [phase.title().to_owned(), column.title()].into_iter().chain(cells).collect::<Vec<_>>()
    };
    Table {
        title: format!(
            "{} keys, values of {} bytes: µs an operation; CPU of the calling thread, wall, and how long single ones took",
            size.keys, size.value_len
        ),
        head: ["", "", "thread", "wall", "p50", "p99", "p99.9", "worst"].map(str::to_owned).to_vec(),
        rows: Phase::ALL
            .into_iter()
            .flat_map(|phase| size.columns.iter().map(move |column| row(phase, column)))
            .collect(),
    }
}

fn head(first: &str, size: &Size) -> Vec<String> {
    std::iter::once(first.to_owned()).chain(size.columns.iter().map(Column::title)).collect()
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
