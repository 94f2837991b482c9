//! `sharedance bench` as a command: its reports on real servers, and its errors.

// A helper that fails panics, which fails the test.
#![allow(clippy::unwrap_used)]

#[path = "../support/auth_file.rs"]
mod auth_file;
#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/memcached.rs"]
mod memcached;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/sharedanced.rs"]
mod sharedanced;

use std::io::Write;
use std::process::{Command, Output};
use std::time::Instant;

use auth_file::auth_file;
use certificates::{Authority, Valid};
use memcached::Memcached;
use peer::{hold, listen};
use sharedance_server::ServerOptions;
use sharedanced::Sharedanced;

fn bench(server: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sharedance"));
    command.args(["bench", server, "--warm-up=0.01", "--keys=100", "--quiet"]).args(arguments);
    command.output().unwrap()
}

/// The report of a successful run.
#[track_caller]
fn json(server: &str, arguments: &[&str]) -> serde_json::Value {
    let output = bench(server, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn count(report: &serde_json::Value, name: &str) -> u64 {
    report[name].as_u64().unwrap()
}

#[test]
fn every_dialect_of_a_sharedanced() {
    let server = Sharedanced::start();
    for (dialect, depth) in [("classic", "1"), ("text", "1"), ("text", "7"), ("meta", "1"), ("meta", "16")] {
        let arguments = ["--dialect", dialect, "--depth", depth, "--requests=2000", "-c3", "-t2", "--value-len=8-3000"];
        let report = json(server.address(), &arguments);
        let requests = count(&report, "requests");
        assert!(requests >= 2000, "{report}");
        assert_eq!(count(&report, "hits") + count(&report, "stored"), requests, "{report}");
        assert!(count(&report, "hits") > 0 && count(&report, "stored") > 0 && count(&report, "misses") == 0);
        let latency = |name: &str| report["latency_us"][name].as_f64().unwrap();
        assert!(0.0 < latency("p50") && latency("p50") <= latency("p99") && latency("p99") <= latency("max"));
        assert!(report["client_cpu_us"].as_f64().unwrap() > 0.0, "{report}");
    }
}

#[test]
fn memcached_is_measured_too() {
    let server = Memcached::start(&[]);
    for dialect in ["text", "meta"] {
        let report = json(server.address(), &["--dialect", dialect, "--requests=1000", "--zipf", "--gets=90"]);
        assert!(count(&report, "hits") > count(&report, "stored"), "{report}");
        assert!(report["server_cpu_us"].as_f64().unwrap() > 0.0, "{report}");
    }
}

#[test]
fn keys_that_were_not_stored_are_misses() {
    let server = Sharedanced::start();
    let report = json(server.address(), &["--no-fill", "--gets=100", "--requests=500"]);
    assert_eq!(count(&report, "misses"), count(&report, "requests"));
}

#[test]
fn a_rate_is_kept_and_not_exceeded() {
    let server = Sharedanced::start();
    let started = Instant::now();
    let report = json(server.address(), &["--rate=2000", "--duration=0.5", "-c5", "-t2"]);
    let due = (2000.0 * started.elapsed().as_secs_f64()) as u64;
    assert!((1..=due).contains(&count(&report, "requests")), "{due}: {report}");
}

#[test]
fn latency_counts_from_when_a_request_was_due() {
    // The server sleeps before every response: requests queue up.
    let server = listen(|stream| {
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stream.try_clone()?));
        while lines.next().transpose()?.is_some() {
            std::thread::sleep(std::time::Duration::from_millis(10));
            (&stream).write_all(b"EN\r\n")?;
        }
        Ok(())
    });
    let arguments = ["--no-fill", "--gets=100", "-c1", "--duration=0.6"];
    let eager = json(&server, &arguments);
    let due = json(&server, &[&arguments[..], &["--rate=1000"]].concat());
    let median = |report: &serde_json::Value| report["latency_us"]["p50"].as_f64().unwrap();
    assert!(median(&eager) >= 10_000.0);
    // Ten requests become due for each response: after half of the run, the queue is at least a quarter of a second
    // long.
    assert!(median(&due) >= 200_000.0, "{due}");
}

