//! Measures the hit ratio of the store's eviction, beside other policies and the optimum.
//!
//! `cargo bench -p sharedance-core --bench eviction [-- --help]` prints the tables of the crate's README. Everything is
//! derived from a seed, the real store's figures included: the traces are generated, and the trace advances the store's
//! clock.

// Cargo builds benchmarks as tests, and this one without a test harness: see tests/store/eviction.
#![cfg_attr(test, allow(dead_code, unused_imports))]

mod policies;
mod random;
mod simulation;
mod store_cache;
mod tables;
mod traces;

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use policies::POLICIES;
use random::Random;
use simulation::{Score, StoreScore, play_to_policy, play_to_store};
use store_cache::StoreCache;
use tables::Row;
use traces::{Extent, TRACES, Trace};

const HELP: &str = "\
Compares the store's hit ratio with that of other policies, on traffic made from a seed; prints Markdown.

usage: cargo bench -p sharedance-core --bench eviction [-- OPTION…]
  --seed N         another seed (1)
  --requests N     requests of each trace (1000000)
  --objects N      objects that each trace asks for again and again (100000)
  --trace NAME     this trace only; may be given several times
  --cache PERCENT  this size only, in percent of the working set's bytes; may be given several times (1, 10, 25)
  --dir DIR        where the store lives meanwhile (/dev/shm, where it is there, or else TMPDIR)
  --threads N      how many traces are played at a time (one for each processor)
  --help           this text, and the names of the traces";

const CACHE_PERCENTS: [u32; 3] = [1, 10, 25];
/// A store with fewer segments cannot be opened.
const MIN_MAX_BYTES: u64 = 8 * store_cache::SEGMENT_LEN as u64;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

struct Arguments {
    seed: u64,
    extent: Extent,
    traces: Vec<String>,
    percents: Vec<u32>,
    dir: PathBuf,
    threads: usize,
}

fn main() -> Outcome<()> {
    let Some(arguments) = parse(env::args().skip(1))? else {
        writeln!(io::stdout(), "{HELP}\n\ntraces:")?;
        for (name, meaning, _) in TRACES {
            writeln!(io::stdout(), "  {name:<16} {meaning}")?;
        }
        return Ok(());
    };
    let started = Instant::now();
    let rows = run_all(&arguments)?;
    let mut out = io::stdout().lock();
    tables::print(&mut out, &rows)?;
    writeln!(
        out,
        "\n{} requests for {} objects, seed {}, {} s in all.",
        arguments.extent.requests,
        arguments.extent.objects,
        arguments.seed,
        started.elapsed().as_secs()
    )?;
    Ok(())
}

fn parse(words: impl Iterator<Item = String>) -> Outcome<Option<Arguments>> {
    let shared_memory = Path::new("/dev/shm");
    let mut arguments = Arguments {
        seed: 1,
        extent: Extent { requests: 1_000_000, objects: 100_000 },
        traces: Vec::new(),
        percents: Vec::new(),
        dir: if shared_memory.is_dir() { shared_memory.to_owned() } else { env::temp_dir() },
        threads: thread::available_parallelism().map_or(1, usize::from),
    };
    // Cargo passes `--bench` to every benchmark.
    let mut words = words.filter(|word| word != "--bench");
    while let Some(option) = words.next() {
        if option == "--help" {
            return Ok(None);
        }
        let value = words.next().ok_or_else(|| format!("{option} wants a value, or is unknown: see --help"))?;
        match option.as_str() {
            "--seed" => arguments.seed = value.parse()?,
            "--requests" => arguments.extent.requests = value.parse()?,
            "--objects" => arguments.extent.objects = value.parse()?,
            "--trace" => arguments.traces.push(value),
            "--cache" => arguments.percents.push(value.parse()?),
            "--dir" => arguments.dir = value.into(),
            "--threads" => arguments.threads = value.parse()?,
            _ => return Err(format!("{option} is unknown: see --help").into()),
        }
    }
    if let Some(unknown) = arguments.traces.iter().find(|wanted| !TRACES.iter().any(|(name, ..)| name == wanted)) {
        return Err(format!("there is no trace {unknown}: see --help").into());
    }
    if arguments.percents.is_empty() {
        arguments.percents.extend(CACHE_PERCENTS);
    }
    Ok(Some(arguments))
}

fn run_all(arguments: &Arguments) -> Outcome<Vec<Row>> {
    let is_wanted = |name: &str| arguments.traces.is_empty() || arguments.traces.iter().any(|wanted| wanted == name);
    let wanted: Vec<_> = TRACES.iter().filter(|(name, ..)| is_wanted(name)).collect();
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let play = || -> Outcome<()> {
        while let Some((name, _, make)) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            let trace = make(&mut Random::of_seed(arguments.seed), arguments.extent);
            for percent in &arguments.percents {
                let row = run(&trace, *percent, &arguments.dir)?;
                let mut rows = rows.lock().map_err(|_| "another thread failed")?;
                rows.push(row);
                let total = wanted.len() * arguments.percents.len();
                writeln!(io::stderr(), "{:>3} of {total}: {name}, {percent} %", rows.len())?;
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..arguments.threads.max(1)).map(|_| scope.spawn(play)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })?;
    let mut rows = rows.into_inner().map_err(|_| "a thread failed")?;
    let order = |row: &Row| TRACES.iter().position(|(name, ..)| *name == row.trace);
    rows.sort_by_key(|row| (order(row), row.percent));
    Ok(rows)
}

fn run(trace: &Trace, percent: u32, dir: &Path) -> Outcome<Row> {
    let max_bytes = (trace.working_set_bytes * u64::from(percent) / 100).max(MIN_MAX_BYTES);
    let dir = tempfile::tempdir_in(dir)?;
    let store = play_to_store(trace, &mut StoreCache::create(dir.path(), max_bytes, trace.ttl_ms)?);
    drop(dir);
    let scores = |capacity| POLICIES.map(|(_, make)| play_to_policy(trace, make(trace, capacity).as_mut()));
    Ok(Row {
        trace: trace.name,
        percent,
        max_bytes,
        store,
        within_live_bytes: scores(store.live_bytes),
        within_max_bytes: scores(max_bytes),
    })
}
