//! The whole run: all sizes, all rounds, all peers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Instant;

use crate::goals;
use crate::machine::Machine;
use crate::options::Options;
use crate::part::{Part, Run};
use crate::peer::{self, Kind, Result};
use crate::plot;
use crate::reopening;
use crate::sample::{self, CPU_MICROS, Sample, Spread};
use crate::table;
use crate::workload::{Load, Phase};

/// All measurements for one length of values.
pub(crate) struct Size {
    pub(crate) value_len: usize,
    pub(crate) keys: usize,
    pub(crate) columns: Vec<Column>,
}

/// A peer and its measurements of each round.
pub(crate) struct Column {
    pub(crate) kind: &'static Kind,
    samples: Vec<Sample>,
}

impl Column {
    pub(crate) fn spread(&self, name: &str) -> Option<Spread> {
        Spread::of(self.samples.iter().filter_map(|sample| sample.value(name)))
    }

    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        self.spread(name).map(|spread| spread.median)
    }

    /// Returns the median, over the rounds, of the quotient of two figures of the same round.
    pub(crate) fn quotient(&self, name: &str, of: &str) -> Option<f64> {
        let of_round = |sample: &Sample| Some(sample.value(name)? / sample.value(of)?);
        Some(Spread::of(self.samples.iter().filter_map(of_round))?.median)
    }
}

impl Size {
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.kind.name == name)
    }

    /// Returns the median, over the rounds, of one peer's `name` divided by another peer's of the same round.
    pub(crate) fn ratio(&self, name: &str, this: &Column, other: &Column) -> Option<f64> {
        let of_round = |(this, other): (&Sample, &Sample)| Some(this.value(name)? / other.value(name)?);
        Some(Spread::of(this.samples.iter().zip(&other.samples).filter_map(of_round))?.median)
    }

    pub(crate) fn data_len(&self) -> usize {
        Load { keys: self.keys, value_len: self.value_len, threads: 1, seed: 0 }.data_len()
    }
}

/// A directory of this run, deleted afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(parent: &Path) -> Result<Scratch> {
        let path = parent.join(format!("sharedance-compare-{}", process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(Scratch(path))
    }

    /// Returns an empty directory in it. Deletes the previous one.
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

/// Measures according to `options`, and prints the tables.
pub(crate) fn run(options: &Options) -> Result<()> {
    let parent = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    Machine::warn_if_busy();
    let mut machine = Machine::default();
    let mut sizes = Vec::new();
    {
        let scratch = Scratch::new(&parent)?;
        let mut progress = Progress::new(options);
        for &value_len in &options.sizes {
            sizes.push(measure(options, &scratch, value_len, &mut progress, &mut machine)?);
        }
    }
    let mut tables = vec![machine.table(&parent), table::settings(&sizes)];
    tables.extend(sizes.iter().flat_map(table::of_size));
    tables.push(goals::table(&sizes));
    println!();
    tables.iter().for_each(|table| println!("{}", table.text()));
    if let Some(path) = &options.markdown {
        let markdown: Vec<_> = tables.iter().map(|table| table.markdown()).collect();
        fs::write(path, markdown.join("\n"))?;
    }
    if let Some(path) = &options.plot {
        plot::write(&sizes, path)?;
    }
    Ok(())
}

fn measure(
    options: &Options,
    scratch: &Scratch,
    value_len: usize,
    progress: &mut Progress,
    machine: &mut Machine,
) -> Result<Size> {
    let keys = options.keys_for(value_len);
    let mut columns = Vec::new();
    for name in &options.peers {
        columns.push(Column { kind: peer::kind(name)?, samples: Vec::new() });
    }
    for round in 1..=options.rounds {
        for column in columns.iter_mut().filter(|column| takes_part(column.kind, round)) {
            let load = Load { keys, value_len, threads: options.threads as usize, seed: round };
            progress.announce(&load, column.kind);
            machine.look();
            let measured = turn(column.kind, load, scratch)?;
            progress.report(&measured);
            column.samples.push(measured);
        }
    }
    Ok(Size { value_len, keys, columns })
}

fn takes_part(kind: &Kind, round: u64) -> bool {
    round == 1 || !kind.slow
}

fn turn(kind: &Kind, load: Load, scratch: &Scratch) -> Result<Sample> {
    let run = |dir| Run { peer: kind.name.to_owned(), dir, load };
    let ours = kind.name == goals::OURS;
    let mut sample = Part::Cycle(run(scratch.fresh()?)).sample()?;
    if kind.has_files() {
        sample.merge(reopening::kill_and_reopen(&run(scratch.fresh()?), ours)?);
    }
    if ours {
        sample.merge(Part::Expire(run(scratch.fresh()?)).sample()?);
    }
    Ok(sample)
}

/// Prints the progress of the run.
struct Progress {
    started: Instant,
    turn_started: Instant,
    turns: usize,
    turns_total: usize,
}

impl Progress {
    fn new(options: &Options) -> Progress {
        let kinds = options.peers.iter().filter_map(|name| peer::kind(name).ok());
        let turns: usize =
            kinds.map(|kind| (1..=options.rounds).filter(|round| takes_part(kind, *round)).count()).sum();
        let now = Instant::now();
        Progress { started: now, turn_started: now, turns: 0, turns_total: turns * options.sizes.len() }
    }

    fn announce(&mut self, load: &Load, kind: &Kind) {
        self.turns += 1;
        self.turn_started = Instant::now();
        let minutes = self.started.elapsed().as_secs_f64() / 60.0;
        eprint!(
            "{minutes:5.1} min, turn {} of {}: {} B, round {}, {}… ",
            self.turns, self.turns_total, load.value_len, load.seed, kind.title
        );
    }

    /// Prints the cost of some phases, on the line that announced them.
    fn report(&self, measured: &Sample) {
        let cost = |phase: Phase| {
            let micros = measured.value(&sample::of(phase, CPU_MICROS))?;
            Some(format!("{} {micros:.2}, ", phase.name()))
        };
        let costs: String = [Phase::SetNew, Phase::Get, Phase::HalfAged].into_iter().filter_map(cost).collect();
        eprintln!("{costs}{:.0} s", self.turn_started.elapsed().as_secs_f64());
    }
}
