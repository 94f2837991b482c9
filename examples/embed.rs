//! Embeds the store in a program: a cache of slow results that the program's threads share and that survives the
//! program.
//!
//! ```text
//! cargo run -p sharedance-core --example embed -- DIRECTORY
//! ```
//!
//! Run it twice: the second run finds all results. Kill it half-way (`kill -9`): the stored results are kept.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sharedance_core::store::{Options, Store};

const THREADS: u64 = 4;
const NUMBERS: u64 = 2_000;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).ok_or("usage: embed DIRECTORY")?;
    let store = Options::new().default_ttl(Duration::from_secs(60)).open(&directory)?;
    eprintln!("opened: {}", store.recovery());

    let started = Instant::now();
    let computed = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (store, computed) = (&store, &computed);
        let spawn = |worker| scope.spawn(move || work(worker, store, computed));
        let workers: Vec<_> = (0..THREADS).map(spawn).collect();
        let results =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err("a worker panicked".into())));
        results.collect::<Result<Vec<()>, _>>().map_err(|error| error.to_string())
    })?;

    let computed = computed.into_inner();
    eprintln!("{computed} computed, {} found, in {:?}", THREADS * NUMBERS - computed as u64, started.elapsed());
    eprintln!("now: {}", store.stats());
    Ok(())
}

/// Requests many results, most of which another worker requests as well.
fn work(worker: u64, store: &Store, computed: &AtomicUsize) -> Result<(), Box<dyn Error + Send + Sync>> {
    for step in 0..NUMBERS {
        let number = (step * (worker + 1)) % NUMBERS;
        let key = format!("collatz:{number}");
        if !store.contains(&key) {
            store.set(&key, collatz_steps(number + 1).to_string())?;
            computed.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

fn collatz_steps(mut number: u64) -> u64 {
    let mut steps = 0;
    while number != 1 {
        number = if number.is_multiple_of(2) { number / 2 } else { 3 * number + 1 };
        steps += 1;
    }
    steps
}
