//! Compares how credentials are sent, and what is refused without them, with memcached: `-Y` in the text dialect, and `-S` in
//! the binary one.
//!
//! Wrong credentials end a connection to sharedanced. memcached continues, so that its responses are compared up to that one.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::chance::Chance;
use crate::peers::Memcached;
use crate::script::pick;
use crate::server::{AMPLE, Server, answer};

const ROUNDS: u64 = 300;
const USERS: &str = "foo:bar\nbaaaz:quux\n";

/// What ends a connection to sharedanced.
const ENDS: [&str; 3] = [
    "CLIENT_ERROR authentication failure\r\n",
    "CLIENT_ERROR bad authentication token format\r\n",
    // After a `set` whose length is not a number.
    "CLIENT_ERROR unauthenticated\r\n",
];

/// A memcached with these arguments. `None` if it is not installed, or does not start.
fn memcached(directory: &Path, arguments: &[&str]) -> Option<(Memcached, PathBuf)> {
    let socket = directory.join("memcached");
    let mut program = Program::new("memcached");
    program.arg("-s").arg(&socket).args(["-u", "root", "-t", "1", "-m", "64"]).args(arguments);
    program.env("SASL_CONF_PATH", directory);
    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut memcached = Memcached(program.spawn().ok()?);
    let deadline = Instant::now() + AMPLE;
    while UnixStream::connect(&socket).is_err() {
        if memcached.0.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(Instant::now() < deadline, "memcached does not respond");
        thread::sleep(Duration::from_millis(5));
    }
    Some((memcached, socket))
}

fn auth_file(directory: &TempDir, contents: &str) -> PathBuf {
    let path = directory.path().join("auth");
    fs::write(&path, contents).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    path
}

/// The first `len` bytes of the responses of memcached, or fewer if it closes. Until the credentials were right, memcached
/// loses responses to requests that it reads at once: the first `one_by_one` of the pieces are sent after the response to
/// the one before.
fn theirs(socket: &Path, pieces: &[Vec<u8>], one_by_one: usize, len: usize) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(AMPLE)).unwrap();
    let mut received = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        if received.len() >= len {
            break;
        }
        stream.write_all(piece).unwrap();
        let so_far = received.len();
        while number < one_by_one && !received[so_far..].ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            received.push(byte[0]);
        }
    }
    let missing = len.saturating_sub(received.len());
    let _ = stream.take(missing as u64).read_to_end(&mut received).unwrap();
    received.truncate(len);
    received
}

