//! `sharedance`: the command for operators of a server. Its only subcommand is `sharedance bench`.

#[cfg(not(target_os = "linux"))]
compile_error!("the command `sharedance` needs Linux: epoll, and /proc to see what a server costs");

mod bench;
mod options;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use options::{Command, Options};

fn main() -> ExitCode {
    let outcome = match Options::parse().command {
        Command::Bench(options) => bench::run(&options),
    };
    match outcome.and_then(|report| Ok(io::stdout().write_all(report.as_bytes())?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sharedance: {error}");
            ExitCode::FAILURE
        }
    }
}
