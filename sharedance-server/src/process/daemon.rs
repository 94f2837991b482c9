//! Going into the background.
//!
//! The parent stays on the terminal until the child says that it serves, or has died: what goes wrong while starting
//! is seen by whoever started it, and by its exit status.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::process::ExitCode;

use log::error;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

/// What the child sends when it serves.
const READY: &[u8] = b"ready";

/// Which side of the fork we are on.
#[derive(Debug)]
pub enum Side {
    /// The process that was started: to end with this code.
    Parent(ExitCode),
    /// The one that goes on.
    Child(Background),
}

/// The child's means to say that it is ready, and to leave the terminal then.
#[derive(Debug)]
pub struct Background {
    parent: PipeWriter,
    null: File,
}

/// Forks. The parent returns when the child is [ready](Background::ready), or has died. To be called while there is
/// one thread only.
///
/// # Errors
/// The system refuses, in the parent or in the child.
pub fn daemonize() -> io::Result<Side> {
    let (from_child, parent) = io::pipe()?;
    // Opened now: the child will not see it any more from within its own root directory.
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    match fork()? {
        ForkResult::Parent { child } => {
            drop(parent);
            Ok(Side::Parent(wait_for(child, from_child)))
        }
        ForkResult::Child => {
            drop(from_child);
            rustix::process::setsid()?;
            Ok(Side::Child(Background { parent, null }))
        }
    }
}

impl Background {
    /// Leaves the terminal, and lets the parent end with success.
    ///
    /// # Errors
    /// The terminal cannot be left, or the parent is gone.
    pub fn ready(mut self) -> io::Result<()> {
        rustix::stdio::dup2_stdin(&self.null)?;
        rustix::stdio::dup2_stdout(&self.null)?;
        rustix::stdio::dup2_stderr(&self.null)?;
        self.parent.write_all(READY)
    }
}

fn wait_for(child: Pid, mut from_child: PipeReader) -> ExitCode {
    let mut said = Vec::new();
    // Ends when the child has said it, or with the child.
    let _ = from_child.read_to_end(&mut said);
    if said == READY {
        return ExitCode::SUCCESS;
    }
    // The child has told why on the terminal, if it could.
    match waitpid(child, None) {
        Ok(WaitStatus::Exited(_, code)) => {
            u8::try_from(code).map_or(ExitCode::FAILURE, |code| ExitCode::from(code.max(1)))
        }
        Ok(WaitStatus::Signaled(_, signal, _)) => {
            error!("the server was ended by {signal:?} while it started");
            ExitCode::FAILURE
        }
        _ => ExitCode::FAILURE,
    }
}

#[allow(unsafe_code)]
fn fork() -> io::Result<ForkResult> {
    // SAFETY: with one thread, which `daemonize` asks its callers for, the child has no lock that a vanished thread
    // held, and may do whatever the parent could.
    Ok(unsafe { nix::unistd::fork() }?)
}
