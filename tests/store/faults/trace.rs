//! A process under `strace`: the calls that it makes, and its result if one of them fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::work::{BEGIN, DIRECTORY, END, MODE, TEST};

/// The number of random bytes that a store draws for its identity.
const RANDOM_LEN: usize = 24;

/// The N-th call of this name by the working thread.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) number: usize,
    /// For messages: its arguments in the run without failures.
    pub(crate) arguments: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) call: Call,
    pub(crate) error: &'static str,
}

#[derive(Debug)]
#[allow(dead_code)]
pub(crate) struct Outcome {
    pub(crate) is_well: bool,
    pub(crate) was_hit: bool,
    /// Number of the store's calls that returned an error.
    pub(crate) errors: usize,
    pub(crate) was_read_only: bool,
    /// For messages: the output of the process.
    said: String,
}

/// Runs the process in an empty directory. Returns the trace and the result.
fn trace(mode: usize, parent: &Path, calls: &str, fault: Option<&Fault>) -> Option<(String, Output)> {
    let dir = tempfile::tempdir_in(parent).unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-s", "256", "-e"]).arg(format!("trace={calls}")).arg("-o").arg(log.path());
    if let Some(Fault { call, error }) = fault {
        strace.arg("-e").arg(format!("inject={}:error={error}:when={}", call.name, call.number));
    }
    // On one processor, so that recovery starts no threads and calls come in the same order.
    let program = std::env::current_exe().unwrap();
    strace.args(["taskset", "-c", "0"]).arg(program).args([TEST, "--exact", "--nocapture", "--test-threads=1"]);
    let output = strace
        .env(DIRECTORY, dir.path().join("store"))
        .env(MODE, mode.to_string())
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    Some((fs::read_to_string(log.path()).unwrap(), output))
}

/// Returns all calls that the store makes if none fails, or `None` if nothing can be traced.
pub(crate) fn calls(mode: usize, parent: &Path, calls: &str) -> Option<Vec<Call>> {
    let (log, output) = trace(mode, parent, calls, None)?;
    if !log.contains(BEGIN) {
        assert!(!output.status.success(), "{output:?}");
        return None;
    }
    assert!(output.status.success(), "{output:?}");
    let worker = log.lines().find(|line| line.contains(BEGIN))?.split_whitespace().next()?.to_owned();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    let mut is_working = false;
    for line in log.lines().filter(|line| line.split_whitespace().next() == Some(&worker)) {
        let Some((name, arguments)) = line[worker.len()..].trim_start().split_once('(') else { continue };
        let number = counts.entry(name.to_owned()).or_default();
        *number += 1;
        is_working = (is_working || arguments.contains(BEGIN)) && !arguments.contains(END);
        if is_working && !arguments.contains(BEGIN) && is_of_the_store(name, arguments) {
            found.push(Call { name: name.to_owned(), number: *number, arguments: arguments.to_owned() });
        }
    }
    Some(found)
}

/// The allocator maps memory and gives advice on it as well, and the standard library draws random numbers for its
/// maps: those calls do not fail here.
fn is_of_the_store(name: &str, arguments: &str) -> bool {
    match name {
        "mmap" => arguments.contains("MAP_SHARED"),
        "madvise" => arguments.contains("MADV_POPULATE_WRITE") || arguments.contains("0x17"),
        "getrandom" => arguments.contains(&format!(" {RANDOM_LEN}, ")),
        _ => true,
    }
}

pub(crate) fn run(mode: usize, parent: &Path, calls: &str, fault: Option<&Fault>) -> Outcome {
    let (log, output) = trace(mode, parent, calls, fault).unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let number = |what: &str| {
        let (_, rest) = said.split_once(&format!("{what}="))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    Outcome {
        is_well: output.status.success() && said.contains("errors="),
        was_hit: log.contains("(INJECTED)"),
        errors: number("errors").unwrap_or(0),
        was_read_only: number("read_only") == Some(1),
        said,
    }
}
