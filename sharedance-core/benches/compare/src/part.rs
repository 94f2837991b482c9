//! The parts of the benchmark that run in processes of their own, so that no peer inherits the memory of another and
//! some can be killed.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::peer::{self, Result};
use crate::sample::Sample;
use crate::workload::Load;
use crate::{cycle, expiring, flusher, reopening};

/// One turn of a peer.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Run {
    #[arg(long)]
    pub(crate) peer: String,
    #[arg(long)]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) load: Load,
}

/// The task of a process.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Part {
    /// Run all phases once
    #[command(hide = true)]
    Cycle(Run),
    /// Write until killed
    #[command(hide = true)]
    Victim(Run),
    /// Open the files of a killed process
    #[command(hide = true)]
    Reopen(Run),
    /// Open the files of a killed process, without cached pages
    #[command(hide = true)]
    ReopenCold(Run),
    /// Open the store's files as after a reboot
    #[command(hide = true)]
    Reboot(Run),
    /// Let all pairs of a store expire
    #[command(hide = true)]
    Expire(Run),
    /// Flush the files of a directory until killed
    #[command(hide = true)]
    Flush {
        #[arg(long)]
        dir: PathBuf,
    },
}

impl Part {
    /// Runs in this process.
    pub(crate) fn run(&self) -> Result<()> {
        let print = |sample: Sample| sample.write(io::stdout().lock());
        match self {
            Part::Cycle(run) => print(cycle::run(peer::kind(&run.peer)?, &run.load, &run.dir)?),
            Part::Victim(run) => reopening::be_killed(peer::kind(&run.peer)?, &run.load, &run.dir),
            Part::Reopen(run) => reopening::reopen(peer::kind(&run.peer)?, &run.load, &run.dir),
            Part::ReopenCold(run) => reopening::reopen_cold(peer::kind(&run.peer)?, &run.load, &run.dir),
            Part::Reboot(run) => print(reopening::reboot(&run.load, &run.dir)?),
            Part::Expire(run) => print(expiring::run(&run.load, &run.dir)?),
            Part::Flush { dir } => flusher::run(dir),
        }
    }

    /// Returns the command that runs this part in another process.
    pub(crate) fn command(&self) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.stdin(Stdio::null());
        let (name, run) = match self {
            Part::Cycle(run) => ("cycle", run),
            Part::Victim(run) => ("victim", run),
            Part::Reopen(run) => ("reopen", run),
            Part::ReopenCold(run) => ("reopen-cold", run),
            Part::Reboot(run) => ("reboot", run),
            Part::Expire(run) => ("expire", run),
            Part::Flush { dir } => {
                command.args(["flush", "--dir"]).arg(dir);
                return Ok(command);
            }
        };
        let number = |value: usize| value.to_string();
        command.args([name, "--peer", &run.peer]).arg("--dir").arg(&run.dir);
        command.args(["--keys", &number(run.load.keys), "--value-len", &number(run.load.value_len)]);
        command.args(["--threads", &number(run.load.threads), "--seed", &run.load.seed.to_string()]);
        Ok(command)
    }

    /// Runs in another process, and returns its measurements.
    pub(crate) fn sample(&self) -> Result<Sample> {
        let output = self.command()?.stderr(Stdio::inherit()).output()?;
        let killed = output.status.signal() == Some(Signal::KILL.as_raw());
        let ended_as_expected = match self {
            Part::Reopen(_) | Part::ReopenCold(_) => killed,
            _ => output.status.success(),
        };
        if !ended_as_expected {
            return Err(format!("a measuring process failed: {}", output.status).into());
        }
        Sample::read(&output.stdout[..])
    }
}
