//! What the benchmark does in processes of its own, so that no peer inherits another's memory, and some can be killed.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::peer::{self, Result};
use crate::sample::Sample;
use crate::workload::Load;
use crate::{cycle, expiring, flusher, reopening};

/// One peer's turn.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Run {
    #[arg(long)]
    pub(crate) peer: String,
    #[arg(long)]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) load: Load,
}

/// What a process is started for.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Part {
    /// All phases once
    #[command(hide = true)]
    Cycle(Run),
    /// Write until killed
    #[command(hide = true)]
    Victim(Run),
    /// Open what a killed process left
    #[command(hide = true)]
    Reopen(Run),
    /// The same, of which nothing is in memory
    #[command(hide = true)]
    ReopenCold(Run),
    /// Open what the store left, in another boot
    #[command(hide = true)]
    Reboot(Run),
    /// Let everything in a store expire
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
    /// Does it, in this process.
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

    /// The command that does it in another process.
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

    /// Does it in another process, and answers what that measured.
    pub(crate) fn sample(&self) -> Result<Sample> {
        let output = self.command()?.stderr(Stdio::inherit()).output()?;
        let killed = output.status.signal() == Some(Signal::KILL.as_raw());
        let as_it_should = match self {
            Part::Reopen(_) | Part::ReopenCold(_) => killed,
            _ => output.status.success(),
        };
        if !as_it_should {
            return Err(format!("a measuring process failed: {}", output.status).into());
        }
        Sample::read(&output.stdout[..])
    }
}