/// Sends the scripts on a connection each, and returns the responses. The server delays some of them.
fn ours(server: &Server, scripts: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let send = |sent: &Vec<u8>| {
        let mut stream = server.connect();
        stream.write_all(sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream
    };
    let open: Vec<_> = scripts.iter().map(send).collect();
    open.into_iter().map(|mut stream| answer(&mut stream).unwrap()).collect()
}

/// Lines without a data block, credentials, and then more lines; and how many of them end with the credentials.
fn script(chance: &mut Chance, key: &str) -> (Vec<Vec<u8>>, usize) {
    const LINES: [&str; 10] =
        ["get k", "gets k j", "version", "mn", "mg k v", "delete k", "incr k 1", "touch k 0", "flush_all", "unknown"];
    const CREDENTIALS: [&str; 13] = [
        "set a 0 0 7\r\nfoo bar",
        "set some-key 12 100 10\r\nbaaaz quux",
        "set a 0 -1 7\r\nfoo bar",
        "set  a  0  0  7\r\nfoo bar",
        "set a 0 0 7 noreply\r\nfoo bar",
        "set a 0 0 7\r\nfoo baz",
        "set a 0 0 8\r\nfoo bart",
        "set a 0 0 6\r\nfoo ba",
        "set a 0 0 7\r\nfo obar",
        "set a 0 0 8\r\nfoo quux",
        "set a 0 0 6\r\nfoobar",
        "set a 0 0 0\r\n",
        "set a 0 0 x",
    ];
    let mut script = Vec::new();
    let mut push = |line: &str| script.push(format!("{line}\r\n").into_bytes());
    let before = chance.below(3);
    for _ in 0..before {
        push(pick(chance, &LINES));
    }
    push(pick(chance, &CREDENTIALS));
    for _ in 0..1 + chance.below(3) {
        let line = pick(chance, &["get k", "set k 0 0 3\r\nfoo", "delete k", "mg k v", "mn", "set k 0 0 7\r\nfoo bar"]);
        push(&line.replace(" k", &format!(" {key}")));
    }
    push("mn");
    (script, before as usize + 1)
}

#[test]
fn memcached_takes_the_same_credentials() {
    let directory = tempfile::tempdir().unwrap();
    let file = auth_file(&directory, USERS);
    let Some((_memcached, socket)) = memcached(directory.path(), &["-Y", file.to_str().unwrap()]) else {
        eprintln!("skipped: there is no memcached to compare with");
        return;
    };
    let server = Server::start(&directory.path().join("data"), &[&format!("--auth-file={}", file.display())]);
    let mut chance = Chance(1);
    let scripts: Vec<_> = (0..ROUNDS).map(|n| script(&mut chance, &format!("key-{n}"))).collect();
    let (mut logged_in, mut ended) = (0, 0);
    for scripts in scripts.chunks(100) {
        let joined: Vec<_> = scripts.iter().map(|(pieces, _)| pieces.concat()).collect();
        for ((pieces, one_by_one), ours) in scripts.iter().zip(ours(&server, &joined)) {
            let theirs = String::from_utf8(theirs(&socket, pieces, *one_by_one, ours.len())).unwrap();
            let ours = String::from_utf8(ours).unwrap();
            assert_eq!(theirs, ours, "{}", pieces.concat().escape_ascii());
            let is_logged_in = ours.ends_with("MN\r\n");
            assert!(is_logged_in || ENDS.iter().any(|end| ours.ends_with(end)), "{ours:?}");
            logged_in += u64::from(is_logged_in);
            ended += u64::from(!is_logged_in);
        }
    }
    assert!(logged_in > ROUNDS / 5 && ended > ROUNDS / 5, "{logged_in} {ended}");
}

#[test]
fn memcached_refuses_the_same_frames_without_credentials() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("memcached.conf"), "mech_list: plain\nlog_level: 0\n").unwrap();
    let Some((_memcached, socket)) = memcached(directory.path(), &["-S"]) else {
        eprintln!("skipped: there is no memcached with SASL to compare with");
        return;
    };
    let file = auth_file(&directory, USERS);
    let server = Server::start(&directory.path().join("data"), &[&format!("--auth-file={}", file.display())]);
    let frame = |opcode: u8, extras: &[u8], key: &[u8], value: &[u8]| {
        let mut frame = vec![0x80, opcode, 0, key.len() as u8, extras.len() as u8, 0, 0, 0];
        frame.extend_from_slice(&((extras.len() + key.len() + value.len()) as u32).to_be_bytes());
        frame.extend_from_slice(&[7, 7, 7, opcode, 0, 0, 0, 0, 0, 0, 0, 0]);
        [&frame[..], extras, key, value].concat()
    };
    let mut scripts: Vec<Vec<u8>> = (0..=u8::MAX)
        .filter(|opcode| !matches!(opcode, 0x0b | 0x20..=0x22))
        .map(|opcode| match opcode {
            0x01..=0x03 | 0x11..=0x13 => frame(opcode, &[0; 8], b"k", b"v"),
            0x05 | 0x06 | 0x15 | 0x16 => frame(opcode, &[0; 20], b"k", b""),
            0x07 | 0x08 | 0x0a | 0x10 | 0x17 | 0x18 => frame(opcode, b"", b"", b""),
            0x0e | 0x0f | 0x19 | 0x1a => frame(opcode, b"", b"k", b"v"),
            0x1c..=0x1e | 0x23 | 0x24 => frame(opcode, &[0; 4], b"k", b""),
            _ => frame(opcode, b"", b"k", b""),
        })
        .collect();
    scripts.extend([
        frame(0x20, b"", b"", b""),
        frame(0x20, b"", b"", b"").repeat(3),
        frame(0x21, b"", b"PLAIN", b""),
        frame(0x21, b"", b"PLAIN", b"\0foo\0wrong"),
        frame(0x21, b"", b"PLAIN", b"foo"),
        frame(0x21, b"", b"NONE", b"\0foo\0wrong"),
        frame(0x22, b"", b"PLAIN", b"\0foo\0wrong"),
        [frame(0x21, b"", b"PLAIN", b""), frame(0x22, b"", b"PLAIN", b"\0foo\0wrong")].concat(),
    ]);
    for scripts in scripts.chunks(64) {
        for (sent, ours) in scripts.iter().zip(ours(&server, scripts)) {
            let theirs = theirs(&socket, std::slice::from_ref(sent), 0, ours.len());
            let shown = [&theirs, &ours].map(|bytes| bytes.escape_ascii().to_string());
            assert_eq!(shown[0], shown[1], "{}", sent.escape_ascii());
        }
    }
}

/// A file that memcached accepts has the same users here, or is refused.
#[test]
fn memcached_reads_the_same_users_from_a_file() {
    const FILES: [&str; 14] = [
        "foo:bar\n",
        "foo:bar\nbaaaz:quux\n",
        "foo:bar\r\nbaaaz:quux\r\n",
        "foo:bar\nfoo:baz\n",
        "foo:#bar\n",
        "foo:bar:\n",
        "foo:bar:baz\n",
        "foo:bar\n\n",
        "\nfoo:bar\n",
        "foo:\n",
        ":bar\n",
        "# a comment\nfoo:bar\n",
        "#foo:bar\n",
        "foo\n",
    ];
    let users = ["foo bar", "foo baz", "baaaz quux", "foo #bar", "foo bar:", "foo bar:baz", "#foo bar"];
    let mut same = 0;
    for contents in FILES {
        let directory = tempfile::tempdir().unwrap();
        let file = auth_file(&directory, contents);
        let Some((_memcached, socket)) = memcached(directory.path(), &["-Y", file.to_str().unwrap()]) else {
            continue;
        };
        let option = format!("--auth-file={}", file.display());
        let mut command = crate::server::command(&directory.path().join("data"));
        let server = match Server::spawn(command.arg(&option)) {
            Ok(server) => server,
            Err(refused) => {
                assert!(refused.log.contains("line "), "{}", refused.log);
                continue;
            }
        };
        let scripts = users.map(|user| format!("set a 0 0 {}\r\n{user}\r\n", user.len()).into_bytes());
        for ((sent, ours), user) in scripts.iter().zip(ours(&server, &scripts)).zip(users) {
            assert_eq!(theirs(&socket, std::slice::from_ref(sent), 0, ours.len()), ours, "{user} of {contents:?}");
            same += 1;
        }
    }
    eprintln!("{same} attempts");
}
