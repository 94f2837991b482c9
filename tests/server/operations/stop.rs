//! What a stop waits for.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use sharedance_test_support::server::{Server, command, store};

/// Makes every sync of a running server fail, by attaching a tracer to it. Returns `None` if there is no tracer, or it may
/// not trace.
fn fail_syncs(server: &Server) -> Option<std::process::Child> {
    let mut strace = Command::new("strace");
    let calls = "fsync,fdatasync,msync,syncfs,sync_file_range";
    strace.args(["-f", "-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:error=EIO"), "-o", "/dev/null"]);
    strace.args(["-p", &server.pid().to_string()]);
    let mut tracer = strace.stderr(Stdio::piped()).spawn().ok()?;
    let mut lines = BufReader::new(tracer.stderr.take()?).lines().map_while(Result::ok);
    let is_attached = lines.any(|line| line.contains("attached"));
    // The tracer ends when its output is not read.
    std::thread::spawn(move || lines.for_each(drop));
    is_attached.then_some(tracer)
}

fn stop_without_a_disk(directory: &Path, durability: &str) -> Option<(bool, String)> {
    // No sync is due before the stop.
    let arguments = ["--durability", durability, "--sync-interval=1h"];
    let server = Server::spawn(command(directory).args(arguments)).unwrap();
    let mut tracer = fail_syncs(&server)?;
    assert_eq!(server.ask(&store(b"k", &[b'v'; 100_000])), b"OK\n");
    let (status, log) = server.terminate();
    tracer.wait().unwrap();
    Some((status.success(), log))
}

/// A stop waited until the disk had taken all pairs, and the port stayed taken meanwhile, although nothing was promised.
#[test]
fn a_stop_waits_for_the_disk_only_where_pairs_are_to_survive_a_power_cut() {
    let directory = tempfile::tempdir().unwrap();
    let Some((is_success, log)) = stop_without_a_disk(&directory.path().join("os"), "os") else {
        eprintln!("skipped: strace is missing, or may not trace");
        return;
    };
    assert!(is_success, "{log}");
    let (is_success, log) = stop_without_a_disk(&directory.path().join("interval"), "interval").unwrap();
    assert!(!is_success, "{log}");
    assert!(log.contains("cannot sync the store"), "{log}");
}
