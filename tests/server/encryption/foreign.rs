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
    // The handshake succeeds, and the server closes the connection after the HTTP request. Without the authority, curl does not send it.
    for (authority, expected) in [(Some(&authority), "Empty reply"), (None, "certificate")] {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "20"]);
        if let Some(authority) = authority {
            command.arg("--cacert").arg(authority);
        }
        command.arg(format!("https://localhost:{}/", address.port()));
        if let Some(output) = run(&mut command, b"") {
            assert!(output.contains(expected), "{output}");
        }
    }
}
