//! The whole run: every size, every round, every peer in turn.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Instant;

use crate::goals;
use crate::options::Options;
use crate::part::{Part, Run};
use crate::peer::{self, Kind, Result};
use crate::reopening;
use crate::sample::{self, CPU_MICROS, Sample, Spread};
use crate::table;
use crate::usage::load_average;
use crate::workload::{Load, Phase};

/// From this load average on, others use so much of the machine that it shows in the figures.
const BUSY: f64 = 0.5;

/// All measurements of one length of values.
pub(crate) struct Size {
    pub(crate) value_len: usize,
    pub(crate) keys: usize,
    pub(crate) columns: Vec<Column>,
}

/// A peer, used by so many threads, and what it measured round by round.
pub(crate) struct Column {
    pub(crate) kind: &'static Kind,
    pub(crate) threads: usize,
    samples: Vec<Sample>,
}

impl Column {
    pub(crate) fn title(&self) -> String {
        match self.threads {
            1 => self.kind.title.to_owned(),
            threads => format!("{}, {threads} threads", self.kind.title),
        }
    }

    pub(crate) fn spread(&self, name: &str) -> Option<Spread> {
        Spread::of(self.samples.iter().filter_map(|sample| sample.value(name)))
    }
}

impl Size {
    /// The column of a peer that one thread uses, or several.
    pub(crate) fn column(&self, name: &str, several: bool) -> Option<&Column> {
        self.columns.iter().find(|column| column.kind.name == name && (column.threads > 1) == several)
    }

    /// The median, over the rounds, of what `name` was for one peer as a multiple of another within the same round.
    pub(crate) fn ratio(&self, name: &str, this: &Column, other: &Column) -> Option<f64> {
        let of_round = |(this, other): (&Sample, &Sample)| Some(this.value(name)? / other.value(name)?);
        Some(Spread::of(this.samples.iter().zip(&other.samples).filter_map(of_round))?.median)
    }
}

/// A directory for this run alone, deleted afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(parent: &Path) -> Result<Scratch> {
        let path = parent.join(format!("sharedance-compare-{}", process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(Scratch(path))
    }

    /// An empty directory in it; what a former one held is gone.
    fn fresh(&self) -> Result<PathBuf> {
        let path = self.0.join("peer");
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir(&path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("sharedance-compare: {} cannot be removed: {error}", self.0.display());
        }
    }
}

/// Measures as `options` say, and prints the tables.
pub(crate) fn run(options: &Options) -> Result<()> {
    let parent = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    if let Some(load) = load_average().filter(|load| *load > BUSY) {
        eprintln!(
            "The machine is busy (load average {load}): believe the ratios more than the figures, and those a little."
        );
    }
    let mut sizes = Vec::new();
    {
        let scratch = Scratch::new(&parent)?;
        for &value_len in &options.sizes {
            sizes.push(measure(options, &scratch, value_len)?);
        }
    }
    let mut tables: Vec<_> = sizes.iter().flat_map(|size| [table::costs(size), table::details(size)]).collect();
    tables.push(goals::table(&sizes));
    println!();
    tables.iter().for_each(|table| println!("{}", table.text()));
    if let Some(path) = &options.markdown {
        let markdown: Vec<_> = tables.iter().map(|table| table.markdown()).collect();
        fs::write(path, markdown.join("\n"))?;
    }
    Ok(())
}

fn measure(options: &Options, scratch: &Scratch, value_len: usize) -> Result<Size> {
    let keys = options.keys_for(value_len);
    let mut columns = Vec::new();
    for name in &options.peers {
        columns.push(Column { kind: peer::kind(name)?, threads: 1, samples: Vec::new() });
    }
    if options.threads > 1 && options.peers.iter().any(|name| name == goals::OURS) {
        columns.push(Column { kind: peer::kind(goals::OURS)?, threads: options.threads as usize, samples: Vec::new() });
    }
    for round in 1..=options.rounds {
        for column in &mut columns {
            let load = Load { keys, value_len, threads: column.threads, seed: round };
            let start = Instant::now();
            let measured = turn(column, load, scratch)?;
            eprintln!(
                "{value_len} B, round {round} of {}, {}: {}({:.0} s)",
                options.rounds,
                column.title(),
                brief(&measured),
                start.elapsed().as_secs_f64(),
            );
            column.samples.push(measured);
        }
    }
    Ok(Size { value_len, keys, columns })
}

fn turn(column: &Column, load: Load, scratch: &Scratch) -> Result<Sample> {
    let run = |dir| Run { peer: column.kind.name.to_owned(), dir, load };
    let mut sample = Part::Cycle(run(scratch.fresh()?)).sample()?;
    if column.kind.has_files() && column.threads == 1 {
        sample.merge(reopening::kill_and_reopen(&run(scratch.fresh()?))?);
    }
    Ok(sample)
}

/// The cost of each phase, in a line.
fn brief(measured: &Sample) -> String {
    let cost = |phase: Phase| {
        let micros = measured.value(&sample::of(phase, CPU_MICROS))?;
        Some(format!("{} {micros:.2}, ", phase.name()))
    };
    Phase::ALL.into_iter().filter_map(cost).collect()
}
