//! Measures the store side by side with other key/value stores, in one run: see README.md.

mod cycle;
mod expiring;
mod flusher;
mod goals;
mod ledger;
mod machine;
mod options;
mod part;
mod pass;
mod peer;
mod peers;
mod plot;
mod reopening;
mod rounds;
mod sample;
mod table;
mod usage;
mod workload;

use std::process::ExitCode;

use clap::Parser;

use options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.part {
        Some(part) => part.run(),
        None => rounds::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sharedance-compare: {error}");
            ExitCode::FAILURE
        }
    }
}
