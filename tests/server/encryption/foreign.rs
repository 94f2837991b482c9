//! Clients that were written by others, where they are installed.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::certificates::write;
use crate::site::Site;

/// Runs a program with this input. Returns its output, or `None` if it is not installed.
fn run(command: &mut Command, input: &[u8]) -> Option<String> {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            eprintln!("left out: {command:?}: {error}");
            return None;
        }
    };
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn openssl_and_curl_are_served() {
    let site = Site::start(&["--threads=1"]);
    let authority = site.directory().join("authority.pem");
    write(&authority, &site.authority.pem());
    let address = site.address();
    for version in ["-tls1_2", "-tls1_3"] {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-verify_return_error", version, "-CAfile"]).arg(&authority);
        command.args(["-servername", "localhost", "-connect", &address.to_string()]);
        if let Some(output) = run(&mut command, b"set k 0 0 5\r\nhello\r\nget k\r\nquit\r\n") {
            assert!(output.contains("STORED\r\nVALUE k 0 5\r\nhello\r\nEND\r\n"), "{version}: {output}");
        }
    }
    let mut command = Command::new("curl");
    // A protocol without a framing of its own.
    command.args(["-sS", "--max-time", "20", "--cacert"]).arg(&authority);
    command.arg(format!("https://localhost:{}/", address.port()));
    if let Some(output) = run(&mut command, b"") {
        // The handshake succeeds, and the response is not one of HTTP.
        assert!(output.contains("HTTP/0.9") && !output.contains("certificate"), "{output}");
    }
}