#[test]
fn a_server_with_tls() {
    let authority = Authority::new();
    let issued = authority.issue(&["127.0.0.1"], Valid::Now);
    let files = format!("ssl_chain_cert={},ssl_key={}", issued.cert.display(), issued.key.display());
    let server = Memcached::start(&["-Z", "-o", &files]);
    let (address, ca) = (format!("tls://{}", server.address()), format!("--ca={}", authority.file().display()));
    for depth in ["--depth=1", "--depth=16"] {
        let report = json(&address, &[&ca, depth, "--separate-records", "--requests=1000", "-c3", "-t2"]);
        assert!(count(&report, "requests") >= 1000 && count(&report, "misses") == 0, "{report}");
        assert_eq!(count(&report, "full_handshakes") + count(&report, "resumed_handshakes"), 0, "{report}");
        assert!(
            report["server_rss"].as_u64() > report["server_rss_before"].as_u64().map(|bytes| bytes / 2),
            "{report}"
        );
    }
    let full = json(server.address(), &["--tls", &ca, "--new-connections", "--no-resumption", "--requests=20"]);
    assert!(count(&full, "full_handshakes") >= 20 && count(&full, "resumed_handshakes") == 0, "{full}");
    let resumed = json(server.address(), &["--tls", &ca, "--new-connections", "--requests=20", "-c2"]);
    assert!(count(&resumed, "resumed_handshakes") >= 20 && count(&resumed, "full_handshakes") == 0, "{resumed}");

    let output = bench(&address, &[&format!("--ca={}", Authority::named("other").file().display())]);
    assert!(!output.status.success() && String::from_utf8(output.stderr).unwrap().contains("TLS"));
}

#[test]
fn a_server_with_credentials_on_a_unix_socket() {
    let (directory, path) = auth_file("ada:secret\n");
    let mut options = ServerOptions::default();
    options.access.auth_file = Some(path);
    let socket = directory.path().join("s.sock");
    options.listen = vec![format!("unix:{}", socket.display()).parse().unwrap()];
    let server = Sharedanced::start_with(options);
    let (_right, right) = auth_file("secret\n");
    let (_wrong, wrong) = auth_file("secret2");
    let file = |path: &std::path::Path| format!("--password-file={}", path.display());
    for arguments in [&["--depth=4"][..], &["--new-connections"], &["--dialect=text"]] {
        let password = file(&right);
        let arguments = [arguments, &["--user=ada", &password, "--requests=100"]].concat();
        let report = json(server.address(), &arguments);
        assert_eq!(count(&report, "misses"), 0, "{report}");
    }
    let output = bench(server.address(), &["--user=ada", &file(&wrong)]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("authentication failure") && !message.contains("secret"), "{message}");

    let mut command = Command::new(env!("CARGO_BIN_EXE_sharedance"));
    command.args(["bench", "--user=ada", "--requests=100", "--keys=100", "--quiet", "--unix"]).arg(&socket);
    assert!(command.env("SHAREDANCE_PASSWORD", "secret").output().unwrap().status.success());
    let output = command.env_remove("SHAREDANCE_PASSWORD").output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("--password-file"));
}

#[test]
fn new_connections_without_tls() {
    let server = Sharedanced::start();
    let report = json(server.address(), &["--new-connections", "--requests=500", "-c3", "-t2", "--depth=2"]);
    assert!(count(&report, "requests") >= 500 && count(&report, "misses") == 0, "{report}");
    assert_eq!(report["tls"], false);
}

#[test]
fn the_text_report_has_all_parts() {
    let server = Sharedanced::start();
    let output = bench(server.address(), &["--requests=200", "--value-len=100-200"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    for part in
        ["meta on 127.0.0.1", "values of 100 to 200 bytes", "a second", " hits, 0 misses, ", "p99.9", "server CPU"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn errors_are_reported() {
    let refused = |server: &str, arguments: &[&str], part: &str| {
        let output = bench(server, arguments);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && output.stdout.is_empty());
        assert!(message.contains(part), "{message}");
    };
    refused("127.0.0.1:1", &[], "refused");
    refused("no..name:1", &[], "cannot resolve");
    refused("127.0.0.1:1", &["--dialect=classic", "--depth=2"], "--depth must be 1");
    refused("127.0.0.1:1", &["-c1", "-t2"], "--threads");
    refused("127.0.0.1:1", &["--no-resumption"], "--tls");
    refused("127.0.0.1:1", &["--new-connections", "--rate=5"], "--rate");
    refused("127.0.0.1:1", &["--user=ada", "--password-file=/none"], "/none");
    refused("127.0.0.1:1", &["--tls", "--ca=/none"], "/none");
    let foreign = listen(|mut stream| {
        stream.write_all(b"SSH-2.0-OpenSSH\r\n")?;
        hold(stream)
    });
    refused(&foreign, &[], "the server said: SSH-2.0-OpenSSH");
    let closing = listen(drop_it);
    refused(&closing, &["-t2"], "");
}

fn drop_it(stream: std::net::TcpStream) -> std::io::Result<()> {
    drop(stream);
    Ok(())
}
