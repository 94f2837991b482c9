//! Running in the background.
//!
//! The parent process stays on the terminal until the child serves or has ended, so that a failure to start is visible on
//! the terminal and in the exit status.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::process::ExitCode;

use log::error;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

/// What the child sends once it serves.
const READY: &[u8] = b"ready";

/// The two processes after the fork.
#[derive(Debug)]
pub enum Side {
    /// The process that was started. It exits with this code.
    Parent(ExitCode),
    /// The process that serves.
    Child(Background),
}

/// Reports that the child is ready, and detaches it from the terminal.
#[derive(Debug)]
pub struct Background {
    parent: PipeWriter,
    null: File,
}

/// Forks. The parent returns when the child is [ready](Background::ready) or has ended. Called while the process has one
/// thread.
///
/// # Errors
/// A system call failed, in the parent or in the child.
pub fn daemonize() -> io::Result<Side> {
    let (from_child, parent) = io::pipe()?;
    // Opened now: it is not visible from the root directory that the child will have.
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
    /// Detaches from the terminal, and lets the parent exit with success.
    ///
    /// # Errors
    /// A system call failed, or the parent has ended.
    pub fn ready(mut self) -> io::Result<()> {
        rustix::stdio::dup2_stdin(&self.null)?;
        rustix::stdio::dup2_stdout(&self.null)?;
        rustix::stdio::dup2_stderr(&self.null)?;
        self.parent.write_all(READY)
    }
}

fn wait_for(child: Pid, mut from_child: PipeReader) -> ExitCode {
    let mut received = Vec::new();
    // Returns when the child is ready or has ended.
    let _ = from_child.read_to_end(&mut received);
    if received == READY {
        return ExitCode::SUCCESS;
    }
    // The child has printed the reason on the terminal.
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
    // SAFETY: the process has one thread, which `daemonize` requires of its callers. So the child has no lock that a thread
    // of the parent holds, and may call any function.
    Ok(unsafe { nix::unistd::fork() }?)
}
