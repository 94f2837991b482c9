//! Runs a real `sharedanced` for a test: starts it on a free port, waits until it is ready, and ends it when dropped.
//!
//! Only for tests of the server's crate: cargo sets the path of the binary for those only.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A time limit that is long enough for the slowest machine.
pub const AMPLE: Duration = Duration::from_secs(60);

/// Returns the path of the server's binary. Cargo builds it together with the tests of the server's crate.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("sharedanced");
    assert!(program.is_file(), "{} is missing: build it with `cargo build -p sharedance-server`", program.display());
    program
}

/// A running server.
pub struct Server {
    process: Child,
    port: u16,
    log: Arc<Mutex<Vec<String>>>,
}

/// The reason why a server did not start.
#[derive(Debug)]
pub struct NotStarted {
    pub status: ExitStatus,
    pub log: String,
}

/// Returns the command that runs the server on `directory`, on a free port of the loopback interface.
pub fn command(directory: &Path) -> Command {
    let mut command = Command::new(program());
    command.args(["--debug", "--ip=127.0.0.1", "--port=0", "--directory"]).arg(directory);
    command
}

impl Server {
    /// Starts a server on `directory` with additional `arguments`.
    pub fn start(directory: &Path, arguments: &[&str]) -> Server {
        Server::spawn(command(directory).args(arguments)).unwrap_or_else(|failure| panic!("{failure:?}"))
    }

    /// Runs `command` until it accepts connections or ends.
    pub fn spawn(command: &mut Command) -> Result<Server, NotStarted> {
        let mut process = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let listening = follow(process.stderr.take().unwrap(), Arc::clone(&log));
        match listening.recv_timeout(AMPLE) {
            Ok(port) => Ok(Server { process, port, log }),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let _ = process.kill();
                panic!("neither ready nor ended: {:?}", log.lock().unwrap());
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = process.wait().unwrap();
                let log = log.lock().unwrap().join("\n");
                Err(NotStarted { status, log })
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(AMPLE)).unwrap();
        stream.set_write_timeout(Some(AMPLE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends `request` and returns all bytes until the server closes.
    pub fn ask(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        answer(&mut stream).unwrap()
    }

    /// Returns once a server with one worker has processed everything that was sent before this call.
    pub fn settle(&self) {
        // The first response may precede earlier requests of the same turn; the second belongs to a later turn.
        for _ in 0..2 {
            assert_eq!(self.ask(&fetch(b"never stored")), b"");
        }
    }

    /// Returns the lines logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Returns a number of kilobytes from `/proc/PID/status`, such as `RssAnon`.
    pub fn status_kb(&self, field: &str) -> usize {
        let kilobytes = self.status(field);
        kilobytes.trim_end_matches(" kB").parse().unwrap()
    }

    /// Returns a line of `/proc/PID/status`, without its name.
    pub fn status(&self, field: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {field}")).trim().to_owned()
    }

    /// Returns the number of open descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends the server with SIGTERM. Returns its exit status and the whole log.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        self.signal(rustix::process::Signal::TERM);
        let status = self.wait();
        (status, self.log().join("\n"))
    }

    /// Kills the server, as a crash does.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        assert_eq!(self.wait().signal(), Some(9));
    }

    pub fn wait(&mut self) -> ExitStatus {
        let process = &mut self.process;
        eventually("the server ends", || process.try_wait().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Collects the lines of a log, and sends the port once it is logged.
fn follow(log: impl Read + Send + 'static, lines: Arc<Mutex<Vec<String>>>) -> Receiver<u16> {
    let (found, listening) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            let port = line
                .contains(": listening on ")
                .then(|| line.rsplit(':').next().and_then(|port| port.parse().ok()))
                .flatten();
            lines.lock().unwrap().push(line);
            if let Some(port) = port {
                let _ = found.send(port);
            }
        }
    });
    listening
}

/// Polls until `condition` returns a value.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + AMPLE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {AMPLE:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Reads until the server closes.
pub fn answer(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Shuts down the sending side.
pub fn shut_down(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Returns the bytes of a store request.
pub fn store(key: &[u8], value: &[u8]) -> Vec<u8> {
    [&store_header(key, value.len())[..], value].concat()
}

/// Returns the bytes of a store request up to the value, which has `value_len` bytes.
pub fn store_header(key: &[u8], value_len: usize) -> Vec<u8> {
    let value_len = u32::try_from(value_len).unwrap().to_be_bytes();
    [b"S", &len_of(key)[..], &value_len, key].concat()
}

/// Returns the bytes of a fetch request.
pub fn fetch(key: &[u8]) -> Vec<u8> {
    [b"F", &len_of(key)[..], key].concat()
}

/// Returns the bytes of a delete request.
pub fn delete(key: &[u8]) -> Vec<u8> {
    [b"D", &len_of(key)[..], key].concat()
}

fn len_of(key: &[u8]) -> [u8; 4] {
    u32::try_from(key.len()).unwrap().to_be_bytes()
}
