//! The two servers, and a connection to each one for the same commands.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command as Program, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::binary;
use crate::script::Command;
use crate::server::{AMPLE, Server};

/// The dialect of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Text,
    Binary,
}

/// The response of one server.
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) has_closed: bool,
}

/// Both servers, empty.
pub(crate) struct Pair {
    _memcached: Memcached,
    socket: PathBuf,
    server: Server,
    _directory: TempDir,
}

impl Pair {
    /// Returns `None` if memcached is not installed.
    pub(crate) fn start() -> Option<Pair> {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("memcached");
        let mut program = Program::new("memcached");
        program.arg("-s").arg(&socket).args(["-u", "root", "-t", "1", "-m", "512"]);
        program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let memcached = Memcached(program.spawn().ok()?);
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let server = Server::start(&data, &["--maxreadsize=1048576"]);
        let pair = Pair { _memcached: memcached, socket, server, _directory: directory };
        let deadline = Instant::now() + AMPLE;
        while UnixStream::connect(&pair.socket).is_err() {
            assert!(Instant::now() < deadline, "memcached does not respond");
            thread::sleep(Duration::from_millis(5));
        }
        Some(pair)
    }

    pub(crate) fn connect(&self, dialect: Dialect) -> Connection {
        let theirs = UnixStream::connect(&self.socket).unwrap();
        theirs.set_read_timeout(Some(AMPLE)).unwrap();
        let mut connection = Connection { dialect, theirs, ours: self.server.connect(), is_open: true };
        // The first byte of a connection selects the dialect.
        connection.ask(&[]);
        connection
    }
}

/// Ends the server when dropped, also if the other server cannot be started.
pub(crate) struct Memcached(pub(crate) Child);

impl Drop for Memcached {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One connection to each server.
pub(crate) struct Connection {
    dialect: Dialect,
    theirs: UnixStream,
    ours: TcpStream,
    is_open: bool,
}

impl Connection {
    /// Returns true if neither server has closed the connection.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Sends `batch` to both servers and returns their responses.
    pub(crate) fn ask(&mut self, batch: &[Command]) -> (Answer, Answer) {
        let end = self.dialect.end();
        let join = |part: fn(&Command) -> &[u8]| batch.iter().map(part).chain([&end[..]]).collect::<Vec<_>>().concat();
        let to_them = join(|command| &command.theirs);
        let to_us = join(|command| &command.ours);
        let mut theirs = ask(self.dialect, &mut self.theirs, &to_them);
        let ours = ask(self.dialect, &mut self.ours, &to_us);
        if batch.iter().any(|command| command.block_is_a_command) {
            // The response to the data block, which memcached took for a command.
            let without = theirs.bytes.strip_suffix(b"ERROR\r\nMN\r\n").map(|rest| [rest, b"MN\r\n"].concat());
            theirs.bytes = without.unwrap_or(theirs.bytes);
        }
        if batch.iter().any(|command| command.ends_ours) {
            // The rest are memcached's responses to the data.
            let first_line = theirs.bytes.windows(2).position(|pair| pair == b"\r\n").map_or(0, |end| end + 2);
            theirs = Answer { bytes: theirs.bytes[..first_line].to_vec(), has_closed: true };
        }
        self.is_open = !theirs.has_closed && !ours.has_closed;
        (theirs, ours)
    }
}

impl Dialect {
    /// Returns a command whose response shows that all commands before it have been answered.
    fn end(self) -> Vec<u8> {
        match self {
            Dialect::Text => b"mn\r\n".to_vec(),
            Dialect::Binary => binary::last_command(),
        }
    }

    fn has_ended(self, bytes: &[u8]) -> bool {
        match self {
            Dialect::Text => bytes == b"MN\r\n" || bytes.ends_with(b"\r\nMN\r\n"),
            Dialect::Binary => binary::has_ended(bytes),
        }
    }
}

fn ask(dialect: Dialect, stream: &mut (impl Read + Write), sent: &[u8]) -> Answer {
    let mut answer = Answer { bytes: Vec::new(), has_closed: false };
    // If the connection is closed already, the remaining bytes are read.
    let _ = stream.write_all(sent);
    let mut room = vec![0; 65_536];
    while !dialect.has_ended(&answer.bytes) {
        match stream.read(&mut room) {
            Ok(0) => answer.has_closed = true,
            Ok(len) => answer.bytes.extend_from_slice(&room[..len]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => answer.has_closed = true,
            Err(error) => panic!("{error}: {} after {}", answer.bytes.escape_ascii(), sent.escape_ascii()),
        }
        if answer.has_closed {
            break;
        }
    }
    answer
}
