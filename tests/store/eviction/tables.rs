//! Prints the figures as Markdown tables.

use std::io::{self, Write};

use super::{Score, StoreScore};
use crate::policies::POLICIES;

/// The results of one trace with caches of one size.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) trace: &'static str,
    pub(crate) percent: u32,
    pub(crate) max_bytes: u64,
    pub(crate) store: StoreScore,
    /// The policies with as many bytes as the store's live records have.
    pub(crate) within_live_bytes: [Score; POLICIES.len()],
    /// The policies with as many bytes as all of the store's files have.
    pub(crate) within_max_bytes: [Score; POLICIES.len()],
}

pub(crate) fn print(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    writeln!(out, "Hit ratio in percent, with each policy limited to the store's live bytes\n")?;
    print_table(out, rows, |row| &row.within_live_bytes, Score::hit_percent)?;
    writeln!(out, "\nHit ratio in percent, with each policy limited to the store's max_bytes\n")?;
    print_table(out, rows, |row| &row.within_max_bytes, Score::hit_percent)?;
    writeln!(out, "\nHit ratio by bytes in percent, with each policy limited to the store's live bytes\n")?;
    print_table(out, rows, |row| &row.within_live_bytes, Score::byte_hit_percent)?;
    writeln!(out, "\nThe store's space\n")?;
    print_room(out, rows)
}

fn print_table(
    out: &mut impl Write,
    rows: &[Row],
    scores: impl Fn(&Row) -> &[Score; POLICIES.len()],
    percent: impl Fn(Score) -> f64,
) -> io::Result<()> {
    let names: Vec<&str> = POLICIES.iter().map(|(name, _)| *name).collect();
    writeln!(out, "| traffic | cache | **store** | {} |", names.join(" | "))?;
    writeln!(out, "| --- | --: | --: |{}", " --: |".repeat(names.len()))?;
    let mut sums = [0.0; POLICIES.len() + 1];
    for row in rows {
        let figures: Vec<f64> = [row.store.score].iter().chain(scores(row)).map(|score| percent(*score)).collect();
        sums.iter_mut().zip(&figures).for_each(|(sum, figure)| *sum += figure);
        writeln!(out, "| {} | {} % | {} |", row.trace, row.percent, cells(&figures))?;
    }
    let means = sums.map(|sum| sum / rows.len().max(1) as f64);
    writeln!(out, "| mean | | {} |", cells(&means))
}

/// Puts the store's figure first, in bold.
fn cells(figures: &[f64]) -> String {
    let cell = |(i, figure): (usize, &f64)| if i == 0 { format!("**{figure:.1}**") } else { format!("{figure:.1}") };
    figures.iter().enumerate().map(cell).collect::<Vec<_>>().join(" | ")
}

fn print_room(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    writeln!(out, "| traffic | cache | max_bytes, MiB | live, % of it | bytes copied per byte written |")?;
    writeln!(out, "| --- | --: | --: | --: | --: |")?;
    for row in rows {
        let live_percent = row.store.live_bytes as f64 / row.max_bytes as f64 * 100.0;
        let (mib, carried) = (row.max_bytes as f64 / f64::from(1 << 20), row.store.carried_ratio);
        writeln!(out, "| {} | {} % | {mib:.1} | {live_percent:.0} | {carried:.2} |", row.trace, row.percent)?;
    }
    Ok(())
}
